"""Data frames from and to files, for the command line. A name is never taken for a URL: files are opened here."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from jmix.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

KINDS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
MISSING = ("", "NA", "NaN", "nan", "N/A", "#N/A", "NULL", "null", "<NA>")
"""Texts that stand for a missing value. ``None`` is not one of them: it is the name of many a control group."""

_PYARROW = "parquet files need pyarrow: pip install pyarrow"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_REPEATED = re.compile(r".\.\d+$", re.DOTALL)


@dataclass(frozen=True)
class TextOptions:
    """How a csv file is written: separator and encoding (None: by the file), decimal mark, more missing values."""

    sep: str | None = None
    decimal: str = "."
    encoding: str | None = None
    na: Sequence[str] = ()


def kind_of(path: Path) -> str | None:
    """The ending of a file's name that says how to read it; None for another."""
    name = path.name.lower()
    return next((kind for kind in KINDS if name.endswith(kind) and name != kind), None)


def read_table(path: Path, options: TextOptions) -> pd.DataFrame:
    """A file as a data frame in which columns of text are categories.

    Raises:
        DataError: the file is missing, unreadable, empty, damaged, or of a kind that jmix does not read.
    """
    import pandas as pd

    kind = _check(path)
    try:
        with path.open("rb") as raw:
            if kind == ".parquet":
                frame = _read_parquet(raw, path)
            elif kind.endswith(".gz"):
                with gzip.open(raw) as unpacked:
                    frame = _read_text(unpacked, path, kind, options)
            else:
                frame = _read_text(raw, path, kind, options)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or error}") from error
    if not frame.index.equals(pd.RangeIndex(len(frame))):
        frame.index = frame.index.map(str)  # names of rows, even where they look like numbers
    return _with_factors(frame)


def _check(path: Path) -> str:
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or error}") from error
    if is_folder:
        raise DataError(f"{str(path)!r} is a folder; give the file in it")
    if not exists:
        raise DataError(f"there is no file {str(path)!r}")
    kind = kind_of(path)
    if kind is None:
        raise DataError(f"cannot tell from the name {str(path)!r} how to read it; jmix reads {', '.join(KINDS)} files")
    return kind


def _read_parquet(raw: IO[bytes], path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_parquet(raw, engine="pyarrow")
    except ImportError as error:
        raise DataError(_PYARROW) from error
    except Exception as error:  # pyarrow's errors have no common class
        raise DataError(f"{str(path)!r} is not a parquet file, or it is damaged: {_first_line(error)}") from error
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(level=named) if named else frame


def _read_text(stream: Any, path: Path, kind: str, options: TextOptions) -> pd.DataFrame:
    import pandas as pd

    encoding = options.encoding or _encoding(stream.peek(4096)[:4096], path)
    layout: dict[str, Any] = {
        "sep": _separator(options.sep, kind), "encoding": encoding, "skipinitialspace": True, "keep_default_na": False,
    }  # fmt: skip
    try:
        frame = pd.read_csv(
            stream, **layout, decimal=options.decimal, na_values=[*MISSING, *options.na], low_memory=False
        )
        if any(_REPEATED.search(str(name)) for name in frame.columns):
            stream.seek(0)
            header = pd.read_csv(stream, **layout, header=None, nrows=1, dtype=str)
            frame.columns = pd.Index(_own_names(header.iloc[0].tolist(), frame.columns.tolist()))
    except UnicodeError as error:
        tried = encoding.removesuffix("-sig")
        raise DataError(f"{str(path)!r} is not {tried} text; name its encoding, e.g. --encoding latin-1") from error
    except LookupError as error:
        raise DataError(f"there is no text encoding {encoding!r}; try --encoding latin-1 or utf-16") from error
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{str(path)!r} is empty") from error
    except ValueError as error:
        raise DataError(f"cannot read {str(path)!r} as {kind[1:]}: {_first_line(error)}") from error
    return frame


def _own_names(written: list[Any], read: list[Any]) -> list[Any]:
    """The names as the file has them: pandas numbers repeated ones, which would hide that a name is ambiguous."""
    return [mine or theirs for mine, theirs in zip(written, read, strict=True)] if len(written) == len(read) else read


def _encoding(start: bytes, path: Path) -> str:
    if start.startswith(_UTF16):
        return "utf-16"
    if b"\0" in start:
        raise DataError(f"{str(path)!r} is not a text file; if it is text, name its --encoding, e.g. utf-16-le")
    return "utf-8-sig"


def _separator(sep: str | None, kind: str) -> str:
    if sep is None:
        return "\t" if kind.startswith(".tsv") else ","
    sep = "\t" if sep in {r"\t", "tab"} else sep
    if len(sep) != 1 or sep in '"\r\n':
        raise DataError(f"--sep {sep!r}: give one character, such as ';', or tab")
    return sep


def _with_factors(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    is_text = [isinstance(c.dtype, pd.StringDtype) or c.dtype == object for c in columns]
    done = [c.astype("category") if text else c for c, text in zip(columns, is_text, strict=True)]
    return pd.concat(done, axis=1) if any(is_text) else frame


def write_table(frame: pd.DataFrame, path: Path, *, index: bool = False) -> None:
    """Write a data frame to a file whose name says how.

    Raises:
        DataError: the kind is unknown, or the file cannot be written.
    """
    kind = kind_of(path)
    if kind is None:
        raise DataError(f"cannot tell from the name {str(path)!r} what to write; jmix writes {', '.join(KINDS)} files")
    try:
        if kind == ".parquet":
            frame.to_parquet(path, engine="pyarrow", index=index)
        else:
            sep = "\t" if kind.startswith(".tsv") else ","
            frame.to_csv(path, sep=sep, index=index, encoding="utf-8", na_rep="NA", lineterminator="\n")
    except ImportError as error:
        raise DataError(_PYARROW) from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
