"""Blocks of the conditional covariance between different grouping factors, and products with it.

``N = Lambda (I + Lambda'Z'WZ Lambda)^{-1} Lambda'`` is the derivative of ``log|M|`` in ``A = Z'WZ``. An off-diagonal
block of A stands for itself and its transpose, so its derivative is twice the block of N: ``reduce`` gives every block
for which A has one (the selected inverse of Takahashi, Fagan & Chin 1973) at the cost of one gradient.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from jmix.likelihood.gaussian import reduce, unpack
from jmix.likelihood.structure import Block, GaussianStats, Layout, Link
from jmix.numerics.blocks import mul, node

ChainBlocks = tuple[jax.Array, tuple[jax.Array, ...], Any]
"""Of one chain factor: (q, q, J) own blocks, (q, q2, J) with each later chain factor, and the tail as ``tail.x``."""


def selected(theta: jax.Array, stats: GaussianStats, layout: Layout) -> tuple[tuple[ChainBlocks, ...], jax.Array]:
    """The blocks of N that the data couple: those of each chain factor, and the whole (Q2, Q2) block of the tail."""
    if len(layout) == 1:
        own = node(unpack(theta, layout)[0], stats.blocks[0].a)[1]
        return ((own, (), None),), stats.tail_a
    bare = _with_columns(stats, tuple(b.w[:, :1] for b in stats.blocks), stats.tail_w[:, :1])

    def logdet(chain: tuple[ChainBlocks, ...], tail_a: jax.Array) -> jax.Array:
        blocks = tuple(_with_cross(b, own) for b, own in zip(bare.blocks, chain, strict=True))
        return reduce(theta, replace(bare, blocks=blocks, tail_a=tail_a), layout)[0]

    values = tuple((b.a, tuple(k.e for k in b.links), None if b.tail is None else b.tail.x) for b in stats.blocks)
    slopes, tail_slope = jax.grad(logdet, argnums=(0, 1))(values, stats.tail_a)
    halved = tuple(
        (0.5 * (a + jnp.swapaxes(a, 0, 1)), tuple(0.5 * e for e in links), None if x is None else 0.5 * x)
        for a, links, x in slopes
    )
    return halved, tail_slope


def product(
    theta: jax.Array, stats: GaussianStats, ws: tuple[jax.Array, ...], tail: jax.Array, layout: Layout
) -> list[jax.Array]:
    """``N w`` for k vectors at once: (q, k, J) of each factor in elimination order.

    Args:
        ws: (q, k, J) of each chain factor. tail: (Q2, k).
    """
    if len(layout) == 1:
        return [mul(node(unpack(theta, layout)[0], stats.blocks[0].a)[1], ws[0])]

    def energy(ws: tuple[jax.Array, ...], tail: jax.Array) -> jax.Array:
        return jnp.trace(reduce(theta, _with_columns(stats, ws, tail), layout)[1])

    slopes, tail_slope = jax.grad(energy, argnums=(0, 1))(ws, tail)
    out, start = [-0.5 * g for g in slopes], 0
    for q, j in stats.tail_sizes:
        rows = -0.5 * tail_slope[start : start + q * j]
        out.append(jnp.transpose(rows.reshape(j, q, rows.shape[1]), (1, 2, 0)))
        start += q * j
    return out


def fixed_modes(theta: jax.Array, stats: GaussianStats, layout: Layout) -> list[jax.Array]:
    """``N Z'W X`` (q, p, J) of each factor: the modes that each column of X would have as response."""
    p = stats.gram.shape[0] - 1
    return product(theta, stats, tuple(b.w[:, :p] for b in stats.blocks), stats.tail_w[:, :p], layout)


def _with_cross(block: Block, values: ChainBlocks) -> Block:
    a, es, x = values
    links = tuple(Link(e, k.parent) for e, k in zip(es, block.links, strict=True))
    return replace(block, a=a, links=links, tail=None if block.tail is None else replace(block.tail, x=x))


def _with_columns(stats: GaussianStats, ws: tuple[jax.Array, ...], tail: jax.Array) -> GaussianStats:
    blocks = tuple(replace(b, w=w) for b, w in zip(stats.blocks, ws, strict=True))
    k = ws[0].shape[1]
    return replace(stats, blocks=blocks, tail_w=tail, gram=jnp.zeros((k, k), ws[0].dtype))
