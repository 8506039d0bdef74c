"""Responses as fit statistics need them: a dense table with frequencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError
from jmix.responses.data import MISSING, Codes, Responses

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

LARGEST = 400_000_000
"""Most cells of a table that is made from a sparse list of responses."""


@dataclass(frozen=True, eq=False)
class Observed:
    """A table of responses.

    Attributes:
        table: (N, J) codes, ``MISSING`` where there is none. weights: (N,) frequency of each row. rows: (N,) the
            persons of the responses that these are. items: J names. n_categories: (J,).
    """

    table: Codes
    weights: FloatArray
    rows: npt.NDArray[np.int64]
    items: tuple[str, ...]
    n_categories: tuple[int, ...]

    @property
    def n(self) -> float:
        """Sum of the frequencies."""
        return float(self.weights.sum())

    @property
    def answered(self) -> BoolArray:
        """(N, J) whether there is a response."""
        return self.table != MISSING

    def take(self, rows: npt.NDArray[np.int64] | BoolArray) -> Observed:
        """Some of the rows."""
        return Observed(self.table[rows], self.weights[rows], self.rows[rows], self.items, self.n_categories)

    def columns(self, places: Sequence[int]) -> Observed:
        """Some of the items, by their columns."""
        return Observed(
            self.table[:, list(places)],
            self.weights,
            self.rows,
            tuple(self.items[j] for j in places),
            tuple(self.n_categories[j] for j in places),
        )

    def complete(self, what: str) -> Observed:
        """The rows without a missing response.

        Args:
            what: the statistic, for the error.

        Raises:
            DataError: no person answered every item.
        """
        keep: BoolArray = np.asarray(self.answered.all(axis=1))
        if keep.all():
            return self
        if not keep.any():
            raise DataError(
                f"{what} needs persons who answered every item, and there is none: choose items given together, "
                "with items=[...]"
            )
        return self.take(keep)


def observed(responses: Responses, group: int | None = None) -> Observed:
    """The table of the responses, of one group where ``group`` is its code.

    Raises:
        DataError: sparse responses whose table would be too large.
    """
    table = responses.table if responses.table is not None else _dense(responses)
    n = responses.n_persons
    weights = np.ones(n) if responses.weights is None else np.asarray(responses.weights, dtype=np.float64)
    whole = Observed(table, weights, np.arange(n), responses.items, responses.n_categories)
    if group is None or responses.group is None:
        return whole
    return whole.take(responses.group == group)


def observed_rows(responses: Responses, rows: npt.NDArray[np.int64]) -> Observed:
    """The table of some persons, by their numbers in ascending order."""
    if responses.long is None:
        return observed(responses).take(rows)
    long = responses.long
    first, n = long.start[rows], np.diff(long.start)[rows]
    at = np.repeat(np.arange(rows.size), n)
    place = np.arange(at.size) - np.repeat(np.cumsum(n) - n, n) + first[at]
    table = np.full((rows.size, responses.n_items), MISSING, dtype=np.int8)
    table[at, long.item[place]] = long.value[place]
    weights = np.ones(rows.size) if responses.weights is None else np.asarray(responses.weights, dtype=np.float64)[rows]
    return Observed(table, weights, rows, responses.items, responses.n_categories)


def _dense(responses: Responses) -> Codes:
    long = responses.long
    assert long is not None
    if responses.n_persons * responses.n_items > LARGEST:
        raise DataError(
            f"this statistic needs a table of {responses.n_persons} persons by {responses.n_items} items, too large "
            "for the memory: use fewer items or a sample of the persons"
        )
    table = np.full((responses.n_persons, responses.n_items), MISSING, dtype=np.int8)
    table[long.person(), long.item] = long.value
    return table
