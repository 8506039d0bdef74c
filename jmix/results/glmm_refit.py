"""Refits of a generalized linear mixed model to a new response."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.estimate.glmm_fit import fit_glmm
from jmix.estimate.glmm_objective import build_glmm_objective
from jmix.results.refits import as_numbers

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]


def refit(fit: GlmmFit, response: Any) -> GlmmFit:
    """The work behind ``GlmmFit.refit``."""
    from jmix.families import check_response

    if fit.method == "MAP":
        raise ModelError("refit is for maximum likelihood; fit the new response with its priors instead")
    y = _numbers(fit, response)
    if y.shape != (fit.nobs,):
        raise DataError(f"refit needs {fit.nobs} values, one a row of the fit; the new response has shape {y.shape}")
    if not np.all(np.isfinite(y)):
        raise DataError("the new response holds missing or infinite values; refit needs one for every row of the fit")
    design = fit.design
    check_response(design.family, y, design.response.size, name="the new response")
    _check_categories(fit, y)
    design = replace(design, base=replace(design.base, y=y), response=replace(design.response, y=y))
    old = fit.objective
    objective = build_glmm_objective(
        design, fit.spec, fit.terms, n_agq=max(old.n_agq, 1), method=old.method, n_points=fit.n_points
    )
    return replace(fit, design=design, objective=objective, solution=fit_glmm(objective))


def _numbers(fit: GlmmFit, response: Any) -> FloatArray:
    """The response as ``Response.y``: codes where it is given by the labels of its categories."""
    levels = fit.design.response.levels
    values = np.asarray(response)
    if not levels or values.dtype.kind in "biuf":
        return as_numbers(response)
    codes = pd.Index(levels).get_indexer(pd.Index(values.ravel())).reshape(values.shape)
    strange = sorted({str(v) for v in values[codes < 0].ravel()})
    if strange:
        raise DataError(
            f"the new response has values that the fit has not: {', '.join(map(repr, strange[:5]))}; "
            f"its categories are {', '.join(map(repr, levels))}"
        )
    return codes.astype(np.float64)


def _check_categories(fit: GlmmFit, y: FloatArray) -> None:
    if fit.family.name != "cumulative":
        return
    counts = np.bincount(y.astype(np.int64), minlength=fit.family.n_categories)
    empty = [label for label, count in zip(fit.design.response.levels, counts, strict=True) if not count]
    if empty:
        raise DataError(
            f"the new response never takes the categories {', '.join(map(repr, empty))}, whose thresholds it cannot "
            "tell; fit it as a model of its own"
        )
