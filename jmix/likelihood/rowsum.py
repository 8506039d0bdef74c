"""Rows of a grouping factor in dense blocks, so that sums by group need no scatter over rows.

A block holds m rows of one group. Where the groups are of about equal size each has one block; otherwise it has as
many as it needs, whose sums are added by a sorted segment sum over blocks. So neither a group of 1e5 rows among
thousands of 3 pads anything, nor are rows scattered. Blocks are gathered into parts of equal shape, each of whole
groups, so that a pass over one part stays in the cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.likelihood.structure import Array

IntArray = npt.NDArray[np.intp]

BLOCK_COST = 0.5
"""Work that a block costs beyond its rows, in rows."""

SCATTER_COST = 8.0
"""Work of adding a block to its group where any group takes several, in rows (measured, 2 cores)."""

LEAST_BLOCKS = 4096
"""Blocks of wide designs: enough to fill the vector units."""


@dataclass(frozen=True)
class BlockLayout:
    """Where each row goes.

    Attributes:
        index: (parts, m, S) row in each place. real: (parts, m, S) bool, False for padding, whose index is another row.
            owner: (parts, S) group within the part of each block, sorted; None where block and group are the same.
            part, local: (J,) the part of each group and its place there. n_local: places of groups in a part.
    """

    index: IntArray
    real: npt.NDArray[np.bool_]
    owner: npt.NDArray[np.int32] | None
    part: IntArray
    local: IntArray
    n_local: int

    @property
    def position(self) -> IntArray:
        """(J,) place of each group among all places of all parts."""
        return np.asarray(self.part * self.n_local + self.local)


def block_layout(codes: npt.NDArray[np.int32], n_groups: int, part_rows: int) -> BlockLayout:
    """Lay the rows (n,) of each group into blocks, and the blocks into parts; a group without rows takes one block.

    Args:
        codes: group of each row. part_rows: rows that a part should hold; more where a group is larger.
    """
    sizes = np.bincount(codes, minlength=n_groups)
    ordered = bool(np.all(codes[1:] >= codes[:-1]))
    order = np.arange(codes.size) if ordered else np.argsort(codes, kind="stable")
    start = np.cumsum(sizes) - sizes
    m = block_width(sizes)
    count = np.maximum(1, -(-sizes // m))
    # largest first: the groups of one block fill what is left
    sequence = np.argsort(-count, kind="stable")
    capacity, first = _parts(count[sequence], max(1, part_rows // m))
    parts = first.size - 1
    in_part = np.repeat(np.arange(parts), np.diff(first))
    part, local = np.empty_like(sequence), np.empty_like(sequence)
    part[sequence], local[sequence] = in_part, np.arange(n_groups) - first[in_part]
    n_local = int(np.diff(first).max())

    level = np.repeat(sequence, count[sequence])
    serial = np.arange(level.size) - np.repeat(np.cumsum(count[sequence]) - count[sequence], count[sequence])
    ends = np.concatenate([[0], np.cumsum(np.bincount(part[level], minlength=parts))])
    place = part[level] * capacity + np.arange(level.size) - ends[part[level]]
    begin, filled = np.zeros(parts * capacity, dtype=np.intp), np.zeros(parts * capacity, dtype=np.intp)
    begin[place] = start[level] + m * serial
    filled[place] = np.minimum(m, sizes[level] - m * serial)
    rows = np.arange(m)[None, :, None]
    base = begin.reshape(parts, 1, capacity)
    real = rows < filled.reshape(parts, 1, capacity)
    index = order[np.minimum(np.where(real, base + rows, base), codes.size - 1)]
    owner = None
    if int(count.max()) > 1:
        owner = np.repeat((np.diff(first) - 1).astype(np.int32)[:, None], capacity, axis=1)
        owner.reshape(-1)[place] = local[level]
    else:
        n_local = capacity
    return BlockLayout(index, real, owner, part, local, n_local)


def _parts(count: IntArray, wanted: int) -> tuple[int, IntArray]:
    """Blocks a part, and the first group of each part and one past the last, for groups of (J,) blocks in sequence."""
    total, largest = int(count.sum()), int(count[0])
    ends = np.concatenate([[0], np.cumsum(count)])

    def fill(capacity: int) -> IntArray:
        first = [0]
        while first[-1] < count.size:
            first.append(int(np.searchsorted(ends, ends[first[-1]] + capacity, side="right")) - 1)
        return np.array(first)

    base = max(largest, -(-total // max(1, round(total / max(wanted, largest)))))
    tried = [(capacity, fill(capacity)) for capacity in {base, *(-(-base * k // 4) for k in (5, 6, 8, 12))}]
    return min(tried, key=lambda t: (t[0] * (t[1].size - 1), t[0]))


def block_width(sizes: npt.NDArray[np.intp]) -> int:
    """Rows a block: the width of least work, padding and added sums counted."""
    largest = max(1, int(sizes.max(initial=1)))
    widest = min(largest, max(32, int(sizes.sum()) // LEAST_BLOCKS))
    distinct, counts = np.unique(np.maximum(sizes, 1), return_counts=True)
    tried = np.unique(np.concatenate([distinct[distinct <= widest], np.geomspace(1, widest, 64).astype(np.intp)]))
    if tried.size > 256:
        tried = tried[np.linspace(0, tried.size - 1, 256).astype(np.intp)]

    def work(m: int) -> float:
        blocks = -(-distinct // m)
        return float(counts @ blocks) * (m + BLOCK_COST + (SCATTER_COST if blocks[-1] > 1 else 0.0))

    return int(min(tried.tolist(), key=work))


def sum_blocks(values: jax.Array, owner: Array | None, n_groups: int) -> jax.Array:
    """Sums by group (..., J) of values (..., m, S)."""
    sums = jnp.sum(values, axis=-2)
    if owner is None:
        return sums
    moved = jnp.moveaxis(sums, -1, 0)
    return jnp.moveaxis(jax.ops.segment_sum(moved, owner, n_groups, indices_are_sorted=True), 0, -1)


def spread(values: jax.Array, owner: Array | None) -> jax.Array:
    """Values by group (..., J) repeated for each block (..., S)."""
    return values if owner is None else jnp.take(values, owner, axis=-1, indices_are_sorted=True)
