"""Leverage: how much each response pulls on its own fitted value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.results.rows import conditional_variance, make_rows

if TYPE_CHECKING:
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]


def leverage(fit: Fit) -> FloatArray:
    """(n,) diagonal of H in ``fitted = H y``, as lme4's ``hatvalues``.

    ``H = (Z N Z' + D C D') W`` with ``N`` the conditional covariance of b over sigma^2, ``D = X - Z N Z'W X`` and
    ``C = (X'V^{-1}X)^{-1}``.
    """
    relative = conditional_variance(fit, make_rows(fit.design.X, fit.design.offset, fit.terms))
    weights = fit.design.weights
    return np.asarray(relative if weights is None else weights * relative)
