"""Sparse responses laid out in parts of persons, with the trees that sum by person and by response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.likelihood.irt.marginal import FloatArray
from jmix.likelihood.irt.sparse_plan import IntArray, plan_tree, tree_widths
from jmix.responses.data import MISSING, Long, Responses
from jmix.spec.irt.spec import IrtSpec

PART_CELLS = 2**20
"""Persons times nodes of one part: its arrays stay in the cache of a core."""

LARGEST_PART = 2**16
"""Most persons of one part."""


@dataclass(frozen=True, eq=False)
class SparseLayout:
    """N persons in parts of ``capacity`` places, in order, the last place of every part empty.

    Attributes:
        long: the responses. row: (n,) place of each response among the G F rows of the table of log probabilities.
            first_row: (J,) row of the first category of each item in group 0. n_rows: F. group: (N,) codes.
            by_person, by_row: levels of the trees of ``sparse_plan``.
    """

    long: Long
    row: IntArray
    first_row: IntArray
    n_rows: int
    group: IntArray
    n_parts: int
    capacity: int
    by_person: tuple[IntArray, ...]
    by_row: tuple[IntArray, ...]

    @property
    def n_persons(self) -> int:
        """N."""
        return int(self.group.size)

    def gather(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(N, ...) by person of values (parts, C, ...)."""
        own = values[:, :-1]
        return own.reshape(-1, *own.shape[2:])[: self.n_persons]


def spread_persons(layout: SparseLayout, values: FloatArray) -> FloatArray:
    """(parts, C, ...) of values by person (N, ...), zero in empty places."""
    full = np.zeros((layout.n_parts, layout.capacity, *values.shape[1:]))
    padded = np.zeros((layout.n_parts * (layout.capacity - 1), *values.shape[1:]))
    padded[: values.shape[0]] = values
    full[:, :-1] = padded.reshape(layout.n_parts, -1, *values.shape[1:])
    return full


def lay_out(spec: IrtSpec, responses: Responses, n_nodes: int, chunk: int | None = None) -> SparseLayout:
    """Sort the responses into parts and plan the sums.

    Args:
        n_nodes: for the size of the parts, unless ``chunk`` says how many persons one holds.
    """
    long = responses.long if responses.long is not None else as_long(responses.table)
    n, first, n_rows = responses.n_persons, *first_rows(spec)
    group = np.zeros(n, dtype=np.int32) if responses.group is None else np.asarray(responses.group, dtype=np.int32)
    n_groups = len(spec.groups)
    person = long.person()
    row = (first[long.item] + long.value + n_rows * group[person]).astype(np.int32)

    wanted = chunk or _part_size(n, long.n, n_rows * n_groups, n_nodes)
    n_parts = max(1, -(-n // wanted))
    held = max(1, -(-n // n_parts))
    capacity = held + 1
    sizes = np.zeros((n_parts, capacity), dtype=np.int64)
    answered = np.zeros(n_parts * held, dtype=np.int64)
    answered[:n] = np.diff(long.start)
    sizes[:, :-1] = answered.reshape(n_parts, held)
    zero = n_rows * n_groups
    by_person = plan_tree(row, sizes, tree_widths(sizes[sizes > 0]), zero)

    key = (person // held).astype(np.int64) * zero + row
    order = np.argsort(key, kind="stable")
    counts = np.bincount(key, minlength=n_parts * zero).reshape(n_parts, zero)
    place = (person % held).astype(np.int32)[order]
    by_row = plan_tree(place, counts, tree_widths(counts), capacity - 1)
    return SparseLayout(long, row, first, n_rows, group, n_parts, capacity, by_person.levels, by_row.levels)


def first_rows(spec: IrtSpec) -> tuple[IntArray, int]:
    """(J,) row of category 0 of each item among the rows of one group, in the order of the blocks; number of rows."""
    first = np.zeros(len(spec.items), dtype=np.int32)
    at = 0
    for block in spec.blocks:
        columns = np.asarray(block.columns, dtype=np.intp)
        first[columns] = at + block.n_categories * np.arange(columns.size)
        at += block.n_categories * columns.size
    return first, at


def as_long(table: Any) -> Long:
    """A table of codes as a list of the responses that were given."""
    person, item = np.nonzero(table != MISSING)
    start = np.concatenate([[0], np.cumsum(np.bincount(person, minlength=table.shape[0]))])
    return Long(item.astype(np.int32), table[person, item], start)


def _part_size(n: int, n_responses: int, n_rows: int, n_nodes: int) -> int:
    """Persons a part: as many as the cache holds, but with more responses than the table has rows."""
    each = max(1.0, n_responses / max(n, 1))
    return int(min(LARGEST_PART, max(PART_CELLS / n_nodes, 2 * n_rows / each, 1)))
