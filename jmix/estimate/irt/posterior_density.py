"""The posterior density of an item response model in unconstrained coordinates, theta integrated out.

Each free number has a coordinate on the whole line: itself, or the logarithm of its distance from a bound, or the logit
of its place between two bounds. Asymptotes are on the logit scale in the specification and have priors as
probabilities.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.estimate.coordinates import ScalarPlan, scalar
from jmix.estimate.irt.information import jacobian
from jmix.estimate.irt.prior import moving_numbers, scalar_prior
from jmix.estimate.prior_plans import scalar_plan, scalar_values
from jmix.likelihood.irt.marginal import Marginal
from jmix.spec.irt.spec import IrtSpec, correlation_chol, full_vector
from jmix.spec.prior import Lkj
from jmix.spec.supports import ScalarPrior

FloatArray = npt.NDArray[np.float64]


class Likelihood:
    """``Marginal.log_marginal`` as something hashable, equal for likelihoods that share a program."""

    def __init__(self, marginal: Marginal) -> None:
        plan = getattr(marginal, "plan", None)
        self._key = (type(marginal), id(marginal) if plan is None else plan)
        self._own = copy.copy(marginal)
        if plan is not None:
            # the program needs no data, and must not keep them alive
            for name in ("data", "whole", "rebuild", "responses", "place"):
                if hasattr(self._own, name):
                    object.__setattr__(self._own, name, None)

    def __call__(self, x: Any, data: Any) -> Any:
        """The log likelihood of free parameters x (P,)."""
        return self._own.log_marginal(x, data)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Likelihood) and self._key == other._key


@dataclass(frozen=True)
class Group:
    """Free numbers under one prior: their places in x, and whether they are asymptotes."""

    at: tuple[int, ...]
    plan: ScalarPlan
    probability: bool


@dataclass(frozen=True)
class IrtPlan:
    """What selects a program.

    Attributes:
        derived: priors on numbers that are linear in the free ones. lkj: places of the correlations under such a prior.
    """

    likelihood: Likelihood
    groups: tuple[Group, ...]
    derived: tuple[Group, ...] = ()
    lkj: tuple[Any, ...] = ()
    n_factors: int = 1

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """(P,) where each number stands among the groups."""
        return np.argsort(np.concatenate([np.array(group.at, dtype=np.int64) for group in self.groups]))


def point(z: jax.Array, data: Any, plan: IrtPlan) -> tuple[jax.Array, jax.Array]:
    """Free parameters x (P,) at coordinates z (P,), and log prior plus log Jacobian."""
    parts, total = [], jnp.zeros(())
    for group, values in zip(plan.groups, data["priors"], strict=True):
        own, log_prior, log_jacobian = scalar(z[np.array(group.at)], group.plan, values)
        parts.append(jnp.log(own) - jnp.log1p(-own) if group.probability else own)
        total = total + jnp.sum(log_prior) + jnp.sum(log_jacobian)
    x = jnp.concatenate(parts)[plan.order]
    for group, (values, matrix, base) in zip(plan.derived, data["derived"], strict=True):
        v = base + matrix @ x
        own = jax.nn.sigmoid(v) if group.probability else v
        total = total + jnp.sum(group.plan.log_prob(own, values))
    for rows, (concentration, numbers) in zip(plan.lkj, data["lkj"], strict=True):
        corr = jnp.stack([jnp.stack([x[i] if i >= 0 else numbers[v] for i, v in row]) for row in rows])
        chol = correlation_chol(jnp, corr, plan.n_factors)
        total = total + 2.0 * (concentration - 1.0) * jnp.sum(jnp.log(jnp.diagonal(chol, axis1=1, axis2=2)))
    return x, total


def log_density(z: jax.Array, data: Any, plan: IrtPlan) -> jax.Array:
    """Log posterior density of z, up to a constant."""
    x, prior = point(z, data, plan)
    return plan.likelihood(x, data["likelihood"]) + prior


def natural(z: jax.Array, data: Any, plan: IrtPlan) -> dict[str, jax.Array]:
    """What is kept of a draw."""
    return {"x": point(z, data, plan)[0]}


def prior_only(z: jax.Array, data: Any, plan: IrtPlan) -> jax.Array:
    """Log prior density of z."""
    return point(z, data, plan)[1]


@dataclass(frozen=True, eq=False)
class Density:
    """The density of a model.

    Attributes:
        plan, data: of ``log_density``. scalars: (P,) the prior of each free number with its support.
    """

    spec: IrtSpec
    plan: IrtPlan
    data: dict[str, Any]
    scalars: tuple[ScalarPrior, ...]
    probability: npt.NDArray[np.bool_]

    def coordinates(self, x: FloatArray) -> FloatArray:
        """(P,) z of free parameters; those outside their support are moved inside."""
        own = np.where(self.probability, 1.0 / (1.0 + np.exp(-x)), x)
        return np.array([s.unconstrain(float(value)) for s, value in zip(self.scalars, own, strict=True)])

    def slopes(self, z: FloatArray) -> FloatArray:
        """(P,) derivatives of x in z, by central differences of maps of one number."""
        step = 1e-5
        return np.asarray((self.parameters(z + step) - self.parameters(z - step)) / (2.0 * step))

    def parameters(self, z: FloatArray) -> FloatArray:
        """(P,) free parameters at coordinates."""
        own = np.array([s.constrain(float(value)) for s, value in zip(self.scalars, z, strict=True)])
        inside = np.clip(own, 1e-12, 1.0 - 1e-12)
        return np.where(self.probability, np.log(inside) - np.log1p(-inside), own)


def build_density(marginal: Marginal, spec: IrtSpec) -> Density:
    """The density with the priors of ``spec``, which may differ from those of ``marginal.spec``.

    Raises:
        ModelError: a prior that does not suit its parameter.
    """
    free = [int(i) for i in spec.table.free]
    scalars = [scalar_prior(spec, place) for place in free]
    probability = [_is_probability(spec, place) for place in free]
    found: dict[Any, list[int]] = {}
    for i, own in enumerate(scalars):
        key = None if own.prior.flat else id(own.prior)
        found.setdefault((key, probability[i], own.low, own.high), []).append(i)
    groups = [Group(tuple(at), scalar_plan(scalars[at[0]]), probability[at[0]]) for at in found.values()]
    derived, more = _derived(spec)
    lkj = [(c, _corr_places(spec)) for c in _concentrations(spec)]
    plan = IrtPlan(Likelihood(marginal), tuple(groups), tuple(derived), tuple(at for _, at in lkj), spec.n_factors)
    data = {
        "priors": [scalar_values(scalars[at[0]]) for at in found.values()],
        "derived": more,
        "lkj": [(np.float64(c), spec.table.values) for c, _ in lkj],
        "likelihood": marginal.data,
    }
    return Density(spec, plan, data, tuple(scalars), np.array(probability, dtype=np.bool_))


def _is_probability(spec: IrtSpec, place: int) -> bool:
    entry = spec.table.priors[place] if spec.table.priors else None
    return entry is not None and bool(entry.probability)


def _concentrations(spec: IrtSpec) -> list[float]:
    """The concentration of an LKJ prior of the correlations, if there is one."""
    entries = [spec.table.priors[int(i)] for i in spec.corr.reshape(-1)] if spec.table.priors else []
    found = [e.prior.distribution for e in entries if e is not None and isinstance(e.prior.distribution, Lkj)]
    return [found[0].concentration] if found else []


def _corr_places(spec: IrtSpec) -> tuple[tuple[tuple[int, int], ...], ...]:
    """For each different row of correlations, places in x (-1 for a fixed one) and in v."""
    free = {int(place): i for i, place in enumerate(spec.table.free)}
    rows = {tuple(row.tolist()): None for row in spec.corr}
    return tuple(tuple((free.get(place, -1), place) for place in row) for row in rows)


def _derived(spec: IrtSpec) -> tuple[list[Group], list[Any]]:
    """Priors on numbers that follow from the free ones."""
    free = {int(i) for i in spec.table.free}
    at = [i for i in sorted(moving_numbers(spec) - free) if spec.table.priors and spec.table.priors[i] is not None]
    if not at:
        return [], []
    change, base = jacobian(spec), full_vector(np, spec, np.zeros(spec.n_free))
    groups, data = [], []
    for i in at:
        own = scalar_prior(spec, i)
        groups.append(Group((i,), scalar_plan(own), _is_probability(spec, i)))
        data.append((scalar_values(own), change[[i]], base[[i]]))
    return groups, data
