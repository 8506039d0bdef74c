"""Item responses as arrays: a table of persons by items, or the sorted list of the responses that were given."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

MISSING = -1
"""Code of a missing response in a table."""

Codes = npt.NDArray[np.int8]
IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Long:
    """The responses that were given, sorted by person and within a person by item.

    Attributes:
        item: (n,) column of each response. value: (n,) category, 0-based. start: (N + 1,) where each person begins.
    """

    item: IntArray
    value: Codes
    start: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of responses."""
        return int(self.item.size)

    def person(self) -> IntArray:
        """(n,) row of each response."""
        return np.repeat(np.arange(self.start.size - 1, dtype=np.int32), np.diff(self.start))


@dataclass(frozen=True, eq=False)
class Responses:
    """What persons answered, and what is known of the persons and the items.

    Exactly one of ``table`` and ``long`` is given.

    Attributes:
        items: names of the J columns. categories: for each item the labels of its categories in order; the code of a
            response is its place in that list.
        table: (N, J) codes, ``MISSING`` where there is none. long: the same as a list.
        persons: (N,) labels. weights: (N,) positive, or None for ones.
        group: (N,) code of the person's group, groups: the labels; one group where None.
        cluster: (N,) code of the cluster that the person belongs to, clusters: the labels; None without clusters.
        data: person data, a frame with N rows. item_data: item data, a frame with J rows in the order of ``items``.
        notes: what reading decided that the user may want to know, one sentence each.
    """

    items: tuple[str, ...]
    categories: tuple[tuple[Hashable, ...], ...]
    table: Codes | None
    long: Long | None
    persons: pd.Index[Any]
    weights: FloatArray | None = None
    group: IntArray | None = None
    groups: tuple[str, ...] = ("all",)
    cluster: IntArray | None = None
    clusters: pd.Index[Any] | None = None
    data: pd.DataFrame | None = None
    item_data: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()

    @property
    def n_persons(self) -> int:
        """N."""
        return len(self.persons)

    @property
    def n_items(self) -> int:
        """J."""
        return len(self.items)

    @property
    def n_categories(self) -> tuple[int, ...]:
        """(J,) number of categories of each item."""
        return tuple(len(labels) for labels in self.categories)

    @property
    def n_responses(self) -> int:
        """Number of responses that are not missing."""
        if self.long is not None:
            return self.long.n
        assert self.table is not None
        return int(np.count_nonzero(self.table != MISSING))

    @property
    def n_groups(self) -> int:
        """Number of groups, at least one."""
        return len(self.groups)
