"""L-BFGS behind one function; the only place that knows the engine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def lbfgs(
    value_grad: Callable[[FloatArray], tuple[float, FloatArray]],
    start: FloatArray,
    *,
    scale: float = 1.0,
    max_iterations: int = 500,
    gradient_tolerance: float = 1e-9,
) -> FloatArray:
    """Minimise a smooth function without bounds; returns the point reached.

    Args:
        value_grad: theta (k,) to (value, gradient). start: (k,). scale: factor on the objective, 1 / n for a deviance,
            so that tolerances mean the same at every n.
    """
    from scipy.optimize import minimize

    def scaled(theta: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = value_grad(theta)
        return scale * value, scale * gradient

    options = {"maxiter": max_iterations, "gtol": gradient_tolerance, "ftol": 0.0, "maxcor": 20}
    result = minimize(scaled, start, jac=True, method="L-BFGS-B", options=options)
    return np.asarray(result.x, dtype=np.float64)
