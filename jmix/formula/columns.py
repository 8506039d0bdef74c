"""Raw columns to numbers or factors, with a clear refusal of what is neither."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError
from jmix.formula.values import Categories, FloatArray, IntArray, labels_of

_LOGICAL = ["FALSE", "TRUE"]
_BAD_KINDS = {"c": "complex numbers", "M": "dates or times", "m": "time differences", "V": "records"}


def as_variable(raw: Any, name: str) -> FloatArray | Categories:
    """A column as a term of the formula sees it: numbers stay numbers, everything else is a factor.

    Raises:
        DataError: an infinite value, or a type that is neither a number nor a category.
    """
    if isinstance(raw.dtype, pd.CategoricalDtype):
        return _from_categorical(raw)
    raw = _settle(raw, name)
    if isinstance(raw, np.ndarray) and raw.dtype.kind in "fiu":
        return finite_or_missing(raw.astype(np.float64, copy=False), name)
    if isinstance(raw, np.ndarray) and raw.dtype.kind == "b":
        return Categories(raw.astype(np.int32), _LOGICAL, logical=True)
    if pd.api.types.is_bool_dtype(raw.dtype):
        return _masked_logical(raw)
    if pd.api.types.is_numeric_dtype(raw.dtype):
        return finite_or_missing(raw.to_numpy(dtype=np.float64, na_value=np.nan), name)
    return _from_strings(raw)


def as_factor(raw: Any, name: str) -> Categories:
    """A column as a grouping factor: any type, numbers sorted as numbers.

    Raises:
        DataError: infinite values or a mixture of types.
    """
    if isinstance(raw.dtype, pd.CategoricalDtype):
        return _from_categorical(raw)
    if raw.dtype.kind in "Mm" or isinstance(raw.dtype, pd.PeriodDtype | pd.IntervalDtype | pd.DatetimeTZDtype):
        return _from_sortable(pd.Series(raw))
    if raw.dtype == object and pd.api.types.infer_dtype(raw, skipna=True) == "integer":
        return _from_sortable(pd.Series(raw))
    raw = _settle(raw, name)
    if isinstance(raw, np.ndarray) and raw.dtype.kind in "iu":
        return _from_integers(raw)
    if pd.api.types.is_integer_dtype(raw.dtype):
        return _from_sortable(pd.Series(raw))
    value = as_variable(raw, name)
    return value if isinstance(value, Categories) else from_numbers(value)


def finite_or_missing(values: FloatArray, name: str) -> FloatArray:
    """The values themselves, after a check that none is infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        clean = np.isfinite(values.sum())
    if not clean and np.isinf(values).any():
        raise DataError(f"the column {name!r} has {int(np.isinf(values).sum())} infinite values; replace or drop them")
    return values


def from_numbers(values: FloatArray) -> Categories:
    """Numbers as a factor with numerically sorted levels; NaN is missing."""
    whole = values.size and np.isfinite(values.sum()) and bool((np.trunc(values) == values).all())
    if whole and np.abs(values).max() < 2**53:
        return _from_integers(values.astype(np.int64))
    return _from_sortable(pd.Series(values))


def _settle(raw: Any, name: str) -> npt.NDArray[Any] | pd.Series[Any]:
    """NumPy array for numbers and booleans, a pandas Series for texts and masked types."""
    dtype = raw.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind in _BAD_KINDS:
            raise DataError(f"the column {name!r} holds {_BAD_KINDS[dtype.kind]}; convert it to numbers or categories")
        if dtype.kind in "OSU":
            return _from_objects(pd.Series(raw.astype(str) if dtype.kind == "S" else raw), name)
        return np.asarray(raw)
    if pd.api.types.is_string_dtype(dtype) or pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        if pd.api.types.is_complex_dtype(dtype):
            raise DataError(f"the column {name!r} holds complex numbers; convert it to numbers or categories")
        return pd.Series(raw)
    if isinstance(dtype, pd.SparseDtype):
        return np.asarray(raw)
    raise DataError(f"the column {name!r} has type {dtype}; convert it to numbers or categories")


def _from_objects(series: pd.Series[Any], name: str) -> npt.NDArray[Any] | pd.Series[Any]:
    kind = pd.api.types.infer_dtype(series, skipna=True)
    if kind == "string":
        return series
    if kind == "empty":
        return np.full(len(series), np.nan)
    if kind in {"integer", "floating", "mixed-integer-float", "decimal"}:
        return _floats(series, name)
    if kind == "boolean":
        return series.astype("boolean")
    shown = sorted({type(v).__name__ for v in series.head(1000) if v is not None})[:4]
    raise DataError(
        f"the column {name!r} mixes or holds values of type {', '.join(shown)}; convert it to numbers or to text"
    )


def _floats(series: pd.Series[Any], name: str) -> FloatArray:
    try:
        return np.array([np.nan if pd.isna(v) else float(v) for v in series], dtype=np.float64)
    except OverflowError:
        raise DataError(f"the column {name!r} holds whole numbers beyond 1e308; rescale it") from None


def _masked_logical(series: pd.Series[Any]) -> Categories:
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return Categories(np.where(np.isnan(values), -1, values).astype(np.int32), _LOGICAL, logical=True)


def _from_categorical(raw: Any) -> Categories:
    values: Any = raw.array
    levels = labels_of(values.categories.tolist())
    return Categories(values.codes.astype(np.int32), levels, ordered=bool(values.ordered)).used()


def _from_strings(series: pd.Series[Any]) -> Categories:
    codes, uniques = pd.factorize(series)
    labels = [str(label) for label in uniques]
    order = sorted(range(len(labels)), key=labels.__getitem__)
    lookup = np.full(len(labels) + 1, -1, dtype=np.int32)
    lookup[order] = np.arange(len(labels), dtype=np.int32)
    return Categories(lookup[codes], [labels[i] for i in order])


def _from_sortable(series: pd.Series[Any]) -> Categories:
    codes, uniques = pd.factorize(series, sort=True)
    return Categories(codes.astype(np.int32), labels_of(uniques.tolist()))


def _from_integers(values: npt.NDArray[Any]) -> Categories:
    codes, found = compress_integers(values)
    return Categories(codes, labels_of(found))


def compress_integers(values: npt.NDArray[Any]) -> tuple[IntArray, npt.NDArray[Any]]:
    """Codes (n,) into the sorted different values, and those: by a presence table where the range is narrow."""
    if not values.size:
        return np.empty(0, dtype=np.int32), values
    low, high = int(values.min()), int(values.max())
    if high - low > max(4 * values.size, 1_000_000):
        places, uniques = pd.factorize(values, sort=True)
        return places.astype(np.int32), np.asarray(uniques)
    shifted: npt.NDArray[Any] = values - low if low else values
    present = np.zeros(high - low + 1, dtype=np.bool_)
    present[shifted] = True
    found = np.flatnonzero(present)
    if found.size == present.size:
        return shifted.astype(np.int32), found + low
    lookup = np.cumsum(present, dtype=np.int32) - np.int32(1)
    codes: IntArray = lookup[shifted]
    return codes, found + low


def number_vector(given: Any, role: str, n: int) -> FloatArray:
    """An array that the user passes beside the formula, such as the weights: (n,) float64, NaN where missing.

    Raises:
        DataError: not n finite numbers.
    """
    try:
        series = pd.Series(given)
        if series.dtype.kind in "cMm":
            raise DataError(f"{role}: give numbers, or the name of a column, not {series.dtype}")
        values = series.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{role}: give numbers, or the name of a column") from error
    if values.shape != (n,):
        raise DataError(f"{role}: {values.size:,} values given for {n:,} rows of data")
    if np.isinf(values).any():
        raise DataError(f"{role}: some values are infinite")
    return values
