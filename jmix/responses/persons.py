"""What is known of the persons: weights, groups, clusters and data, one entry a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError
from jmix.formula.frame import Frame
from jmix.responses.coding import shown
from jmix.responses.data import FloatArray, IntArray

Column = str | Sequence[Any] | npt.NDArray[Any] | pd.Series


class PersonSide(NamedTuple):
    """Weights, groups, clusters and person data, as in ``Responses``."""

    weights: FloatArray | None
    group: IntArray | None
    groups: tuple[str, ...]
    cluster: IntArray | None
    clusters: pd.Index[Any] | None
    data: pd.DataFrame | None


Pick = Callable[[Any, str], Any]
"""From a column's name or an array, and the argument's name, to (N,) values, one a person."""


def person_side(
    pick: Pick, persons: pd.Index[Any], weights: Any, group: Any, cluster: Any, data: pd.DataFrame | None
) -> PersonSide:
    """Read what was given of the persons."""
    codes, groups = (None, ("all",)) if group is None else _groups(pick(group, "group"), persons)
    places, clusters = (None, None) if cluster is None else _levels(pick(cluster, "cluster"), persons, "cluster")
    return PersonSide(
        None if weights is None else _weights(pick(weights, "weights"), persons),
        codes,
        groups,
        places,
        clusters,
        data,
    )


def as_pandas(data: Any, what: str) -> pd.DataFrame:
    """Any table as a pandas frame.

    Raises:
        DataError: it is no table, or its columns have equal names.
    """
    if isinstance(data, pd.DataFrame):
        return data
    try:
        frame = Frame(data)
    except DataError as error:
        raise DataError(f"{what}: {error}") from error
    return pd.DataFrame({name: frame.column(name) for name in frame.names}, index=frame.index)


def align_to_persons(data: Any, persons: pd.Index[Any], key: str | None) -> pd.DataFrame:
    """Person data with one row a person, in their order.

    Rows are matched by the column ``key`` where the data have it, by their index where it holds the persons' labels,
    and else by their place.

    Raises:
        DataError: a person has no row or several, or the number of rows is another and there are no labels.
    """
    frame = as_pandas(data, "data")
    n = len(persons)
    if key is not None and key in frame.columns:
        return _by_label(frame.drop(columns=key), pd.Index(frame[key]), persons, f"column {key!r} of data")
    if frame.index.equals(persons) and len(frame) == n:
        return frame
    if isinstance(frame.index, pd.RangeIndex) and len(frame) == n:
        return frame.set_axis(persons, axis=0)
    if persons.isin(frame.index).all():
        return _by_label(frame, frame.index, persons, "index of data")
    if len(frame) == n and key is None:
        return frame.set_axis(persons, axis=0)
    absent = persons[~persons.isin(frame.index)]
    raise DataError(
        f"data has {len(frame):,} rows for {n:,} persons, and person {shown(absent[0])} is not in its index; give one "
        "row a person, with the persons' labels as the index" + (f" or in a column {key!r}" if key else "")
    )


def align_to_items(item_data: Any, items: tuple[str, ...], key: str | None) -> pd.DataFrame:
    """Item data with one row an item, in their order; matched by a column ``key`` or "item", the index, or the place.

    Raises:
        DataError: an item has no row or several.
    """
    frame = as_pandas(item_data, "item_data")
    wanted = pd.Index(items)
    for name in (key, "item"):
        if name is not None and name in frame.columns:
            labels = pd.Index(frame[name].astype(str))
            return _by_label(frame.drop(columns=name), labels, wanted, f"column {name!r} of item_data")
    labels = pd.Index(frame.index.astype(str))
    if wanted.isin(labels).all():
        return _by_label(frame, labels, wanted, "index of item_data")
    if len(frame) == len(items) and isinstance(frame.index, pd.RangeIndex):
        return frame.set_axis(wanted, axis=0)
    absent = wanted[~wanted.isin(labels)]
    raise DataError(
        f"item_data has {len(frame)} rows for {len(items)} items, and item {shown(absent[0])} is not in its index; "
        "give one row an item, with the items' names as the index or in a column 'item'"
    )


def item_column(frame: Frame, source: Any, name: Any) -> Any:
    """A column of responses. Categories that polars or arrow number as they occur are given back as plain text."""
    column = frame.column(name)
    ordered = not isinstance(getattr(column, "dtype", None), pd.CategoricalDtype) or column.dtype.ordered
    if ordered or isinstance(source, pd.DataFrame | dict):
        return column
    import narwhals.stable.v1 as nw

    declared = isinstance(nw.from_native(source).collect_schema()[name], nw.Enum)
    return column.cat.as_ordered() if declared else column.astype(object)


def as_vector(values: Any, what: str) -> Any:
    """A column given as values: a pandas Series or a NumPy array of one dimension."""
    if isinstance(values, pd.Series):
        return values
    if isinstance(values, pd.Categorical | pd.Index):
        return pd.Series(values)
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"{what} has {array.ndim} dimensions; give the name of a column, or one value a person")
    return array


def _by_label(frame: pd.DataFrame, labels: pd.Index[Any], wanted: pd.Index[Any], where: str) -> pd.DataFrame:
    if labels.has_duplicates:
        twice = labels[labels.duplicated()][0]
        raise DataError(f"{shown(twice)} occurs more than once in the {where}; keep one row for each")
    place = labels.get_indexer(wanted)
    if (place < 0).any():
        raise DataError(f"{shown(wanted[place < 0][0])} is missing from the {where}; add its row")
    return frame.take(place).set_axis(wanted, axis=0)


def _weights(values: Any, persons: pd.Index[Any]) -> FloatArray:
    try:
        weights = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("the weights are not numbers") from error
    for bad, text in (
        (~np.isfinite(weights), "is missing or infinite"),
        (weights < 0, "is negative"),
        (weights == 0, "is zero"),
    ):
        if bad.any():
            raise DataError(
                f"the weight of person {shown(persons[int(np.argmax(bad))])} {text} ({int(bad.sum()):,} such persons); "
                "weights are positive: give one, or leave the person out"
            )
    return weights


def _groups(values: Any, persons: pd.Index[Any]) -> tuple[IntArray, tuple[str, ...]]:
    codes, levels = _levels(values, persons, "group")
    return codes, tuple(str(level) for level in levels)


def _levels(values: Any, persons: pd.Index[Any], what: str) -> tuple[IntArray, pd.Index[Any]]:
    """Codes and the observed levels: categories in their order, everything else sorted."""
    series = pd.Series(values).reset_index(drop=True)
    missing = series.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"person {shown(persons[int(np.argmax(missing))])} has no {what} ({int(missing.sum()):,} such persons); "
            "give it one, or leave the person out"
        )
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.cat.remove_unused_categories()
        return series.cat.codes.to_numpy().astype(np.int32), pd.Index(series.cat.categories)
    try:
        codes, levels = pd.factorize(series, sort=True)
    except TypeError as error:
        raise DataError(f"the {what}s mix text and numbers; make them all one type") from error
    return codes.astype(np.int32), pd.Index(levels)
