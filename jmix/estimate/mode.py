"""The posterior mode in unconstrained coordinates, with the curvature there: where a sampler starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ValueGrad = Callable[[FloatArray], tuple[float, FloatArray]]

STEP = 1e-4
"""Step of the central differences of the gradient, in coordinates whose posterior SD is below about one."""

FLATTEST = 0.04
"""Least curvature taken at its word: a posterior SD of five units of a coordinate."""


@dataclass(frozen=True)
class Mode:
    """A point of high density and a Gaussian around it.

    Attributes:
        z: (d,) the mode. half: (d, d) with ``half half'`` the covariance. value: log density at z.
        gradient: its largest absolute entry. n_evaluations: values and gradients computed.
    """

    z: FloatArray
    half: FloatArray
    value: float
    gradient: float
    n_evaluations: int


def find_mode(value_and_grad: ValueGrad, start: FloatArray) -> Mode:
    """Maximise a log density by BFGS and difference its gradient for the curvature.

    Where the density has no interior mode the search stops where it is: a sampler needs a starting point and a scale,
    not a maximum.
    """
    from scipy.optimize import minimize

    count = 0

    def negative(z: FloatArray) -> tuple[float, FloatArray]:
        nonlocal count
        count += 1
        value, gradient = value_and_grad(z)
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            return 1e300, np.zeros_like(z)
        return -value, -gradient

    found = minimize(negative, start, jac=True, method="BFGS", options={"maxiter": 200, "gtol": 1e-3})
    z = np.asarray(found.x, dtype=np.float64)
    hessian = np.stack([(negative(z + STEP * e)[1] - negative(z - STEP * e)[1]) / (2.0 * STEP) for e in np.eye(z.size)])
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    half = vectors / np.sqrt(np.maximum(np.abs(values), FLATTEST))
    return Mode(z, half, -float(found.fun), float(np.max(np.abs(found.jac))), count)
