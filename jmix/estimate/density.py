"""The posterior density of a linear mixed model in unconstrained coordinates, random effects integrated out.

z holds the coefficients, whitened by least squares; for each term its q standard deviations and q (q - 1) / 2 partial
correlations; sigma. All but the whitening is decided by the priors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.estimate.coordinates import (
    ScalarPlan,
    TermPlan,
    correlation_coordinates,
    join,
    scalar,
    term,
)
from jmix.estimate.objective import GaussianObjective
from jmix.likelihood.gaussian import reduce
from jmix.likelihood.structure import Layout
from jmix.spec.priors import PriorSet, TermPrior
from jmix.spec.supports import ScalarPrior

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What selects a program: sizes, the layout of theta, and the kinds of priors.

    Attributes:
        groups: which coefficients share which prior. centred: whether the centred intercept has one.
        direct: whether coefficients are coordinates themselves because some have bounds, rather than whitened.
    """

    p: int
    layout: Layout
    groups: tuple[tuple[tuple[int, ...], ScalarPlan], ...]
    centred: ScalarPlan | None
    terms: tuple[TermPlan, ...]
    sigma: ScalarPlan
    direct: bool

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.p + sum(t.size for t in self.terms) + 1


class Parameters(NamedTuple):
    """Parameters on the data scale, with the log prior and the log Jacobian at them."""

    beta: Any
    contrast: Any
    chols: list[Any]
    sigma: Any
    log_prior: Any
    log_jacobian: Any


def parameters(z: jax.Array, data: Any, plan: Plan) -> Parameters:
    """Parameters from coordinates.

    Args:
        z: (dim,). data: ``density_data``.
    """
    priors = data["priors"]
    beta, contrast, log_prior, jacobian = _fixed(z[: plan.p], data, plan)
    chols, at = [], plan.p
    for own, values in zip(plan.terms, priors["terms"], strict=True):
        chol, lp, lj = term(z[at : at + own.size], own, values)
        chols.append(chol)
        log_prior, jacobian, at = log_prior + lp, jacobian + lj, at + own.size
    sigma, lp, lj = scalar(z[at], plan.sigma, priors["sigma"])
    return Parameters(beta, contrast, chols, sigma, log_prior + lp, jacobian + lj)


def _fixed(z: jax.Array, data: Any, plan: Plan) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Coefficients, the contrast that turns [X y] into scaled residuals, log prior and log Jacobian."""
    fixed, priors = data["fixed"], data["priors"]
    zero = jnp.zeros(())
    if not plan.p:
        return z, jnp.ones(1), zero, zero
    if not plan.direct:
        beta, gamma = fixed["ols"] + fixed["inverse"] @ z * fixed["y_scale"], z
    log_prior, jacobian = zero, zero
    pieces = []
    for (index, own), values in zip(plan.groups, priors["coefficients"], strict=True):
        at = np.array(index)
        if plan.direct:
            spread = jnp.where(own.kind == "real", fixed["spread"][at], 1.0)
            shift = jnp.where(own.kind == "real", fixed["ols"][at], 0.0)
            value, lp, lj = scalar(shift + spread * z[at], own, values)
            pieces.append((at, value))
            log_prior, jacobian = log_prior + jnp.sum(lp), jacobian + jnp.sum(lj)
        elif not own.flat:
            log_prior += jnp.sum(own.log_prob(beta[at], values))
    if plan.direct:
        order = np.argsort(np.concatenate([at for at, _ in pieces]))
        beta = jnp.concatenate([value for _, value in pieces])[order]
        gamma = fixed["forward"] @ (beta - fixed["ols"]) / fixed["y_scale"]
    if plan.centred is not None and not plan.centred.flat:
        log_prior += plan.centred.log_prob(fixed["centre"] @ beta, priors["centred"])
    return beta, jnp.append(-gamma, 1.0), log_prior, jacobian


def log_likelihood(at: Parameters, data: Any, layout: Layout) -> jax.Array:
    """Marginal log likelihood of the data, random effects integrated out."""
    phi = data["to_phi"] @ (join(at.chols) / at.sigma)
    logdet, gram = reduce(phi, data["stats"], layout)
    rss = at.contrast @ gram @ at.contrast * data["fixed"]["y_scale"] ** 2
    n = data["n"]
    return (
        -0.5 * (n * (jnp.log(2.0 * jnp.pi) + 2.0 * jnp.log(at.sigma)) + rss / at.sigma**2 + logdet) + data["constant"]
    )


def log_density(z: jax.Array, data: Any, plan: Plan, jacobian: bool = True) -> jax.Array:
    """Log posterior density of z; of the natural parameters instead, where ``jacobian`` is false."""
    at = parameters(z, data, plan)
    value = log_likelihood(at, data, plan.layout) + at.log_prior
    return value + at.log_jacobian if jacobian else value


# --- from a data set and its priors -----------------------------------------------------------------------------------
def make_plan(objective: GaussianObjective, priors: PriorSet) -> Plan:
    """The static part."""
    return Plan(
        p=objective.p,
        layout=objective.reduced.layout,
        groups=tuple((index, scalar_plan(own)) for index, own in _shared(priors.coefficients)),
        centred=None if priors.centred is None else scalar_plan(priors.centred),
        terms=tuple(_term_plan(own) for own in priors.terms),
        sigma=scalar_plan(priors.sigma),
        direct=any(c.kind != "real" for c in priors.coefficients),
    )


def density_data(objective: GaussianObjective, priors: PriorSet) -> Any:
    """The arrays: sufficient statistics, the basis of the fixed effects, and the numbers of the priors."""
    fixed = objective.reduced.fixed
    return {
        "stats": objective.device_stats,
        "fixed": {
            "ols": fixed.beta_ols,
            "inverse": fixed.inverse,
            "forward": np.linalg.inv(fixed.inverse) if objective.p else fixed.inverse,
            "spread": fixed.y_scale * np.sqrt(np.sum(np.square(fixed.inverse), axis=1)),
            "y_scale": np.float64(fixed.y_scale),
            "centre": np.zeros(objective.p) if priors.centre is None else priors.centre,
        },
        "to_phi": objective.to_phi,
        "n": np.float64(objective.n),
        "constant": np.float64(0.5 * objective.log_weights),
        "priors": prior_arrays(priors),
    }


def prior_arrays(priors: PriorSet) -> Any:
    """The numbers of the priors as a pytree: NumPyro distributions are pytrees themselves."""
    return {
        "coefficients": [_values(own) for _, own in _shared(priors.coefficients)],
        "centred": None if priors.centred is None else _values(priors.centred),
        "terms": [_term_values(own) for own in priors.terms],
        "sigma": _values(priors.sigma),
        "nu": None if priors.nu is None else _values(priors.nu),
    }


def _shared(coefficients: Sequence[ScalarPrior]) -> list[tuple[tuple[int, ...], ScalarPrior]]:
    """Coefficients gathered by the prior that they share."""
    found: dict[int, list[int]] = {}
    for i, own in enumerate(coefficients):
        found.setdefault(id(None) if own.prior.flat else id(own.prior), []).append(i)
    return [(tuple(index), coefficients[index[0]]) for index in found.values()]


def scalar_plan(own: ScalarPrior) -> ScalarPlan:
    """The static part of one prior."""
    kind = type(own.prior.distribution)
    arguments = _arguments(own.prior.distribution)
    return ScalarPlan(own.kind, own.on, own.prior.flat, kind if arguments else None, arguments)


def _arguments(distribution: Any) -> tuple[str, ...]:
    """The arguments from which a distribution can be built anew, in a fixed order; none where that is not certain.

    The order of a NumPyro distribution's leaves as a pytree changes from process to process, and with it the key of the
    compilation cache.
    """
    names = tuple(sorted(getattr(distribution, "arg_constraints", {})))
    plain = type(distribution).__module__.startswith("numpyro.distributions.continuous")
    return names if plain and all(np.ndim(getattr(distribution, name, [0])) == 0 for name in names) else ()


def _values(own: ScalarPrior) -> Any:
    low, high = (np.float64(v if np.isfinite(v) else 0.0) for v in (own.low, own.high))
    held, names = own.prior.distribution, _arguments(own.prior.distribution)
    if names:
        numbers = tuple(np.float64(getattr(held, name)) for name in names)
        return {"distribution": numbers, "low": low, "high": high}
    whole = jax.tree.map(lambda leaf: np.asarray(leaf, dtype=np.float64), held)
    return {"distribution": whole, "low": low, "high": high}


def _term_plan(own: TermPrior) -> TermPlan:
    matrix = "" if own.matrix is None else "inverse" if own.matrix.inverse else "wishart"
    return TermPlan(len(own.sds), tuple(scalar_plan(s) for s in own.sds), matrix)


def _term_values(own: TermPrior) -> Any:
    out: dict[str, Any] = {"sds": [_values(s) for s in own.sds], "concentration": np.float64(own.concentration)}
    if own.matrix is not None:
        out |= {"df": np.float64(own.matrix.df), "matrix": own.matrix.matrix}
    return out


# --- starting values --------------------------------------------------------------------------------------------------
def coordinates(
    priors: PriorSet,
    plan: Plan,
    objective: GaussianObjective,
    beta: FloatArray,
    chols: Sequence[FloatArray],
    sigma: float,
) -> FloatArray:
    """Z of given parameters; those outside the support of their prior are moved inside."""
    fixed = objective.reduced.fixed
    out: list[float] = []
    if plan.direct:
        spread = fixed.y_scale * np.sqrt(np.sum(np.square(fixed.inverse), axis=1))
        for i, own in enumerate(priors.coefficients):
            real = own.kind == "real"
            out.append((beta[i] - fixed.beta_ols[i]) / spread[i] if real else own.unconstrain(float(beta[i])))
    elif plan.p:
        out += (np.linalg.solve(fixed.inverse, beta - fixed.beta_ols) / fixed.y_scale).tolist()
    for own_term, chol in zip(priors.terms, chols, strict=True):
        sd = np.sqrt(np.maximum(np.sum(np.square(chol), axis=1), (1e-4 * sigma) ** 2))
        out += [own.unconstrain(float(s)) for own, s in zip(own_term.sds, sd, strict=True)]
        out += correlation_coordinates(chol / sd[:, None], len(sd))
    out.append(priors.sigma.unconstrain(sigma))
    return np.array(out)
