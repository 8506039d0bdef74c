"""``jmix sample``: what it prints, writes and refuses."""

from __future__ import annotations

import sys
import warnings
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import cli_sample
from jmix.cli import main

FORMULA = "Reaction ~ Days + (Days | Subject)"
SHORT = ("--draws", "40", "--tune", "60", "--chains", "2")
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def post() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jmix.ConvergenceWarning)
        return jmix.model(FORMULA, jmix.load_data("sleepstudy")).sample(40, 60, 2, progress=False)


def sample(*words: str) -> int:
    return main(["sample", "sleepstudy", FORMULA, *SHORT, *words])


def test_sample_prints_the_summary_and_hypotheses(capsys: pytest.CaptureFixture[str], post: Any) -> None:
    assert sample("--hypothesis", "Days > 0", "--hypothesis", "sigma = 20", "--prob", "0.9", "--hdi") == 0
    out, err = capsys.readouterr()
    assert out == f"{post.summary(0.9, 'hdi')}\n\n{post.hypothesis(['Days > 0', 'sigma = 20'])}\n"
    assert err == ""


def test_sample_options_reach_the_sampler(folder: Path, monkeypatch: pytest.MonkeyPatch, post: Any) -> None:
    seen: dict[str, Any] = {}

    def note(model: jmix.models.Model, *given: Any, **options: Any) -> Any:
        seen.update(model=model, given=given, **options)
        return post

    monkeypatch.setattr("jmix.models.Model.sample", note)
    jmix.load_data("sleepstudy").assign(w=1.5).to_csv("s.csv", index=False)
    words = [
        "--prior",
        "b=normal(0, precision=0.01)",
        "--prior",
        "sigma=gamma(1, 1) on precision",
        "--family",
        "student",
    ]
    words += ["--weights", "w", "--factor", "Subject", "--seed", "7", "--thin", "3", "--target-accept", "0.95"]
    words += ["--max-tree-depth", "8", "--quiet"]
    assert main(["sample", "s.csv", FORMULA, *SHORT, *words]) == 0
    assert seen["given"] == (40, 60, 2, 7)
    assert (seen["thin"], seen["target_accept"], seen["max_tree_depth"], seen["progress"]) == (3, 0.95, 8, False)
    model = seen["model"]
    assert model.family == "student"
    assert model.design.weights.tolist() == [1.5] * 180
    user = model.priors.table().query("source == 'user'")
    assert user["prior"].tolist() == ["normal(0, precision=0.01)", "gamma(1, 1) on precision"]
    assert user["parameter"].tolist() == ["b_Days", "sigma"]


def test_the_priors_alone(
    capsys: pytest.CaptureFixture[str], sleepstudy: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jmix.models.Model.sample", None)
    model = jmix.model(FORMULA, sleepstudy, priors={"sd": "half_normal(50)"})
    for option in ("--priors-only", "--show-priors"):
        assert sample("--prior", "sd=half_normal(50)", option, "--out", "sleepstudy") == 0
        assert capsys.readouterr().out == f"{model.priors}\n"


def test_out_writes_draws_tables_plots_and_the_posterior(
    folder: Path, capsys: pytest.CaptureFixture[str], post: Any
) -> None:
    pytest.importorskip("matplotlib")
    assert sample("--out", "deep/results", "--hypothesis", "Days > 0") == 0
    results = folder / "deep" / "results"
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith(f"Wrote to {Path('deep/results')}: posterior.npz, ")
    assert err == ""
    assert {file.name for file in results.iterdir()} == {
        "posterior.npz", "summary.csv", "draws.csv", "vcov.csv", "varcorr.csv", "priors.csv", "glance.csv",
        "hypotheses.csv", "summary.txt", "summary.md", "ranef_Subject.csv", "trace.png", "density.png", "forest.png",
    }  # fmt: skip
    back = jmix.load_posterior(results / "posterior.npz")
    np.testing.assert_array_equal(back.draws.beta, post.draws.beta)
    draws = pd.read_csv(results / "draws.csv")
    pd.testing.assert_frame_equal(draws, post.frame(), check_exact=False, rtol=1e-12)
    table = pd.read_csv(results / "summary.csv", index_col="parameter")
    pd.testing.assert_frame_equal(table, post.summary().table, check_exact=False, rtol=1e-9)
    assert pd.read_csv(results / "hypotheses.csv")["hypothesis"].tolist() == ["Days > 0"]
    assert pd.read_csv(results / "priors.csv")["parameter"].tolist() == post.priors.table()["parameter"].tolist()
    assert (results / "summary.txt").read_text(encoding="utf-8") == f"{post.summary()}\n"
    ranef = pd.read_csv(results / "ranef_Subject.csv", dtype={"level": str}).drop(columns=["level", "term"])
    expected = post.ranef_table().drop(columns=["group", "level", "term"])
    pd.testing.assert_frame_equal(ranef, expected, check_exact=False, rtol=1e-9)
    assert all((results / f"{name}.png").read_bytes().startswith(PNG) for name in ("trace", "density", "forest"))


def test_without_matplotlib_the_rest_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert sample("--out", "o", "--quiet") == 0
    assert capsys.readouterr() == ("", "jmix: no plots: plots need matplotlib: pip install 'jmix[plots]'\n")
    assert (folder / "o" / "posterior.npz").exists() and not list((folder / "o").glob("*.png"))


def test_plots_of_many_parameters_say_what_they_leave_out(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, post: Any
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(cli_sample, "MOST_PLOTTED", 2)
    assert len(cli_sample.write_plots(post, 0.95, folder)) == 3
    assert capsys.readouterr().err == "jmix: the plots show the first 2 parameters\n"


def test_strict_and_interrupted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, post: Any) -> None:
    assert not post.status.converged  # 80 draws are too few
    assert cli_sample.exit_code(post, strict=False) == 0
    assert cli_sample.exit_code(post, strict=True) == 1
    assert capsys.readouterr().err == "jmix: the chains have not converged\n"
    stopped = replace(post, draws=replace(post.draws, settings=replace(post.settings, interrupted=True)))
    assert cli_sample.exit_code(stopped, strict=True) == 130
    assert capsys.readouterr().err == "jmix: interrupted: these are the draws so far\n"


@pytest.mark.parametrize(
    ("given", "name", "prior"),
    [
        ("b=normal(0, 10)", "b", "normal(0, 10)"),
        ("b_x:z = normal(0, precision = 0.01)", "b_x:z", "normal(0, precision = 0.01)"),
        ("b_poly(x, degree=2)1=flat", "b_poly(x, degree=2)1", "flat"),
        ("sigma=gamma(1, 1) on precision", "sigma", "gamma(1, 1) on precision"),
    ],
)
def test_priors_in_words(given: str, name: str, prior: str) -> None:
    assert cli_sample.read_priors([given]) == {name: prior}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--prior", "normal(0, 1)"), "--prior 'normal(0, 1)': write NAME=PRIOR, for example 'b=normal(0, 10)'"),
        (("--prior", "b=normal(0, 1)", "--prior", "b=flat"), "there is already a prior for 'b'"),
        (("--prior", "bb=normal(0, 1)"), "there is no parameter 'bb'"),
        (("--prior", "b=norml(0, 1)"), "did you mean normal?"),
        (("--prior", "sd=flat"), "a flat prior on sd_Subject__Intercept is improper"),
        (("--family", "poison"), "unknown family 'poison'. Did you mean 'poisson'?"),
        (("--family", "poisson"), "must hold whole counts in family 'poisson'"),
        (("--draws", "0"), "draws=0: give a whole number, 1 or more"),
        (("--draws", "many"), "argument --draws: invalid int value: 'many'; see 'jmix sample --help'"),
        (("--target-accept", "1.5"), "target_accept=1.5"),
        (("--prob", "95"), "--prob 95: give a number between 0 and 1, such as 0.95"),
        (("--hypothesis", "Dayz > 0"), "there is no parameter 'Dayz'"),
        (("--hypothesis", "Days"), "hypothesis 'Days'"),
        (("--ml",), "unrecognized arguments: --ml"),
    ],
)
def test_mistakes_take_one_line(words: tuple[str, ...], message: str, refuse: Callable[..., str]) -> None:
    assert message in refuse("sample", "sleepstudy", FORMULA, *words)


def test_a_point_hypothesis_is_weighed_against_proper_priors(post: Any, sleepstudy: pd.DataFrame) -> None:
    """Evidence against a slope of zero where the data say ten; NaN where the prior of the slope is flat."""
    options = Namespace(hypothesis=["Days = 0"], seed=0)
    for priors, expected in (({"b": "normal(0, 10)"}, 0.0), (None, np.nan)):
        judged = cli_sample.judge(jmix.model(FORMULA, sleepstudy, priors=priors), post, options)
        assert judged is not None
        np.testing.assert_allclose(judged.table["evidence_ratio"].item(), expected, atol=1e-3)


def test_a_formula_without_random_terms_is_sampled_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "sleepstudy", "Reaction ~ Days", *SHORT, "--out", "o"]) == 0
    assert "Regression Coefficients:" in capsys.readouterr().out
    assert not list((folder / "o").glob("ranef*"))
    assert list(jmix.load_posterior(folder / "o" / "posterior.npz").parameters) == ["(Intercept)", "Days", "sigma"]
