"""Log likelihood plus log prior where no matrix of all parameters can be formed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.estimate.irt.large_search import BlockRoot
from jmix.estimate.irt.prior import DERIVATIVES, PriorDensity, prior_density
from jmix.estimate.newton import Point
from jmix.likelihood.irt.marginal import Marginal
from jmix.likelihood.irt.sparse_scores import number_jacobian
from jmix.spec.irt.spec import full_vector

FloatArray = npt.NDArray[np.float64]
Watch = Callable[[int, float, float], None]

MARGIN = 0.1
"""Distance of a starting value from the end of its prior's support."""


@dataclass(eq=False)
class LargeObjective:
    """What is maximised; of the log prior, the diagonal of the second derivatives alone.

    Attributes:
        seconds: spent in values and gradients.
    """

    marginal: Marginal
    seconds: float = 0.0
    n_evaluations: int = 0

    @cached_property
    def density(self) -> Any:
        """The log prior, None where there is none."""
        return prior_density(self.marginal.spec)

    @cached_property
    def chain(self) -> Any:
        """(M, P) sparse derivative of all numbers in the free ones."""
        return number_jacobian(self.marginal.spec)

    def prior(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Log prior, gradient (P,) and the diagonal (P,) of its Hessian; -inf outside the support."""
        none = np.zeros(x.size)
        if self.density is None:
            return 0.0, none, none
        if not isinstance(self.density, PriorDensity):
            value, gradient, hessian = self.density.evaluate(x)
            return value, gradient, np.diag(hessian)
        own = self.density
        v = full_vector(np, own.spec, x)
        if not own._inside(v):
            return -np.inf, none, none
        first, second, total = np.zeros(v.size), np.zeros(v.size), 0.0
        parts = tuple((v[at], values) for at, values in zip(own.places, own.values, strict=True))
        for at, (value, slope, bend) in zip(own.places, DERIVATIVES(parts, terms=own.terms), strict=True):
            total += float(np.sum(np.asarray(value)))
            np.add.at(first, at, np.asarray(slope))
            np.add.at(second, at, np.asarray(bend))
        return total, self.chain.T @ first, self.chain.power(2).T @ second

    def inside(self, x: FloatArray) -> FloatArray:
        """The point with every parameter moved into the support of its own prior, where it was outside."""
        if not isinstance(self.density, PriorDensity):
            return x
        own = self.density
        low, high = np.full(len(own.spec.table.names), -np.inf), np.full(len(own.spec.table.names), np.inf)
        for term, at, scalar in zip(own.terms, own.places, own.scalars, strict=True):
            if term.scale == "value" and term.plan.on == "value":
                margin = min(MARGIN, 0.25 * (scalar.high - scalar.low))
                low[at], high[at] = scalar.low + margin, scalar.high - margin
        free = own.spec.table.free
        return np.asarray(np.clip(x, low[free], high[free]))

    def evaluate(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient (P,); -inf where the model does not exist."""
        begun = time.perf_counter()
        prior, slope, _ = self.prior(x)
        if not np.isfinite(prior):
            return -np.inf, np.zeros(x.size)
        value, gradient = self.marginal.value_and_grad(x)
        self.seconds += time.perf_counter() - begun
        self.n_evaluations += 1
        return float(value) + prior, np.asarray(gradient) + slope


@dataclass(eq=False)
class LargeSpace:
    """The objective in ``x = x0 + S z``, as a value to minimise."""

    objective: LargeObjective
    x0: FloatArray
    root: BlockRoot
    watch: Watch | None = None
    best: tuple[float, FloatArray] | None = field(default=None)

    def x(self, z: FloatArray) -> FloatArray:
        """Free parameters."""
        return self.x0 + self.root.apply(z)

    def first(self, z: FloatArray) -> Point:
        """Value and gradient; infinite where the model does not exist."""
        x = self.x(z)
        value, gradient = self.objective.evaluate(x)
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            return Point(np.inf, np.full(z.size, np.nan), None)
        if self.watch is not None:
            self.watch(self.objective.n_evaluations, value, float(np.max(np.abs(gradient), initial=0.0)))
        return Point(-value, -self.root.transposed(gradient), None)
