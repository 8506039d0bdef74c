"""The rows of a generalized model as those of a linear one, at its modes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]


def row_weights(fit: FitBase) -> FloatArray | None:
    """(n,) negative second derivatives of the rows' log densities in the linear predictor, at the modes.

    None where they are not finite.
    """
    from jmix.likelihood import glmm_rows
    from jmix.results.glmm_variance import _CURVATURE

    plan, x = fit.objective.approx.plan, fit.solution.x  # type: ignore[attr-defined]
    rows = glmm_rows.flat_rows(fit.design)
    weights = np.maximum(np.asarray(_CURVATURE(fit.linear_parts[1], x, rows, plan=plan)), 0.0)
    return weights if np.all(np.isfinite(weights)) else None
