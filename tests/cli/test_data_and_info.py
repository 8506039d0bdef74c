"""``jmix data`` and ``jmix info``."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest

import jmix
from jmix import cli_info
from jmix.cli import main


def test_data_lists_every_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    out = capsys.readouterr().out
    for row in jmix.list_data().to_dict("records"):
        assert row["title"] in out and row["columns"] in out and row["license"] in out


def test_data_prints_a_set(capsys: pytest.CaptureFixture[str], sleepstudy: pd.DataFrame) -> None:
    assert main(["data", "SleepStudy"]) == 0
    back = pd.read_csv(io.StringIO(capsys.readouterr().out), dtype={"Subject": str})
    pd.testing.assert_frame_equal(back, sleepstudy.astype({"Subject": str}), check_dtype=False)


def test_data_writes_a_set_that_fit_reads(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "Pastes", "--out", "p.parquet"]) == 0
    assert capsys.readouterr().out == "Wrote p.parquet: 60 rows of strength, batch, cask, sample\n"
    assert main(["fit", "p.parquet", "strength ~ 1 + (1 | batch/cask)", "--out", "o"]) == 0
    assert {"ranef_batch.csv", "ranef_cask_batch.csv"} <= {f.name for f in (folder / "o").iterdir()}


def program(folder: Path, name: str) -> Path:
    file = folder / f"{name}-{'0123456789abcdef' * 4}-cache"
    file.write_bytes(b"x" * 1_500_000)
    return file


def test_info_says_what_runs(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMIX_CACHE_DIR", str(folder))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    program(folder, "jit_f")
    assert main(["info"]) == 0
    facts = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert facts["jmix"] == jmix.__version__
    assert facts["pandas"] == pd.__version__
    assert facts["precision"].startswith("float64")
    assert "jmix computes on" in facts["devices"]
    assert facts["cache"] == f"on, {folder}: 1 program, 1.5 MB"


def test_info_without_a_cache(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JMIX_CACHE_DIR", "off")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    assert cli_info.cache_line() == "off (JMIX_CACHE_DIR)"
    assert main(["info", "--clear-cache"]) == 0
    assert capsys.readouterr().out.startswith("Removed 0 programs, 0.0 MB")


def test_clearing_the_cache_spares_other_files(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JMIX_CACHE_DIR", str(folder))
    compiled, mine = program(folder, "jit_f"), folder / "thesis-cache"
    mine.write_text("years of work", encoding="utf-8")
    assert main(["info", "--clear-cache"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Removed 1 program, 1.5 MB")
    assert "0 programs, 0.0 MB" in out
    assert mine.exists() and not compiled.exists()


def test_info_when_jax_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no\ndevice")

    monkeypatch.setattr("jax.devices", broken)
    assert list(cli_info.devices()) == [("devices", "JAX cannot start: no device")]
