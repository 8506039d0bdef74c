"""Cross-products of the random effects under row weights that change: ``Z'WZ`` as a function of W, in JAX.

The linear model forms its cross-products once, in NumPy. In a generalized one W changes with every Newton step, so the
rows are sorted once, by the levels of the chain and then by those of the tail; after that every block is a sum over
runs of consecutive rows, or of rows gathered into runs, and one step costs a few passes over the rows. Pattern and
order of the blocks are those of ``suffstats`` and ``tail``, and ``eliminate`` reads them unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add

import jax
import jax.numpy as jnp

from jmix.likelihood.gaussian import segment_sum_last
from jmix.likelihood.structure import Array, Block, DenseTail, GaussianStats, Link, SparseTail


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Segments:
    """Sums of row values over sets of rows.

    Attributes:
        order: (n,) int32, the rows by set, or None where they lie so already. ids: (n,) int32, sorted, the set of each
            of these; None where each set is one row. size: number of sets.
    """

    order: Array
    ids: Array
    size: int = field(metadata={"static": True})

    def __call__(self, values: jax.Array) -> jax.Array:
        """(..., n) to (..., size)."""
        ordered = values if self.order is None else values[..., self.order]
        return ordered if self.ids is None else segment_sum_last(ordered, self.ids, self.size)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FactorRows:
    """One grouping factor by rows: ``z`` (q, n) columns, ``codes`` (n,) int32 levels, ``total`` sums by level."""

    z: Array
    codes: Array
    total: Segments


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CouplingRows:
    """Coupling of one chain factor with the tail, by rows.

    Attributes:
        pattern: its sparse pattern, ``x`` empty; None where it is dense.
        cells: for each tail factor, sums over the rows of one level of each.
        level, column: (m,) int32, the entries by level. source: (m,) int32, where among the cells of all tail factors
            each entry is found; None where they agree.
    """

    pattern: SparseTail | None
    cells: tuple[Segments, ...]
    level: Array
    column: Array
    source: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TailRows:
    """The tail's own matrix by rows.

    Attributes:
        cells: for each pair of tail factors, sums over the rows of one level of each. row, column: (E,) int32, the
            entries of these cells above the diagonal, pair by pair.
        sizes: (q, J) of each tail factor.
    """

    cells: tuple[Segments, ...]
    row: Array
    column: Array
    sizes: tuple[tuple[int, int], ...] = field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Crossing:
    """Everything that turns row weights into blocks.

    Attributes:
        factors: in elimination order. parents: of each chain factor, as in ``Elimination``. couplings: of each chain
            factor, empty without a tail. tail: None without a tail.
    """

    factors: tuple[FactorRows, ...]
    parents: tuple[tuple[Array, ...], ...]
    couplings: tuple[CouplingRows, ...]
    tail: TailRows | None


def spread(crossing: Crossing, b: Sequence[jax.Array]) -> jax.Array:
    """``Z b`` (n,) for ``b`` (q, J) of each factor in elimination order."""
    parts = []
    for i, (factor, own) in enumerate(zip(crossing.factors, b, strict=True)):
        in_order = i < len(crossing.parents)
        rows = own.at[:, factor.codes].get(indices_are_sorted=in_order, mode="promise_in_bounds")
        parts.append(jnp.sum(factor.z * rows, axis=0))
    return reduce(add, parts)


def collect(crossing: Crossing, r: jax.Array) -> list[jax.Array]:
    """``Z'r``: (q, J) of each factor for ``r`` (n,)."""
    return [f.total(f.z * r) for f in crossing.factors]


def own_block(factor: FactorRows, weights: jax.Array) -> jax.Array:
    """(q, q, J) blocks of ``Z'WZ`` of one factor."""
    return _cross(factor.total, factor, factor, weights)


def weighted_stats(crossing: Crossing, weights: jax.Array, right: Sequence[jax.Array] | None = None) -> GaussianStats:
    """The blocks of ``Z'WZ``.

    Args:
        weights: (n,), of either sign.
        right: (q, J) of each factor, the one right-hand side; None for none.
    """
    n_chain, dtype = len(crossing.parents), weights.dtype
    ws = [jnp.zeros((f.z.shape[0], 0, f.total.size), dtype) for f in crossing.factors]
    if right is not None:
        ws = [r[:, None] for r in right]
    blocks = tuple(_block(crossing, i, weights, ws[i]) for i in range(n_chain))
    width = ws[0].shape[1]
    tail_a, tail_w = jnp.zeros((0, 0), dtype), jnp.zeros((0, width), dtype)
    if crossing.tail is not None:
        tail_a = _tail_matrix(crossing, crossing.tail, weights)
        by_level = [jnp.transpose(w, (2, 0, 1)) for w in ws[n_chain:]]
        tail_w = jnp.concatenate([w.reshape(w.shape[0] * w.shape[1], width) for w in by_level])
    return GaussianStats(blocks, tail_a, tail_w, jnp.zeros((width, width), dtype), _sizes(crossing))


def _cross(segments: Segments, left: FactorRows, right: FactorRows, weights: jax.Array) -> jax.Array:
    """(q, q2, size) sums of ``z w z2'``."""
    return segments(left.z[:, None] * (weights * right.z)[None])


def _block(crossing: Crossing, i: int, weights: jax.Array, w: jax.Array) -> Block:
    own, n_chain = crossing.factors[i], len(crossing.parents)
    links = tuple(
        Link(_cross(own.total, own, coarse, weights), parent)
        for coarse, parent in zip(crossing.factors[i + 1 : n_chain], crossing.parents[i], strict=True)
    )
    tail = None if crossing.tail is None else _coupling(crossing, i, weights)
    return Block(own_block(own, weights), w, links, tail)


def _coupling(crossing: Crossing, i: int, weights: jax.Array) -> SparseTail | DenseTail:
    own, rows, n_chain = crossing.factors[i], crossing.couplings[i], len(crossing.parents)
    q, width = own.z.shape[0], sum(q * j for q, j in _sizes(crossing))
    parts = [_cross(cells, own, f, weights) for cells, f in zip(rows.cells, crossing.factors[n_chain:], strict=True)]
    entries = jnp.concatenate([jnp.swapaxes(part, 1, 2).reshape(q, -1) for part in parts], axis=1)
    x = entries if rows.source is None else entries[:, rows.source]
    if rows.pattern is not None:
        return replace(rows.pattern, x=x)
    levels = own.total.size
    if x.shape[1] == levels * width:
        return DenseTail(x.reshape(q, levels, width))
    empty = jnp.zeros((q, levels, width), x.dtype)
    return DenseTail(empty.at[:, rows.level, rows.column].set(x, unique_indices=True, indices_are_sorted=True))


def _tail_matrix(crossing: Crossing, tail: TailRows, weights: jax.Array) -> jax.Array:
    factors = crossing.factors[len(crossing.parents) :]
    size, start = sum(q * j for q, j in tail.sizes), 0
    matrix = jnp.zeros((size, size), weights.dtype)
    for f, (q, j) in zip(factors, tail.sizes, strict=True):
        at = start + jnp.arange(q * j).reshape(j, q)
        own = jnp.transpose(own_block(f, weights), (2, 0, 1))
        matrix = matrix.at[at[:, :, None], at[:, None, :]].set(own, unique_indices=True)
        start += q * j
    pairs = [(f, g) for k, f in enumerate(factors) for g in factors[k + 1 :]]
    if not pairs:
        return matrix
    parts = [_cross(cells, f, g, weights).reshape(-1) for cells, (f, g) in zip(tail.cells, pairs, strict=True)]
    values = jnp.concatenate(parts)
    matrix = matrix.at[tail.row, tail.column].set(values, unique_indices=True)
    return matrix.at[tail.column, tail.row].set(values, unique_indices=True)


def _sizes(crossing: Crossing) -> tuple[tuple[int, int], ...]:
    return () if crossing.tail is None else crossing.tail.sizes
