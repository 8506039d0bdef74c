"""Row sums by group: the integrand of each group, its derivatives in u, and small Cholesky factors, groups last."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jmix.families import Aux
from jmix.likelihood import glmm_rows
from jmix.likelihood.glmm_rows import RowData, RowPlan
from jmix.likelihood.rowsum import spread, sum_blocks
from jmix.likelihood.structure import Array

Triangle = list[list[jax.Array]]
"""Lower triangle of (q, q) blocks: entry [i][j], j <= i, is (J,)."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Groups:
    """Some groups of one grouping factor, equal ones merged.

    Attributes:
        rows: in (m, S) blocks. Z: (q, m, S). owner: (S,) group of each block, sorted; None if each group is one block.
        multiplicity: (J,) how many groups each one stands for. zy: (q, J) ``Z'Wy`` where the family is canonical (its
            rows then have y = 0), else None. linear: (p,) coefficients of beta, and constant: scalar, added to the log
            likelihood. nodes: (K, q) and log_weights: (K,) of the quadrature.
    """

    rows: RowData
    Z: Array
    owner: Array
    multiplicity: Array
    zy: Array
    linear: Array
    constant: Array
    nodes: Array
    log_weights: Array

    @property
    def n_groups(self) -> int:
        """Groups, equal ones merged."""
        return self.multiplicity.shape[0]


class Fixed(NamedTuple):
    """What does not depend on u: eta of the fixed part (m, S), the auxiliary parameters, and Lambda (q, q)."""

    eta: jax.Array
    extra: Aux
    lam: jax.Array


class Expansion(NamedTuple):
    """The log integrand of each group to second order.

    Attributes:
        h: (J,). g: (q, J) gradient in u. a: lower triangle of Z'WZ. safe: the same with W >= 0, or ``a`` where the
            family is log-concave.
    """

    h: jax.Array
    g: jax.Array
    a: Triangle
    safe: Triangle


def fixed(x: jax.Array, data: Groups, plan: RowPlan) -> Fixed:
    """Everything that a search in u can compute once."""
    extra = glmm_rows.aux(x, data.rows, plan)
    return Fixed(glmm_rows.fixed_eta(x, data.rows, plan), extra, glmm_rows.lambdas(x, plan)[0])


def linear_predictor(at: Fixed, data: Groups, u: jax.Array) -> jax.Array:
    """Eta (m, S) at u (q, J)."""
    b = spread(apply(at.lam, u), data.owner)
    return at.eta + jnp.sum(data.Z * b[:, None, :], axis=0)


def integrand(at: Fixed, data: Groups, u: jax.Array, plan: RowPlan) -> jax.Array:
    """(J,) log integrand ``h_j`` of each group, counted once, without the terms linear in beta."""
    eta = linear_predictor(at, data, u)
    h = sum_blocks(glmm_rows.row_log_density(eta, data.rows, at.extra, plan), data.owner, data.n_groups)
    return h + prior(at, data, u)


def prior(at: Fixed, data: Groups, u: jax.Array) -> jax.Array:
    """(..., J) the part of ``h_j`` that touches no row, ``y'Z Lambda u - u'u / 2``, for u (q, ..., J)."""
    half = -0.5 * jnp.sum(u * u, axis=0)
    if data.zy is None:
        return half
    slope = apply(at.lam.T, data.zy).reshape(u.shape[0], *(1,) * (u.ndim - 2), -1)
    return half + jnp.sum(slope * u, axis=0)


def expand(at: Fixed, data: Groups, u: jax.Array, plan: RowPlan) -> Expansion:
    """Value, gradient and curvature of each group's log integrand in one pass over the rows."""
    eta = linear_predictor(at, data, u)
    density, slope, w = glmm_rows.row_derivatives(eta, data.rows, at.extra, plan)

    def total(values: jax.Array) -> jax.Array:
        return sum_blocks(values, data.owner, data.n_groups)

    gz = total(slope * data.Z)
    if data.zy is not None:
        gz = gz + data.zy
    a = weighted_squares(data, w)
    safe = a if plan.family.log_concave else weighted_squares(data, jnp.maximum(w, 0.0))
    return Expansion(total(density) + prior(at, data, u), apply(at.lam.T, gz) - u, a, safe)


def weighted_squares(data: Groups, w: jax.Array) -> Triangle:
    """The lower triangle of ``Z_j'W Z_j``."""
    q = data.Z.shape[0]
    squares = jnp.stack([data.Z[i] * data.Z[j] for i in range(q) for j in range(i + 1)])
    sums = iter(sum_blocks(w * squares, data.owner, data.n_groups))
    return [[next(sums) for _ in range(i + 1)] for i in range(q)]


def apply(matrix: jax.Array, values: jax.Array) -> jax.Array:
    """``matrix @ values`` for (q, q) and (q, ..., J), as elementwise code."""
    shaped = matrix.reshape(*matrix.shape, *(1,) * (values.ndim - 1))
    return jnp.sum(shaped * values[None], axis=1)


def precision(lam: jax.Array, a: Triangle) -> Triangle:
    """The lower triangle of ``M = I + Lambda'A Lambda``."""
    q = len(a)
    if q == 1:
        return [[1.0 + lam[0, 0] ** 2 * a[0][0]]]
    # Lambda is lower triangular: column j of A Lambda starts at row j
    product = [
        [reduce(add, (a[max(i, k)][min(i, k)] * lam[k, j] for k in range(j, q))) for j in range(q)] for i in range(q)
    ]
    m = [[reduce(add, (lam[k, i] * product[k][j] for k in range(i, q))) for j in range(i + 1)] for i in range(q)]
    return [[entry + 1.0 if i == j else entry for j, entry in enumerate(row)] for i, row in enumerate(m)]


def cholesky(m: Triangle) -> Triangle:
    """Lower Cholesky factors; NaN where a block is not positive definite."""
    q = len(m)
    c: Triangle = []
    for i in range(q):
        row: list[jax.Array] = []
        for j in range(i + 1):
            rest = m[i][j]
            for k in range(j):
                rest = rest - row[k] * (row[k] if i == j else c[j][k])
            row.append(jnp.sqrt(rest) if i == j else rest / c[j][j])
        c.append(row)
    return c


def logdet(c: Triangle) -> jax.Array:
    """``log|M|`` (J,) from Cholesky factors."""
    total = jnp.log(c[0][0])
    for i in range(1, len(c)):
        total = total + jnp.log(c[i][i])
    return 2.0 * total


def forward(c: Triangle, rhs: jax.Array) -> list[jax.Array]:
    """``C^{-1} rhs`` for rhs (q, J)."""
    out: list[jax.Array] = []
    for i, row in enumerate(c):
        rest = rhs[i]
        for k in range(i):
            rest = rest - row[k] * out[k]
        out.append(rest / row[i])
    return out


def backward(c: Triangle, rhs: list[jax.Array]) -> list[jax.Array]:
    """``C^{-T} rhs``."""
    q = len(c)
    out: list[jax.Array] = list(rhs)
    for i in reversed(range(q)):
        rest = rhs[i]
        for k in range(i + 1, q):
            rest = rest - c[k][i] * out[k]
        out[i] = rest / c[i][i]
    return out


def inverse_transpose(c: Triangle) -> jax.Array:
    """(q, q, J) upper-triangular ``C^{-T}``."""
    q, unit = len(c), jnp.ones_like(c[0][0])
    zero = jnp.zeros_like(unit)
    columns = [backward(c, [unit if i == j else zero for i in range(q)]) for j in range(q)]
    return jnp.stack([jnp.stack(column) for column in columns], axis=1)
