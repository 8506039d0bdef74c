"""``jmix irt``: what it reads, prints and writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import cli_irt
from jmix.cli import main
from jmix.cli_options import build_parser
from jmix.cli_tables import TextOptions
from jmix.responses import read_responses
from jmix.results.irt.cml_fit import fit_cml

EXAM = ["quad", "deriv", "elasticity", "integral", "interest", "annuity", "payflow", "matrix", "planning", "equations",
        "hesse", "implicit", "lagrange"]  # fmt: skip


def arguments(*words: str, data: pd.DataFrame) -> dict[str, Any]:
    """What ``jmix irt`` hands to ``jmix.irt``."""
    options = build_parser().parse_args(["irt", "d.csv", *words])
    return cli_irt.fit_arguments(options, data, TextOptions())


def test_conditional_fit_prints_and_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("irt", "MathExam14W", "--items", "quad-lagrange", "--itemtype", "Rasch", "--method", "cml", "--out", "o")
    assert main([*words]) == 0
    out, err = capsys.readouterr()
    fit = fit_cml(read_responses(jmix.load_data("MathExam14W"), items=EXAM))
    assert err == "" and out.startswith(str(fit))
    assert {file.name for file in (folder / "o").iterdir()} == {
        "items.csv", "thresholds.csv", "scores.csv", "score_table.csv", "vcov.csv", "fit.csv",
        "coef.csv", "itemfit.csv", "personfit.csv", "summary.txt", "summary.md", "fit.npz",
    }  # fmt: skip
    items = pd.read_csv(folder / "o" / "items.csv", index_col="item")
    np.testing.assert_allclose(items, fit.items(), rtol=1e-10)
    scores = pd.read_csv(folder / "o" / "scores.csv")
    assert scores["row"].tolist() == list(range(1, 730))
    np.testing.assert_allclose(scores["theta"], fit.scores("WLE")["theta"], rtol=1e-10)


@pytest.fixture(scope="module")
def fit() -> Any:
    return jmix.irt(jmix.load_data("MathExam14W"), items=EXAM[:5], itemtype="2PL")


def test_marginal_fit_prints_and_writes(folder: Path, capsys: pytest.CaptureFixture[str], fit: Any) -> None:
    pytest.importorskip("matplotlib")
    assert main(["irt", "MathExam14W", "--items", "quad-interest", "--itemtype", "2PL", "--out", "o"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.startswith(f"{fit.summary()}\n") and "Wrote to o: items.csv" in out
    written = {file.name for file in (folder / "o").iterdir()}
    assert written == {
        "items.csv", "coef.csv", "latent.csv", "scores.csv", "fit.csv", "itemfit.csv", "personfit.csv",
        "score_table.csv", "glance.csv", "summary.txt", "summary.md", "fit.npz",
        "icc.png", "information.png", "wright.png", "histogram.png",
    }  # fmt: skip
    items = pd.read_csv(folder / "o" / "items.csv", index_col="item")
    np.testing.assert_allclose(items[["a", "d", "b"]], fit.items()[["a", "d", "b"]], rtol=1e-6)
    scores = pd.read_csv(folder / "o" / "scores.csv")
    np.testing.assert_allclose(scores["F1"], fit.scores("EAP").iloc[:, 0], atol=1e-7)
    loaded: Any = jmix.load_fit(folder / "o" / "fit.npz")
    assert loaded.loglik == pytest.approx(fit.loglik, rel=1e-9)
    for name in written:
        if name.endswith(".png"):
            assert (folder / "o" / name).read_bytes()[:4] == b"\x89PNG"


def test_quiet_and_no_plots(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "irt",
        "MathExam14W",
        "--items",
        "quad-interest",
        "--itemtype",
        "2PL",
        "--quiet",
        "--no-plots",
        "--scores",
        "map",
    ]
    assert main([*words, "--out", "o"]) == 0
    assert capsys.readouterr() == ("", "")
    assert not list((folder / "o").glob("*.png"))


def test_a_csv_with_labels_and_persons(folder: Path) -> None:
    exam = jmix.load_data("MathExam14W").head(200)
    table = exam[EXAM[:5]].assign(id=[f"p{i}" for i in range(200)], sex=exam["gender"], w=1.5)
    table.to_csv("exam.csv", index=False)
    words = ["irt", "exam.csv", "--person", "id", "--drop", "sex", "--weights", "w", "--method", "cml", "--quiet"]
    assert main([*words, "--out", "o"]) == 0
    scores = pd.read_csv(folder / "o" / "scores.csv")
    assert scores["id"].tolist()[:2] == ["p0", "p1"]
    assert pd.read_csv(folder / "o" / "items.csv")["item"].tolist() == EXAM[:5]


def test_what_reaches_the_model() -> None:
    data = jmix.load_data("MathExam14W").assign(id=range(729))
    plain = arguments(data=data[EXAM])
    assert plain["items"] == EXAM and plain["model"] == 1 and plain["priors"] is None and plain["se"] == "hessian"
    given = arguments(
        "--drop", "tests", "--drop", "semester", "--drop", "attempt", "--group", "group", "--person", "id",
        "--formula", "~ gender + study", "--itemtype", "3PL", "--prior", "c=beta(5, 17)", "--fix", "a1[quad]=1.5",
        "--start", "d[quad] = -0.5", "--nodes", "31", "--se", "sandwich", "--free-items", "--integration", "adaptive",
        data=data,
    )  # fmt: skip
    assert given["items"] == EXAM and given["group"] == "group" and given["person"] == "id"
    assert given["priors"] == {"c": "beta(5, 17)"} and given["fixed"] == {"a1[quad]": 1.5}
    assert given["start"] == {"d[quad]": -0.5} and given["equal_items"] is False
    assert (given["nodes"], given["se"], given["integration"]) == (31, "sandwich", "adaptive")
    several = arguments("--items", "quad, hesse-lagrange", "--itemtype", "2PL,2PL,Rasch,Rasch", data=data)
    assert several["items"] == ["quad", "hesse", "implicit", "lagrange"]
    assert several["itemtype"] == ["2PL", "2PL", "Rasch", "Rasch"]
    assert arguments("--model", "F1 = 1-5; F2 = 6-13", data=data[EXAM])["model"] == "F1 = 1-5\n F2 = 6-13"
    assert arguments("--model", "2", data=data[EXAM])["model"] == 2
    assert arguments("--bifactor", "A,A,B,-", "--items", "quad-integral", data=data)["bifactor"] == [
        "A",
        "A",
        "B",
        None,
    ]
    assert arguments("--prior", "default", data=data[EXAM])["priors"] == "default"


def test_a_list_of_responses() -> None:
    data = jmix.load_data("VerbAgg")
    words = ("--person", "id", "--item", "item", "--response", "r2")
    given = arguments(*words, "--item-formula", "~ btype", data=data)
    assert given["items"] is None and given["item"] == "item" and given["item_formula"] == "~ btype"
    fewer = arguments(*words, "--items", "S1WantCurse-S1WantShout", "--drop", "S1WantScold", data=data)
    assert fewer["items"] == ["S1WantCurse", "S1WantShout"]


def test_names_with_dashes_are_taken_first() -> None:
    columns = ["a-b", "a", "b", "c-d", "e"]
    assert cli_irt.named_columns("a-b", columns, "--items") == ["a-b"]
    assert cli_irt.named_columns("a-c-d", columns, "--items") == ["a", "b", "c-d"]
    assert cli_irt.named_columns("e,a-b", columns, "--items") == ["e", "a-b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--items", "quad-nosuch"), "--items 'quad-nosuch': there is no such column"),
        (("--items", "lagrange-quad"), "'quad' comes before 'lagrange'"),
        (("--drop", "nosuch"), "--drop 'nosuch'"),
        (("--items", "quad-lagrange", "--method", "em"), "write ml, map or cml"),
        (("--items", "quad-lagrange", "--scores", "best"), "--scores best: write EAP"),
        (("--items", "quad-lagrange", "--scores", "EAP", "--method", "cml"), "--scores EAP: write WLE, ML"),
        (("--items", "quad-lagrange", "--fix", "a1"), "write NAME=NUMBER"),
        (("--items", "quad-lagrange", "--fix", "a1=x"), "write NAME=NUMBER"),
        (("--items", "quad-lagrange", "--prior", "c"), "write NAME=PRIOR"),
        (("--items", "quad-lagrange", "--itemtype", "5PL"), "5PL"),
        (("--item", "quad"), "response="),
        (("--item", "nosuch", "--response", "quad", "--drop", "q"), "no such column"),
    ],
)
def test_mistakes_are_one_line(refuse: Callable[..., str], words: tuple[str, ...], message: str) -> None:
    import re

    assert re.search(message, refuse("irt", "MathExam14W", *words))


def test_a_parquet_file_by_blocks(folder: Path, capsys: pytest.CaptureFixture[str], fit: Any) -> None:
    pytest.importorskip("pyarrow")
    jmix.load_data("MathExam14W")[EXAM[:5]].to_parquet("exam.parquet")
    assert main(["irt", "exam.parquet", "--stream", "--itemtype", "2PL", "--out", "o", "--quiet"]) == 0
    assert "by blocks" in capsys.readouterr().err
    items = pd.read_csv(folder / "o" / "items.csv", index_col="item")
    np.testing.assert_allclose(items[["a", "d"]], fit.items()[["a", "d"]], atol=1e-4)
    assert not (folder / "o" / "scores.csv").exists()


def test_only_parquet_files_are_streamed(refuse: Callable[..., str], folder: Path) -> None:
    assert "--stream is for a .parquet file" in refuse("irt", "MathExam14W", "--stream")
    (folder / "bad.parquet").write_text("no")
    assert "damaged" in refuse("irt", "bad.parquet", "--stream")


def test_an_unknown_file(refuse: Callable[..., str]) -> None:
    assert "there is no file 'nosuch.csv'" in refuse("irt", "nosuch.csv")
