"""Responses that do not fit in memory, as a stream that can be read again and again: blocks of raw columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError

STEP = 2**14
"""Rows of a block are a multiple of this, the persons in one step of the likelihood."""

BLOCK_BYTES = 2**24
"""Responses of one block of the likelihood, a byte each."""

RAW_ROWS = 2**15
"""Rows that are read at once, before they are a byte each."""

GROUPS_SAMPLED = 24
"""Row groups of a Parquet file from which a first sample is taken."""


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows: by item one array of values (n,), and by name the columns that are not items."""

    items: list[Any]
    other: dict[str, Any]
    n: int


class Source(Protocol):
    """Where the responses are read from.

    Attributes:
        names: columns of the items. n_rows: how many rows there are, None if only a pass can tell.
    """

    names: tuple[str, ...]
    n_rows: int | None

    def blocks(self) -> Iterator[Block]:
        """All rows, in order."""
        ...

    def sample(self, n: int) -> Iterator[Block] | None:
        """About n rows from all over the data; None where only a pass over everything can take them."""
        ...

    def extremes(self) -> list[tuple[Any, Any]] | None:
        """Smallest and largest value of each item where they are known without a pass, None otherwise."""
        ...

    def fingerprint(self) -> str:
        """A text that identifies the data."""
        ...


def open_source(data: Any, *, items: Sequence[str] | None = None, other: Sequence[str] = ()) -> Source:
    """A source of responses, persons by items.

    Args:
        data: path of a Parquet file, or of a folder of them, or a list of paths; a NumPy array or memory map (N, J); or
            a function without arguments that returns an iterator of arrays or frames, the same each time it is called.
        items: columns that are items; by default all but ``other``. other: columns to be read beside them.

    Raises:
        DataError: there is no such file or column, or an iterator that can be read only once.
    """
    if isinstance(data, str | Path) or _paths(data):
        from jmix.likelihood.irt.stream_parquet import ParquetSource

        return ParquetSource(data, items=items, other=other)
    if isinstance(data, np.ndarray):
        return ArraySource(data, items)
    if callable(data):
        return FunctionSource(data, items, other)
    if isinstance(data, list | tuple):
        return FunctionSource(lambda: iter(data), items, other)
    if isinstance(data, Iterator):
        raise DataError(
            "an iterator can be read only once, but a fit needs several passes: give a function that returns a new "
            "iterator each time it is called"
        )
    raise DataError(
        f"responses to be streamed are a {type(data).__name__}: give the path of a Parquet file, an array or memory "
        "map of persons by items, or a function that returns an iterator of such arrays or of frames"
    )


def _paths(data: Any) -> bool:
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(path, str | Path) for path in data)


def block_rows(n_items: int) -> int:
    """Rows of a block."""
    return max(1, BLOCK_BYTES // max(n_items, 1) // STEP) * STEP


class ArraySource:
    """A NumPy array or memory map of persons by items."""

    def __init__(self, values: npt.NDArray[Any], items: Sequence[str] | None = None) -> None:
        if values.ndim != 2:
            raise DataError(f"the responses have {values.ndim} dimensions: give persons by items")
        self.values = values
        self.names = tuple(items) if items is not None else tuple(f"Item.{k + 1}" for k in range(values.shape[1]))
        if len(self.names) != values.shape[1]:
            raise DataError(f"items has {len(self.names)} names for {values.shape[1]} columns")
        self.n_rows: int | None = values.shape[0]

    def blocks(self) -> Iterator[Block]:
        """Consecutive rows."""
        for start in range(0, self.values.shape[0], RAW_ROWS):
            yield _of_array(np.asarray(self.values[start : start + RAW_ROWS]))

    def sample(self, n: int) -> Iterator[Block]:
        """Evenly spaced rows."""
        every = max(1, self.values.shape[0] // max(n, 1))
        yield _of_array(np.asarray(self.values[::every]))

    def extremes(self) -> None:
        """Unknown."""
        return None

    def fingerprint(self) -> str:
        """Shape, type and some of the content."""
        import hashlib

        some = np.ascontiguousarray(self.values[:: max(1, self.values.shape[0] // 10_000)])
        return f"{self.values.shape} {self.values.dtype} {hashlib.blake2b(some.tobytes(), digest_size=16).hexdigest()}"


class FunctionSource:
    """A function that returns an iterator of arrays or frames."""

    def __init__(
        self, function: Callable[[], Iterable[Any]], items: Sequence[str] | None, other: Sequence[str] = ()
    ) -> None:
        self.function, self.other = function, tuple(other)
        self.n_rows: int | None = None
        first = next(iter(function()), None)
        if first is None:
            raise DataError("the iterator of responses is empty")
        if isinstance(first, np.ndarray):
            self.names = ArraySource(first, items).names
        else:
            from jmix.formula.frame import Frame

            columns = [str(name) for name in Frame(first).names]
            self.names = tuple(items) if items is not None else tuple(c for c in columns if c not in self.other)
            _check_columns(columns, (*self.names, *self.other))

    def blocks(self) -> Iterator[Block]:
        """The pieces that the function yields."""
        from jmix.formula.frame import Frame

        for number, piece in enumerate(self.function()):
            if isinstance(piece, np.ndarray):
                if piece.ndim != 2 or piece.shape[1] != len(self.names):
                    raise DataError(
                        f"piece {number} of the responses has the shape {piece.shape}, not (n, {len(self.names)})"
                    )
                yield _of_array(piece)
                continue
            frame = Frame(piece)
            _check_columns([str(name) for name in frame.names], (*self.names, *self.other))
            other = {name: frame.column(name) for name in self.other}
            yield Block([frame.column(name) for name in self.names], other, frame.n)

    def sample(self, n: int) -> None:
        """Only by a pass."""
        return None

    def extremes(self) -> None:
        """Unknown."""
        return None

    def fingerprint(self) -> str:
        """The names alone: what a function returns is not looked at."""
        return repr(self.names)


def _of_array(values: npt.NDArray[Any]) -> Block:
    return Block([values[:, j] for j in range(values.shape[1])], {}, values.shape[0])


def _check_columns(columns: Sequence[str], wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in columns:
            import difflib

            near = difflib.get_close_matches(name, columns, n=1)
            raise DataError(f"there is no column {name!r}" + (f": did you mean {near[0]!r}?" if near else ""))
