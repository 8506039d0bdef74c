"""Where a sampler of a generalized linear mixed model starts: the posterior mode and points about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ModelError
from jmix.estimate.glmm_density import Bases, GlmmPlan, coordinates, density_data, make_plan, natural, point
from jmix.estimate.glmm_initial import overridden
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.glmm_start import Start, find_start
from jmix.estimate.mode import Mode, find_mode
from jmix.estimate.nuts_program import Points
from jmix.estimate.options import Options
from jmix.estimate.prior_plans import Basis
from jmix.estimate.warm_start import made_finite, spread
from jmix.likelihood import implicit
from jmix.spec.prior_sets import GlmmPriorSet

FloatArray = npt.NDArray[np.float64]


def value_and_grad(z: jax.Array, data: Any, plan: GlmmPlan, jacobian: bool) -> Any:
    """Log density of z and its gradient, the centres found on the way, and whether they were."""

    def prior(z: jax.Array) -> tuple[jax.Array, jax.Array]:
        at = point(z, data, plan)
        return at.x, at.log_prior + at.log_jacobian if jacobian else at.log_prior

    assert plan.approx is not None
    (x, value), pull = jax.vjp(prior, z)
    likelihood, slope, centres, mode = implicit.value_and_grad(plan.approx, x, data["likelihood"], data["centres"])
    return likelihood + value, pull((slope, jnp.ones(())))[0], centres, mode.converged


VALUE_AND_GRAD = runtime.Program(value_and_grad, static=("plan", "jacobian"))
NATURAL = runtime.Program(natural, static=("plan",))


@dataclass
class Density:
    """The log posterior density of a model as a NumPy function, which remembers where the random effects were.

    Attributes:
        plan, data: of ``glmm_density.log_density``. first: (d,) coordinates of the starting values.
        jacobian: whether it is the density of the coordinates, or of the natural parameters.
    """

    plan: GlmmPlan
    data: dict[str, Any]
    bases: Bases
    first: FloatArray
    jacobian: bool = True
    evaluations: int = field(default=0, init=False)

    def __call__(self, z: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient (d,); -inf where the random effects' modes were not found."""
        self.evaluations += 1
        value, gradient, centres, converged = VALUE_AND_GRAD(z, self.data, plan=self.plan, jacobian=self.jacobian)
        if not bool(converged):
            return -np.inf, np.asarray(gradient)
        if np.isfinite(value):
            self.data = self.data | {"centres": centres}
        return float(value), np.asarray(gradient)


def build_density(objective: GlmmObjective, priors: GlmmPriorSet, jacobian: bool = True) -> Density:
    """The density of a model."""
    start = find_start(objective.design, objective.terms, objective.spec)
    bases = _bases(objective, start)
    plan = make_plan(objective.approx, priors)
    data = runtime.put(density_data(priors, bases))
    with runtime.float64():
        data |= {"likelihood": objective.device_data, "centres": objective.approx.start(objective.device_data)}
    at = objective.split(start.x)
    first = coordinates(priors, bases, at, objective.spec.split(at.theta))
    return Density(plan, data, bases, first, jacobian)


def _bases(objective: GlmmObjective, start: Start) -> Bases:
    """Whitening by the expected information of the model without random effects' uncertainty."""
    parts, design = objective.slices, objective.design

    def basis(part: slice) -> Basis:
        scale, guess = start.scale[part, part], start.guess[part, part]
        inverse = scale @ np.linalg.inv(np.linalg.cholesky(guess)).T if guess.size else scale
        return Basis(start.x[part], inverse)

    disp = basis(parts["disp"]) if design.disp is not None and not design.disp.intercept_only else None
    zi = basis(parts["zi"]) if design.zi is not None and not design.zi.intercept_only else None
    return Bases(basis(parts["beta"]), disp, zi)


@dataclass(frozen=True)
class GlmmWarmStart:
    """The density of a model and where to begin.

    Attributes:
        density: its data holds the centres at the mode. mode: centre and scale of the whitening.
        points: where the chains begin.
    """

    density: Density
    mode: Mode
    points: Points

    @property
    def place(self) -> dict[str, FloatArray]:
        """The whitening as ``nuts.sample`` takes it."""
        return {"mode": self.mode.z, "half": self.mode.half}


def glmm_warm_start(objective: GlmmObjective, priors: GlmmPriorSet, options: Options) -> GlmmWarmStart:
    """Find the mode and starting points.

    Raises:
        ModelError: a density that is not finite near the starting values, or starting values out of range.
    """
    density = build_density(objective, priors)
    first = density.first
    value, gradient = density(first)
    if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
        raise ModelError(
            f"the posterior density of {objective.design.base.y_name} is not finite where the sampler would start: a "
            "prior may exclude the data; compare model.priors with the scale of the response and its link"
        )
    random = options.init == "random"
    mode = Mode(first, np.eye(first.size), 0.0, 0.0, 0) if random else find_mode(density, first)
    density(mode.z)
    u = spread(options, mode.z.size)
    if isinstance(options.init, Mapping):
        found = NATURAL(mode.z, density.data, plan=density.plan)
        at, chols = overridden(objective, priors, found, options.init)
        given = coordinates(priors, density.bases, at, chols)
        u = 0.1 * u + np.linalg.solve(mode.half, given - mode.z)
    centres = density.data["centres"]
    points = made_finite(density, mode, u)
    density.data = density.data | {"centres": centres}
    return GlmmWarmStart(density, mode, points)
