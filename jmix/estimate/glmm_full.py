"""The posterior density of a generalized linear mixed model with the random effects among the unknowns: exact.

The random effects are non-centred: b = L u with u standard normal and L the Cholesky factor of their covariance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.estimate.full import random_effects, random_part, sorted_factors
from jmix.estimate.glmm_density import GlmmPlan, kept, point
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.likelihood import glmm_rows
from jmix.likelihood.glmm_rows import RowData, RowPlan, flat_rows, row_plan, total_constant

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GlmmFullPlan:
    """What selects a program.

    Attributes:
        base: the plan of the other parameters. rows: of the rows. sizes: (q, J) of each grouping factor.
        members: for each factor, the terms that make it up.
    """

    base: GlmmPlan
    rows: RowPlan
    sizes: tuple[tuple[int, int], ...]
    members: tuple[tuple[int, ...], ...]

    @property
    def n_parameters(self) -> int:
        """Number of coordinates that are not random effects."""
        return self.base.dim

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.n_parameters + sum(q * j for q, j in self.sizes)


def full_log_density(z: jax.Array, data: Any, plan: GlmmFullPlan) -> jax.Array:
    """Log posterior density of all coordinates."""
    at, u = point(z[: plan.n_parameters], data, plan.base), z[plan.n_parameters :]
    rows, factors = data["rows"]["rows"], data["rows"]["factors"]
    eta = glmm_rows.fixed_eta(at.x, rows, plan.rows)
    if plan.sizes:
        eta = eta + random_part(random_effects(u, at.chols, plan), factors)
    density = glmm_rows.row_log_density(eta, rows, glmm_rows.aux(at.x, rows, plan.rows), plan.rows)
    prior = at.log_prior + at.log_jacobian - 0.5 * jnp.sum(jnp.square(u))
    return jnp.sum(density) + data["rows"]["constant"] + prior


def full_output(z: jax.Array, data: Any, plan: GlmmFullPlan) -> Any:
    """What is kept of a draw: parameters and (J, q) random effects of each factor."""
    at = point(z[: plan.n_parameters], data, plan.base)
    effects = random_effects(z[plan.n_parameters :], at.chols, plan)
    return kept(at) | {"effects": tuple(b.T for b in effects)}


def full_plan(objective: GlmmObjective, base: GlmmPlan) -> GlmmFullPlan:
    """The static part."""
    spec, levels = objective.spec, {t.group: len(t.levels) for t in objective.terms}
    sizes = tuple((spec.group_q(g), levels[g]) for g in spec.groups)
    members = tuple(tuple(spec.members(g)) for g in spec.groups)
    rows = row_plan(objective.design, spec, spec.groups)
    return GlmmFullPlan(replace(base, approx=None), rows, sizes, members)


def full_rows(objective: GlmmObjective) -> Any:
    """The rows, sorted by the levels of the first factor."""
    design = objective.design
    flat = flat_rows(design)
    order, factors = sorted_factors(flat.y.size, objective.spec, objective.terms)
    parts = {name: None if v is None else np.ascontiguousarray(v[..., order]) for name, v in vars(flat).items()}
    constant = np.float64(total_constant(flat, design.family))
    return {"rows": RowData(**parts), "factors": factors, "constant": constant}
