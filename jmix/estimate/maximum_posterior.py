"""Maximum a posteriori estimates of a linear mixed model, with the Laplace approximation's covariance.

The density maximised is that of the natural parameters: coefficients, standard deviations, correlation matrices, sigma.
It is the sampler's without the Jacobian of its coordinates, so that flat priors give maximum likelihood.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
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
from jmix.estimate.prior_bounds import Bounded, at_bound, bounded_coordinates, degenerate
from jmix.estimate.status import Status
from jmix.spec.priors import PriorSet

FloatArray = npt.NDArray[np.float64]

CONVERGED = 1e-16
"""Newton decrement, in units of the log density, at which the mode is found."""

MAX_NEWTON = 50


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


@dataclass
class _Search:
    """The mode over the coordinates that are free; the others stay where they are."""

    data: Any
    plan: Plan
    z: FloatArray
    free: npt.NDArray[np.bool_]
    evaluations: int = 0
    hessians: int = 0

    def first(self, z: FloatArray) -> tuple[float, FloatArray]:
        self.evaluations += 1
        value, gradient = _FIRST(z, self.data, plan=self.plan)
        return float(value), np.asarray(gradient)

    def approach(self) -> None:
        """BFGS into the neighbourhood of the mode."""
        from scipy.optimize import minimize

        def negative(part: FloatArray) -> tuple[float, FloatArray]:
            value, gradient = self.first(self._whole(part))
            if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
                return 1e300, np.zeros_like(part)
            return -value, -gradient[self.free]

        found = minimize(negative, self.z[self.free], jac=True, method="BFGS", options={"maxiter": 300, "gtol": 1e-4})
        self.z = self._whole(found.x)

    def _whole(self, part: FloatArray) -> FloatArray:
        z = self.z.copy()
        z[self.free] = part
        return z

    def polish(self) -> tuple[dict[str, Any], float]:
        """Newton steps on the exact Hessian; returns the curvature at the mode and the last decrement."""
        decrement = np.inf
        for _ in range(MAX_NEWTON):
            curvature = _CURVATURE(self.z, self.data, plan=self.plan)
            self.hessians += 1
            value, gradient = self.first(self.z)
            information = -np.asarray(curvature["hessian"])[np.ix_(self.free, self.free)]
            values, vectors = np.linalg.eigh(0.5 * (information + information.T))
            positive = np.maximum(np.abs(values), 1e-10 * max(float(np.abs(values).max(initial=0.0)), 1e-10))
            step = vectors @ ((vectors.T @ gradient[self.free]) / positive)
            decrement = 0.5 * float(gradient[self.free] @ step)
            if decrement < CONVERGED or not self._halved(value, step, decrement):
                break
        return curvature, decrement

    def _halved(self, value: float, step: FloatArray, decrement: float) -> bool:
        noise = 1e-13 * (1.0 + abs(value))
        for k in range(30):
            trial = self._whole(self.z[self.free] + 0.5**k * step)
            if self.first(trial)[0] >= value + 1e-4 * 0.5**k * decrement - noise:
                self.z = trial
                return True
        return False


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
    search = _Search(data, plan, z, np.ones(z.size, dtype=np.bool_))
    if not np.isfinite(search.first(z)[0]):
        raise ModelError(
            f"the posterior density of {objective.response} is not finite at moment estimates: a prior may exclude the "
            "data; compare model.priors with the scale of the response"
        )
    search.approach()
    bounded, pinned = bounded_coordinates(plan, priors, objective.spec, x_names), []
    while (found := _pin(search, bounded)) is not None:
        pinned.append(found)
        search.approach()
    curvature, decrement = search.polish()
    return _solution(objective, search, curvature, decrement, pinned)


def _pin(search: _Search, bounded: Sequence[Bounded]) -> Bounded | None:
    """Put one parameter on a bound if the density is no lower there; its coordinate is then no longer free."""
    value = search.first(search.z)[0]
    for own in bounded:
        for end in own.ends if search.free[own.at] else ():
            trial = search.z.copy()
            trial[own.at] = end
            trial[list(own.gone)] = 0.0
            if search.first(trial)[0] >= value - 1e-7:
                search.z = trial
                search.free[[own.at, *own.gone]] = False
                return own
    return None


def _solution(
    objective: GaussianObjective,
    search: _Search,
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
    covariance, positive = _laplace(at, free)
    messages = [at_bound(own, chols) for own in pinned] + degenerate(objective.spec, chols)
    status = _status(search, messages, decrement, positive)
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


def _laplace(at: dict[str, Any], free: npt.NDArray[np.bool_]) -> tuple[FloatArray, float]:
    """Covariance of the natural parameters, NaN where they are on a boundary, and the least relative eigenvalue."""
    information = -np.asarray(at["hessian"])[np.ix_(free, free)]
    values, vectors = np.linalg.eigh(0.5 * (information + information.T))
    jacobian = np.asarray(at["jacobian"])
    least = float(values[0] / max(float(values[-1]), 1e-300))
    inverse = (vectors / np.where(values > 0, values, np.nan)) @ vectors.T
    covariance = jacobian[:, free] @ inverse @ jacobian[:, free].T
    fixed = np.all(jacobian[:, free] == 0.0, axis=1)
    covariance[fixed], covariance[:, fixed] = np.nan, np.nan
    return covariance, least


def _status(search: _Search, messages: list[str], decrement: float, least: float) -> Status:
    converged = bool(decrement < 1e-6 and least > 0)
    singular = bool(messages)
    if not converged:
        messages.append(
            f"not converged: Newton decrement {decrement:.2g} after {search.evaluations} evaluations; the posterior "
            "may have no mode in its interior: use proper or stronger priors, or sample it"
        )
    return Status(
        converged=converged,
        singular=singular,
        max_gradient=float(np.sqrt(2.0 * max(decrement, 0.0))),
        decrement=decrement,
        min_eigenvalue=least,
        n_evaluations=search.evaluations,
        n_hessians=search.hessians,
        messages=tuple(messages),
    )
