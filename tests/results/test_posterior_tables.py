"""The printed summary of draws, and the accessors, against NumPy and the shapes of a fit."""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.results.diagnostics import autocorrelation
from jmix.results.posterior import Posterior
from jmix.results.posterior_summary import decimal_rows

SLEEP = jmix.load_data("sleepstudy")
MakePosterior = Callable[..., Posterior]


# --- summary --------------------------------------------------------------------------------------------------------
def test_summary_table_is_what_numpy_gives(fake_posterior: Posterior) -> None:
    table = fake_posterior.summary(0.9, lag=3).table
    assert list(table.index) == list(fake_posterior.parameters)
    columns = "mean sd median mode lower upper mcse_mean mcse_sd ess_bulk ess_tail rhat autocorr"
    assert " ".join(table.columns) == columns
    for name, draws in fake_posterior.parameters.items():
        row, flat = table.loc[name], draws.ravel()
        expected = [flat.mean(), flat.std(ddof=1), np.median(flat), *np.quantile(flat, [0.05, 0.95])]
        np.testing.assert_allclose(row[["mean", "sd", "median", "lower", "upper"]], expected, rtol=1e-12)
        assert row["autocorr"] == pytest.approx(float(autocorrelation(draws, 3)))
        assert abs(row["mode"] - row["median"]) < row["sd"]


def test_summary_reads_like_that_of_brms(fake_posterior: Posterior) -> None:
    lines = repr(fake_posterior).split("\n")
    assert lines[:5] == [
        " Family: gaussian",
        "  Links: mu = identity; sigma = identity",
        "Formula: Reaction ~ Days + (Days | Subject)",
        "   Data: Number of observations: 180",
        "  Draws: 4 chains, each with iter = 750; warmup = 500; thin = 1; total",
    ]
    at = lines.index("Multilevel Hyperparameters:")
    assert lines[at + 1] == "~Subject (Number of levels: 18)"
    assert lines[at + 2].split("Estimate")[1] == " Est.Error l-95% CI u-95% CI Rhat Bulk_ESS Tail_ESS"
    assert [line.split()[0] for line in lines[at + 3 : at + 6]] == ["sd(Intercept)", "sd(Days)", "cor(Intercept,Days)"]
    row = lines[lines.index("Regression Coefficients:") + 3].split()
    table = fake_posterior.summary().table.loc["Days"]
    assert row[0] == "Days"
    assert [float(v) for v in row[1:]] == pytest.approx(
        [*table[["mean", "sd", "lower", "upper", "rhat"]].round(2), *table[["ess_bulk", "ess_tail"]].round()]
    )
    assert lines[lines.index("Further Distributional Parameters:") + 2].startswith("sigma ")
    assert max(map(len, lines)) <= 80


def test_summary_of_several_factors_a_student_response_and_other_intervals(make_posterior: MakePosterior) -> None:
    post = make_posterior("diameter ~ 1 + (1 | plate) + (1 | sample)", jmix.load_data("Penicillin"), nu=True, thin=2)
    text = str(post.summary(0.8, "hdi"))
    assert " Family: student\n  Links: mu = identity; sigma = identity; nu = identity\n" in text
    assert "iter = 1000; warmup = 500; thin = 2" in text
    assert "~plate (Number of levels: 24)" in text
    assert "~sample (Number of levels: 6)" in text
    assert "l-80% HDI u-80% HDI" in text
    assert [line.split()[0] for line in text.split("Distributional Parameters:\n")[1].split("\n")[1:3]] == [
        "sigma",
        "nu",
    ]


def test_terms_that_share_a_factor_print_under_it(make_posterior: MakePosterior) -> None:
    post = make_posterior("Reaction ~ Days + (Days || Subject)", SLEEP)
    part = str(post).split("~Subject (Number of levels: 18)\n")
    assert len(part) == 2
    assert [line.split()[0] for line in part[1].split("\n")[1:3]] == ["sd(Intercept)", "sd(Days)"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[251.413, 6.82]], [["251.41", "6.82"]]),
        ([[0.12345, 0.00123]], [["0.1235", "0.0012"]]),
        ([[10.0, 1.0], [1e-9, 3e-9]], [["10.00", "1.00"], ["1.000e-09", "3.000e-09"]]),
        ([[1.5e9, 3e7]], [["1.500e+09", "3.000e+07"]]),
        ([[2.5, 0.0], [np.nan, np.inf]], [["2.50", "0.00"], ["NaN", "Inf"]]),
    ],
)
def test_decimals(rows: list[list[float]], expected: list[list[str]]) -> None:
    assert decimal_rows(rows) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prob": 95}, "prob=95"),
        ({"interval": "hpd"}, "'eti' .* or 'hdi'"),
        ({"lag": 0}, "lag=0"),
        ({"lag": 1.5}, "lag=1.5"),
    ],
)
def test_bad_summary_arguments_are_refused(fake_posterior: Posterior, options: dict[str, Any], message: str) -> None:
    with pytest.raises(jmix.ModelError, match=message):
        fake_posterior.summary(**options)


def test_summary_as_markup(fake_posterior: Posterior) -> None:
    stats = replace(fake_posterior.draws.stats, diverging=np.arange(1000).reshape(4, 250) < 3)
    summary = replace(fake_posterior, draws=replace(fake_posterior.draws, stats=stats)).summary()
    root = ET.fromstring(summary.to_html())
    assert len(root.findall("table")) == 3
    assert "3 of 1000 draws diverged" in summary.to_html()
    assert "| Days | " in summary.to_markdown()
    assert summary.to_latex().count(r"\begin{tabular}") == 3
    assert fake_posterior._repr_html_().startswith("<div")


@pytest.mark.parametrize("draws", [1, 2, 3, 5])
def test_few_draws_print_without_a_warning(make_posterior: MakePosterior, draws: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        post = make_posterior("Reaction ~ Days + (1 | Subject)", SLEEP, chains=1, draws=draws)
        assert "1 chain with iter" in repr(post)
        assert post.hypothesis("Days > 0").table["probability"].item() == 1.0
        assert not post.status.converged


# --- accessors ------------------------------------------------------------------------------------------------------
def test_accessors_have_the_shapes_of_a_fit(fake_posterior: Posterior) -> None:
    fit = jmix.lmm("Reaction ~ Days + (Days | Subject)", SLEEP)
    for name in ("fixef", "se"):
        ours, theirs = getattr(fake_posterior, name)(), getattr(fit, name)()
        assert (list(ours.index), ours.name) == (list(theirs.index), theirs.name)
    assert list(fake_posterior.theta.index) == list(fit.theta.index)
    assert (fake_posterior.vcov().columns == fit.vcov().columns).all()
    assert (fake_posterior.nobs, fake_posterior.ngrps()) == (fit.nobs, fit.ngrps())
    pd.testing.assert_frame_equal(
        fake_posterior.varcorr()[["grp", "var1", "var2"]], fit.varcorr()[["grp", "var1", "var2"]]
    )
    ours, theirs = fake_posterior.tidy(), fit.tidy()
    shared = ["effect", "group", "term"]
    pd.testing.assert_frame_equal(ours[shared], theirs[shared])
    assert list(ours.columns) == [*shared, "estimate", "std_error", "rhat", "ess"]


def test_fixed_effects_are_moments_of_their_draws(fake_posterior: Posterior) -> None:
    beta = fake_posterior.draws.beta.reshape(-1, 2)
    np.testing.assert_allclose(fake_posterior.fixef(), beta.mean(axis=0))
    np.testing.assert_allclose(fake_posterior.vcov(), np.cov(beta.T), rtol=1e-10)
    np.testing.assert_allclose(fake_posterior.se() ** 2, np.diag(fake_posterior.vcov()), rtol=1e-10)
    np.testing.assert_allclose(fake_posterior.confint(0.8), np.quantile(beta, [0.1, 0.9], axis=0).T)
    table = fake_posterior.summary(interval="hdi").table.loc[["(Intercept)", "Days"], ["lower", "upper"]]
    np.testing.assert_allclose(fake_posterior.confint(method="hdi"), table)


def test_variance_components_are_means_over_draws(fake_posterior: Posterior) -> None:
    table = fake_posterior.varcorr(0.9)
    cov = np.einsum("...ac,...bc->...ab", *[fake_posterior.draws.chol[0]] * 2).reshape(-1, 2, 2)
    sd = np.sqrt(np.einsum("naa->na", cov))
    cor = cov[:, 1, 0] / sd.prod(axis=1)
    sigma = fake_posterior.draws.sigma.ravel()
    expected = [cov[:, 0, 0], cov[:, 1, 1], cov[:, 1, 0], sigma**2]
    np.testing.assert_allclose(table["vcov"], [v.mean() for v in expected], rtol=1e-12)
    draws = np.stack([sd[:, 0], sd[:, 1], cor, sigma])
    np.testing.assert_allclose(table["sdcor"], draws.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(table["est_error"], draws.std(axis=1, ddof=1), rtol=1e-10)
    np.testing.assert_allclose(table[["lower", "upper"]], np.quantile(draws, [0.05, 0.95], axis=1).T, rtol=1e-12)
    assert fake_posterior.sigma == table["sdcor"].iloc[-1]
    relative = fake_posterior.draws.chol[0] / fake_posterior.draws.sigma[..., None, None]
    expected_theta = [relative[..., a, b].mean() for a, b in ((0, 0), (1, 0), (1, 1))]
    np.testing.assert_allclose(fake_posterior.theta, expected_theta, rtol=1e-12)


def test_tidy_and_glance(make_posterior: MakePosterior) -> None:
    post = make_posterior("Reaction ~ Days + (Days | Subject)", SLEEP, nu=True)
    table = post.tidy(conf_int=True, level=0.9)
    summary = post.summary(0.9).table
    np.testing.assert_allclose(table["estimate"], summary["mean"])
    np.testing.assert_allclose(table[["conf_low", "conf_high"]], summary[["lower", "upper"]])
    np.testing.assert_allclose(table[["rhat", "ess"]], summary[["rhat", "ess_bulk"]])
    assert list(post.tidy(effects="fixed")["term"]) == ["(Intercept)", "Days"]
    assert post.tidy(effects="ran_pars")["term"].iloc[-1] == "nu__Observation"
    row = post.glance().iloc[0]
    assert (row["nobs"], row["chains"], row["draws"], row["divergences"]) == (180, 4, 1000, 0)
    assert (row["sampling_seconds"], row["seconds"]) == (1.5, 3.75)
    assert row["max_rhat"] == summary["rhat"].max()


def test_a_model_without_fixed_effects(make_posterior: MakePosterior) -> None:
    post = make_posterior("Reaction ~ 0 + (1 | Subject)", SLEEP)
    assert "\n\nNo fixed effects\n\n" in str(post)
    assert post.vcov().shape == (0, 0)
    assert post.confint().shape == (0, 2)
    assert len(post.fixef()) == len(post.se()) == len(post.tidy(effects="fixed", conf_int=True)) == 0
    assert list(post.tidy()["term"]) == ["sd__(Intercept)", "sd__Observation"]


def test_tidy_of_random_effects(fake_posterior: Posterior) -> None:
    effects = np.random.default_rng(1).normal(size=(4, 250, 18, 2))
    post = replace(fake_posterior, draws=replace(fake_posterior.draws, effects={"Subject": effects}))
    ours = post.tidy(effects="ran_vals", conf_int=True)
    theirs = jmix.lmm("Reaction ~ Days + (Days | Subject)", SLEEP).tidy(effects="ran_vals")
    keys = ["effect", "group", "level", "term"]
    pd.testing.assert_frame_equal(ours[keys], theirs[keys])
    np.testing.assert_allclose(ours["estimate"], effects.mean(axis=(0, 1)).ravel(order="F"))
    np.testing.assert_allclose(ours["conf_low"], np.quantile(effects, 0.025, axis=(0, 1)).ravel(order="F"))
    assert list(ours.columns[4:]) == ["estimate", "std_error", "conf_low", "conf_high", "rhat", "ess"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.tidy(effects="random"), "effects='random'"),
        (lambda p: p.tidy(level=2), "level=2"),
        (lambda p: p.confint(0.0), "level=0.0"),
        (lambda p: p.confint(method="wald"), "'wald'"),
        (lambda p: p.varcorr(level=95), "level=95"),
    ],
)
def test_bad_arguments_are_refused(fake_posterior: Posterior, call: Callable[[Posterior], Any], message: str) -> None:
    with pytest.raises(jmix.ModelError, match=message):
        call(fake_posterior)
