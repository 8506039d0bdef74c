"""The command line: what it prints, what it writes, and one readable line for everything that goes wrong."""

from __future__ import annotations

import builtins
import gzip
import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import cli, cli_data, cli_fit, cli_info, cli_tables
from jmix.cli import main

FORMULA = "Reaction ~ Days + (Days | Subject)"
SHORT = "Reaction ~ Days + (1 | Subject)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with nothing in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sleepstudy() -> pd.DataFrame:
    return jmix.load_data("sleepstudy")


def refuse(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line with which a command fails."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("jmix: ") and err.endswith("\n") and err.count("\n") == 1, err
    return err.removeprefix("jmix: ").strip()


# --- fit ------------------------------------------------------------------------------------------------------------
def test_fit_prints_the_summary(capsys: pytest.CaptureFixture[str], sleepstudy: pd.DataFrame) -> None:
    assert main(["fit", "sleepstudy", FORMULA]) == 0
    out, err = capsys.readouterr()
    assert out == f"{jmix.lmm(FORMULA, sleepstudy).summary()}\n"
    assert err == ""


def test_fit_options_reach_the_model(
    folder: Path, capsys: pytest.CaptureFixture[str], sleepstudy: pd.DataFrame
) -> None:
    rng = np.random.default_rng(1)
    data = sleepstudy.assign(
        Subject=sleepstudy["Subject"].astype(int), w=rng.uniform(1, 2, 180), o=rng.normal(size=180)
    )
    data["half"] = np.where(data["Days"] < 4, "early", "late")
    data.to_csv("s.csv", index=False)
    formula = "Reaction ~ half + Subject:Days + (1 | Subject)"
    words = ["fit", "s.csv", formula, "--ml", "--weights", "w", "--offset", "o", "--contrasts", "half=sum"]
    assert main([*words, "--factor", "Subject"]) == 0
    kinds = data.astype({"Subject": "category", "half": "category"})
    fit = jmix.lmm(formula, kinds, reml=False, weights="w", offset="o", contrasts={"half": "sum"})
    assert capsys.readouterr().out == f"{fit.summary()}\n"


def test_without_random_terms_it_is_least_squares(capsys: pytest.CaptureFixture[str], sleepstudy: pd.DataFrame) -> None:
    assert main(["fit", "sleepstudy", "Reaction ~ Days"]) == 0
    assert capsys.readouterr().out == f"{jmix.lm('Reaction ~ Days', sleepstudy).summary()}\n"
    assert main(["fit", "sleepstudy", "Reaction ~ Days", "--ml"]) == 0
    assert "Linear model fit by maximum likelihood" in capsys.readouterr().out


def test_out_writes_the_tables(folder: Path, capsys: pytest.CaptureFixture[str], sleepstudy: pd.DataFrame) -> None:
    data = sleepstudy.copy()
    data.loc[2, "Reaction"] = np.nan
    data.to_csv("s.csv", index=False)
    assert main(["fit", "s.csv", FORMULA, "--factor", "Subject", "--out", "deep/results"]) == 0
    results = folder / "deep" / "results"
    written = {file.name for file in results.iterdir()}
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"Wrote to {Path('deep/results')}: fixef.csv, ")
    assert written == {
        "fixef.csv", "vcov.csv", "varcorr.csv", "ranef_Subject.csv", "augment.csv", "glance.csv",
        "summary.txt", "summary.md", "fit.npz",
    }  # fmt: skip
    fit = jmix.lmm(FORMULA, data)
    fixef = pd.read_csv(results / "fixef.csv", index_col="term")
    np.testing.assert_allclose(fixef["estimate"], fit.fixef(), rtol=1e-9)
    np.testing.assert_allclose(fixef["std_error"], fit.se(), rtol=1e-9)
    np.testing.assert_allclose(pd.read_csv(results / "vcov.csv", index_col="term"), fit.vcov(), rtol=1e-9)
    np.testing.assert_allclose(pd.read_csv(results / "varcorr.csv")["sdcor"], fit.varcorr()["sdcor"], rtol=1e-9)
    assert pd.read_csv(results / "glance.csv")["nobs"].item() == 179
    ranef = pd.read_csv(results / "ranef_Subject.csv", dtype={"level": str})
    wide = ranef.pivot(index="level", columns="term", values="estimate")[["(Intercept)", "Days"]]
    np.testing.assert_allclose(wide, fit.ranef()["Subject"], rtol=1e-6)
    augment = pd.read_csv(results / "augment.csv")
    assert augment["row"].tolist()[:4] == [1, 2, 4, 5]
    np.testing.assert_allclose(augment["fitted"] + augment["resid"], data["Reaction"].dropna(), rtol=1e-9)
    assert (results / "summary.txt").read_text(encoding="utf-8") == f"{fit.summary()}\n"
    assert "| Subject |" in (results / "summary.md").read_text(encoding="utf-8")
    np.testing.assert_allclose(jmix.load_fit(results / "fit.npz").fixef(), fit.fixef(), rtol=1e-9)


def test_out_works_for_least_squares(folder: Path) -> None:
    assert main(["fit", "sleepstudy", "Reaction ~ Days", "--out", "o", "--quiet"]) == 0
    assert not list((folder / "o").glob("ranef*"))
    assert jmix.load_fit(folder / "o" / "fit.npz").method == "OLS"


def test_group_names_become_safe_file_names() -> None:
    assert cli_fit.file_names(["g", "batch:cask", "a/../b", "G", "batch.cask"]) == [
        "ranef_g.csv", "ranef_batch_cask.csv", "ranef_a_.._b.csv", "ranef_G_2.csv", "ranef_batch.cask.csv",
    ]  # fmt: skip
    assert len(cli_fit.file_names(["x" * 500])[0]) < 120


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "sleepstudy", SHORT, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_singular_fit_is_a_result(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    g, y = np.repeat(list("abcd"), 6), np.tile([1.0, 2, 4, 3, 6, 5], 4)
    pd.DataFrame({"y": y, "g": g}).to_csv("s.csv", index=False)
    assert main(["fit", "s.csv", "y ~ 1 + (1 | g)", "--strict"]) == 0
    assert "singular" in capsys.readouterr().out.lower()


def test_strict_asks_for_convergence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jmix.results.fit.Fit.converged", property(lambda fit: False))
    assert main(["fit", "sleepstudy", SHORT]) == 0
    assert capsys.readouterr().err == ""
    assert main(["fit", "sleepstudy", SHORT, "--strict"]) == 1
    assert capsys.readouterr().err == "jmix: the fit has not converged\n"


def test_an_interrupted_fit_shows_the_best_so_far(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jmix.estimate.newton._iterate", stop)
    monkeypatch.setattr("jmix.estimate.newton.PATIENCE", -1.0)
    assert main(["fit", "sleepstudy", SHORT]) == 130
    out, err = capsys.readouterr()
    assert "Fixed effects:" in out and "interrupted: these are the best" in out
    assert err == "jmix: interrupted: the results are the best so far\n"


def test_a_device_that_is_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise RuntimeError("Unable to initialize backend 'cuda':\nno driver")

    monkeypatch.setattr(cli_fit, "default_device", absent)
    assert refuse(capsys, "fit", "sleepstudy", SHORT).startswith("JAX cannot start: Unable to initialize")


# --- reading --------------------------------------------------------------------------------------------------------
def read(path: str, **options: Any) -> pd.DataFrame:
    return cli_tables.read_table(Path(path), cli_tables.TextOptions(**options))


@pytest.mark.parametrize("name", ["s.csv", "s.csv.gz", "s.tsv", "s.TSV.gz", "s.parquet"])
def test_every_kind_of_file_gives_the_same_frame(folder: Path, name: str, sleepstudy: pd.DataFrame) -> None:
    data = sleepstudy.assign(Subject="s" + sleepstudy["Subject"].astype(str))
    cli_tables.write_table(data, Path(name))
    back = read(name)
    assert isinstance(back["Subject"].dtype, pd.CategoricalDtype)
    pd.testing.assert_frame_equal(back.astype({"Subject": str}), data.astype({"Subject": str}))


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"y,g\n1.5,a\xc3\xa9\n2.5,b\n", {}),
        (b"\xef\xbb\xbfy,g\n1.5,a\xc3\xa9\n2.5,b\n", {}),
        ("y,g\n1.5,aé\n2.5,b\n".encode("utf-16"), {}),
        ("y,g\n1.5,aé\n2.5,b\n".encode("utf-16-be"), {"encoding": "utf-16-be"}),
        (b"y;g\n1,5;a\xe9\n2,5;b\n", {"encoding": "latin-1", "sep": ";", "decimal": ","}),
        (b"y, g\r\n1.5, a\xc3\xa9\r\n2.5, b\r\n", {}),
        (b"y\tg\n1.5\ta\xc3\xa9\n2.5\tb\n", {"sep": "tab"}),
    ],
)
def test_text_as_spreadsheets_write_it(folder: Path, content: bytes, options: dict[str, str]) -> None:
    Path("t.csv").write_bytes(content)
    frame = read("t.csv", **options)
    assert frame["y"].tolist() == [1.5, 2.5]
    assert frame["g"].tolist() == ["aé", "b"]


def test_missing_values_are_not_levels_but_none_is(folder: Path) -> None:
    Path("t.csv").write_text("y,g\n1,None\nNA,a\n3,NA\n-99,\n.,b\n", encoding="utf-8")
    frame = read("t.csv", na=["-99", "."])
    assert frame["y"].isna().tolist() == [False, True, False, True, True]
    assert frame["g"].cat.categories.tolist() == ["None", "a", "b"]


def test_a_repeated_column_is_ambiguous_only_when_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("y,x,x,z.1\n1,2,3,1\n2,3,4,5\n3,1,1,2\n4,2,2,2\n", encoding="utf-8")
    assert main(["fit", "t.csv", "y ~ z.1", "--quiet"]) == 0
    assert "2 columns named 'x'" in refuse(capsys, "fit", "t.csv", "y ~ x")
    assert "several columns" in refuse(capsys, "fit", "t.csv", "y ~ x", "--factor", "x")


def test_r_row_names_stay_out_of_the_columns(folder: Path) -> None:
    Path("t.csv").write_text('"y","g"\n"r1",1,"a"\n"r2",2,"b"\n', encoding="utf-8")
    frame = read("t.csv")
    assert frame.columns.tolist() == ["y", "g"]
    assert frame.index.tolist() == ["r1", "r2"]


def test_row_names_that_are_numbers_are_not_counted_on(folder: Path) -> None:
    rows = "".join(f"{i},{i % 7},{i % 3}\n" for i in range(11, 31))
    Path("t.csv").write_text(f"y,x\n{rows}", encoding="utf-8")
    assert main(["fit", "t.csv", "y ~ x", "--quiet", "--out", "o"]) == 0
    assert pd.read_csv("o/augment.csv")["row"].tolist() == list(range(11, 31))


def test_the_index_of_a_parquet_file_is_a_column(folder: Path) -> None:
    pd.DataFrame({"y": [1.0, 2.0]}, index=pd.Index(["a", "b"], name="g")).to_parquet("t.parquet")
    assert read("t.parquet").columns.tolist() == ["g", "y"]
    pd.DataFrame({"y": [1.0, 2.0]}, index=pd.Index(["a", "b"], name="y")).to_parquet("u.parquet", index=False)
    assert read("u.parquet").columns.tolist() == ["y"]


def test_a_numeric_column_becomes_a_factor_in_its_place(folder: Path) -> None:
    pd.DataFrame({1: [1.0, 2.0], "y": [3.0, 4.0]}).rename(columns=str).to_csv("t.csv", index=False)
    frame = cli_fit.as_factors(read("t.csv"), ["1"])
    assert isinstance(frame["1"].dtype, pd.CategoricalDtype)
    assert frame.columns.tolist() == ["1", "y"]


# --- what goes wrong ------------------------------------------------------------------------------------------------
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
def test_a_mistake_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    for name, content in FILES.items():
        Path(name).write_bytes(content)
    Path("folder.csv").mkdir()
    assert message in refuse(capsys, *words)


def test_a_file_without_permission(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("good.csv").write_bytes(FILES["good.csv"])

    def forbidden(path: Path, *args: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", forbidden)  # the administrator may open any file, so chmod would not do
    assert refuse(capsys, "fit", "good.csv", "y ~ x") == "cannot read 'good.csv': Permission denied"


def test_parquet_without_pyarrow(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*args: Any, **options: Any) -> Any:
        raise ImportError("Missing optional dependency 'pyarrow'")

    Path("a.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(pd, "read_parquet", absent)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", absent)
    assert "pip install pyarrow" in refuse(capsys, "fit", "a.parquet", "y ~ x")
    assert "pip install pyarrow" in refuse(capsys, "data", "cbpp", "--out", "b.parquet")


def test_a_full_disk_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device", "o/summary.txt")

    monkeypatch.setattr(Path, "write_text", full)
    words = ["fit", "sleepstudy", SHORT, "--quiet", "--out", "o"]
    assert refuse(capsys, *words) == "o/summary.txt: No space left on device"


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


# --- data and info --------------------------------------------------------------------------------------------------
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


# --- the process ----------------------------------------------------------------------------------------------------
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
