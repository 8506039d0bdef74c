"""The log likelihood of a person at each node, as what the kernel takes.

With indicators X of a person's responses above category 0,

    log P(x_i | theta_gq) + logw_q = t_i + base_sq + e_i'z_q + sum_f X_if T_gfq,

``e_i = sum_f X_if A_gf`` and ``t_i = sum_f X_if c_gf``: linear kinds give A and c, the others tables T. The base is the
log probability of category 0 of the items that the person's stratum s answered. The sum of t_i over persons is a dot
product with the totals of the features, so that no pass over the persons sees c.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jmix.likelihood.irt.layout import GridData, ItemBlock, Plan
from jmix.likelihood.irt.local import Frame, Local, apart_of_covariates, local_at


class Natural(NamedTuple):
    """What the kernel takes.

    Attributes:
        directions: for each linear block A (G, F, D). extra: (G, m, D) of the float features, or None. base: (S, Q).
        tables: T (G, F, Q), of each block that is masked or not linear.
    """

    directions: tuple[jax.Array, ...]
    extra: jax.Array | None
    base: jax.Array
    tables: tuple[jax.Array, ...]


class Item(NamedTuple):
    """What one block gives at nodes: of linear kinds A (G, Jb, K - 1, D) and c (G, Jb, K - 1), else None; log P_0 (G,
    Jb, Q) where it belongs to the base; T (G, Jb, F, Q) where there are tables.
    """

    direction: jax.Array | None
    constant: jax.Array | None
    base: jax.Array | None
    table: jax.Array | None


def item_of(block: ItemBlock, alpha: jax.Array, beta: jax.Array, own: jax.Array, z: jax.Array) -> Item:
    """The terms of the items of a block from their local parameters: alpha (G, Jb), beta (G, Jb, D), own (G, Jb, m)."""
    g, j = alpha.shape
    k = block.n_categories
    eta = alpha[..., None] + (beta * z[:, 0] if z.shape[1] == 1 else beta @ z.T)
    flat_own = own.reshape(g * j, -1)
    log_p = block.item_kind.log_table(jnp, eta.reshape(g * j, -1), flat_own, k).reshape(g, j, k, -1)
    base = None if block.masked else log_p[:, :, 0]
    if not block.linear:
        return Item(None, None, base, log_p if block.masked else log_p[:, :, 1:] - log_p[:, :, :1])
    factors, c = (a.reshape(g, j, k - 1) for a in block.item_kind.linear_terms(jnp, flat_own, k))
    table = log_p[:, :, :1] if block.masked else None
    return Item(factors[..., None] * beta[:, :, None], c + factors * alpha[..., None], base, table)


def natural(plan: Plan, x: jax.Array, data: GridData) -> tuple[Natural, tuple[jax.Array, ...], Frame]:
    """The kernel's parameters at the free parameters x (P,), c (G, F) of each linear block, and where the nodes lie."""
    local, frame = local_at(plan, x, data)
    items = [
        item_of(block, alpha, beta, own, data.z)
        for block, alpha, beta, own in zip(plan.blocks, local.alpha, local.beta, local.own, strict=True)
    ]
    return (
        assemble(plan, items, local, data),
        tuple(_features(i.constant) for i in items if i.constant is not None),
        frame,
    )


def assemble(plan: Plan, items: list[Item], local: Local, data: GridData) -> Natural:
    """The kernel's parameters from those of the blocks."""
    base = jnp.broadcast_to(data.log_weights, (data.group.shape[0], data.log_weights.size))
    if local.log_density is not None:
        base = base + local.log_density[data.group]
    for block, item in zip(plan.blocks, items, strict=True):
        if item.base is not None:
            base = base + _answered(block, item.base, data)
    directions = [_features(item.direction) for item in items if item.direction is not None]
    extra = local.extra
    if plan.scored:
        # one more point adds the direction of the first item's first category above 0
        score = directions[0][:, :1]
        extra = score if extra is None else jnp.concatenate([score, extra], axis=1)
        directions = []
    tables = tuple(_features(item.table) for item in items if item.table is not None)
    return Natural(tuple(directions), extra, base, tables)


def offset(plan: Plan, constants: tuple[jax.Array, ...], frame: Frame, data: GridData) -> jax.Array:
    """The weighted sum over persons of what does not depend on the node."""
    total = jnp.zeros((), data.log_weights.dtype)
    for c, counts in zip(constants, data.totals, strict=True):
        total = total + jnp.sum(c * counts)
    return total + apart_of_covariates(frame, data) if plan.regressed else total


def _answered(block: ItemBlock, log_p0: jax.Array, data: GridData) -> jax.Array:
    """(S, Q) sum over the items that a stratum answered."""
    if data.observed is None:
        return jnp.sum(log_p0, axis=1)[data.group]
    return jnp.einsum("sj,sjq->sq", data.observed[:, block.columns], log_p0[data.group])


def _features(a: jax.Array) -> jax.Array:
    """(G, Jb, F, ...) to (G, Jb F, ...)."""
    return a.reshape(a.shape[0], -1, *a.shape[3:])
