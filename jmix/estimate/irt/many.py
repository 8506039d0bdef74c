"""The search with more parameters than a Hessian is kept for: limited memory, scaled item by item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.irt.large_scale import Scale, scale_of
from jmix.estimate.irt.large_search import LargeSearch, minimise_large
from jmix.estimate.irt.maximum import Maximum
from jmix.estimate.irt.objective import IrtObjective
from jmix.estimate.irt.sample import Sample
from jmix.estimate.irt.search import NOT_FINITE, Watch
from jmix.estimate.newton import Point

FloatArray = npt.NDArray[np.float64]

SINGLE = 4e-9
"""Rounding error of a log likelihood whose persons are computed in float32, relative to it."""


@dataclass
class BlockSpace:
    """The objective in ``x = x0 + S z``, S block diagonal, as a negative value to minimise."""

    objective: IrtObjective
    x0: FloatArray
    scale: Scale
    watch: Watch | None = None
    evaluations: int = 0

    def x(self, z: FloatArray) -> FloatArray:
        """Free parameters."""
        return np.asarray(self.x0 + self.scale.root.apply(z))

    def first(self, z: FloatArray) -> Point:
        """Value and gradient; infinite where the model does not exist."""
        value, gradient = self.objective.evaluate(self.x(z))
        self.evaluations += 1
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            return Point(np.inf, np.full(z.size, np.nan), None)
        if self.watch is not None:
            self.watch(self.evaluations, value, float(np.max(np.abs(gradient), initial=0.0)))
        return Point(-value, -self.scale.root.transposed(gradient), None)


def maximise_many(
    objective: IrtObjective,
    start: FloatArray,
    sample: Sample,
    *,
    max_iterations: int,
    watch: Watch | None = None,
) -> Maximum:
    """Maximise from ``start`` (P,) without Hessians.

    Raises:
        ModelError: the likelihood is not finite at the start.
    """
    spec = objective.marginal.spec
    curvature = None if objective.prior is None else -np.diag(objective.prior.evaluate(start)[2])
    space = BlockSpace(objective, start, scale_of(spec, start, sample, curvature), watch)
    zero = np.zeros(start.size)
    at = space.first(zero)
    if not np.isfinite(at.value):
        raise ModelError(NOT_FINITE)
    soft = np.stack([space.scale.root.solve(row) for row in space.scale.soft]) if len(space.scale.soft) else None
    single = objective.marginal.integration.precision == "float32"
    found: LargeSearch = minimise_large(
        space.first,
        zero,
        at=at,
        soft=soft,
        noise=SINGLE * abs(at.value) if single else 0.0,
        max_iterations=max(max_iterations, 500),
    )
    return Maximum(
        x=space.x(found.z),
        value=-found.at.value,
        gradient=np.asarray(objective.evaluate(space.x(found.z))[1]),
        information=None,
        settled=found.settled,
        interrupted=found.interrupted,
        decrement=found.decrement(),
        n_evaluations=found.n_evaluations,
        n_hessians=0,
    )
