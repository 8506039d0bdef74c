"""The variance of functions of the estimates where some estimates do not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.estimate.glmm_solution import FLAT

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]

TOUCH = 1e-6
"""Share of a derivative along a direction without information from which the function is not estimable."""


def quadratic(fit: GlmmFit, gradient: FloatArray) -> FloatArray:
    """(n,) ``g V g'`` for rows of derivatives (n, d) in the parameters, V the inverse of the Hessian.

    Parameters on a boundary are taken as known. Where estimates are unbounded, as after separation, a function that
    depends on them alone has no variance, NaN, but one that the data determine has: the mean of a level beside a
    separated reference level depends on two unbounded estimates, whose sum is bounded.
    """
    covariance = fit.solution.vcov
    unknown = np.isnan(np.diag(covariance)) & ~fit.solution.boundary
    if unknown.any():
        return _estimable(fit, gradient, unknown)
    known = np.where(np.isnan(covariance), 0.0, covariance)
    return np.asarray(np.einsum("ij,jk,ik->i", gradient, known, gradient, optimize=True))


def _estimable(fit: GlmmFit, gradient: FloatArray, unknown: npt.NDArray[np.bool_]) -> FloatArray:
    """By blocks: ``g_f' H_ff^{-1} g_f + r' S^+ r``, S the information on the unknown given the free parameters."""
    scale = _scale(fit)
    free, lost = np.flatnonzero(~unknown & ~fit.solution.boundary), np.flatnonzero(unknown)
    information = fit.solution.hessian * np.outer(scale, scale)
    g = gradient * scale
    try:
        solved = np.linalg.solve(information[np.ix_(free, free)], information[np.ix_(free, lost)])
        own = np.linalg.solve(information[np.ix_(free, free)], g[:, free].T)
    except np.linalg.LinAlgError:
        return np.full(len(g), np.nan)
    rest = g[:, lost] - g[:, free] @ solved
    schur = information[np.ix_(lost, lost)] - information[np.ix_(lost, free)] @ solved
    values, vectors = np.linalg.eigh(schur)
    flat = values <= FLAT * float(np.max(np.abs(information)))
    along = rest @ vectors
    variance = np.sum(g[:, free] * own.T, axis=1) + np.sum(along[:, ~flat] ** 2 / values[~flat], axis=1)
    touched = np.any(np.abs(along[:, flat]) > TOUCH * np.max(np.abs(g), axis=1, initial=0.0)[:, None], axis=1)
    return np.where(touched | (variance < 0), np.nan, variance)


def _scale(fit: GlmmFit) -> FloatArray:
    """(d,) units of the parameters: of coefficients the inverse root mean square of their columns."""
    curvature = np.abs(np.diag(fit.solution.hessian))
    scale = 1.0 / np.sqrt(np.where(curvature > 0, curvature, 1.0))
    sides = {"cond": fit.base, "disp": fit.design.disp, "zi": fit.design.zi}
    for name, side in sides.items():
        if side is not None and side.X.size:
            scale[fit.parts.slices[name]] = 1.0 / np.sqrt(np.mean(np.square(side.X), axis=0))
    scale[fit.parts.slices["thresholds"]] = 1.0
    return scale
