"""Responses of a linear model as residuals from what all the other rows predict, for many responses at once.

With ``P = V^{-1} - V^{-1}X (X'V^{-1}X)^{-1}X'V^{-1}``, V over sigma^2, ``(P y)_i / P_ii`` is the error of the
prediction of y_i from the other rows, beta and the random effects estimated without it, and its variance is ``sigma^2 /
P_ii``. Each response has its own beta and sigma, so that simulated responses lose the same degrees of freedom as those
of the fit; only theta counts as known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.results.inference.checks.sandwich import working
from jmix.results.rows import make_rows, prior_covariances, random_variance

if TYPE_CHECKING:
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]

LARGEST = 20_000
"""Columns of crossed random effects up to which their matrix is factorised."""

DETERMINED = 1e-8
"""Share of its weight below which a row's precision is that of a row that the others cannot predict."""


def can_standardize(fit: Any) -> bool:
    """Whether the fit is a linear model small enough."""
    if not hasattr(fit, "reml") or fit.method == "MAP":
        return False
    size = sum(len(t.levels) * len(t.columns) for t in fit.terms)
    return size <= LARGEST or len(fit.spec.groups) == 1


def standardized(fit: Fit, y: FloatArray) -> FloatArray:
    """(n, c) predictive residuals over their standard deviations, for responses y (n, c), less the offset or not.

    NaN in a row that the others do not predict.
    """
    x, weighted, _ = working(fit)
    bread: FloatArray = np.asarray(np.linalg.inv(x.T @ weighted), dtype=np.float64)
    precision = row_precisions(fit, weighted, bread)
    residual = y - (fit.linear_parts[0])[:, None]
    pulled = _solve(fit, residual) - weighted @ (bread @ (weighted.T @ residual))
    rest = np.einsum("ic,ic->c", residual, pulled) / (fit.nobs - x.shape[1])
    with np.errstate(invalid="ignore"):
        return np.asarray(pulled / np.sqrt(precision)[:, None] / np.sqrt(rest))


def row_precisions(fit: Fit, weighted: FloatArray, bread: FloatArray) -> FloatArray:
    """(n,) P_ii; NaN where it is zero but for rounding.

    Args:
        weighted: (n, p) ``V^{-1}X``. bread: (p, p) ``(X'V^{-1}X)^{-1}``.
    """
    weights = np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights
    precision = np.array(weights, dtype=np.float64)
    if fit.terms and fit.filtered is not None:
        rows = make_rows(fit.design.X, None, fit.terms)
        z = {g: np.stack(columns, axis=1) for g, columns in rows.columns.items()}
        precision -= weights**2 * random_variance(fit.filtered, z, rows.codes, prior_covariances(fit))
    precision -= np.einsum("ia,ab,ib->i", weighted, bread, weighted, optimize=True)
    return np.where(precision > DETERMINED * weights, precision, np.nan)


def _solve(fit: Fit, values: FloatArray) -> FloatArray:
    """``V^{-1}`` times (n, c): ``W - W Z~ (I + Z~'W Z~)^{-1} Z~'W`` with ``Z~ = Z Lambda``."""
    weights = np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights
    out = values * weights[:, None]
    if not fit.terms:
        return out
    from scipy.sparse import csc_array, eye_array, hstack
    from scipy.sparse.linalg import splu

    parts = []
    for term, lam in zip(fit.terms, fit.spec.split(fit.theta_values), strict=True):
        scaled = np.stack(term.columns, axis=1) @ lam
        q = lam.shape[0]
        columns = term.codes.astype(np.int64)[:, None] * q + np.arange(q)
        place = np.repeat(np.arange(fit.nobs), q), columns.ravel()
        parts.append(csc_array((scaled.ravel(), place), shape=(fit.nobs, len(term.levels) * q)))
    z = csc_array(hstack(parts))
    system = csc_array(eye_array(z.shape[1]) + z.T @ (z * weights[:, None]))
    return np.asarray(out - weights[:, None] * (z @ splu(system).solve(np.asarray(z.T @ out))))
