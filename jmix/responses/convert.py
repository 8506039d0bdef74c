"""Between the two forms of responses, and parts of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError
from jmix.responses.data import MISSING, Codes, Long, Responses

DENSE_SHARE = 0.25
"""A list with at least this share of all persons by items is kept as a table."""

DENSE_SIZE = 2_000_000
"""A list of persons by items up to this number is kept as a table, however sparse."""


def to_table(long: Long, n_items: int) -> Codes:
    """(N, J) codes of a list."""
    table = np.full((long.start.size - 1, n_items), MISSING, dtype=np.int8)
    table[long.person(), long.item] = long.value
    return table


def to_long(table: Codes) -> Long:
    """The list of the given responses of a table."""
    given = table != MISSING
    start = np.concatenate([[0], np.cumsum(given.sum(axis=1))]).astype(np.int64)
    return Long(np.nonzero(given)[1].astype(np.int32), table[given], start)


def as_table(responses: Responses) -> Codes:
    """The table of responses, made where they are a list. Of sparse data it takes N J bytes."""
    if responses.table is not None:
        return responses.table
    assert responses.long is not None
    return to_table(responses.long, responses.n_items)


def as_long(responses: Responses) -> Long:
    """The list of responses, made where they are a table."""
    if responses.long is not None:
        return responses.long
    assert responses.table is not None
    return to_long(responses.table)


def take_persons(responses: Responses, rows: npt.ArrayLike) -> Responses:
    """The responses of some persons, in the order of ``rows`` (places, or a mask (N,)); items and groups stay."""
    index = np.asarray(rows)
    index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.intp)

    def part(values: Any) -> Any:
        return None if values is None else values[index]

    return replace(
        responses,
        table=part(responses.table),
        long=None if responses.long is None else _rows_of(responses.long, index),
        persons=responses.persons[index],
        weights=part(responses.weights),
        group=part(responses.group),
        cluster=part(responses.cluster),
        data=None if responses.data is None else responses.data.iloc[index],
    )


def take_items(responses: Responses, items: list[str]) -> Responses:
    """The responses to some items, in the order given.

    Raises:
        DataError: there is no such item.
    """
    place = {name: j for j, name in enumerate(responses.items)}
    absent = [name for name in items if name not in place]
    if absent:
        raise DataError(f"there is no item {absent[0]!r}; the items are {', '.join(responses.items[:8])}")
    columns = np.array([place[name] for name in items], dtype=np.intp)
    table, long = responses.table, responses.long
    return replace(
        responses,
        items=tuple(items),
        categories=tuple(responses.categories[j] for j in columns),
        table=None if table is None else np.ascontiguousarray(table[:, columns]),
        long=None if long is None else _columns_of(long, columns, responses.n_items),
        item_data=None if responses.item_data is None else responses.item_data.iloc[columns],
    )


def _rows_of(long: Long, index: npt.NDArray[np.intp]) -> Long:
    sizes = np.diff(long.start)[index]
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    place = np.arange(start[-1]) - np.repeat(start[:-1] - long.start[index], sizes)
    return Long(long.item[place], long.value[place], start)


def _columns_of(long: Long, columns: npt.NDArray[np.intp], n_items: int) -> Long:
    new = np.full(n_items, -1, dtype=np.int32)
    new[columns] = np.arange(columns.size, dtype=np.int32)
    item, person = new[long.item], long.person()
    kept = item >= 0
    person, item, value = person[kept], item[kept], long.value[kept]
    order = np.lexsort((item, person))
    start = np.concatenate([[0], np.cumsum(np.bincount(person, minlength=long.start.size - 1))]).astype(np.int64)
    return Long(item[order], value[order], start)
