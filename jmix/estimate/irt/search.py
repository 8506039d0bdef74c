"""The search for the maximum: coordinates in which all parameters are alike, then Newton's method with few Hessians."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.glmm_search import Search, minimise
from jmix.estimate.irt.maximum import Maximum
from jmix.estimate.irt.objective import IrtObjective
from jmix.estimate.newton import Point

FloatArray = npt.NDArray[np.float64]
Watch = Callable[[int, float, float], None]
Visit = Callable[[FloatArray, float], None]

MOST = 300
"""Most parameters for which Hessians are computed during the search."""

NOT_FINITE = (
    "the likelihood or a prior is not finite at the starting values: give start={...} inside the support of every "
    "prior, or leave start out"
)


@dataclass
class Space:
    """The objective in ``x = x0 + scale z``, as a negative value to minimise.

    Attributes:
        scale: (P, P) inverse root of the complete-data information of one person. watch, visit: told of
            every evaluation, and of its point.
    """

    objective: IrtObjective
    x0: FloatArray
    scale: FloatArray
    watch: Watch | None = None
    visit: Visit | None = None
    evaluations: int = 0

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
        if self.visit is not None:
            self.visit(x, value)
        if self.watch is not None:
            self.watch(self.evaluations, value, float(np.max(np.abs(gradient), initial=0.0)))
        return Point(-value, -(self.scale.T @ gradient), None, cancelled=self.objective.noise(value))

    def second(self, z: FloatArray) -> FloatArray:
        """Exact Hessian."""
        hessian = -(self.scale.T @ self.objective.hessian(self.x(z)) @ self.scale)
        return np.asarray(0.5 * (hessian + hessian.T))

    def maximum(self, found: Search) -> Maximum:
        """The end of a search in the free parameters."""
        inverse = np.linalg.inv(self.scale)
        return Maximum(
            x=self.x(found.z),
            value=-found.at.value,
            gradient=-(inverse.T @ found.at.gradient),
            information=inverse.T @ found.hessian @ inverse if found.exact else None,
            settled=found.settled,
            interrupted=found.interrupted,
            decrement=found.decrement(),
            n_evaluations=found.n_evaluations,
            n_hessians=found.n_hessians,
        )


def maximise(
    objective: IrtObjective,
    start: FloatArray,
    information: FloatArray,
    persons: float | None = None,
    *,
    max_iterations: int,
    watch: Watch | None = None,
    visit: Visit | None = None,
) -> Maximum:
    """Maximise from ``start`` (P,).

    Args:
        information: (P, P) about the negative Hessian, such as that of complete data at the start; positive definite.
        persons: N, the sum of the weights; None is that of the objective. visit: given every point and its value.

    Raises:
        ModelError: the likelihood is not finite at the start.
    """
    if not start.size:
        return Maximum(start, objective.evaluate(start)[0], start, np.zeros((0, 0)), True, False, 0.0, 1, 0)
    persons = max(objective.persons if persons is None else persons, 1.0)
    space = Space(objective, start, inverse_root(information / persons), watch, visit)
    zero = np.zeros(start.size)
    at = space.first(zero)
    if not np.isfinite(at.value):
        raise ModelError(NOT_FINITE)
    guess = persons * np.eye(start.size)
    return space.maximum(minimise(space.first, space.second, zero, guess, at=at, max_iterations=max_iterations))


def inverse_root(matrix: FloatArray) -> FloatArray:
    """(P, P) S with ``S' M S = I``, of a positive definite M."""
    lower = np.linalg.cholesky(matrix)
    return np.asarray(np.linalg.inv(lower).T)
