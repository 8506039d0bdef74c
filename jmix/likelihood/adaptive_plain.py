"""The trivial approximation: a generalized linear model without random effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from jmix.likelihood import glmm_rows
from jmix.likelihood.glmm_rows import RowData, RowPlan, flat_rows, row_plan, total_constant
from jmix.likelihood.implicit import Mode
from jmix.likelihood.structure import Array
from jmix.spec.covariance import CovarianceSpec

if TYPE_CHECKING:
    from jmix.design_response import GlmmDesign

Nothing = tuple[()]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PlainData:
    """Flat rows, and a constant that is added to their log densities."""

    rows: RowData
    constant: Array


@dataclass(frozen=True)
class Plain:
    """An ``implicit.Approximation`` with an empty u: the sum of the row log densities, exact."""

    plan: RowPlan

    def start(self, data: PlainData) -> Nothing:
        """Nothing."""
        return ()

    def find_mode(self, x: jax.Array, data: PlainData, u0: Nothing) -> tuple[Nothing, Mode]:
        """Nothing to search."""
        return (), Mode(jnp.array(True), jnp.zeros((), jnp.int32), jnp.zeros((), x.dtype))

    def joint(self, x: jax.Array, data: PlainData, u: Nothing) -> jax.Array:
        """The log likelihood."""
        extra = glmm_rows.aux(x, data.rows, self.plan)
        eta = glmm_rows.fixed_eta(x, data.rows, self.plan)
        return jnp.sum(glmm_rows.row_log_density(eta, data.rows, extra, self.plan)) + data.constant

    def marginal(self, x: jax.Array, data: PlainData, u: Nothing) -> jax.Array:
        """The log likelihood."""
        return self.joint(x, data, u)

    def solve(self, x: jax.Array, data: PlainData, u: Nothing, rhs: Nothing) -> Nothing:
        """Nothing."""
        return ()


def build_plain(design: GlmmDesign) -> tuple[Plain, PlainData]:
    """The approximation for a design without random terms; the data are NumPy arrays."""
    plan = row_plan(design, CovarianceSpec(()), ())
    rows = flat_rows(design)
    return Plain(plan), PlainData(rows, np.asarray(total_constant(rows, plan.family)))
