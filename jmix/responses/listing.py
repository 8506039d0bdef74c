"""Responses as a list: a row for each (person, item, response). Never spread over persons by items where sparse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError
from jmix.formula.frame import Frame
from jmix.responses.coding import Labels, code_column, complete_pairs, shown
from jmix.responses.convert import DENSE_SHARE, DENSE_SIZE, to_table
from jmix.responses.data import MISSING, Codes, IntArray, Long, Responses
from jmix.responses.persons import align_to_persons, as_vector, item_column, person_side

Index = npt.NDArray[np.intp]


class _Rows(NamedTuple):
    """The rows of the list as codes.

    Attributes:
        person, item: (n,) codes. first_person, first_item: a row of each.
    """

    person: IntArray
    item: IntArray
    persons: pd.Index[Any]
    items: pd.Index[Any]
    first_person: Index
    first_item: Index


def read_listing(
    responses: Any,
    person: str | None,
    item: str,
    response: str,
    items: Sequence[str] | None,
    weights: Any,
    group: Any,
    cluster: Any,
    data: Any,
    with_item_data: bool,
) -> Responses:
    """See ``read_responses``."""
    if person is None:
        raise DataError("a list of responses needs person=, the column that says whose response it is")
    frame = Frame(responses)
    if frame.n == 0:
        raise DataError("the list of responses is empty")
    keep = None if items is None else _kept(frame, item, items)
    rows = _rows(frame, person, item, keep)
    values, labels, notes = _values(_taken(item_column(frame, responses, response), keep), rows)
    given = None if data is None else align_to_persons(data, rows.persons, person)

    def pick(column: Any, what: str) -> Any:
        return _per_person(column, what, frame, given, rows, keep)

    used = {person, item, response}
    extra = [] if data is not None and not with_item_data else [name for name in frame.names if name not in used]
    own_data, item_data = _constant_columns(frame, rows, keep, extra)
    side = person_side(pick, rows.persons, weights, group, cluster, own_data if given is None else given)
    long = _sorted(rows, values)
    names = tuple(str(name) for name in rows.items)
    if len(set(names)) != len(names):
        raise DataError("two items have the same name as text; name them differently")
    n, j = len(rows.persons), len(names)
    dense = long.n >= DENSE_SHARE * n * j or n * j <= DENSE_SIZE
    return Responses(
        items=names,
        categories=labels,
        table=to_table(long, j) if dense else None,
        long=None if dense else long,
        persons=rows.persons,
        item_data=item_data if with_item_data else None,
        notes=notes,
        **side._asdict(),
    )


def _rows(frame: Frame, person: str, item: str, keep: Index | None) -> _Rows:
    who, persons = _factor(_taken(frame.column(person), keep), person, in_order=False)
    what, items = _factor(_taken(frame.column(item), keep), item, in_order=True)
    return _Rows(who, what, persons.rename(person), items, _first(who, len(persons)), _first(what, len(items)))


def _factor(values: Any, name: str, in_order: bool) -> tuple[IntArray, pd.Index[Any]]:
    """Codes and labels, in the order of their occurrence; or of their categories, or sorted where they are numbers."""
    series = pd.Series(values)
    missing = series.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"the column {name!r} is missing in {int(missing.sum()):,} rows, the first of them row "
            f"{int(np.argmax(missing)) + 1}; drop them or fill them in"
        )
    if isinstance(series.dtype, pd.CategoricalDtype) and in_order:
        series = series.cat.remove_unused_categories()
        return series.cat.codes.to_numpy().astype(np.int32), pd.Index(series.cat.categories)
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, levels = pd.factorize(series.cat.codes.to_numpy())
        return codes.astype(np.int32), pd.Index(series.cat.categories[levels])
    sort = in_order and pd.api.types.is_numeric_dtype(series.dtype)
    codes, found = pd.factorize(series, sort=sort)
    return codes.astype(np.int32), pd.Index(found)


def _first(codes: IntArray, n: int) -> Index:
    """(n,) the first row of each code."""
    first = np.empty(n, dtype=np.intp)
    first[codes[::-1]] = np.arange(codes.size - 1, -1, -1)
    return first


def _values(column: Any, rows: _Rows) -> tuple[Codes, tuple[Labels, ...], tuple[str, ...]]:
    """Codes of the responses by the categories of their own item."""
    pooled = code_column(column, "responses")
    j, k = len(rows.items), max(1, len(pooled.labels))
    given = pooled.codes >= 0
    counts = np.bincount(rows.item[given].astype(np.int64) * k + pooled.codes[given], minlength=j * k).reshape(j, k)
    old = [tuple(label for label, seen in zip(pooled.labels, row, strict=False) if seen) for row in counts > 0]
    labels = complete_pairs(old)
    place = {label: i for i, label in enumerate(pooled.labels)}
    change = np.full((j, k + 1), MISSING, dtype=np.int8)
    for row, new in zip(change, labels, strict=True):
        for i, label in enumerate(new):
            if label in place:
                row[place[label]] = i
    note = pooled.note.removeprefix("responses: ")
    return change[rows.item, pooled.codes], labels, (note[0].upper() + note[1:],) if note else ()


def _sorted(rows: _Rows, values: Codes) -> Long:
    """The given responses by person and within a person by item.

    Raises:
        DataError: a person answered an item twice.
    """
    given = values >= 0
    person, item, value = rows.person[given], rows.item[given], values[given]
    key = person.astype(np.int64) * len(rows.items) + item
    if key.size and np.any(key[1:] <= key[:-1]):
        order = np.argsort(key, kind="stable")
        key, item, value = key[order], item[order], value[order]
    twice = np.flatnonzero(key[1:] == key[:-1])
    if twice.size:
        who, what = divmod(int(key[twice[0]]), len(rows.items))
        raise DataError(
            f"person {shown(rows.persons[who])} answered item {shown(rows.items[what])} more than once ({twice.size:,} "
            "such responses); keep one response for each person and item, as data.drop_duplicates([person, item]) does"
        )
    counts = np.bincount(person, minlength=len(rows.persons))
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Long(item.astype(np.int32), value, start)


def _per_person(column: Any, what: str, frame: Frame, given: pd.DataFrame | None, rows: _Rows, keep: Any) -> Any:
    if isinstance(column, str):
        if column in frame.names:
            return _constant(_taken(frame.column(column), keep), f"{what}={column!r}", rows)
        if given is not None and column in given.columns:
            return given[column]
        raise DataError(
            f"{what}={column!r}: neither the responses nor data have this column; {frame.suggestion(column)}"
        )
    values = as_vector(column, what)
    if len(values) == frame.n:
        return _constant(_taken(values, keep), what, rows)
    if len(values) == len(rows.persons):
        return values
    raise DataError(
        f"{what} has {len(values):,} values for {len(rows.persons):,} persons and {frame.n:,} responses; give one a "
        "person, or one a row"
    )


def _constant(values: Any, what: str, rows: _Rows) -> pd.Series[Any]:
    """(N,) the value of each person, the same in all its rows."""
    series = pd.Series(values).reset_index(drop=True)
    codes, _ = pd.factorize(series, use_na_sentinel=True)
    differs = codes != codes[rows.first_person][rows.person]
    if differs.any():
        row = int(np.argmax(differs))
        who = rows.person[row]
        one, two = shown(series.iloc[rows.first_person[who]]), shown(series.iloc[row])
        raise DataError(
            f"{what} is not constant within person: person {shown(rows.persons[who])} has {one} and {two}; "
            "give each person one value"
        )
    return series.iloc[rows.first_person].reset_index(drop=True)


def _constant_columns(
    frame: Frame, rows: _Rows, keep: Index | None, names: list[Any]
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Columns of the list that tell something of the persons, and of the items: constant within them."""
    of_persons: dict[Any, Any] = {}
    of_items: dict[Any, Any] = {}
    for name in names:
        series = pd.Series(_taken(frame.column(name), keep)).reset_index(drop=True)
        try:
            codes, _ = pd.factorize(series, use_na_sentinel=True)
        except TypeError:
            continue
        for first, code, index, out in (
            (rows.first_person, rows.person, rows.persons, of_persons),
            (rows.first_item, rows.item, rows.items.astype(str), of_items),
        ):
            if np.array_equal(codes[first][code], codes):
                out[name] = series.iloc[first].set_axis(index)
    return (pd.DataFrame(of_persons) if of_persons else None), (pd.DataFrame(of_items) if of_items else None)


def _kept(frame: Frame, item: str, items: Sequence[str]) -> Index:
    names = pd.Series(frame.column(item)).astype(str).to_numpy()
    wanted = {str(name) for name in items}
    absent = sorted(wanted - set(names))
    if absent:
        raise DataError(f"items: the column {item!r} has no item {absent[0]!r}")
    return np.flatnonzero(np.isin(names, list(wanted)))


def _taken(values: Any, keep: Index | None) -> Any:
    if keep is None:
        return values
    return values.iloc[keep] if isinstance(values, pd.Series) else values[keep]
