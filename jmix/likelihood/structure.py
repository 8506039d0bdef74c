"""Pytrees that hold a Gaussian design reduced to sufficient statistics.

Levels are eliminated in this order: a *chain* of grouping factors, each nested in the next, whose blocks stay block
diagonal; then a
dense *tail* of the factors that cross them. One factor is a chain of one; ``(1 | a/b)`` a chain of two; crossed
factors are a chain and a tail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax

Array = Any
"""NumPy or JAX array: the same containers hold both."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Link:
    """Coupling of one chain factor with a coarser one in which it is nested.

    Attributes:
        e: (q, q2, J) blocks of ``Z1'Z2``.
        parent: (J,) int32, sorted: the level of the coarser factor that holds each level.
    """

    e: Array
    parent: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SparseTail:
    """Coupling of one chain factor with the tail, only the columns that occur.

    Attributes:
        x: (q, m) values. level, column: (m,) int32 position of each entry, sorted by level.
        left, right: (P,) int32 pairs of entries of the same level, column[left] <= column[right].
        cell: (P,) int32 the number of each pair's cell among the distinct cells.
        cell_row, cell_column: (U,) int32 the distinct cells of the tail's matrix, upper triangle.
        up: for every later chain factor, (m,) int32, the entry of that factor's coupling which each entry updates.
    """

    x: Array
    level: Array
    column: Array
    left: Array
    right: Array
    cell: Array
    cell_row: Array
    cell_column: Array
    up: tuple[Array, ...]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DenseTail:
    """Coupling of one chain factor with the tail as a full (q, J, Q2) array."""

    x: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Block:
    """One chain factor: ``a`` (q, q, J) blocks of Z'Z and ``w`` (q, p + 1, J) blocks of Z'[X y]."""

    a: Array
    w: Array
    links: tuple[Link, ...] = ()
    tail: SparseTail | DenseTail | None = None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GaussianStats:
    """Everything that the Gaussian likelihood needs from the data.

    Attributes:
        blocks: the chain, in elimination order.
        tail_a: (Q2, Q2) cross-products of the tail's columns, level-major within a factor; None without a tail.
        tail_w: (Q2, p + 1) cross-products of the tail with [X y].
        gram: (p + 1, p + 1) cross-product of [X y].
        tail_sizes: (q, J) of each tail factor.
    """

    blocks: tuple[Block, ...]
    tail_a: Array
    tail_w: Array
    gram: Array
    tail_sizes: tuple[tuple[int, int], ...] = field(default=(), metadata={"static": True})


@dataclass(frozen=True)
class FactorLayout:
    """Which entries of ``theta`` fill which entries of one factor's (q, q) ``Lambda``; hashable, so that it can be
    static.
    """

    q: int
    index: tuple[int, ...]
    rows: tuple[int, ...]
    cols: tuple[int, ...]


Layout = tuple[FactorLayout, ...]
"""Layouts in elimination order: the chain, then the tail."""
