"""One face for the tables a user may pass: columns by name, as pandas or NumPy arrays."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from jmix.errors import DataError

_KINDS = "a pandas, polars or pyarrow table, or a dict of equally long columns"


class Frame:
    """A table with named columns.

    Attributes:
        n: number of rows. names: the column names. index: pandas Index of the rows.

    Raises:
        DataError: the data are no table, or their columns differ in length.
    """

    def __init__(self, data: Any) -> None:
        if isinstance(data, pd.DataFrame):
            self._source: Any = data
            self.n, self.index = len(data), data.index
            self.names: list[Any] = data.columns.tolist()
        elif isinstance(data, Mapping):
            self._source = {name: _sequence(values, name) for name, values in data.items()}
            self.n = _common_length({name: len(values) for name, values in self._source.items()})
            self.index, self.names = pd.RangeIndex(self.n), list(self._source)
        else:
            self._source = _narwhals(data)
            self.n, self.index = len(self._source), pd.RangeIndex(len(self._source))
            self.names = list(self._source.columns)

    def missing(self, columns: Iterable[str]) -> list[str]:
        """The columns among those named that the table lacks."""
        known = set(self.names)
        return [name for name in columns if name not in known]

    def suggestion(self, name: str) -> str:
        """A hint for a column that is not there."""
        if self.names and not any(isinstance(known, str) for known in self.names):
            kind = type(self.names[0]).__name__
            return (
                f"the names of the columns are of type {kind}, not text; rename them, as data.columns = ['y', 'x', …]"
            )
        names = [str(known) for known in self.names]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        near = [known for known in names if known.lower() == name.lower()] or near
        if near:
            return f"did you mean {near[0]!r}?"
        shown = ", ".join(map(repr, names[:8]))
        return f"the columns are {shown}{', …' if len(names) > 8 else ''}" if names else "the data have no columns"

    def column(self, name: str) -> Any:
        """One column: a pandas Series or a 1-D NumPy array.

        Raises:
            DataError: the column is missing, or two columns have its name.
        """
        if self.names.count(name) > 1:
            raise DataError(f"the data have {self.names.count(name)} columns named {name!r}; rename all but one")
        if name not in self.names:
            raise DataError(f"the data have no column {name!r}; {self.suggestion(name)}")
        if isinstance(self._source, pd.DataFrame):
            return self._source[name]
        if isinstance(self._source, dict):
            return self._source[name]
        return _from_narwhals(self._source[name])


def _sequence(values: Any, name: Any) -> Any:
    if isinstance(values, pd.Series | pd.Categorical):
        return pd.Series(values)
    if isinstance(values, np.ma.MaskedArray):
        values = pd.Series(values.astype(object).tolist())
    elif not isinstance(values, np.ndarray):
        if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
            raise DataError(f"the entry {name!r} of the data is a {type(values).__name__}, not a column of values")
        try:
            values = pd.Series(values) if not hasattr(values, "__array__") else np.asarray(values)
        except Exception as error:
            raise DataError(f"the entry {name!r} of the data cannot be read as a column: {error}") from error
    if values.ndim != 1:
        raise DataError(f"the column {name!r} has {values.ndim} dimensions; a column must have one")
    return values


def _common_length(lengths: Mapping[Any, int]) -> int:
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r}: {size}" for name, size in list(lengths.items())[:6])
        raise DataError(f"the columns differ in length ({shown})")
    return next(iter(lengths.values()), 0)


def _narwhals(data: Any) -> Any:
    if data is None or isinstance(data, str | bytes | list | tuple | np.ndarray | int | float):
        raise DataError(f"the data are a {type(data).__name__}; pass {_KINDS}")
    duplicated = _duplicates(getattr(data, "column_names", []))
    if duplicated:
        raise DataError(f"the data have several columns named {duplicated[0]!r}; rename or drop all but one")
    import narwhals.stable.v1 as nw

    try:
        frame = nw.from_native(data)
        return frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    except Exception as error:
        raise DataError(f"the data are a {type(data).__name__}; pass {_KINDS}") from error


def _duplicates(names: Any) -> list[str]:
    seen = list(names) if isinstance(names, list | tuple) else []
    return [name for name in dict.fromkeys(seen) if seen.count(name) > 1]


def _from_narwhals(series: Any) -> Any:
    """A narwhals series as pandas or NumPy, without needing pyarrow for polars."""
    import narwhals.stable.v1 as nw

    dtype = series.dtype
    if isinstance(dtype, nw.Categorical | nw.Enum):
        return _categorical(series)
    if dtype.is_integer() and series.null_count():
        return pd.Series(series.to_list(), dtype="UInt64" if dtype.is_unsigned_integer() else "Int64")
    if dtype.is_numeric() and not isinstance(dtype, nw.Decimal):
        return series.cast(nw.Float64).to_numpy() if series.null_count() else series.to_numpy()
    if isinstance(dtype, nw.Decimal):
        return series.cast(nw.Float64).to_numpy()
    if isinstance(dtype, nw.Datetime | nw.Date | nw.Duration):
        return pd.Series(pd.array(series.to_list(), dtype=None))
    return pd.Series(series.to_list(), dtype=object)


def _categorical(series: Any) -> pd.Series[Any]:
    texts = series.to_list()
    levels = [level for level in series.cat.get_categories().to_list() if level is not None]
    # only pyarrow says whether a dictionary is ordered
    ordered = bool(getattr(getattr(series.to_native(), "type", None), "ordered", False))
    return pd.Series(pd.Categorical(texts, categories=list(dict.fromkeys(levels)), ordered=ordered))
