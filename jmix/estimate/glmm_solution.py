"""Estimates of a generalized linear mixed model, and their covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.estimate.status import Status

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FLAT = 1e-7
"""Curvature, relative to the largest on scaled parameters, below which a direction among unbounded parameters is taken
for flat."""


@dataclass(frozen=True)
class GlmmSolution:
    """Estimates in arrays.

    Attributes:
        x: (d,) in the order ``[beta | theta | disp | zi | thresholds | shape]``. loglik: the approximate marginal log
            likelihood. gradient: (d,) of the log likelihood. hessian: (d, d) of its negative, exact.
        vcov: (d, d) inverse of the Hessian; rows and columns of parameters on a boundary or unbounded are NaN.
        se: (d,) square roots of its diagonal. method: "Laplace", "AGQ", "QMC", "ML" or "MAP".
        beta, theta, disp, zi: parts of x. thresholds: (K-1,) increasing. shape: degrees of freedom, or None.
        unbounded: (d,) parameters whose estimates do not exist. boundary: (d,) those at zero variance.
    """

    x: FloatArray
    loglik: float
    gradient: FloatArray
    hessian: FloatArray
    vcov: FloatArray
    se: FloatArray
    status: Status
    method: str
    beta: FloatArray
    theta: FloatArray
    disp: FloatArray
    zi: FloatArray
    thresholds: FloatArray
    shape: float | None
    unbounded: BoolArray
    boundary: BoolArray


def covariance(
    hessian: FloatArray, scale: FloatArray, boundary: BoolArray, unbounded: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Covariance (d, d) of x, NaN where there is none, and the eigenvalues of the scaled Hessian of the others.

    Parameters on a boundary are left out: their cross-derivatives vanish. Unbounded ones are profiled out: along flat
    directions nothing is to be profiled.

    Args:
        hessian: (d, d) in z, with ``x = x0 + scale @ z``. boundary, unbounded: (d,) entries of x, in the blocks of
            ``scale`` that are lower or upper triangular with them.
    """
    d = hessian.shape[0]
    out = np.full((d, d), np.nan)
    if not np.all(np.isfinite(hessian)):
        return out, np.zeros(d)
    if not (boundary.any() or unbounded.any()):
        values, vectors = np.linalg.eigh(hessian)
        if d == 0 or values[0] > 0:
            root = scale @ (vectors / np.sqrt(values))
            out = root @ root.T
        return out, values
    inverse = np.linalg.inv(scale)
    information = inverse.T @ hessian @ inverse
    size = 1.0 / np.maximum(np.sqrt(np.sum(scale * scale, axis=1)), 1e-300)
    free = np.flatnonzero(~boundary & ~unbounded)
    lost = np.flatnonzero(unbounded & ~boundary)
    scaled = information / np.outer(size, size)
    kept = scaled[np.ix_(free, free)]
    if lost.size:
        cross = scaled[np.ix_(free, lost)]
        values, vectors = np.linalg.eigh(scaled[np.ix_(lost, lost)])
        level = FLAT * float(np.max(np.abs(scaled), initial=1e-300))
        use = values > level
        kept = kept - (cross @ vectors[:, use] / values[use]) @ (cross @ vectors[:, use]).T
    values, vectors = np.linalg.eigh(kept)
    if free.size and values[0] > 0:
        root = (vectors / np.sqrt(values)) / size[free, None]
        out[np.ix_(free, free)] = root @ root.T
    return out, values
