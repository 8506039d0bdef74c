"""Responses in Parquet files, read a few row groups at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jmix.errors import DataError
from jmix.likelihood.irt.stream_source import GROUPS_SAMPLED, RAW_ROWS, Block, _check_columns


class ParquetSource:
    """One or several Parquet files with one row a person, and the items as columns.

    Args:
        data: path of a file or a folder, or a list of paths.
    """

    def __init__(self, data: Any, *, items: Sequence[str] | None = None, other: Sequence[str] = ()) -> None:
        parquet = _parquet()
        self.paths = _files(data)
        try:
            metadata = [parquet.read_metadata(path) for path in self.paths]
            columns = parquet.read_schema(self.paths[0]).names
        except (OSError, ValueError) as error:
            raise DataError(f"{self.paths[0]} cannot be read as a Parquet file: {error}") from error
        self.other = tuple(other)
        self.names = tuple(items) if items is not None else tuple(c for c in columns if c not in self.other)
        _check_columns(columns, (*self.names, *self.other))
        self.metadata = metadata
        self.n_rows: int | None = sum(own.num_rows for own in metadata)

    def blocks(self) -> Iterator[Block]:
        """All rows, some at a time, whatever the size of the row groups."""
        columns = [*self.names, *self.other]
        for path in self.paths:
            with _parquet().ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=RAW_ROWS, columns=columns):
                    yield self._block(batch)

    def sample(self, n: int) -> Iterator[Block]:
        """Evenly spaced rows of evenly spaced row groups."""
        groups = [(p, g) for p, own in enumerate(self.metadata) for g in range(own.num_row_groups)]
        chosen = [groups[k] for k in np.unique(np.linspace(0, len(groups) - 1, GROUPS_SAMPLED).astype(int))]
        total = sum(self.metadata[p].row_group(g).num_rows for p, g in chosen)
        every = max(1, total // max(n, 1))
        for p, g in chosen:
            with _parquet().ParquetFile(self.paths[p], pre_buffer=False) as file:
                columns = [*self.names, *self.other]
                for batch in file.iter_batches(batch_size=RAW_ROWS, row_groups=[g], columns=columns):
                    yield self._block(batch.take(np.arange(0, batch.num_rows, every)))

    def extremes(self) -> list[tuple[Any, Any]] | None:
        """From the statistics that the files hold of their row groups."""
        found: list[tuple[Any, Any]] = []
        for name in self.names:
            low, high = [], []
            for own in self.metadata:
                place = own.schema.names.index(name)
                for g in range(own.num_row_groups):
                    statistics = own.row_group(g).column(place).statistics
                    if statistics is None or not statistics.has_min_max or not isinstance(statistics.min, int):
                        return None
                    low.append(statistics.min)
                    high.append(statistics.max)
            if not low:
                return None
            found.append((min(low), max(high)))
        return found

    def fingerprint(self) -> str:
        """Names, sizes and times of the files."""
        parts = [(str(Path(p).resolve()), Path(p).stat().st_size, Path(p).stat().st_mtime_ns) for p in self.paths]
        return repr((parts, self.names))

    def _block(self, batch: Any) -> Block:
        columns = batch.columns
        items = [_values(column) for column in columns[: len(self.names)]]
        other = {name: _values(column) for name, column in zip(self.other, columns[len(self.names) :], strict=True)}
        return Block(items, other, batch.num_rows)


def _values(column: Any) -> Any:
    """A NumPy array of integers with -1 for nulls, or a pandas Series of anything else."""
    import pyarrow as pa

    if pa.types.is_integer(column.type):
        if column.null_count:
            column = (
                column.fill_null(-1) if pa.types.is_signed_integer(column.type) else column.cast("int64").fill_null(-1)
            )
        return column.to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(column.type) and not column.null_count:
        return column.to_numpy(zero_copy_only=False)
    return column.to_pandas()


def _files(data: Any) -> list[Path]:
    given = [Path(data)] if isinstance(data, str | Path) else [Path(path) for path in data]
    out: list[Path] = []
    for path in given:
        path = path.expanduser()
        if path.is_dir():
            inside = sorted(path.glob("*.parquet"))
            if not inside:
                raise DataError(f"the folder {path} has no files *.parquet")
            out += inside
        elif path.is_file():
            out.append(path)
        else:
            raise DataError(f"there is no file {path}")
    return out


def _parquet() -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise DataError("reading Parquet files needs pyarrow: install it with `pip install pyarrow`") from None
    return parquet
