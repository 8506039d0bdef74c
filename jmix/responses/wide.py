"""Responses as a table of persons by items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError
from jmix.formula.frame import Frame
from jmix.responses.coding import missing_note, shown
from jmix.responses.data import MISSING, Responses
from jmix.responses.matrix import CodedTable, code_array, code_columns
from jmix.responses.persons import align_to_persons, as_vector, item_column, person_side

_KINDS = "a pandas, polars or arrow table, a dict of columns, or an array of persons by items"


class _Source(NamedTuple):
    """The items and the rest of a table."""

    coded: CodedTable
    items: tuple[str, ...]
    persons: pd.Index[Any]
    frame: Frame | None
    others: list[Any]


def read_wide(
    responses: Any,
    person: str | None,
    items: Sequence[str] | None,
    weights: Any,
    group: Any,
    cluster: Any,
    data: Any,
) -> Responses:
    """See ``read_responses``."""
    taken = [name for name in (person, weights, group, cluster) if isinstance(name, str)]
    is_array = isinstance(responses, np.ndarray | list | tuple) or _is_foreign_array(responses)
    source = _from_array(responses, items) if is_array else _from_frame(responses, person, items, taken)
    own = source.frame
    given = None if data is None else align_to_persons(data, source.persons, person)

    def pick(column: Any, what: str) -> Any:
        if isinstance(column, str):
            return _named(column, what, own, given)
        values = as_vector(column, what)
        if len(values) != len(source.persons):
            raise DataError(f"{what} has {len(values):,} values for {len(source.persons):,} persons; give one a person")
        return values

    if given is None and own is not None and source.others:
        given = pd.DataFrame({name: own.column(name) for name in source.others}).set_axis(source.persons, axis=0)
    side = person_side(pick, source.persons, weights, group, cluster, given)
    return Responses(
        items=source.items,
        categories=source.coded.labels,
        table=source.coded.table,
        long=None,
        persons=source.persons,
        notes=source.coded.notes,
        **side._asdict(),
    )


def _from_array(values: Any, items: Sequence[str] | None) -> _Source:
    if isinstance(values, np.ma.MaskedArray):
        values = np.where(np.ma.getmaskarray(values), np.array(None, dtype=object), values.data.astype(object))
    array = np.asarray(values)
    if array.ndim != 2:
        raise DataError(f"the responses have {array.ndim} dimensions; give {_KINDS}")
    n, j = array.shape
    names = tuple(f"Item.{k + 1}" for k in range(j)) if items is None else _unique([str(name) for name in items])
    if len(names) != j:
        raise DataError(f"items has {len(names)} names for an array with {j} columns; give one a column")
    _check_size(n, j)
    return _Source(_code(array, names), names, pd.RangeIndex(n), None, [])


def _from_frame(responses: Any, person: str | None, items: Sequence[str] | None, taken: list[str]) -> _Source:
    try:
        frame = Frame(responses)
    except DataError as error:
        raise DataError(f"the responses are a {type(responses).__name__}; give {_KINDS}: {error}") from error
    _unique([str(name) for name in frame.names])
    columns = [name for name in frame.names if name not in taken] if items is None else _chosen(frame, items, taken)
    others = [name for name in frame.names if name not in set(columns) and name != person]
    names = tuple(str(name) for name in columns)
    _check_size(frame.n, len(names))
    persons = frame.index if person is None else _labels(frame, person)
    array = _block(responses, columns)
    coded = (
        code_columns([item_column(frame, responses, c) for c in columns], names)
        if array is None
        else _code(array, names)
    )
    if array is not None and array.dtype.kind == "i" and not coded.notes and array.min() == MISSING:
        coded = coded._replace(notes=(missing_note("the responses"),))
    return _Source(coded, names, persons, frame, others)


def _code(array: npt.NDArray[Any], names: tuple[str, ...]) -> CodedTable:
    if array.dtype.kind in "biuf" and array.dtype != np.float16:
        return code_array(array, names)
    if array.dtype.kind in "cmM":
        raise DataError(f"the responses are {array.dtype} values; give whole numbers, True and False, or text")
    columns = [pd.Series(array[:, j].tolist(), dtype=object) for j in range(len(names))]
    return code_columns(columns, names)


def _block(responses: Any, columns: list[Any]) -> npt.NDArray[Any] | None:
    """The items of a pandas frame as one array where all have one type of NumPy's."""
    if not isinstance(responses, pd.DataFrame):
        return None
    kinds = set(responses.dtypes.tolist()) if len(columns) == responses.shape[1] else set(responses[columns].dtypes)
    kind = next(iter(kinds))
    if len(kinds) > 1 or not isinstance(kind, np.dtype) or kind.kind not in "biuf":
        return None
    whole = len(columns) == responses.shape[1]
    return (responses if whole else responses[columns]).to_numpy()


def _chosen(frame: Frame, items: Sequence[str], taken: list[str]) -> list[Any]:
    if isinstance(items, str):
        raise DataError(f"items is the text {items!r}; give a list of the names of columns")
    columns = list(items)
    for name in columns:
        frame.column(name)
        if name in taken:
            raise DataError(f"column {name!r} is among the items and has another use too; leave it out of one")
    _unique([str(name) for name in columns])
    return columns


def _labels(frame: Frame, person: str) -> pd.Index[Any]:
    column = frame.column(person)
    if isinstance(getattr(column, "dtype", None), pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    labels = pd.Index(column, name=person)
    if labels.hasnans:
        raise DataError(f"the column {person!r} has missing labels of persons; fill them, or leave person= out")
    if labels.has_duplicates:
        twice = labels[labels.duplicated()][0]
        raise DataError(
            f"person {shown(twice)} has several rows; a table has one row a person. For a list of responses name item= "
            "and response= too"
        )
    return labels


def _named(name: str, what: str, own: Frame | None, given: pd.DataFrame | None) -> Any:
    if own is not None and name in own.names:
        return own.column(name)
    if given is not None and name in given.columns:
        return given[name]
    if own is None and given is None:
        raise DataError(f"{what}={name!r} names a column, but an array has none; give the values, or data=")
    hint = own.suggestion(name) if own is not None else ""
    raise DataError(f"{what}={name!r}: neither the responses nor data have this column; {hint}")


def _unique(names: list[str]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two columns are named {shown(twice)}; items need different names")
    return tuple(names)


def _check_size(n: int, j: int) -> None:
    if j == 0:
        raise DataError("the responses have no items: there is no column left for them")
    if n == 0:
        raise DataError("the responses have no persons: the table has no rows")


def _is_foreign_array(values: Any) -> bool:
    """An array of another library, such as JAX's."""
    return hasattr(values, "__array__") and hasattr(values, "shape") and not hasattr(values, "columns")
