"""Where the responses of sparse data stand: sums over a person's responses, and over an item's, by gathers alone.

A sum by segment is a short tree. Its first level adds up to a few dozen gathered rows into each block, the next level
adds the blocks of a segment, until there is one block a segment. Padding points at a row of zeros, so that nothing is
masked and nothing is scattered; the work is proportional to the number of rows, however unequal the segments are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]
Sizes = npt.NDArray[np.int64]

WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32)
"""Rows that one block may add, unrolled in the program."""

BLOCK_COST = 1.5
"""Work of writing one block, in gathered rows."""


@dataclass(frozen=True)
class Tree:
    """Sums by segment of the rows of one table, for parts of equal shape.

    Attributes:
        levels: each (parts, m, S): rows of the level before that every one of S blocks adds. The last S is the number
            of segments; the blocks of the levels before end with one that is zero.
    """

    levels: tuple[IntArray, ...]


def tree_widths(sizes: Sizes, depth: int = 4) -> tuple[int, ...]:
    """Widths of the levels with the least work for segments of these sizes (any shape).

    Raises:
        ValueError: no tree of that depth holds the largest segment.
    """
    distinct, counts = np.unique(np.maximum(sizes.ravel(), 1), return_counts=True)
    cost, widths = _cheapest(distinct, counts.astype(np.float64), depth)
    if not np.isfinite(cost):
        raise ValueError(f"a segment of {distinct[-1]} rows is too long for a tree of depth {depth}")
    return widths


def _cheapest(sizes: npt.NDArray[Any], counts: npt.NDArray[Any], depth: int) -> tuple[float, tuple[int, ...]]:
    largest = int(sizes[-1])
    best: tuple[float, tuple[int, ...]] = (np.inf, ())
    if largest <= WIDTHS[-1]:
        best = (float(counts.sum()) * (largest + BLOCK_COST), (largest,))
    if depth == 1 or largest == 1:
        return best
    for m in WIDTHS[1:]:
        blocks = -(-sizes // m)
        if m >= largest or blocks[-1] > WIDTHS[-1] ** (depth - 1):
            continue
        own = float(counts @ blocks) * (m + BLOCK_COST)
        if own >= best[0]:
            continue
        fewer, inverse = np.unique(blocks, return_inverse=True)
        rest, widths = _cheapest(fewer, np.bincount(inverse, weights=counts), depth - 1)
        if own + rest < best[0]:
            best = (own + rest, (m, *widths))
    return best


def plan_tree(rows: IntArray, sizes: Sizes, widths: tuple[int, ...], zero_row: int) -> Tree:
    """Lay out a tree.

    Args:
        rows: (n,) row that each summand gathers, sorted by part and within a part by segment. sizes: (parts, segments)
            summands of each. widths: of the levels, from ``tree_widths``. zero_row: a row of zeros in the table.
    """
    levels: list[IntArray] = []
    for number, m in enumerate(widths):
        last = number == len(widths) - 1
        blocks = np.ones_like(sizes) if last else -(-sizes // m)
        length = sizes.shape[1] if last else int(blocks.sum(axis=1).max()) + 1
        levels.append(_level(rows, sizes, blocks, m, length, zero_row))
        # the rows of the next level are the blocks of this one, in order
        in_part = blocks.sum(axis=1)
        rows = np.arange(int(in_part.sum()), dtype=np.int32)
        rows -= np.repeat(np.cumsum(in_part) - in_part, in_part).astype(np.int32)
        sizes, zero_row = blocks, length - 1
    return Tree(tuple(levels))


def _level(rows: IntArray, sizes: Sizes, blocks: Sizes, m: int, length: int, zero_row: int) -> IntArray:
    """(parts, m, length) rows of every block."""
    parts = sizes.shape[0]
    flat, many = sizes.ravel(), blocks.ravel()
    first_row = np.cumsum(flat) - flat
    ends = np.cumsum(many) - many
    segment = np.repeat(np.arange(flat.size), many)
    serial = np.arange(segment.size) - ends[segment]
    begin = first_row[segment] + m * serial
    filled = np.minimum(m, flat[segment] - m * serial)
    part = segment // sizes.shape[1]
    place = part * length + np.arange(segment.size) - ends.reshape(sizes.shape)[part, 0]
    out = np.full((parts, m, length), zero_row, dtype=np.int32)
    for k in range(m):
        real = filled > k
        out[part[real], k, place[real] - part[real] * length] = rows[begin[real] + k]
    return out
