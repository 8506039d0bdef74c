"""Singular fits: variances and directions that vanish are set to exactly zero where the criterion allows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from jmix.estimate.newton import Evaluate, Optimum, newton
from jmix.estimate.trust_region import noise_level
from jmix.spec.covariance import CovarianceSpec, semidefinite_cholesky

FloatArray = npt.NDArray[np.float64]

SMALL = (1e-3, 1e-7)
"""Shares of a variance below which it, or a Cholesky pivot, is tried as exactly zero, boldest first."""

SNAP_COST = 1e-7
"""Largest loss of deviance at which the exact zero is kept."""

POLISH = 30
"""Most Newton steps for the other parameters after something was set to zero."""

STAYED = 1e-9
"""How far a parameter may move from zero by rounding while the others are polished."""


def settle(full: Evaluate, optimum: Optimum, spec: CovarianceSpec) -> Optimum:
    """Bring an optimum to its canonical form: nonnegative diagonals, and exact zeros on the boundary.

    A column of Lambda at zero is a stationary point, so Newton steps from there move the other parameters only; they
    leave it where its curvature is negative, and then it is no zero.
    """
    best = _with_signs(optimum, canonical_signs(spec, optimum.theta))
    for share in SMALL:
        candidate = snapped_phi(spec, best.theta, share)
        if np.array_equal(candidate, best.theta):
            continue
        polished = newton(full, candidate, max_iterations=POLISH)
        zero = zero_columns(spec, candidate)
        stays = bool(np.all(np.abs(polished.theta[zero]) < STAYED))
        if stays and polished.value <= best.value + SNAP_COST + noise_level(best.value):
            exact = np.where(zero, 0.0, polished.theta)
            polished = _with_signs(replace(polished, theta=exact), canonical_signs(spec, exact))
            return replace(
                polished,
                n_evaluations=polished.n_evaluations + optimum.n_evaluations,
                n_hessians=polished.n_hessians + optimum.n_hessians,
            )
    return best


def _with_signs(optimum: Optimum, signs: FloatArray) -> Optimum:
    return replace(
        optimum,
        theta=signs * optimum.theta,
        gradient=signs * optimum.gradient,
        hessian=signs[:, None] * optimum.hessian * signs[None, :],
    )


def canonical_signs(spec: CovarianceSpec, phi: FloatArray) -> FloatArray:
    """(k,) signs that flip the columns of each factor with a negative diagonal; the criterion does not change."""
    flips = [np.where(np.diag(lam) < 0, -1.0, 1.0) * np.ones_like(lam) for lam in spec.split(phi)]
    return spec.join(flips)


def snapped_phi(spec: CovarianceSpec, phi: FloatArray, share: float) -> FloatArray:
    """Variances and Cholesky pivots below ``share`` set to exactly zero; factors without any stay as they are."""
    lams = []
    for lam in spec.split(phi):
        omega = lam @ lam.T
        small = np.diag(omega) <= share * max(1e-3, float(np.max(np.diag(omega))))
        omega[small] = 0.0
        omega[:, small] = 0.0
        candidate = semidefinite_cholesky(omega, share)
        lams.append(candidate if np.any(np.diag(candidate) == 0) else lam)
    return spec.join(lams)


def zero_columns(spec: CovarianceSpec, phi: FloatArray) -> npt.NDArray[np.bool_]:
    """(k,) which entries lie in a column of Lambda that is zero."""
    marks = [np.ones_like(lam) * np.all(lam == 0.0, axis=0) for lam in spec.split(phi)]
    return np.asarray(spec.join(marks) == 1.0)
