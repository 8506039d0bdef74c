"""The posterior density of a generalized linear mixed model, its random effects integrated out.

z, unconstrained, holds the coefficients, whitened by their expected information; for each term its q standard
deviations and q (q - 1) / 2 partial correlations; the dispersion, the zero part, the thresholds and Student's nu, each
through the variable on which its prior lies. Whatever integrates the random effects out does so as a function of the
flat natural parameters x of ``glmm_rows``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.estimate.coordinates import ScalarPlan, TermPlan, join, scalar, term
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
from jmix.likelihood.implicit import Approximation, log_marginal
from jmix.spec.prior_sets import CoefficientPriors, GlmmPriorSet
from jmix.spec.supports import ScalarPrior

if TYPE_CHECKING:
    from jmix.estimate.glmm_objective import GlmmParameters

FloatArray = npt.NDArray[np.float64]
PartPlan = ScalarPlan | CoefficientPlan | None
PartPriors = ScalarPrior | CoefficientPriors | None

LEAST_SD = 1e-2
"""Least standard deviation, on the scale of the link, at which a search starts."""


@dataclass(frozen=True)
class GlmmPlan:
    """What selects a program: the kinds of the priors, and what integrates the random effects out.

    Attributes:
        approx: None in the full model, where nothing does. sign: of the log dispersion in log phi.
        dispersion, zero: a scalar on its natural scale, or the coefficients of a formula.
    """

    approx: Approximation | None
    fixed: CoefficientPlan
    terms: tuple[TermPlan, ...]
    dispersion: PartPlan
    sign: int
    zero: PartPlan
    thresholds: tuple[ScalarPlan, ...]
    nu: ScalarPlan | None

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        parts = sum(_size(part) for part in (self.dispersion, self.zero))
        return self.fixed.p + sum(t.size for t in self.terms) + parts + len(self.thresholds) + (self.nu is not None)


class GlmmPoint(NamedTuple):
    """Natural parameters at a point, with the log prior and the log Jacobian there.

    Attributes:
        x: flat, as ``glmm_rows`` has it. chols: (q, q) of each term. The others are parts of x: coefficients of log
            phi and of the logit of the zero probability, thresholds in increasing order, nu.
    """

    x: Any
    beta: Any
    chols: list[Any]
    disp: Any
    zi: Any
    tau: Any
    nu: Any
    log_prior: Any
    log_jacobian: Any


def _size(part: PartPlan) -> int:
    return 0 if part is None else part.p if isinstance(part, CoefficientPlan) else 1


class _Reader:
    """Takes coordinates off a vector, adding up log priors and log Jacobians."""

    def __init__(self, z: jax.Array) -> None:
        self.z, self.at = z, 0
        self.log_prior = self.log_jacobian = jnp.zeros(())

    def take(self, size: int) -> jax.Array:
        self.at += size
        return self.z[self.at - size : self.at]

    def add(self, log_prior: Any, log_jacobian: Any) -> None:
        self.log_prior = self.log_prior + log_prior
        self.log_jacobian = self.log_jacobian + log_jacobian

    def coefficients(self, plan: CoefficientPlan, basis: Any, priors: Any) -> jax.Array:
        value, _, log_prior, log_jacobian = coefficients(self.take(plan.p), plan, basis, priors)
        self.add(log_prior, log_jacobian)
        return value

    def scalar(self, plan: ScalarPlan, values: Any) -> jax.Array:
        value, log_prior, log_jacobian = scalar(self.take(1)[0], plan, values)
        self.add(log_prior, log_jacobian)
        return value

    def term(self, plan: TermPlan, values: Any) -> jax.Array:
        chol, log_prior, log_jacobian = term(self.take(plan.size), plan, values)
        self.add(log_prior, log_jacobian)
        return chol


def point(z: jax.Array, data: Any, plan: GlmmPlan) -> GlmmPoint:
    """Natural parameters from coordinates.

    Args:
        z: (dim,). data: ``density_data``.
    """
    priors, read = data["priors"], _Reader(z)
    beta = read.coefficients(plan.fixed, data["fixed"], priors["fixed"])
    chols = [read.term(own, values) for own, values in zip(plan.terms, priors["terms"], strict=True)]
    disp = plan.sign * _part(read, plan.dispersion, data, "dispersion", jnp.log)
    zi = _part(read, plan.zero, data, "zero", lambda p: jnp.log(p) - jnp.log1p(-p))
    tau = _thresholds(read, plan, priors["thresholds"], data, beta)
    nu = None if plan.nu is None else read.scalar(plan.nu, priors["nu"])
    steps = jnp.log(jnp.diff(tau)) if plan.thresholds else tau
    shape = [] if nu is None else [jnp.log(nu - 1.0)[None]]
    x = jnp.concatenate([beta, join(chols), disp, zi, tau[:1], steps, *shape])
    return GlmmPoint(x, beta, chols, disp, zi, tau, nu, read.log_prior, read.log_jacobian)


def _part(read: _Reader, plan: PartPlan, data: Any, name: str, link: Any) -> jax.Array:
    """Coefficients of a linear predictor; of an intercept alone the link of a natural parameter."""
    values = data["priors"][name]
    if plan is None:
        return jnp.zeros(0)
    if isinstance(plan, CoefficientPlan):
        return read.coefficients(plan, data[name], values)
    return jnp.asarray(link(read.scalar(plan, values)))[None]


def _thresholds(read: _Reader, plan: GlmmPlan, values: Any, data: Any, beta: jax.Array) -> jax.Array:
    """(K - 1,) increasing thresholds; their priors are on those at the means of the predictors."""
    count = len(plan.thresholds)
    if not count:
        return jnp.zeros(0)
    raw = read.take(count)
    centred = jnp.cumsum(jnp.concatenate([raw[:1], jnp.exp(raw[1:])]))
    log_prior = sum(own.log_prob(centred[k], v) for k, (own, v) in enumerate(zip(plan.thresholds, values, strict=True)))
    read.add(log_prior, jnp.sum(raw[1:]))
    return centred + data["threshold_centre"] @ beta


def log_density(z: jax.Array, data: Any, plan: GlmmPlan, jacobian: bool = True) -> jax.Array:
    """Log posterior density of z; of the natural parameters instead, where ``jacobian`` is false."""
    at = point(z, data, plan)
    assert plan.approx is not None
    value = log_marginal(plan.approx, at.x, data["likelihood"], data["centres"]) + at.log_prior
    return value + at.log_jacobian if jacobian else value


def natural(z: jax.Array, data: Any, plan: GlmmPlan) -> Any:
    """What is kept of a draw."""
    return kept(point(z, data, plan))


def kept(at: GlmmPoint) -> dict[str, Any]:
    """The parameters of a draw by name."""
    return {"x": at.x, "beta": at.beta, "chol": tuple(at.chols), "tau": at.tau} | (
        {} if at.nu is None else {"nu": at.nu}
    )


# --- from a data set and its priors -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Bases:
    """Coordinates of the coefficients of each linear predictor."""

    fixed: Basis
    dispersion: Basis | None
    zero: Basis | None


def make_plan(approx: Approximation | None, priors: GlmmPriorSet) -> GlmmPlan:
    """The static part."""
    return GlmmPlan(
        approx=approx,
        fixed=coefficient_plan(priors.fixed),
        terms=tuple(term_plan(own) for own in priors.terms),
        dispersion=_part_plan(priors.dispersion, priors.dispersion_side),
        sign=priors.sign,
        zero=_part_plan(priors.zero, priors.zero_side),
        thresholds=tuple(scalar_plan(own) for own in priors.thresholds),
        nu=None if priors.nu is None else scalar_plan(priors.nu),
    )


def _part_plan(own: ScalarPrior | None, side: CoefficientPriors | None) -> PartPlan:
    return scalar_plan(own) if own is not None else None if side is None else coefficient_plan(side)


def _part_values(own: ScalarPrior | None, side: CoefficientPriors | None) -> Any:
    return scalar_values(own) if own is not None else None if side is None else coefficient_values(side)


def density_data(priors: GlmmPriorSet, bases: Bases) -> dict[str, Any]:
    """The arrays that do not depend on the likelihood: bases of the coefficients, and the numbers of the priors."""
    out: dict[str, Any] = {
        "fixed": bases.fixed.arrays(priors.fixed),
        "threshold_centre": priors.threshold_centre,
        "priors": {
            "fixed": coefficient_values(priors.fixed),
            "terms": [term_values(own) for own in priors.terms],
            "dispersion": _part_values(priors.dispersion, priors.dispersion_side),
            "zero": _part_values(priors.zero, priors.zero_side),
            "thresholds": [scalar_values(own) for own in priors.thresholds],
            "nu": None if priors.nu is None else scalar_values(priors.nu),
        },
    }
    for name, basis, side in (
        ("dispersion", bases.dispersion, priors.dispersion_side),
        ("zero", bases.zero, priors.zero_side),
    ):
        if basis is not None and side is not None:
            out[name] = basis.arrays(side)
    return out


def coordinates(priors: GlmmPriorSet, bases: Bases, at: GlmmParameters, chols: list[FloatArray]) -> FloatArray:
    """Z of given parameters; those outside the support of their prior are moved inside.

    Args:
        at: natural parameters; log phi and logits as in x, thresholds increasing. chols: of each term.
    """
    out = bases.fixed.coordinates(priors.fixed, at.beta)
    for own, chol in zip(priors.terms, chols, strict=True):
        out += term_coordinates(own, chol, LEAST_SD)
    if priors.dispersion is not None:
        out.append(priors.dispersion.unconstrain(float(np.exp(priors.sign * at.disp[0]))))
    elif priors.dispersion_side is not None and bases.dispersion is not None:
        out += bases.dispersion.coordinates(priors.dispersion_side, priors.sign * at.disp)
    if priors.zero is not None:
        out.append(priors.zero.unconstrain(float(1.0 / (1.0 + np.exp(-at.zi[0])))))
    elif priors.zero_side is not None and bases.zero is not None:
        out += bases.zero.coordinates(priors.zero_side, at.zi)
    if priors.thresholds and priors.threshold_centre is not None:
        centred = np.asarray(at.thresholds) - priors.threshold_centre @ at.beta
        out += [float(centred[0]), *np.log(np.maximum(np.diff(centred), 1e-8)).tolist()]
    if priors.nu is not None:
        out.append(priors.nu.unconstrain(float(at.shape or 2.0)))
    return np.array(out)
