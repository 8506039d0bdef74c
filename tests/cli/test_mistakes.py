"""One readable line and exit code 2 for everything that a user can get wrong."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

FORMULA = "Reaction ~ Days + (Days | Subject)"
SHORT = "Reaction ~ Days + (1 | Subject)"


FILES: dict[str, bytes] = {
    "empty.csv": b"",
    "blank.csv": b"\n\n",
    "header.csv": b"y,x,g\n",
    "binary.csv": bytes(range(256)) * 8,
    "latin.csv": b"y,g\n1,\xe9\n",
    "ragged.csv": b"a,b\n1,2\n3,4,5,6\n",
    "quote.csv": b'y,g\n1,"a\n2,b\n',
    "semicolon.csv": b"y;x\n1;2\n",
    "good.csv": b"y,x,g\n1,2,a\n2,3,a\n3,5,b\n5,4,b\n",
    "plain.csv.gz": b"y,x\n1,2\n",
    "cut.csv.gz": gzip.compress(b"y,x\n" + os.urandom(3000).hex().encode())[:900],
    "bad.parquet": b"PAR1 but no more",
    "data.xlsx": b"PK",
    "noending": b"y,x\n1,2\n",
}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "required: COMMAND; see 'jmix --help'"),
        (("predict",), "invalid choice: 'predict'"),
        (("fit",), "required: DATA, FORMULA; see 'jmix fit --help'"),
        (("fit", "good.csv", "y ~ x", "--bogus"), "unrecognized arguments: --bogus"),
        (("fit", "good.csv", "y ~ x", "--m"), "unrecognized arguments: --m"),
        (("fit", "good.csv", "y ~ x", "more\nwords"), "unrecognized arguments: more words"),
        (("fit", "empty.csv", "y ~ x"), "'empty.csv' is empty"),
        (("fit", "blank.csv", "y ~ x"), "'blank.csv' is empty"),
        (("fit", "header.csv", "y ~ x + (1 | g)"), "no rows"),
        (("fit", "binary.csv", "y ~ x"), "'binary.csv' is not a text file"),
        (("fit", "latin.csv", "y ~ g"), "--encoding latin-1"),
        (("fit", "latin.csv", "y ~ g", "--encoding", "klingon"), "no text encoding 'klingon'"),
        (("fit", "latin.csv", "y ~ g", "--encoding", "base64"), "no text encoding 'base64'"),
        (("fit", "ragged.csv", "a ~ b"), "cannot read 'ragged.csv' as csv"),
        (("fit", "quote.csv", "y ~ g"), "cannot read 'quote.csv' as csv"),
        (("fit", "semicolon.csv", "y ~ x"), "the columns are 'y;x'"),
        (("fit", "good.csv", "y ~ x", "--sep", "; "), "--sep '; ': give one character"),
        (("fit", "good.csv", "y ~ x", "--decimal", ""), "cannot read 'good.csv'"),
        (("fit", "plain.csv.gz", "y ~ x"), "cannot read 'plain.csv.gz'"),
        (("fit", "cut.csv.gz", "y ~ x"), "cannot read 'cut.csv.gz'"),
        (("fit", "bad.parquet", "y ~ x"), "'bad.parquet' is not a parquet file"),
        (("fit", "other.xlsx", "y ~ x"), "there is no file 'other.xlsx' (.csv"),
        (("fit", "./data.xlsx", "y ~ x"), "cannot tell from the name 'data.xlsx'"),
        (("fit", "noending", "y ~ x"), "cannot tell from the name 'noending'"),
        (("fit", "folder.csv", "y ~ x"), "'folder.csv' is a folder"),
        (("fit", "missing.csv", "y ~ x"), "there is no file 'missing.csv'"),
        (("fit", "good.csv/x.csv", "y ~ x"), "there is no file 'good.csv/x.csv'"),
        (("fit", "https://example.org/a.csv", "y ~ x"), "there is no file"),
        (("fit", "nul\0.csv", "y ~ x"), "'nul\\x00.csv'"),
        (("fit", "x" * 5000 + ".csv", "y ~ x"), "cannot read"),
        (("fit", "a\nb\x1b[31m.csv", "y ~ x"), "a\\nb\\x1b[31m.csv"),
        (("fit", "", "y ~ x"), "'.' is a folder"),
        (("fit", "sleepstud", SHORT), "Did you mean 'sleepstudy'?"),
        (
            ("fit", "sleepstudy", "Reaction ~ Dayz + (1 | Subject)"),
            "'Dayz', which is not a column; did you mean 'Days'",
        ),
        (("fit", "sleepstudy", "Reaction ~ (Days"), "formula"),
        (("fit", "sleepstudy", ""), "formula"),
        (("fit", "sleepstudy", 'Reaction ~ __import__("os")'), "__import__"),
        (("fit", "sleepstudy", SHORT, "--weights", "w"), "'w' is not a column"),
        (("fit", "sleepstudy", SHORT, "--offset", "Subject"), "offset"),
        (("fit", "sleepstudy", SHORT, "--factor", "days"), "--factor days: the data have no such column; did you mean"),
        (("fit", "sleepstudy", SHORT, "--contrasts", "Days"), "write COLUMN=KIND"),
        (("fit", "sleepstudy", SHORT, "--contrasts", "=sum"), "write COLUMN=KIND"),
        (("fit", "sleepstudy", SHORT, "--factor", "Days", "--contrasts", "Days=su"), "unknown contrast 'su'"),
        (("fit", "sleepstudy", SHORT, "--out", "good.csv"), "--out good.csv: 'good.csv' is a file"),
        (("fit", "sleepstudy", SHORT, "--out", "good.csv/deep"), "is a file, not a folder"),
        (("fit", "sleepstudy", SHORT, "--out", "nul\0"), "--out"),
        (("data", "sleep"), "no data set named 'sleep'"),
        (("data", "--out", "x.csv"), "--out needs the name of a data set"),
        (("data", "sleepstudy", "--out", "x.xlsx"), "cannot tell from the name 'x.xlsx'"),
        (("data", "sleepstudy", "--out", "nowhere/x.csv"), "cannot write 'nowhere/x.csv'"),
        (("data", "sleepstudy", "--out", "folder.csv"), "cannot write 'folder.csv'"),
        (("data", "sleepstudy", "--out", "nowhere/x.parquet"), "cannot write 'nowhere/x.parquet'"),
        (("info", "more"), "unrecognized arguments: more"),
    ],
    ids=lambda value: " ".join(value).encode("unicode_escape").decode()[:60] if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line(folder: Path, refuse: Callable[..., str], words: tuple[str, ...], message: str) -> None:
    for name, content in FILES.items():
        Path(name).write_bytes(content)
    Path("folder.csv").mkdir()
    assert message in refuse(*words)


def test_a_file_without_permission(folder: Path, refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("good.csv").write_bytes(FILES["good.csv"])

    def forbidden(path: Path, *args: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", forbidden)  # the administrator may open any file, so chmod would not do
    assert refuse("fit", "good.csv", "y ~ x") == "cannot read 'good.csv': Permission denied"


def test_parquet_without_pyarrow(folder: Path, refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*args: Any, **options: Any) -> Any:
        raise ImportError("Missing optional dependency 'pyarrow'")

    Path("a.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(pd, "read_parquet", absent)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", absent)
    assert "pip install pyarrow" in refuse("fit", "a.parquet", "y ~ x")
    assert "pip install pyarrow" in refuse("data", "cbpp", "--out", "b.parquet")


def test_a_full_disk_is_one_line(folder: Path, refuse: Callable[..., str], monkeypatch: Any) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device", "o/summary.txt")

    monkeypatch.setattr(Path, "write_text", full)
    words = ["fit", "sleepstudy", SHORT, "--quiet", "--out", "o"]
    assert refuse(*words) == "o/summary.txt: No space left on device"
