"""``jmix fit --family``: what it prints and writes, and what reaches the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import cli_fit
from jmix.cli import main
from jmix.cli_options import build_parser
from jmix.models_glmm import GlmmModel
from jmix.models_student import StudentModel

FORMULA = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
BINOMIAL = ("--family", "binomial")


def bound(*words: str, data: pd.DataFrame) -> GlmmModel | StudentModel:
    """The model that ``jmix fit`` makes of the words after the data."""
    options = build_parser().parse_args(["fit", "d.csv", *words])
    model = cli_fit.bind(options, data, cli_fit.read_contrasts(options.contrasts))
    assert isinstance(model, GlmmModel | StudentModel)
    return model


@pytest.fixture(scope="module")
def fit() -> jmix.GlmmFit:
    return jmix.glmm(FORMULA, jmix.load_data("cbpp"), family="binomial", n_agq=5)


def test_fit_prints_the_summary(capsys: pytest.CaptureFixture[str], fit: jmix.GlmmFit) -> None:
    assert main(["fit", "cbpp", FORMULA, *BINOMIAL, "--agq", "5"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{fit.summary()}\n" and "nAGQ = 5" in out
    assert err == ""


def test_out_writes_the_files_of_a_linear_model(
    folder: Path, capsys: pytest.CaptureFixture[str], fit: jmix.GlmmFit
) -> None:
    assert main(["fit", "cbpp", FORMULA, *BINOMIAL, "--agq", "5", "--out", "o"]) == 0
    assert {file.name for file in (folder / "o").iterdir()} == {
        "fixef.csv", "vcov.csv", "varcorr.csv", "ranef_herd.csv", "augment.csv", "glance.csv",
        "summary.txt", "summary.md", "fit.npz",
    }  # fmt: skip
    fixef = pd.read_csv(folder / "o" / "fixef.csv", index_col="term")
    np.testing.assert_allclose(fixef["estimate"], fit.fixef(), rtol=1e-7)
    np.testing.assert_allclose(fixef["std_error"], fit.se(), rtol=1e-6)
    glance = pd.read_csv(folder / "o" / "glance.csv").iloc[0]
    np.testing.assert_allclose(glance["loglik"], fit.loglik, rtol=1e-9)
    augment = pd.read_csv(folder / "o" / "augment.csv")
    assert augment["row"].tolist() == list(range(1, 57))
    loaded = jmix.load_fit(folder / "o" / "fit.npz")
    np.testing.assert_allclose(loaded.fixef(), fit.fixef(), rtol=1e-7)
    assert (folder / "o" / "summary.txt").read_text(encoding="utf-8") in capsys.readouterr().out


def test_trials_of_proportions_are_the_weights(capsys: pytest.CaptureFixture[str]) -> None:
    counts = jmix.model(FORMULA, jmix.load_data("cbpp"), family="binomial").design
    model = bound("incidence / size ~ period + (1 | herd)", *BINOMIAL, "--weights", "size", data=jmix.load_data("cbpp"))
    np.testing.assert_array_equal(model.design.response.y, counts.response.y)
    np.testing.assert_array_equal(model.design.response.size, counts.response.size)


def test_options_reach_the_model() -> None:
    ticks = jmix.load_data("grouseticks").assign(o=0.5, w=2.0)
    words = (
        "--family",
        "nbinom2",
        "--link",
        "sqrt",
        "--zi",
        "~ cHEIGHT",
        "--disp",
        "~ YEAR",
        "--contrasts",
        "YEAR=sum",
    )
    model = bound("TICKS ~ YEAR + (1 | BROOD)", *words, "--offset", "o", "--weights", "w", data=ticks)
    assert isinstance(model, GlmmModel)
    family, design = model.family, model.design
    assert (family.name, family.link, family.zero) == ("nbinom2", "sqrt", "inflated")
    assert design.zi.names == ["(Intercept)", "cHEIGHT"] and design.disp.names == ["(Intercept)", "YEAR1", "YEAR2"]
    assert set(design.base.offset) == {0.5} and set(design.weights) == {2.0}
    hurdle = bound("TICKS ~ YEAR", "--family", "poisson", "--hurdle", "~ 1", data=ticks)
    assert hurdle.family.zero == "hurdle"
    student = bound("HEIGHT ~ YEAR", "--family", "student", data=ticks)
    assert isinstance(student, StudentModel)


def test_text_of_a_file_is_a_response_of_two_levels(folder: Path) -> None:
    data = jmix.load_data("bacteria")
    data.to_csv("b.csv", index=False)
    assert main(["fit", "b.csv", "y ~ week + (1 | ID)", *BINOMIAL, "--method", "laplace", "--quiet", "--out", "o"]) == 0
    own = jmix.glmm("y ~ week + (1 | ID)", data, family="bernoulli")
    written = pd.read_csv(folder / "o" / "fixef.csv", index_col="term")["estimate"]
    np.testing.assert_allclose(written, own.fixef(), rtol=1e-7)


def test_a_formula_without_random_terms_is_a_generalized_linear_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "cbpp", "cbind(incidence, size - incidence) ~ period", *BINOMIAL]) == 0
    out = capsys.readouterr().out
    assert "Random effects" not in out
    # R: glm(cbind(incidence, size - incidence) ~ period, binomial, cbpp)
    assert "(Intercept)  -1.2690     0.1449" in out


@pytest.mark.slow
def test_priors_make_it_a_fit_a_posteriori(
    folder: Path, capsys: pytest.CaptureFixture[str], sleepstudy: pd.DataFrame, fit: jmix.GlmmFit
) -> None:
    assert main(["fit", "cbpp", FORMULA, *BINOMIAL, "--prior", "b=normal(0, 0.1)", "--quiet", "--out", "o"]) == 0
    shrunk = pd.read_csv("o/fixef.csv", index_col="term")["estimate"]
    assert (shrunk.iloc[1:].abs() < 0.3 * fit.fixef().iloc[1:].abs()).all()
    linear = "Reaction ~ Days + (1 | Subject)"
    assert main(["fit", "sleepstudy", linear, "--prior", "b=normal(0, 5)"]) == 0
    own = jmix.model(linear, sleepstudy, priors={"b": "normal(0, 5)"}).fit("map")
    assert capsys.readouterr().out == f"{own.summary()}\n"


def test_separated_data_are_not_converged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.arange(40.0)
    pd.DataFrame({"y": (x > 19.5).astype(int), "x": x}).to_csv("s.csv", index=False)
    assert main(["fit", "s.csv", "y ~ x", "--family", "bernoulli", "--strict"]) == 1
    out, err = capsys.readouterr()
    assert "x" in out and err == "jmix: the fit has not converged\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--family", "binomal"), "unknown family 'binomal'. Did you mean 'binomial'?"),
        ((*BINOMIAL, "--link", "sqrt"), "family binomial has no link 'sqrt'"),
        ((*BINOMIAL, "--ml", "--prior", "b=normal(0, 1)"), "--ml and --prior exclude each other"),
        ((*BINOMIAL, "--prior", "sigma=normal(0, 1)"), "'binomial' has no dispersion"),
        ((*BINOMIAL, "--agq", "0"), "n_agq=0: give a whole number"),
        ((*BINOMIAL, "--agq", "many"), "argument --agq: invalid int value: 'many'; see 'jmix fit --help'"),
        ((*BINOMIAL, "--method", "pql"), "method='pql': choose 'agq'"),
        ((*BINOMIAL, "--zi", "~ 1"), "binomial has no zero-inflated variant"),
        ((*BINOMIAL, "--disp", "~ period"), "family 'binomial' has no dispersion"),
        (("--family", "poisson"), "is one of family 'binomial'; family 'poisson' takes one column"),
        (("--family", "poisson", "--zi", "~ 1", "--hurdle", "~ 1"), "exclude each other"),
        ((), "cbind(...) is the response of a binomial model"),
    ],
)
def test_mistakes_take_one_line(words: tuple[str, ...], message: str, refuse: Callable[..., str]) -> None:
    assert message in refuse("fit", "cbpp", FORMULA, *words)


def test_quadrature_of_a_linear_model_is_refused(refuse: Callable[..., str]) -> None:
    words = ("fit", "sleepstudy", "Reaction ~ Days + (1 | Subject)")
    assert "--agq and --method are for a --family" in refuse(*words, "--agq", "5")
    assert "single grouping factor" in refuse(
        "fit", "VerbAgg", "r2 ~ 1 + (1 | id) + (1 | item)", *BINOMIAL, "--agq", "5"
    )
