"""Maximum a posteriori estimates of a linear mixed model, with the Laplace approximation's covariance.

The density maximised is that of the natural parameters: coefficients, standard deviations, correlation matrices, sigma.
It is the sampler's without the Jacobian of its coordinates, so that flat priors give maximum likelihood.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ConvergenceWarning, ModelError
from jmix.estimate.density import Plan, coordinates, density_data, log_density, make_plan, parameters
from jmix.estimate.initial import moments
from jmix.estimate.lmm import LmmSolution
from jmix.estimate.objective import GaussianObjective
from jmix.estimate.posterior_mode import PosteriorSearch, laplace, map_status, search_mode
from jmix.estimate.prior_bounds import Bounded, at_bound, bounded_coordinates, degenerate
from jmix.spec.priors import PriorSet

FloatArray = npt.NDArray[np.float64]


def _natural(z: jax.Array, data: Any, plan: Plan) -> jax.Array:
    """Fixed effects, SDs, correlations and sigma, in the order of ``parameter_names``."""
    at = parameters(z, data, plan)
    sds = [jnp.sqrt(jnp.sum(jnp.square(c), axis=1)) for c in at.chols]
    cors = []
    for chol, sd in zip(at.chols, sds, strict=True):
        matrix = (chol / sd[:, None]) @ (chol / sd[:, None]).T
        rows, cols = np.tril_indices(chol.shape[0], -1)
        order = np.lexsort((rows, cols))
        cors.append(matrix[rows[order], cols[order]])
    return jnp.concatenate([at.beta, *sds, *cors, at.sigma[None]])


def _first(z: jax.Array, data: Any, plan: Plan) -> Any:
    return jax.value_and_grad(log_density)(z, data, plan, False)


def _curvature(z: jax.Array, data: Any, plan: Plan) -> Any:
    """Hessian of the log density in z, the natural parameters and their Jacobian, and the parts of the solution."""
    hessian = jax.jacfwd(jax.grad(log_density))(z, data, plan, False)
    at = parameters(z, data, plan)
    return {
        "hessian": hessian,
        "jacobian": jax.jacfwd(_natural)(z, data, plan),
        "beta": at.beta,
        "contrast": at.contrast,
        "chols": at.chols,
        "sigma": at.sigma,
    }


_FIRST = runtime.Program(_first, static=("plan",))
_CURVATURE = runtime.Program(_curvature, static=("plan",))


def fit_map(objective: GaussianObjective, priors: PriorSet, x_names: Sequence[str]) -> LmmSolution:
    """The posterior mode.

    Args:
        x_names: names of the fixed effects, for messages.

    Raises:
        ModelError: a density that is not finite at the starting values.
    """
    plan = make_plan(objective, priors)
    data = runtime.put(density_data(objective, priors))
    z = coordinates(priors, plan, objective, *moments(objective))

    def first(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = _FIRST(z, data, plan=plan)
        return float(value), np.asarray(gradient)

    def curve(z: FloatArray) -> dict[str, Any]:
        return dict(_CURVATURE(z, data, plan=plan))

    search = PosteriorSearch(first, curve, z, np.ones(z.size, dtype=np.bool_))
    if not np.isfinite(search.first(z)[0]):
        raise ModelError(
            f"the posterior density of {objective.response} is not finite at moment estimates: a prior may exclude the "
            "data; compare model.priors with the scale of the response"
        )
    pinned, curvature, decrement = search_mode(search, bounded_coordinates(plan, priors, objective.spec, x_names))
    return _solution(objective, search, curvature, decrement, pinned)


def _solution(
    objective: GaussianObjective,
    search: PosteriorSearch,
    at: dict[str, Any],
    decrement: float,
    pinned: Sequence[Bounded],
) -> LmmSolution:
    free, p = search.free, objective.p
    sigma = float(at["sigma"])
    chols = [np.asarray(c).copy() for c in at["chols"]]
    for own in pinned:
        if own.vanishing is not None and search.z[own.at] < 0:
            chols[own.vanishing[0]][own.vanishing[1]] = 0.0
    theta = objective.spec.join(chols) / sigma
    covariance, positive = laplace(at, free)
    messages = [at_bound(own, chols) for own in pinned] + degenerate(objective.spec, chols)
    status = map_status(search, messages, decrement, positive)
    if not status.converged:
        warnings.warn(status.messages[-1], ConvergenceWarning, stacklevel=4)
    k = objective.spec.n_theta
    return LmmSolution(
        theta=theta,
        phi=objective.to_phi @ theta,
        hessian=np.full((k, k), np.nan),
        beta=np.asarray(at["beta"]),
        vcov=covariance[:p, :p],
        sigma=sigma,
        criterion=-2.0 * objective.log_marginal(theta, np.asarray(at["beta"]), sigma, False),
        contrast=np.asarray(at["contrast"]),
        status=status,
        laplace=covariance,
    )
