"""Where a sampler of a linear mixed model starts: the posterior mode, its curvature, and points about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ModelError
from jmix.estimate.density import Plan, coordinates, density_data, log_density, make_plan, parameters
from jmix.estimate.identified import check_residual_share
from jmix.estimate.initial import Initial, moments, overridden
from jmix.estimate.mode import Mode, find_mode
from jmix.estimate.nuts_program import Points
from jmix.estimate.objective import GaussianObjective
from jmix.estimate.options import Options
from jmix.spec.priors import PriorSet

FloatArray = npt.NDArray[np.float64]

STEEP = 1e5
"""Gradient of the log density at which the search for the mode has not ended but given up."""

SPREAD = 1.5
"""Standard deviation of the starting points about the mode, in posterior standard deviations."""


def _value_and_grad(z: jax.Array, data: Any, plan: Plan) -> Any:
    return jax.value_and_grad(log_density)(z, data, plan)


def marginal_output(z: jax.Array, data: Any, plan: Plan) -> Any:
    """What is kept of a draw."""
    at = parameters(z, data, plan)
    return {"beta": at.beta, "chol": tuple(at.chols), "sigma": at.sigma}


_VALUE_AND_GRAD = runtime.Program(_value_and_grad, static=("plan",))
_PARAMETERS = runtime.Program(marginal_output, static=("plan",))


@dataclass(frozen=True)
class WarmStart:
    """The density of a model and where to begin.

    Attributes:
        plan, data: of ``density.log_density``. mode: centre and scale of the whitening.
        points: where the chains begin.
    """

    plan: Plan
    data: Any
    mode: Mode
    points: Points

    @property
    def place(self) -> dict[str, FloatArray]:
        """The whitening as ``nuts.sample`` takes it."""
        return {"mode": self.mode.z, "half": self.mode.half}


def warm_start(objective: GaussianObjective, priors: PriorSet, options: Options, x_names: list[str]) -> WarmStart:
    """Find the mode and starting points.

    Raises:
        ModelError: a density that is not finite near moment estimates, or starting values out of range.
    """
    plan = make_plan(objective, priors)
    data = runtime.put(density_data(objective, priors))

    def value_and_grad(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = _VALUE_AND_GRAD(z, data, plan=plan)
        return float(value), np.asarray(gradient)

    first = coordinates(priors, plan, objective, *moments(objective))
    random = options.init == "random"
    mode = Mode(first, np.eye(first.size), 0.0, 0.0, 0) if random else find_mode(value_and_grad, first)
    _check_finite(value_and_grad, mode, objective)
    _check_share(priors.sigma.constrain(mode.z[-1]), mode, objective)
    u = spread(options, mode.z.size)
    if isinstance(options.init, Mapping):
        at_mode = _PARAMETERS(mode.z, data, plan=plan)
        chols = [np.asarray(c) for c in at_mode["chol"]]
        found = Initial(np.asarray(at_mode["beta"]), chols, float(at_mode["sigma"]))
        given = overridden(found, options.init, x_names, objective.spec)
        u = 0.1 * u + np.linalg.solve(mode.half, coordinates(priors, plan, objective, *given) - mode.z)
    return WarmStart(plan, data, mode, made_finite(value_and_grad, mode, u))


def _check_finite(value_and_grad: Any, mode: Mode, objective: GaussianObjective) -> None:
    value, gradient = value_and_grad(mode.z)
    if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
        raise ModelError(
            f"the posterior density of {objective.response} is not finite where the sampler would start: a prior may "
            "exclude the data; compare model.priors with the scale of the response"
        )


def _check_share(sigma: float, mode: Mode, objective: GaussianObjective) -> None:
    """Refuse data that the random effects fit exactly: the density rises without end as sigma falls."""
    share = (sigma / objective.reduced.fixed.y_scale) ** 2
    settled = mode.gradient < STEEP
    check_residual_share(share * objective.n, objective.n, objective.response, objective.spec.groups, converged=settled)


def spread(options: Options, dim: int) -> FloatArray:
    """(C, d) overdispersed points about the origin; those of a chain do not depend on the number of chains."""
    rngs = [np.random.default_rng([int(options.seed), 1, chain]) for chain in range(int(options.chains))]
    if options.init == "random":
        return np.stack([rng.uniform(-2.0, 2.0, dim) for rng in rngs])
    return np.stack([SPREAD * rng.standard_normal(dim) for rng in rngs])


def made_finite(value_and_grad: Any, mode: Mode, u: FloatArray) -> Points:
    """Points drawn in towards the mode until the density is finite there."""
    out, energy, gradients = u.copy(), np.zeros(len(u)), np.zeros_like(u)
    for chain in range(len(out)):
        for _ in range(30):
            value, gradient = value_and_grad(mode.z + mode.half @ out[chain])
            if np.isfinite(value) and np.all(np.isfinite(gradient)):
                break
            out[chain] *= 0.5
        energy[chain], gradients[chain] = -value, -mode.half.T @ gradient
    return Points(out, energy, gradients)
