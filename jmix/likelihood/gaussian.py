"""The Gaussian marginal likelihood from sufficient statistics.

With ``y ~ N(X beta, sigma^2 V)``, ``V = W^{-1} + Z Lambda Lambda' Z'``, everything the likelihood needs is ``log|V|``
and the reduced
cross-product ``[X y]' V^{-1} [X y]`` (Bates et al. 2015, section 3; Harville 1977). ``reduce`` computes both by
eliminating the random effects level by level; no row of the data is touched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jmix.likelihood.structure import Block, DenseTail, GaussianStats, Layout, Link, SparseTail
from jmix.numerics.blocks import mul, node
from jmix.numerics.dense import logdet_quad


def unpack(theta: jax.Array, layout: Layout) -> list[jax.Array]:
    """The (q, q) ``Lambda`` of each factor in elimination order."""
    return [
        jnp.zeros((f.q, f.q), theta.dtype).at[jnp.array(f.rows), jnp.array(f.cols)].set(theta[jnp.array(f.index)])
        for f in layout
    ]


class Step(NamedTuple):
    """One chain factor at the moment it is eliminated.

    Attributes:
        block: its cross-products, less what the factors before it take. lam: (q, q). logdet: (J,). n: (q, q, J).
    """

    block: Block
    lam: jax.Array
    logdet: jax.Array
    n: jax.Array


class Eliminated(NamedTuple):
    """All chain factors eliminated.

    Attributes:
        steps: one a factor. m: (Q2, Q2) ``I + Lambda'A Lambda`` of the tail, and v: (Q2, k) ``Lambda'w``; None without
            a tail. tail_lams: (q, q) of each tail factor.
    """

    steps: list[Step]
    m: jax.Array | None
    v: jax.Array | None
    tail_lams: list[jax.Array]


def reduce(theta: jax.Array, stats: GaussianStats, layout: Layout) -> tuple[jax.Array, jax.Array]:
    """``log|I + Lambda'Z'Z Lambda|`` and the (p + 1, p + 1) matrix ``[X y]' V^{-1} [X y]``."""
    done = eliminate(theta, stats, layout)
    gram = stats.gram
    logdet = jnp.zeros((), gram.dtype)
    for step in done.steps:
        logdet += jnp.sum(step.logdet)
        gram = gram - jnp.einsum("apj,arj->pr", step.block.w, mul(step.n, step.block.w))
    if done.m is not None:
        tail_logdet, quad = logdet_quad(done.m, done.v)
        logdet, gram = logdet + tail_logdet, gram - quad
    return logdet, gram


def eliminate(theta: jax.Array, stats: GaussianStats, layout: Layout) -> Eliminated:
    """Forward elimination of the random effects, factor by factor."""
    lams = unpack(theta, layout)
    blocks, steps = list(stats.blocks), []
    tail_a, tail_w = stats.tail_a, stats.tail_w
    for i in range(len(blocks)):
        block = blocks[i]
        logdet, n = node(lams[i], block.a)
        steps.append(Step(block, lams[i], logdet, n))
        if block.tail is not None:
            tail_a, tail_w = _update_tail(block, n, tail_a, tail_w)
        for k in range(len(block.links)):
            blocks[i + 1 + k] = _update_ancestor(block, k, n, blocks[i + 1 + k])
    if not stats.tail_sizes:
        return Eliminated(steps, None, None, [])
    tail_lams = lams[len(blocks) :]
    return Eliminated(steps, *_scale_tail(tail_lams, stats.tail_sizes, tail_a, tail_w), tail_lams)


def _update_ancestor(block: Block, k: int, n: jax.Array, ancestor: Block) -> Block:
    """Subtract what eliminating ``block`` takes from its k-th ancestor."""
    link = block.links[k]
    projected = mul(jnp.swapaxes(link.e, 0, 1), n)
    size = ancestor.a.shape[-1]

    def down(values: jax.Array) -> jax.Array:
        return segment_sum_last(values, link.parent, size)

    links = tuple(
        Link(own.e - down(mul(projected, other.e)), own.parent)
        for own, other in zip(ancestor.links, block.links[k + 1 :], strict=True)
    )
    tail = ancestor.tail
    if isinstance(tail, SparseTail) and isinstance(block.tail, SparseTail):
        taken = mul(projected[:, :, block.tail.level], block.tail.x[:, None, :])[:, 0]
        tail = replace(tail, x=tail.x - segment_sum_last(taken, block.tail.up[k], tail.x.shape[-1], is_sorted=False))
    elif isinstance(tail, DenseTail) and isinstance(block.tail, DenseTail):
        taken = jnp.einsum("baj,ajc->jbc", projected, block.tail.x)
        total = jax.ops.segment_sum(taken, link.parent, size, indices_are_sorted=True)
        tail = DenseTail(tail.x - jnp.swapaxes(total, 0, 1))
    return Block(ancestor.a - down(mul(projected, link.e)), ancestor.w - down(mul(projected, block.w)), links, tail)


def _update_tail(block: Block, n: jax.Array, tail_a: jax.Array, tail_w: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Schur complement of the tail after one chain factor is eliminated."""
    size = tail_a.shape[0]
    if isinstance(block.tail, DenseTail):
        x = block.tail.x
        nx = jnp.einsum("abj,bjc->ajc", n, x)
        return tail_a - jnp.einsum("ajc,ajd->cd", x, nx), tail_w - jnp.einsum("ajc,apj->cp", nx, block.w)
    tail = block.tail
    assert tail is not None
    nx = mul(n[:, :, tail.level], tail.x[:, None, :])[:, 0]
    pairs = jnp.sum(nx[:, tail.left] * tail.x[:, tail.right], axis=0)
    cells = jax.ops.segment_sum(pairs, tail.cell, tail.cell_row.shape[0])
    tail_a = tail_a.at[tail.cell_row, tail.cell_column].add(-cells)
    off_diagonal = jnp.where(tail.cell_row == tail.cell_column, 0.0, cells)
    tail_a = tail_a.at[tail.cell_column, tail.cell_row].add(-off_diagonal)
    taken = jnp.sum(nx[:, None, :] * block.w[:, :, tail.level], axis=0)
    return tail_a, tail_w - jax.ops.segment_sum(taken.T, tail.column, size)


def _scale_tail(
    lams: list[jax.Array], sizes: tuple[tuple[int, int], ...], a: jax.Array, w: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """``I + Lambda'A Lambda`` and ``Lambda'W`` for the block-diagonal tail."""
    if all(q == 1 for q, _ in sizes):
        scale = jnp.concatenate([jnp.broadcast_to(lam[0, 0], (j,)) for lam, (_, j) in zip(lams, sizes, strict=True)])
        return jnp.eye(a.shape[0], dtype=a.dtype) + scale[:, None] * a * scale[None, :], scale[:, None] * w

    def premultiply(x: jax.Array) -> jax.Array:
        parts, start = [], 0
        for lam, (q, j) in zip(lams, sizes, strict=True):
            rows = x[start : start + q * j].reshape(j, q, x.shape[1])
            parts.append(jnp.einsum("ba,jbc->jac", lam, rows).reshape(q * j, x.shape[1]))
            start += q * j
        return jnp.concatenate(parts)

    return jnp.eye(a.shape[0], dtype=a.dtype) + premultiply(premultiply(a).T), premultiply(w)


def segment_sum_last(values: jax.Array, ids: jax.Array, size: int, is_sorted: bool = True) -> jax.Array:
    """Sum the last axis by segment."""
    summed = jax.ops.segment_sum(jnp.moveaxis(values, -1, 0), ids, size, indices_are_sorted=is_sorted)
    return jnp.moveaxis(summed, 0, -1)


def gram_criterion(gram: jax.Array, n: jax.Array, reml: bool) -> jax.Array:
    """The part of the profiled criterion that depends on ``[X y]'V^{-1}[X y]``.

    ``n log r`` for ML, ``(n - p) log r + log|X'V^{-1}X|`` for REML, with r the penalised residual sum of squares.
    """
    p = gram.shape[0] - 1
    if p == 0:
        return n * jnp.log(gram[0, 0])
    logdet, quad = logdet_quad(gram[:p, :p], gram[:p, p:])
    rss = gram[p, p] - quad[0, 0]
    return (n - p) * jnp.log(rss) + logdet if reml else n * jnp.log(rss)


def profiled_criterion(
    theta: jax.Array, stats: GaussianStats, n: jax.Array, layout: Layout, reml: bool
) -> tuple[jax.Array, jax.Array]:
    """Profiled deviance (ML) or REML criterion in ``theta``, up to a constant, and the reduced cross-product."""
    logdet, gram = reduce(theta, stats, layout)
    return logdet + gram_criterion(gram, n, reml), gram
