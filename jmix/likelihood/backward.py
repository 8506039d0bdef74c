"""Back-substitution after the elimination of ``reduce``: the mean of the random effects, or an exact joint draw.

Eliminating a factor leaves its effects' distribution given those of later factors, ``N_i (w_i - sum_k E_ik b_k)`` with
covariance ``sigma^2 N_i``, where ``w_i`` and ``E_ik`` are what earlier eliminations left. Drawing the factors in
reverse order therefore draws all of them jointly, from sufficient statistics alone. A root of ``N_i`` comes from the
factorisation itself, so that variances of zero need no care.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp

from jmix.likelihood.gaussian import Eliminated, Step, eliminate, segment_sum_last
from jmix.likelihood.structure import GaussianStats, Layout, SparseTail
from jmix.numerics.blocks import mul, root
from jmix.numerics.dense import inverse_factor


def working(stats: GaussianStats, contrast: jax.Array) -> GaussianStats:
    """The statistics of one response ``[X y] contrast`` in place of those of X and y."""
    blocks = tuple(replace(b, w=jnp.einsum("apj,p->aj", b.w, contrast)[:, None]) for b in stats.blocks)
    gram = (contrast @ stats.gram @ contrast)[None, None]
    return replace(stats, blocks=blocks, tail_w=(stats.tail_w @ contrast)[:, None], gram=gram)


def effects(
    theta: jax.Array, stats: GaussianStats, contrast: jax.Array, layout: Layout, noise: list[jax.Array] | None = None
) -> list[jax.Array]:
    """Random effects (q, J) of each factor in elimination order, in the units of the working response.

    Args:
        contrast: (p + 1,), ``(-beta, 1)`` for the residuals of the fixed part.
        noise: (q, J) of each factor, independent normal with standard deviation sigma, for a draw from the conditional
            distribution of the random effects; None for its mean.
    """
    return back_substitute(eliminate(theta, working(stats, contrast), layout), stats.tail_sizes, noise)


def back_substitute(
    done: Eliminated, tail_sizes: tuple[tuple[int, int], ...], noise: list[jax.Array] | None = None
) -> list[jax.Array]:
    """``effects`` after the elimination, which many draws share.

    Args:
        done: of statistics of one working response.
    """
    tail = _tail_effects(done, tail_sizes, None if noise is None else noise[len(done.steps) :])
    flat = jnp.concatenate([b.T.reshape(-1) for b in tail]) if tail else None
    chain: list[jax.Array] = []
    for i in reversed(range(len(done.steps))):
        own = None if noise is None else noise[i]
        chain.insert(0, _chain_effects(done.steps[i], chain, flat, own))
    return chain + tail


def _tail_effects(
    done: Eliminated, sizes: tuple[tuple[int, int], ...], noise: list[jax.Array] | None
) -> list[jax.Array]:
    """(q, J) of each tail factor."""
    if done.m is None or done.v is None:
        return []
    _, factor = inverse_factor(done.m)
    half = factor @ done.v[:, 0]
    if noise is not None:
        half += jnp.concatenate([z.T.reshape(-1) for z in noise])
    spherical, out, start = factor.T @ half, [], 0
    for lam, (q, j) in zip(done.tail_lams, sizes, strict=True):
        out.append(lam @ spherical[start : start + q * j].reshape(j, q).T)
        start += q * j
    return out


def _chain_effects(step: Step, later: list[jax.Array], tail: jax.Array | None, noise: jax.Array | None) -> jax.Array:
    """(q, J) of one chain factor, given those of the later ones and the (Q2,) of the tail."""
    block, right = step.block, step.block.w[:, 0]
    for link, b in zip(block.links, later, strict=True):
        right -= mul(link.e, b[:, None, link.parent])[:, 0]
    if tail is not None and block.tail is not None:
        if isinstance(block.tail, SparseTail):
            taken = block.tail.x * tail[block.tail.column]
            right -= segment_sum_last(taken, block.tail.level, right.shape[-1])
        else:
            right -= jnp.einsum("ajc,c->aj", block.tail.x, tail)
    if noise is None:
        return mul(step.n, right[:, None])[:, 0]
    half = root(step.lam, block.a)
    return mul(jnp.swapaxes(half, 0, 1), mul(half, right[:, None]) + noise[:, None])[:, 0]


def by_group(
    theta: jax.Array, stats: GaussianStats, contrast: jax.Array, layout: Layout
) -> tuple[jax.Array, jax.Array]:
    """For each level of the last chain factor: (J,) its part of ``log|M|``, and of ``w'N w``.

    For a chain without a tail, whose rows are independent between these levels.
    """
    steps = eliminate(theta, working(stats, contrast), layout).steps
    size = steps[-1].logdet.shape[0]
    logdet, quad = jnp.zeros(size), jnp.zeros(size)
    for step in steps:
        w = step.block.w
        own_logdet, own_quad = step.logdet, jnp.sum(w * mul(step.n, w), axis=(0, 1))
        if step.block.links:
            parent = step.block.links[-1].parent
            own_logdet, own_quad = (segment_sum_last(part, parent, size) for part in (own_logdet, own_quad))
        logdet, quad = logdet + own_logdet, quad + own_quad
    return logdet, quad
