"""The posterior density with the random effects among the unknowns, for responses whose likelihood has no closed form.

The random effects are non-centred: b = L u with u standard normal and L the Cholesky factor of their covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.design import Design, RandomTerm
from jmix.estimate.coordinates import ScalarPlan, scalar
from jmix.estimate.density import Parameters, Plan, parameters
from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FullPlan:
    """What selects a program.

    Attributes:
        base: the plan of the other parameters. family: of the response. nu: prior of its degrees of freedom.
        sizes: (q, J) of each grouping factor. members: for each factor, the terms that make it up.
    """

    base: Plan
    family: str
    nu: ScalarPlan | None
    sizes: tuple[tuple[int, int], ...]
    members: tuple[tuple[int, ...], ...]

    @property
    def n_parameters(self) -> int:
        """Number of coordinates that are not random effects."""
        return self.base.dim + (self.nu is not None)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.n_parameters + sum(q * j for q, j in self.sizes)


def full_log_density(z: jax.Array, data: Any, plan: FullPlan) -> jax.Array:
    """Log posterior density of all coordinates."""
    at, nu, extra = _parameters(z, data, plan)
    u = z[plan.n_parameters :]
    log_prior = at.log_prior + at.log_jacobian + extra - 0.5 * jnp.sum(jnp.square(u))
    mean = data["rows"]["X"] @ at.beta + data["rows"]["offset"]
    if plan.sizes:
        mean += random_part(random_effects(u, at.chols, plan), data["rows"]["factors"])
    return log_prior + _log_likelihood(mean, at.sigma, nu, data["rows"], plan.family)


def full_output(z: jax.Array, data: Any, plan: FullPlan) -> Any:
    """What is kept of a draw: parameters and (J, q) random effects of each factor."""
    at, nu, _ = _parameters(z, data, plan)
    kept = {"beta": at.beta, "chol": tuple(at.chols), "sigma": at.sigma}
    effects = random_effects(z[plan.n_parameters :], at.chols, plan)
    return kept | {"effects": tuple(b.T for b in effects)} | ({} if plan.nu is None else {"nu": nu})


def _parameters(z: jax.Array, data: Any, plan: FullPlan) -> tuple[Parameters, Any, jax.Array]:
    at = parameters(z[: plan.base.dim], data, plan.base)
    if plan.nu is None:
        return at, None, jnp.zeros(())
    nu, log_prior, log_jacobian = scalar(z[plan.base.dim], plan.nu, data["priors"]["nu"])
    return at, nu, log_prior + log_jacobian


def random_effects(u: jax.Array, chols: Sequence[jax.Array], plan: Any) -> list[jax.Array]:
    """(q, J) random effects of each factor, its terms stacked, from spherical ones.

    Args:
        plan: its ``sizes`` and ``members`` as in ``FullPlan``.
    """
    out, start = [], 0
    for (q, j), members in zip(plan.sizes, plan.members, strict=True):
        spherical = u[start : start + q * j].reshape(q, j)
        parts, row = [], 0
        for i in members:
            size = chols[i].shape[0]
            parts.append(chols[i] @ spherical[row : row + size])
            row += size
        out.append(jnp.concatenate(parts))
        start += q * j
    return out


def random_part(effects: Sequence[jax.Array], factors: Any) -> jax.Array:
    """(n,) Z b, for effects (q, J) of each factor."""
    parts = [jnp.sum(f["columns"] * b[:, f["codes"]], axis=0) for b, f in zip(effects, factors, strict=True)]
    return sum(parts[1:], parts[0])


def _log_likelihood(mean: jax.Array, sigma: jax.Array, nu: Any, rows: Any, family: str) -> jax.Array:
    import numpyro.distributions as dist

    scale = sigma * rows["scale"]
    response = dist.Normal(mean, scale) if family == "gaussian" else dist.StudentT(nu, mean, scale)
    return jnp.sum(response.log_prob(rows["y"]))


def full_plan(base: Plan, spec: CovarianceSpec, terms: Sequence[RandomTerm], nu: ScalarPlan | None) -> FullPlan:
    """The static part; with a prior of nu the response is Student-t, else Gaussian."""
    levels = {t.group: len(t.levels) for t in terms}
    sizes = tuple((spec.group_q(g), levels[g]) for g in spec.groups)
    members = tuple(tuple(spec.members(g)) for g in spec.groups)
    return FullPlan(base, "gaussian" if nu is None else "student", nu, sizes, members)


def sorted_factors(
    n: int, spec: CovarianceSpec, terms: Sequence[RandomTerm]
) -> tuple[npt.NDArray[np.intp], list[dict[str, Any]]]:
    """An order of the n rows, by the levels of the first factor, and in it the codes and columns of each factor."""
    first = terms[spec.members(spec.groups[0])[0]].codes if terms else np.zeros(n, dtype=np.int32)
    order = np.argsort(first, kind="stable")
    factors = []
    for group in spec.groups:
        own = [terms[i] for i in spec.members(group)]
        columns = np.stack([np.asarray(c, dtype=np.float64)[order] for t in own for c in t.columns])
        factors.append({"codes": own[0].codes[order], "columns": columns})
    return order, factors


def row_data(design: Design, spec: CovarianceSpec, terms: Sequence[RandomTerm]) -> Any:
    """The rows, sorted by the levels of the first factor."""
    n = design.y.shape[0]
    order, factors = sorted_factors(n, spec, terms)
    weights = np.ones(n) if design.weights is None else design.weights[order]
    return {
        "X": np.ascontiguousarray(design.X[order]),
        "y": design.y[order],
        "offset": np.zeros(n) if design.offset is None else design.offset[order],
        "scale": 1.0 / np.sqrt(weights),
        "factors": factors,
    }
