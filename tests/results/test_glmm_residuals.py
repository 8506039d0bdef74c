"""Residuals of generalized linear mixed models, and checks of counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jmix
from jmix import ModelError
from jmix.results.glmm_fit import GlmmFit
from jmix.results.glmm_law import Law, law
from jmix.results.glmm_residuals import quantile

Fits = Callable[[str], GlmmFit]


@pytest.mark.parametrize("name", ["cbpp", "zinb", "hurdle", "gamma", "ordinal"])
def test_quantile_residuals_are_normal_under_the_true_model(glmm_fit: Fits, name: str) -> None:
    """Responses drawn at known linear predictors: no estimation, no shrinkage."""
    fit = glmm_fit(name)
    own, rng = law(fit), np.random.default_rng(11)
    values = np.concatenate([quantile(given(fit, own.draw(rng)), own, rng) for _ in range(40)])
    assert stats.kstest(values, "norm").pvalue > 0.005
    assert abs(np.mean(values)) < 4 / np.sqrt(values.size)
    assert abs(np.mean(values**2) - 1) < 4 * np.sqrt(2 / values.size)


def test_quantile_residuals_tell_a_wrong_model(glmm_fit: Fits) -> None:
    fit = glmm_fit("zinb")
    own, rng = law(fit), np.random.default_rng(11)
    wrong = Law(own.family, own.at(own.inputs.eta + 0.4).inputs, None)
    values = np.concatenate([quantile(given(fit, own.draw(rng)), wrong, rng) for _ in range(40)])
    assert stats.kstest(values, "norm").pvalue < 1e-6


def test_quantile_residuals_of_a_continuous_response_are_exact(glmm_fit: Fits) -> None:
    fit = glmm_fit("gamma")
    mu, phi = fit.fitted(), fit.dispersion
    expected = stats.norm.ppf(stats.gamma.cdf(fit.design.response.y, 1 / phi, scale=phi * mu))
    np.testing.assert_allclose(fit.residuals("quantile"), expected, rtol=1e-7, atol=1e-9)
    pd.testing.assert_series_equal(fit.residuals("quantile"), fit.residuals("quantile", seed=9))


def test_quantile_residuals_of_counts_lie_in_the_jump(glmm_fit: Fits) -> None:
    fit = glmm_fit("poisson")
    y, mu = fit.design.response.y, fit.fitted().to_numpy()
    low, high = stats.norm.ppf(stats.poisson.cdf(y - 1, mu)), stats.norm.ppf(stats.poisson.cdf(y, mu))
    first, second = fit.residuals("quantile"), fit.residuals("quantile", seed=1)
    for values in (first, second):
        assert ((values >= low - 1e-9) & (values <= high + 1e-9)).all()
    assert not first.equals(second)
    assert first.equals(fit.residuals("quantile", seed=0))


def test_simulated_residuals_are_uniform_under_the_model(glmm_fit: Fits) -> None:
    """One row a group and data set, since rows of a group share its random effect."""
    fit = glmm_fit("zinb")
    values = []
    for seed in range(40):
        rows = np.arange(18) * 10 + seed % 10
        other = given(fit, fit.simulate(1, seed=seed)["sim_1"].to_numpy())
        values.append(other.residuals("quantile", simulated=True, n=40, seed=1000 + seed).to_numpy()[rows])
    scaled = np.concatenate(values)
    assert scaled.min() > 0.0
    assert scaled.max() < 1.0
    assert stats.kstest(scaled, "uniform").pvalue > 0.005
    shifted = given(fit, np.floor(1.5 * fit.simulate(1, seed=0)["sim_1"].to_numpy()))
    assert stats.kstest(shifted.residuals("quantile", simulated=True), "uniform").pvalue < 0.01


def given(fit: GlmmFit, y: np.ndarray) -> GlmmFit:
    """The fit beside another response, without fitting it."""
    return replace(fit, design=replace(fit.design, response=replace(fit.design.response, y=y)))


def test_scaled_residuals_include_the_dispersion_and_pearson_ones_do_not(glmm_fit: Fits) -> None:
    gamma, zinb = glmm_fit("gamma"), glmm_fit("zinb")
    np.testing.assert_allclose(gamma.residuals("pearson") / gamma.sigma, gamma.residuals("scaled"), rtol=1e-12)
    np.testing.assert_allclose(zinb.residuals("pearson"), zinb.residuals("scaled"), rtol=1e-12)
    disp = glmm_fit("disp")
    np.testing.assert_allclose(disp.residuals("pearson"), disp.residuals("response"), rtol=1e-12)
    np.testing.assert_allclose(
        disp.residuals("scaled"), disp.residuals("response") / disp.predict(type="disp"), rtol=1e-12
    )


def test_weights_enter_as_in_r() -> None:
    # d <- transform(cbpp, w = 1 + (0:55 %% 3)); m <- glm(incidence ~ period, poisson, d, weights = w)
    # c(residuals(m)[1:3], residuals(m, "pearson")[1:3], residuals(m, "working")[1:3])  # with epsilon = 1e-14
    data = jmix.load_data("cbpp").assign(w=1.0 + np.arange(56) % 3)
    fit = jmix.glmm("incidence ~ period", data, family="poisson", weights="w")
    ours = np.concatenate([fit.residuals(kind)[:3] for kind in ("deviance", "pearson", "working")])  # type: ignore[arg-type]
    np.testing.assert_allclose(ours, R_WEIGHTED, rtol=1e-6)


R_WEIGHTED = [
    -0.914670562948, 2.000051492526, 3.341344747191, -0.837610596839, 2.400396792596, 4.198318011522,
    -0.442307692308, 1.571428571429, 2.151515151515,
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("cbpp", "raw", "choose 'deviance', 'pearson'"),
        ("zinb", "deviance", "a model of the zeros has no deviance; choose 'quantile' or 'pearson'"),
        ("zinb", "working", "without zero inflation or hurdle"),
        ("ordinal", "deviance", "a category; choose 'quantile'"),
        ("ordinal", "pearson", "a category; choose 'quantile'"),
    ],
)
def test_residuals_that_a_family_does_not_have_are_refused(glmm_fit: Fits, name: str, kind: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        glmm_fit(name).residuals(kind)


def test_only_quantile_residuals_are_simulated(glmm_fit: Fits) -> None:
    with pytest.raises(ModelError, match="only quantile residuals"):
        glmm_fit("cbpp").residuals("pearson", simulated=True)
    with pytest.raises(ModelError, match=r"residuals\(n=0\)"):
        glmm_fit("cbpp").residuals("quantile", simulated=True, n=0)


# --- checks ---------------------------------------------------------------------------------------------------------
def test_overdispersion_is_pearsons_chi_squared(glmm_fit: Fits) -> None:
    fit = glmm_fit("cbpp")
    check = fit.overdispersion()
    chisq = float((fit.residuals("pearson") ** 2).sum())
    assert (check.chisq, check.df) == (pytest.approx(chisq), 51)
    assert check.ratio == pytest.approx(chisq / 51)
    assert check.p_value == pytest.approx(stats.chi2.sf(chisq, 51))
    assert "ratio" in str(check)


def test_overdispersed_counts_are_told_with_a_remedy() -> None:
    rng = np.random.default_rng(0)
    counts = {"y": rng.negative_binomial(1, 0.2, size=120), "x": rng.normal(size=120)}
    check = jmix.glmm("y ~ x", counts, family="poisson").overdispersion()
    assert check.p_value < 1e-6
    assert "overdispersed" in check.message
    assert "nbinom2" in check.message
    poisson = counts | {"y": rng.poisson(4.0, size=120)}
    assert jmix.glmm("y ~ x", poisson, family="poisson").overdispersion().message == "no sign of overdispersion"


def test_excess_zeros_are_told_with_a_remedy(glmm_fit: Fits) -> None:
    check = glmm_fit("zinb").zero_check()
    assert check.observed == int((glmm_fit("zinb").design.response.y == 0).sum())
    assert check.p_value > 0.05
    assert check.message == "as many zeros as the model expects"
    assert check.ratio == pytest.approx(check.observed / check.expected)
    rng = np.random.default_rng(1)
    y = np.where(rng.uniform(size=150) < 0.4, 0, rng.poisson(5.0, size=150))
    plain = jmix.glmm("y ~ 1", {"y": y}, family="poisson").zero_check()
    assert plain.p_value < 0.01
    assert "more zeros than the model expects; consider zi=" in plain.message
    expected = 150 * np.exp(-y.mean())
    assert plain.expected == pytest.approx(expected, abs=4 * plain.sd / np.sqrt(250) + 1e-9)


def test_checks_are_refused_where_they_mean_nothing(glmm_fit: Fits) -> None:
    with pytest.raises(ModelError, match="not for family 'gamma'"):
        glmm_fit("gamma").overdispersion()
    with pytest.raises(ModelError, match="not for family 'cumulative'"):
        glmm_fit("ordinal").zero_check()
    binary = jmix.glmm("y ~ 1", {"y": [0, 1] * 10}, family="bernoulli")
    with pytest.raises(ModelError, match="single 0/1 response"):
        binary.overdispersion()
