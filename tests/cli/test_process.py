"""Exit codes, streams and what the process imports and leaves behind."""

from __future__ import annotations

import builtins
import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jmix import cli, cli_data
from jmix.cli import main


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "jmix: interrupted\n"),
        (BrokenPipeError(), 141, ""),
        (MemoryError(), 2, "jmix: there is not enough memory for this model and these data\n"),
        (ZeroDivisionError("a\nb"), 70, "jmix: internal error: ZeroDivisionError: a b; --debug shows where"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    def fail(options: Any) -> int:
        raise error

    monkeypatch.setattr(cli_data, "run", fail)
    # what pytest captures has the file descriptor of the terminal, which must stay open
    monkeypatch.setattr(cli, "_drop_output", lambda: None)
    assert main(["data"]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(message) and err.count("\n") == (1 if message else 0)


@pytest.mark.parametrize("words", [["--debug", "data", "nope"], ["data", "nope", "--debug"]])
def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback") and "jmix.errors.DataError" in err
    assert err.splitlines()[-1].startswith("jmix: jmix ships no data set named 'nope'")


def test_the_process_is_left_as_it_was(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    before = logging.getLogger("jax").level
    inside: list[tuple[int, str | None]] = []

    def look(options: Any) -> int:
        inside.append((logging.getLogger("jax").level, os.environ.get("TF_CPP_MIN_LOG_LEVEL")))
        return 0

    monkeypatch.setattr(cli_data, "run", look)
    assert main(["data"]) == 0
    assert main(["data", "--debug"]) == 0
    assert inside == [(logging.ERROR, "2"), (before, None)]
    assert logging.getLogger("jax").level == before and "TF_CPP_MIN_LOG_LEVEL" not in os.environ


def test_an_output_without_greek_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    def greek(options: Any) -> int:
        builtins.print("σ")
        return 0

    bytes_out = io.BytesIO()
    monkeypatch.setattr(cli_data, "run", greek)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_out, encoding="ascii"))
    assert main(["data"]) == 0
    assert bytes_out.getvalue() == b"\\u03c3\n"


@pytest.mark.parametrize(
    ("words", "start"), [(["--version"], "jmix "), (["--help"], "usage: jmix"), (["fit", "-h"], "us")]
)
def test_help_and_version(capsys: pytest.CaptureFixture[str], words: list[str], start: str) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(start)


@pytest.fixture
def python(repo: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a fresh interpreter that finds the package under test."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(repo)}
        return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, timeout=120)

    return run


def test_help_imports_nothing_heavy(python: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    look = "import sys; from jmix.cli import main; code = main(['--help']); "
    done = python("-c", look + "print(code, [m for m in ('jax', 'numpy', 'pandas') if m in sys.modules])")
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a pipe of the shell")
def test_a_reader_that_leaves_gets_no_complaint(repo: Path) -> None:
    command = f'"{sys.executable}" -m jmix data InstEval; echo "code $?" >&2'
    done = subprocess.run(
        ["sh", "-c", f"({command}) | head -1"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(repo)}, timeout=120,
    )  # fmt: skip
    assert done.stdout == "s,d,studage,lectage,service,dept,y\n"
    assert done.stderr == "code 141\n"
