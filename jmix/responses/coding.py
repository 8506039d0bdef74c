"""Categories of any type as the codes 0 to K - 1: a column of responses at a time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError
from jmix.responses.data import MISSING, Codes

MOST_CATEGORIES = 100
"""More observed values than this are taken for a measurement rather than for categories."""

Labels = tuple[Hashable, ...]


class Coded(NamedTuple):
    """A column of responses.

    Attributes:
        codes: (n,) places in ``labels``, ``MISSING`` where there is no response. labels: the observed categories in
            order. note: what the user may want to know, or "".
    """

    codes: Codes
    labels: Labels
    note: str = ""


def code_column(values: Any, name: str) -> Coded:
    """Codes of a column of responses: numbers in their order, text in the order of its categories.

    Args:
        values: (n,) pandas Series or NumPy array. Missing are NaN, None, NA, empty text, and in integers -1.
        name: of the item, for messages.

    Raises:
        DataError: the values are no categories: fractions, dates, mixed types, or too many of them.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "biu":
        return code_integers(values, name)
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return _code_floats(values, name)
    series = values if isinstance(values, pd.Series) else pd.Series(values)
    if isinstance(series.dtype, pd.CategoricalDtype):
        return _code_categorical(series, name)
    if pd.api.types.is_bool_dtype(series.dtype) or pd.api.types.is_integer_dtype(series.dtype):
        missing = series.isna().to_numpy()
        if not missing.any():
            return code_column(series.to_numpy(dtype=bool if series.dtype.kind == "b" else None), name)
        truth = series.dtype.kind == "b"
        return _masked(series.fillna(False if truth else 0).to_numpy(dtype=np.int64), missing, name, truth)
    if pd.api.types.is_float_dtype(series.dtype):
        return _code_floats(series.to_numpy(dtype=np.float64, na_value=np.nan), name)
    if isinstance(series.dtype, pd.StringDtype) or series.dtype == object:
        return _code_objects(series, name)
    raise DataError(f"item {name!r} holds {series.dtype} values; responses are numbers, True and False, or text")


def code_integers(values: npt.NDArray[Any], name: str) -> Coded:
    """Codes of integers or truth values, -1 being missing in integers."""
    if values.size == 0:
        return Coded(np.zeros(0, np.int8), ())
    if values.dtype == bool:
        codes, labels = _ranked(values.astype(np.int8), name)
        return Coded(codes, tuple(bool(k) for k in labels))
    low, high = int(values.min()), int(values.max())
    if low < MISSING:
        raise DataError(
            f"item {name!r} has the category {low}: in integers -1 means missing and no other negative number is "
            "allowed; add a number that makes all categories positive, or make the column an ordered categorical"
        )
    codes, labels = _ranked(values, name) if high < 1 << 16 else _ranked_wide(values, name)
    return Coded(codes, labels, missing_note(name) if low == MISSING else "")


def missing_note(names: str) -> str:
    """What to say where -1 was read as missing."""
    return f"{names}: -1 was read as missing"


def complete_pairs(labels: Sequence[Labels]) -> tuple[Labels, ...]:
    """The categories of each item, where those of one observed category get the other one of a dichotomous test.

    An item that all answered correctly is then still an item with two categories, one of them empty.
    """
    found = [label for label in labels if len(label) == 1]
    if not found:
        return tuple(labels)
    union = {value for label in labels for value in label}
    if union <= {0, 1}:
        kind: Any = bool if all(isinstance(value, bool) for value in union) else int
        pair: Labels = (kind(0), kind(1))
    else:
        pair = next((label for label in labels if len(label) == 2 and set(label) == union), ())
    return tuple(pair if len(label) == 1 and pair else label for label in labels)


def moved(codes: Codes, old: Labels, new: Labels) -> Codes:
    """The codes of an item after its labels have been completed."""
    if old == new:
        return codes
    table = np.array([new.index(label) for label in old] + [MISSING], dtype=np.int8)
    return table[codes]


def gaps(labels: Labels) -> list[int]:
    """Whole numbers between the first and the last category that nobody chose."""
    if len(labels) < 2 or not all(isinstance(label, int | np.integer) for label in labels):
        return []
    numbers = [int(label) for label in labels]  # type: ignore[call-overload]
    if numbers[-1] - numbers[0] > MOST_CATEGORIES:
        return []
    return sorted(set(range(numbers[0], numbers[-1])) - set(numbers))


def _ranked(values: npt.NDArray[Any], name: str) -> tuple[Codes, Labels]:
    """Codes of integers from -1 (missing) to at most 65,535, by counting."""
    shifted = values.astype(np.int64) + 1
    present = np.bincount(shifted) > 0
    present[0] = False
    labels = np.flatnonzero(present)
    _check_number(labels.size, name)
    table = np.full(present.size, MISSING, dtype=np.int8)
    table[labels] = np.arange(labels.size, dtype=np.int8)
    return table[shifted], tuple((labels - 1).tolist())


def _ranked_wide(values: npt.NDArray[Any], name: str) -> tuple[Codes, Labels]:
    unique, inverse = np.unique(values, return_inverse=True)
    skip = int(unique[0] == MISSING)
    _check_number(unique.size - skip, name)
    return (inverse - skip).astype(np.int8), tuple(unique[skip:].tolist())


def _masked(values: npt.NDArray[np.int64], missing: npt.NDArray[np.bool_], name: str, truth: bool) -> Coded:
    codes = np.full(values.size, MISSING, dtype=np.int8)
    given = values[~missing]
    coded = code_integers(given.astype(bool) if truth else given, name)
    codes[~missing] = coded.codes
    return Coded(codes, coded.labels)


def _code_floats(values: npt.NDArray[Any], name: str) -> Coded:
    missing = np.isnan(values)
    given = values[~missing]
    if given.size and not np.all(np.isfinite(given)):
        raise DataError(f"item {name!r} has infinite responses; make them missing, or leave those persons out")
    whole = given == np.rint(given)
    if not np.all(whole):
        raise DataError(
            f"item {name!r} has the response {given[~whole][0]:g}, which is not a whole number; categories are whole "
            "numbers or text (for steps of one half multiply by two). If the column is no item, choose the items by "
            "items=[...]"
        )
    if given.size and np.max(np.abs(given)) >= 2.0**62:
        raise DataError(f"item {name!r} has the response {given[np.argmax(np.abs(given))]:g}; it is not a category")
    return _masked(np.where(missing, 0.0, values).astype(np.int64), missing, name, False)


def _code_categorical(series: pd.Series[Any], name: str) -> Coded:
    dtype: Any = series.dtype
    order = None if dtype.ordered else _numeric_order(dtype.categories)
    if order is not None:
        series = series.cat.reorder_categories(dtype.categories[order])
        dtype = series.dtype
    codes = series.cat.codes.to_numpy()
    levels = list(dtype.categories)
    present = np.bincount(codes.astype(np.int64) + 1, minlength=len(levels) + 1)[1:] > 0
    _check_number(int(present.sum()), name)
    table = np.full(len(levels) + 1, MISSING, dtype=np.int8)
    table[:-1][present] = np.arange(int(present.sum()), dtype=np.int8)
    labels = tuple(_plain(level) for level, used in zip(levels, present, strict=True) if used)
    kept = np.flatnonzero(present)
    empty = [levels[k] for k in range(kept[0], kept[-1]) if not present[k]] if kept.size else []
    if empty and not gaps(labels):
        return Coded(table[codes], labels, f"{name}: nobody chose {', '.join(map(str, empty))} (empty category)")
    if not dtype.ordered and len(labels) > 2 and order is None:
        return Coded(table[codes], labels, _order_note(name, labels))
    return Coded(table[codes], labels)


def _code_objects(series: pd.Series[Any], name: str) -> Coded:
    missing = series.isna().to_numpy()
    given = series[~missing]
    kind = pd.api.types.infer_dtype(given, skipna=True)
    if kind in {"integer", "boolean", "floating", "mixed-integer-float", "decimal"} or given.empty:
        if kind == "boolean":
            return _masked(np.where(missing, False, series.to_numpy()).astype(np.int64), missing, name, True)
        return _code_floats(series.to_numpy(dtype=np.float64, na_value=np.nan), name)
    if kind != "string":
        raise DataError(f"item {name!r} mixes types ({kind}); make all its responses numbers, or all of them text")
    codes, levels = pd.factorize(series.where(series.str.strip() != ""), use_na_sentinel=True)
    _check_number(len(levels), name)
    texts = [str(level) for level in levels]
    by_number = _numeric_order(texts)
    order = np.argsort(np.array(texts), kind="stable") if by_number is None else by_number
    rank = np.full(len(texts) + 1, MISSING, dtype=np.int8)
    rank[order] = np.arange(len(texts), dtype=np.int8)
    labels = tuple(texts[k] for k in order)
    return Coded(rank[codes], labels, "" if by_number is not None or len(labels) < 3 else _order_note(name, labels))


def _numeric_order(labels: Any) -> npt.NDArray[np.intp] | None:
    """The order of labels that are numbers, or texts of numbers; None for others."""
    numbers = pd.to_numeric(pd.Series(list(labels), dtype=object), errors="coerce").to_numpy(dtype=np.float64)
    return None if np.isnan(numbers).any() else np.argsort(numbers, kind="stable")


def _order_note(name: str, labels: Labels) -> str:
    return (
        f"{name}: the categories were taken in the order {', '.join(map(str, labels))}; for another order make the "
        "column an ordered categorical"
    )


def shown(label: Any) -> str:
    """A label as a message shows it."""
    return repr(_plain(label))


def _plain(label: Any) -> Hashable:
    return label.item() if isinstance(label, np.generic) else label


def _check_number(number: int, name: str) -> None:
    if number > MOST_CATEGORIES:
        raise DataError(
            f"item {name!r} has {number:,} different values, too many for the categories of an item; if it is no item, "
            "choose the items by items=[...]"
        )
