"""Features of a chunk of persons: indicators of their responses, converted from int8 where they are used."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmix.likelihood.irt.layout import ItemBlock, Plan, Rows


def linear_features(plan: Plan, block: ItemBlock, x: jax.Array) -> jax.Array:
    """(n, Jb (K - 1)) indicators of the categories above 0 of a chunk x (n, J) of int8 responses."""
    own = x[:, block.columns]
    if block.n_categories > 2:
        return _one_hot(own, range(1, block.n_categories), plan.dtype)
    return own.astype(plan.dtype) if plan.complete else (own > 0).astype(plan.dtype)


def table_features(plan: Plan, block: ItemBlock, x: jax.Array) -> jax.Array | None:
    """Indicators (n, F) that go with the tables of a block: of an answer for a masked linear block, of all categories
    for another masked block, of those above 0 otherwise; None where a block has no tables.
    """
    if block.linear:
        return (x[:, block.columns] >= 0).astype(plan.dtype) if block.masked else None
    if block.masked:
        return _one_hot(x[:, block.columns], range(block.n_categories), plan.dtype)
    return linear_features(plan, block, x)


def _one_hot(x: jax.Array, codes: range, dtype: str) -> jax.Array:
    hot = x[:, :, None] == np.asarray(codes, dtype=np.int8)
    return hot.astype(dtype).reshape(x.shape[0], -1)


def chunk_of(plan: Plan, rows: Rows, c: Any) -> tuple[jax.Array | None, jax.Array | None, jax.Array]:
    """Responses (n, J), float features (n, m) and weights (n,) of chunk c; rows that do not count weigh nothing."""
    start = rows.start[c]

    def cut(a: Any) -> Any:
        return jax.lax.dynamic_slice_in_dim(a, start, plan.chunk)

    place = jnp.arange(plan.chunk, dtype=rows.low.dtype)
    counts = ((place >= rows.low[c]) & (place < rows.high[c])).astype(plan.dtype)
    weights = counts if rows.weights is None else counts * cut(rows.weights).astype(plan.dtype)
    x = None if rows.x is None else cut(rows.x)
    return x, None if rows.u is None else cut(rows.u).astype(plan.dtype), weights


def over_chunks(rows: Rows, init: Any, body: Any) -> tuple[Any, Any]:
    """``lax.scan`` of ``body(carry, c)`` over the chunks; a single chunk without the loop, its output stacked."""
    n = rows.start.shape[0]
    if n == 1:
        carry, out = body(init, 0)
        return carry, jax.tree.map(lambda a: a[None], out)
    return jax.lax.scan(body, init, jnp.arange(n))
