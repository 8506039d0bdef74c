"""The search for the maximum: coordinates in which all parameters are alike, then Newton's method with few Hessians."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.glmm_search import Search, minimise
from jmix.estimate.irt.objective import IrtObjective
from jmix.estimate.newton import Point

FloatArray = npt.NDArray[np.float64]
Watch = Callable[[int, float, float], None]

MOST = 300
"""Most parameters for which Hessians are computed during the search."""


@dataclass
class Space:
    """The objective in ``x = x0 + scale z``, as a negative value to minimise.

    Attributes:
        scale: (P, P) inverse root of the complete-data information of one person. watch: told of every evaluation.
    """

    objective: IrtObjective
    x0: FloatArray
    scale: FloatArray
    watch: Watch | None = None
    evaluations: int = field(default=0)
    best: tuple[float, FloatArray] | None = None

    def x(self, z: FloatArray) -> FloatArray:
        """Free parameters."""
        return np.asarray(self.x0 + self.scale @ z)

    def first(self, z: FloatArray) -> Point:
        """Value and gradient; infinite where the model does not exist."""
        x = self.x(z)
        value, gradient = self.objective.evaluate(x)
        self.evaluations += 1
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            return Point(np.inf, np.full(z.size, np.nan), None)
        if self.best is None or value > self.best[0]:
            self.best = (value, x)
        if self.watch is not None:
            self.watch(self.evaluations, value, float(np.max(np.abs(gradient), initial=0.0)))
        return Point(-value, -(self.scale.T @ gradient), None)

    def second(self, z: FloatArray) -> FloatArray:
        """Exact Hessian."""
        hessian = -(self.scale.T @ self.objective.hessian(self.x(z)) @ self.scale)
        return np.asarray(0.5 * (hessian + hessian.T))


def search(
    objective: IrtObjective,
    start: FloatArray,
    information: FloatArray,
    persons: float,
    *,
    max_iterations: int,
    watch: Watch | None = None,
) -> tuple[Space, Search]:
    """Maximise from ``start`` (P,).

    Args:
        information: (P, P) of complete data at the start. persons: N, the sum of the weights.

    Raises:
        ModelError: the likelihood is not finite at the start.
    """
    scale = inverse_root(information / persons)
    space = Space(objective, start, scale, watch)
    zero = np.zeros(start.size)
    at = space.first(zero)
    if not np.isfinite(at.value):
        raise ModelError(
            "the likelihood or a prior is not finite at the starting values: give start={...} inside the support of "
            "every prior, or leave start out"
        )
    guess = persons * np.eye(start.size)
    return space, minimise(space.first, space.second, zero, guess, at=at, max_iterations=max_iterations)


def inverse_root(matrix: FloatArray) -> FloatArray:
    """(P, P) S with ``S' M S = I``, of a positive definite M."""
    if not matrix.size:
        return matrix
    lower = np.linalg.cholesky(matrix)
    return np.asarray(np.linalg.inv(lower).T)
