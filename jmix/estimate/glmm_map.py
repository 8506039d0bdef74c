"""Maximum a posteriori estimates of a generalized linear mixed model, with the Laplace approximation's covariance.

The density maximised is that of the natural parameters: coefficients, standard deviations, correlation matrices, and
dispersion, probabilities and thresholds as their priors have them. It is the sampler's without the Jacobian of its
coordinates.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ConvergenceWarning, ModelError
from jmix.estimate.glmm_density import GlmmPlan, point
from jmix.estimate.glmm_initial import family_names
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.glmm_solution import GlmmSolution
from jmix.estimate.glmm_warm_start import Density, build_density
from jmix.estimate.posterior_mode import PosteriorSearch, laplace, map_status, search_mode
from jmix.estimate.prior_bounds import Bounded, at_bound, bounded_model, bounded_scalar, degenerate
from jmix.likelihood import implicit
from jmix.spec.names import parameter_names
from jmix.spec.prior_sets import GlmmPriorSet

FloatArray = npt.NDArray[np.float64]


def _curvature(z: jax.Array, data: Any, plan: GlmmPlan, batch: int | None) -> Any:
    """Hessian of the log density in z, the Jacobian of x in z, x, and the log likelihood with its gradient.

    With ``l`` the log likelihood, g its gradient and H its Hessian in x, the Hessian of the density is
    ``J'HJ + d^2 (log prior + g'x(z))`` with g held fixed.
    """
    assert plan.approx is not None
    x = point(z, data, plan).x
    value, gradient, u, _ = implicit.value_and_grad(plan.approx, x, data["likelihood"], data["centres"])
    information = implicit.hessian(plan.approx, x, data["likelihood"], u, batch)

    def rest(z: jax.Array) -> jax.Array:
        at = point(z, data, plan)
        return at.log_prior + gradient @ at.x

    jacobian = jax.jacfwd(lambda z: point(z, data, plan).x)(z)
    hessian = jax.jacfwd(jax.grad(rest))(z) + jacobian.T @ information @ jacobian
    return {"hessian": hessian, "jacobian": jacobian, "x": x, "loglik": value, "chols": point(z, data, plan).chols}


_CURVATURE = runtime.Program(_curvature, static=("plan", "batch"))


def fit_glmm_map(objective: GlmmObjective, priors: GlmmPriorSet) -> GlmmSolution:
    """The posterior mode.

    Raises:
        ModelError: a density that is not finite at the starting values.

    Warns:
        ConvergenceWarning: the mode was not found; ``status`` says why.
    """
    density = build_density(objective, priors, jacobian=False)
    z = density.first
    if not np.isfinite(density(z)[0]):
        raise ModelError(
            f"the posterior density of {objective.design.base.y_name} is not finite at the starting values: a prior "
            "may exclude the data; compare model.priors with the scale of the response and its link"
        )

    def curve(z: FloatArray) -> dict[str, Any]:
        return dict(_CURVATURE(z, density.data, plan=density.plan, batch=objective.batch))

    search = PosteriorSearch(density, curve, z, np.ones(z.size, dtype=np.bool_))
    pinned, curvature, decrement = search_mode(search, _bounded(objective, priors, density))
    return _solution(objective, priors, search, curvature, decrement, pinned)


def _bounded(objective: GlmmObjective, priors: GlmmPriorSet, density: Density) -> list[Bounded]:
    """Every coordinate that has a bound."""
    own = family_names(objective)
    names = parameter_names(objective.design.base.x_names, objective.spec, others=own)
    out, at = bounded_model(density.plan.fixed, density.plan.terms, priors, names)
    for name, scalar, side in (
        (priors.dispersion_name, priors.dispersion, priors.dispersion_side),
        (priors.zero_name, priors.zero, priors.zero_side),
    ):
        if scalar is not None:
            out.append(bounded_scalar(at, name, scalar))
        at += (scalar is not None) + (0 if side is None else len(side.coefficients))
    if priors.nu is not None:
        out.append(bounded_scalar(at + len(priors.thresholds), "nu", priors.nu))
    return out


def _solution(
    objective: GlmmObjective,
    priors: GlmmPriorSet,
    search: PosteriorSearch,
    at: dict[str, Any],
    decrement: float,
    pinned: Sequence[Bounded],
) -> GlmmSolution:
    spec, place = objective.spec, objective.slices["theta"]
    x, chols = np.array(at["x"]), [np.asarray(c).copy() for c in at["chols"]]
    for own in pinned:
        if own.vanishing is not None and search.z[own.at] < 0:
            chols[own.vanishing[0]][own.vanishing[1]] = 0.0
    x[place] = spec.join(chols)
    vcov, least = laplace(at, search.free)
    messages = [at_bound(own, chols) for own in pinned] + degenerate(spec, chols)
    status = map_status(search, messages, decrement, least)
    if not status.converged:
        warnings.warn(status.messages[-1], ConvergenceWarning, stacklevel=4)
    parts, jacobian = objective.split(x), np.asarray(at["jacobian"])
    free = search.free
    hessian = np.full((x.size, x.size), np.nan)
    gradient = np.full(x.size, np.nan)
    if free.all():
        inverse = np.linalg.inv(jacobian)
        hessian = inverse.T @ -np.asarray(at["hessian"]) @ inverse
        gradient = inverse.T @ search.first(search.z)[1]
    return GlmmSolution(
        x=x,
        loglik=float(at["loglik"]),
        gradient=gradient,
        hessian=hessian,
        vcov=vcov,
        se=np.sqrt(np.diag(vcov)),
        status=status,
        method="MAP",
        beta=parts.beta,
        theta=parts.theta,
        disp=parts.disp,
        zi=parts.zi,
        thresholds=parts.thresholds,
        shape=parts.shape,
        unbounded=np.zeros(x.size, dtype=np.bool_),
        boundary=np.asarray(np.isnan(np.diag(vcov))),
    )
