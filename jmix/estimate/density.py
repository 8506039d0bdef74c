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

from jmix.estimate.coordinates import ScalarPlan, TermPlan, join, scalar, term
from jmix.estimate.objective import GaussianObjective
from jmix.estimate.prior_plans import (
    Basis,
    CoefficientPlan,
    coefficient_plan,
    coefficient_values,
    coefficients,
    scalar_plan,
    scalar_values,
    term_coordinates,
    term_plan,
    term_values,
)
from jmix.likelihood.gaussian import reduce
from jmix.likelihood.structure import Layout
from jmix.spec.priors import PriorSet

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What selects a program: sizes, the layout of theta, and the kinds of priors."""

    fixed: CoefficientPlan
    layout: Layout
    terms: tuple[TermPlan, ...]
    sigma: ScalarPlan

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return self.fixed.p

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
    beta, gamma, log_prior, jacobian = coefficients(z[: plan.p], plan.fixed, data["fixed"], priors["fixed"])
    contrast = jnp.append(-gamma, 1.0)
    chols, at = [], plan.p
    for own, values in zip(plan.terms, priors["terms"], strict=True):
        chol, lp, lj = term(z[at : at + own.size], own, values)
        chols.append(chol)
        log_prior, jacobian, at = log_prior + lp, jacobian + lj, at + own.size
    sigma, lp, lj = scalar(z[at], plan.sigma, priors["sigma"])
    return Parameters(beta, contrast, chols, sigma, log_prior + lp, jacobian + lj)


def log_likelihood(at: Parameters, data: Any, layout: Layout) -> jax.Array:
    """Marginal log likelihood of the data, random effects integrated out."""
    phi = data["to_phi"] @ (join(at.chols) / at.sigma)
    logdet, gram = reduce(phi, data["stats"], layout)
    rss = at.contrast @ gram @ at.contrast * data["y_scale"] ** 2
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
        fixed=coefficient_plan(priors.fixed),
        layout=objective.reduced.layout,
        terms=tuple(term_plan(own) for own in priors.terms),
        sigma=scalar_plan(priors.sigma),
    )


def density_data(objective: GaussianObjective, priors: PriorSet) -> Any:
    """The arrays: sufficient statistics, the basis of the fixed effects, and the numbers of the priors."""
    return {
        "stats": objective.device_stats,
        "fixed": _basis(objective).arrays(priors.fixed),
        "y_scale": np.float64(objective.reduced.fixed.y_scale),
        "to_phi": objective.to_phi,
        "n": np.float64(objective.n),
        "constant": np.float64(0.5 * objective.log_weights),
        "priors": prior_arrays(priors),
    }


def prior_arrays(priors: PriorSet) -> Any:
    """The numbers of the priors as a pytree."""
    return {
        "fixed": coefficient_values(priors.fixed),
        "terms": [term_values(own) for own in priors.terms],
        "sigma": scalar_values(priors.sigma),
        "nu": None if priors.nu is None else scalar_values(priors.nu),
    }


def _basis(objective: GaussianObjective) -> Basis:
    """Least squares: coefficients in units of their sampling error times the residual's scale."""
    fixed = objective.reduced.fixed
    return Basis(fixed.beta_ols, fixed.inverse * fixed.y_scale)


def coordinates(
    priors: PriorSet,
    plan: Plan,
    objective: GaussianObjective,
    beta: FloatArray,
    chols: Sequence[FloatArray],
    sigma: float,
) -> FloatArray:
    """Z of given parameters; those outside the support of their prior are moved inside."""
    out = _basis(objective).coordinates(priors.fixed, beta)
    for own, chol in zip(priors.terms, chols, strict=True):
        out += term_coordinates(own, chol, 1e-4 * sigma)
    out.append(priors.sigma.unconstrain(sigma))
    return np.array(out)
