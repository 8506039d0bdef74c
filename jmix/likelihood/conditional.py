"""The distribution of the random effects given the data and the parameters.

Both moments are derivatives of what ``reduce`` computes already: with ``N = Lambda (I + Lambda'Z'Z Lambda)^{-1}
Lambda'``, the modes are
``N w = -1/2 d(-w'N w)/dw`` for ``w = Z'(y - X beta)``, and the blocks of the covariance (over sigma^2) are ``d log|M|
/ dA = N`` (Bates et al. 2015).
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp

from jmix.likelihood.gaussian import reduce, unpack
from jmix.likelihood.structure import Block, GaussianStats, Layout
from jmix.numerics.blocks import mul, node


def modes(theta: jax.Array, stats: GaussianStats, contrast: jax.Array, layout: Layout) -> list[jax.Array]:
    """Conditional modes (q, J) of each factor in elimination order, for ``[X y] contrast`` as the working response.

    Args:
        contrast: (p + 1,), ``(-beta, 1)`` for the residuals of the fixed part.
    """
    ws = tuple(jnp.einsum("apj,p->aj", b.w, contrast)[:, None] for b in stats.blocks)
    tail = (stats.tail_w @ contrast)[:, None]
    if len(layout) == 1:
        return [mul(node(unpack(theta, layout)[0], stats.blocks[0].a)[1], ws[0])[:, 0]]

    def energy(ws: tuple[jax.Array, ...], tail: jax.Array) -> jax.Array:
        return reduce(theta, _with_w(stats, ws, tail), layout)[1][0, 0]

    block_slopes, tail_slope = jax.grad(energy, argnums=(0, 1))(ws, tail)
    return [-0.5 * g[:, 0] for g in block_slopes] + _split_tail(-0.5 * tail_slope[:, 0], stats)


def covariances(theta: jax.Array, stats: GaussianStats, layout: Layout) -> list[jax.Array]:
    """Conditional covariance blocks (q, q, J) over sigma^2, given beta, of each factor in elimination order."""
    if len(layout) == 1:
        return [node(unpack(theta, layout)[0], stats.blocks[0].a)[1]]
    bare = _with_w(stats, tuple(b.w[:, :1] for b in stats.blocks), stats.tail_w[:, :1])

    def logdet(a: tuple[jax.Array, ...], tail_a: jax.Array) -> jax.Array:
        blocks = tuple(replace(b, a=own) for b, own in zip(bare.blocks, a, strict=True))
        return reduce(theta, replace(bare, blocks=blocks, tail_a=tail_a), layout)[0]

    slopes, tail_slope = jax.grad(logdet, argnums=(0, 1))(tuple(b.a for b in stats.blocks), stats.tail_a)
    # reduce reads half of a symmetric matrix in places: only the symmetric part of a slope is the derivative
    out, start = [0.5 * (g + jnp.swapaxes(g, 0, 1)) for g in slopes], 0
    for q, j in stats.tail_sizes:
        stop = start + q * j
        blocks = tail_slope[start:stop, start:stop].reshape(j, q, j, q)
        out.append(jnp.einsum("jajb->abj", blocks))
        start = stop
    return out


def _with_w(stats: GaussianStats, ws: tuple[jax.Array, ...], tail: jax.Array) -> GaussianStats:
    blocks: tuple[Block, ...] = tuple(replace(b, w=w) for b, w in zip(stats.blocks, ws, strict=True))
    width = tail.shape[1]
    return replace(stats, blocks=blocks, tail_w=tail, gram=jnp.zeros((width, width), tail.dtype))


def _split_tail(values: jax.Array, stats: GaussianStats) -> list[jax.Array]:
    out, start = [], 0
    for q, j in stats.tail_sizes:
        out.append(values[start : start + q * j].reshape(j, q).T)
        start += q * j
    return out
