"""Predictions of generalized linear mixed models, averages over the population, simulated responses, refits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from scipy.special import expit, ndtr

import jmix
from jmix import DataError, ModelError
from jmix.families import Family
from jmix.results.glmm_average import average
from jmix.results.glmm_fit import GlmmFit
from jmix.results.glmm_inputs import Inputs
from jmix.results.glmm_predict import probabilities

Fits = Callable[[str], GlmmFit]

NEW = pd.DataFrame({"x": [0.0, 0.5, 1.2], "Subject": ["308", "350", "372"]}, index=["a", "b", "c"])


# --- averages over a normal linear predictor ------------------------------------------------------------------------
def quad(mean: Callable[[float], float], eta: float, spread: float) -> float:
    """An average by adaptive quadrature in pieces about the peaks of the density."""
    edges = [*np.linspace(-12, 18, 61)]
    total = sum(
        integrate.quad(lambda t: mean(eta + spread * t) * stats.norm.pdf(t), a, b, epsabs=1e-13, epsrel=1e-12)[0]
        for a, b in pairwise(edges)
    )
    return float(total)


INVERSE: dict[str, Callable[[float], float]] = {
    "logit": lambda e: float(expit(e)),
    "probit": lambda e: float(ndtr(e)),
    "cloglog": lambda e: float(-np.expm1(-np.exp(min(e, 300.0)))),
    "cauchit": lambda e: 0.5 + float(np.arctan(e)) / np.pi,
    "sqrt": lambda e: e * e,
    "log": lambda e: float(np.exp(e)),
    "identity": lambda e: e,
}


@pytest.mark.parametrize("link", INVERSE)
@pytest.mark.parametrize("spread", [0.0, 0.3, 1.7, 6.0])
def test_an_average_is_that_of_adaptive_quadrature(link: str, spread: float) -> None:
    family = Family("poisson" if link in ("log", "sqrt", "identity") else "bernoulli", link)
    eta = np.array([-4.0, -1.0, 0.2, 2.5])

    def mean(at: Inputs) -> np.ndarray:
        from jmix.families import mean

        return np.asarray(mean(family, at.eta, at.aux))

    ours = average(family, mean, Inputs(eta=eta, spread=np.full(4, spread)))
    theirs = [quad(INVERSE[link], e, spread) if spread else INVERSE[link](e) for e in eta]
    np.testing.assert_allclose(ours, theirs, rtol=2e-9 if link != "cauchit" else 1e-8)


def test_the_average_of_a_hurdle_is_that_of_adaptive_quadrature() -> None:
    family, spread = Family("poisson", "log", "hurdle"), 1.3

    def mean(at: Inputs) -> np.ndarray:
        from jmix.families import mean

        return np.asarray(mean(family, at.eta, at.aux))

    inputs = Inputs(eta=np.array([-3.0, 1.0]), zi=np.array([-0.4, 0.7]), spread=np.full(2, spread))
    ours = average(family, mean, inputs)
    positive = [quad(lambda e: float(np.exp(e) / -np.expm1(-np.exp(e))), e, spread) for e in (-3.0, 1.0)]
    np.testing.assert_allclose(ours, expit([0.4, -0.7]) * positive, rtol=1e-10)


def test_a_probit_average_has_its_closed_form_by_category() -> None:
    family = Family("cumulative", "probit", n_categories=3)
    tau, eta, spread = np.array([-0.5, 1.0]), np.linspace(-2, 2, 5), np.linspace(0.1, 3, 5)
    ours = average(family, lambda at: probabilities(family, at), Inputs(eta=eta, spread=spread, tau=tau))
    below = ndtr((tau[:, None] - eta) / np.sqrt(1 + spread**2))
    expected = np.diff(np.vstack([np.zeros(5), below, np.ones(5)]), axis=0)
    np.testing.assert_allclose(ours, expected, rtol=1e-11)


def test_population_averages_are_those_of_simulated_random_effects(glmm_fit: Fits) -> None:
    fit = glmm_fit("cbpp")
    rng, sd = np.random.default_rng(0), float(fit.varcorr()["sdcor"].iloc[0])
    link = fit.predict(type="link", conditional=False).iloc[:4].to_numpy()
    draws = expit(link[:, None] + sd * rng.standard_normal(400_000))
    ours = fit.predict(population_averaged=True).iloc[:4]
    error = draws.std(axis=1) / np.sqrt(draws.shape[1])
    assert np.all(np.abs(ours - draws.mean(axis=1)) < 4 * error)
    assert np.all(ours > fit.predict(conditional=False).iloc[:4] + 20 * error)


def test_population_averages_of_slopes_need_no_levels_but_their_columns(glmm_fit: Fits) -> None:
    fit = glmm_fit("poisson")
    lam = fit.spec.split(fit.theta.to_numpy())[0]
    z = np.column_stack([np.ones(3), NEW["x"]])
    link = z @ fit.fixef().to_numpy()
    expected = np.exp(link + 0.5 * np.sum((z @ lam) ** 2, axis=1))
    strange = NEW.assign(Subject=["new", None, "308"])
    np.testing.assert_allclose(fit.predict(strange, population_averaged=True), expected, rtol=1e-12)


def test_new_rows_of_random_intercepts_need_no_grouping_column(glmm_fit: Fits) -> None:
    ours = glmm_fit("cbpp").predict({"period": ["1", "2"]}, population_averaged=True)
    np.testing.assert_allclose(ours, glmm_fit("cbpp").predict(population_averaged=True)[:2], rtol=1e-12)


def test_averages_that_do_not_exist_are_refused(glmm_fit: Fits) -> None:
    fit = glmm_fit("gamma")
    inverse = replace(fit, design=replace(fit.design, family=Family("gamma", "inverse")))
    with pytest.raises(ModelError, match="link 'inverse' the expected response over normal random effects does not"):
        inverse.predict(population_averaged=True)
    with pytest.raises(ModelError, match="conditional=False"):
        fit.predict(type="link", population_averaged=True)


# --- standard errors ------------------------------------------------------------------------------------------------
def numerical(fit: GlmmFit, value: Callable[[GlmmFit], Any]) -> np.ndarray:
    """Derivatives of predictions in all parameters by central differences of whole fits at moved parameters."""

    def at(x: np.ndarray) -> np.ndarray:
        parts = fit.objective.split(x)
        solution = replace(
            fit.solution, x=x, beta=parts.beta, theta=parts.theta, disp=parts.disp, zi=parts.zi,
            thresholds=parts.thresholds, shape=parts.shape,
        )  # fmt: skip
        return np.asarray(value(replace(fit, solution=solution)), dtype=float)

    x, h = fit.solution.x, 1e-5
    return np.stack([(at(x + h * e) - at(x - h * e)) / (2 * h) for e in np.eye(x.size)], axis=-1)


CASES = {
    "link": ("cbpp", {"type": "link"}),
    "average": ("cbpp", {"population_averaged": True}),
    "zi": ("zinb", {"type": "zi"}),
    "disp": ("zinb", {"type": "disp"}),
    "zinb": ("zinb", {}),
    "zinb average": ("zinb", {"population_averaged": True}),
    "ordinal": ("ordinal", {"type": "probs"}),
    "ordinal average": ("ordinal", {"type": "probs", "population_averaged": True}),
}


@pytest.mark.parametrize("case", CASES)
def test_standard_errors_are_the_delta_method(glmm_fit: Fits, case: str) -> None:
    """Modes included: they are searched anew at every moved parameter."""
    name, options = CASES[case]
    fit = glmm_fit(name)
    ours = fit.predict(se=True, **options)
    gradient = numerical(fit, lambda moved: moved.predict(**options))
    variance = np.einsum("...i,ij,...j->...", gradient, fit.solution.vcov, gradient)
    if case in ("link", "zinb", "ordinal"):
        (group,) = fit.terms
        own = fit.mode_covariances[group.group][group.codes, 0, 0]
        slope = (fit.predict(type="link") * 0 + 1).to_numpy()
        if case == "zinb":
            slope = fit.predict().to_numpy()
        if case == "ordinal":
            h, at = 1e-5, fit.fitted("link").to_numpy()
            high, low = (probabilities(fit.family, Inputs(eta=at + d, tau=fit.thresholds.to_numpy())) for d in (h, -h))
            slope, own = ((high - low) / (2 * h)).T, own[:, None]
        variance = variance + slope**2 * own
    np.testing.assert_allclose(ours["se"], np.sqrt(variance), rtol=2e-6)


def test_a_level_not_seen_contributes_its_variance(glmm_fit: Fits) -> None:
    fit = glmm_fit("cbpp")
    rows = pd.DataFrame({"period": ["1"], "herd": ["another"]})
    with pytest.raises(DataError, match=r"herd has levels that the fit has not seen: 'another'"):
        fit.predict(rows)
    table = fit.predict(rows, type="link", new_levels="population", se=True)
    fixed = fit.predict(rows, type="link", conditional=False, se=True)
    assert table["fit"].item() == fixed["fit"].item()
    variance = fit.varcorr()["vcov"].iloc[0] + fixed["se"] ** 2
    np.testing.assert_allclose(table["se"], np.sqrt(variance), rtol=1e-10)


def test_standard_errors_without_random_terms_are_those_of_glm(glmm_fit: Fits) -> None:
    # m <- glm(cbind(incidence, size - incidence) ~ period, binomial, lme4::cbpp, control = list(epsilon = 1e-14))
    # predict(m, se.fit = TRUE, type = "response")
    fit = glmm_fit("plain")
    table = fit.predict(se=True).iloc[:4]
    fits = [0.2194244604316546, 0.0801886792452830, 0.0710659898478871, 0.0451612903225808]
    errors = [0.0248214752832535, 0.0186525397843433, 0.0183058636599788, 0.0166794732219325]
    np.testing.assert_allclose(table["fit"], fits, rtol=1e-9)
    np.testing.assert_allclose(table["se"], errors, rtol=1e-9)
    assert fit.ranef() == {}
    assert fit.predict(population_averaged=True).equals(fit.predict())


def test_rows_beside_a_separated_level_keep_their_standard_errors() -> None:
    """The level that the intercept stands for has no success: its own rows cannot be told, the others can."""
    level = np.repeat(["a", "b", "c"], [10, 30, 20])
    y = np.concatenate([np.zeros(10), np.arange(30) < 21, np.arange(20) < 5]).astype(int)
    z = np.tile([0.0, 1.0], 30)
    with pytest.warns(jmix.ConvergenceWarning, match="separation"):
        fit = jmix.glmm("y ~ f + z", {"y": y, "f": level, "z": z}, family="binomial")
    assert fit.se().iloc[:3].isna().all()
    table = fit.predict(se=True)
    assert table["se"][:10].isna().all()
    # the same rows alone: glm on levels b and c, which the separated level does not inform
    alone = jmix.glmm("y ~ f + z", {"y": y[10:], "f": level[10:], "z": z[10:]}, family="binomial").predict(se=True)
    np.testing.assert_allclose(table["fit"][10:], alone["fit"], rtol=1e-6)
    np.testing.assert_allclose(table["se"][10:], alone["se"], rtol=1e-5)
    assert fit.predict(type="link", se=True)["se"].notna().sum() == 50


# --- predictions ----------------------------------------------------------------------------------------------------
def test_predictions_keep_the_index_and_leave_missing_rows_out(glmm_fit: Fits) -> None:
    fit = glmm_fit("zinb")
    whole = fit.predict(NEW)
    rows = NEW.assign(x=[0.0, np.nan, 1.2])
    for options in ({}, {"type": "zi"}, {"type": "link", "conditional": False}, {"population_averaged": True}):
        values = fit.predict(rows, **options)  # type: ignore[arg-type]
        assert list(values.index) == ["a", "b", "c"]
        assert list(values.isna()) == [False, True, False]
    pd.testing.assert_series_equal(fit.predict(rows).drop("b"), whole.drop("b"))
    assert list(fit.predict(rows, se=True)["se"].isna()) == [False, True, False]


def test_predictions_of_the_zeros_need_only_their_columns(glmm_fit: Fits) -> None:
    fit = glmm_fit("zinb")
    ours = fit.predict({"x": [0.0, 1.0]}, type="zi")
    np.testing.assert_allclose(ours, expit(fit.fixef("zi").to_numpy() @ [[1, 1], [0, 1]]), rtol=1e-12)
    np.testing.assert_allclose(fit.predict({"x": [0.0]}, type="disp"), fit.dispersion, rtol=1e-12)


def test_probabilities_add_up_and_name_the_categories(glmm_fit: Fits) -> None:
    fit = glmm_fit("ordinal")
    table = fit.predict(NEW, type="probs")
    assert list(table.columns) == list("ABCD")
    np.testing.assert_allclose(table.sum(axis=1), 1.0, rtol=1e-12)
    pd.testing.assert_frame_equal(table, fit.predict(NEW))
    both = fit.predict(NEW, se=True)
    assert list(both.columns)[:2] == [("fit", "A"), ("fit", "B")]
    assert (both["se"] > 0).all().all()
    cumulative = expit(fit.thresholds.to_numpy() - fit.predict(NEW, type="link").to_numpy()[:, None])
    np.testing.assert_allclose(table.cumsum(axis=1).iloc[:, :3], cumulative, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cbpp", {"type": "mean"}, r"type='mean': choose 'response', 'link'"),
        ("cbpp", {"type": "zi"}, "no zero inflation or hurdle"),
        ("cbpp", {"type": "disp"}, "family 'binomial' has no dispersion"),
        ("cbpp", {"type": "probs"}, "for a cumulative model"),
        ("ordinal", {"type": "conditional"}, "choose 'probs'"),
        ("cbpp", {"new_levels": "zero"}, "choose 'error' or 'population'"),
    ],
)
def test_predictions_that_make_no_sense_are_refused(
    glmm_fit: Fits, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        glmm_fit(name).predict(**options)


def test_missing_columns_are_named(glmm_fit: Fits) -> None:
    with pytest.raises(DataError, match="herd"):
        glmm_fit("cbpp").predict({"period": ["1"]})
    with pytest.raises(DataError, match="x"):
        glmm_fit("zinb").predict({"Subject": ["308"]}, type="zi")


# --- simulation -----------------------------------------------------------------------------------------------------
def test_simulated_responses_have_the_moments_of_the_model(glmm_fit: Fits) -> None:
    """Mean over new random effects by quadrature, and within given ones the variance that scales the residuals."""
    fit = glmm_fit("zinb")
    draws = fit.simulate(4000, seed=1).to_numpy()
    expected = fit.predict(population_averaged=True).to_numpy()
    error = draws.std(axis=1) / np.sqrt(draws.shape[1])
    z = (draws.mean(axis=1) - expected) / error
    assert np.abs(z).max() < 4.5
    assert abs(np.square(z).mean() - 1) < 0.35
    given = fit.simulate(4000, seed=2, conditional=True).to_numpy()
    ratio = given.var(axis=1, ddof=1) / (fit.residuals("response") / fit.residuals("scaled")).to_numpy() ** 2
    assert abs(np.median(ratio) - 1) < 0.02


def test_simulated_binomial_responses_are_successes(glmm_fit: Fits) -> None:
    fit = glmm_fit("cbpp")
    draws = fit.simulate(500, seed=3)
    assert list(draws.columns[:2]) == ["sim_1", "sim_2"]
    assert (draws.le(jmix.load_data("cbpp")["size"], axis=0) & draws.ge(0)).all().all()
    p, n = fit.predict(population_averaged=True), jmix.load_data("cbpp")["size"]
    error = (draws.std(axis=1) / np.sqrt(500)).clip(lower=1e-3)
    assert ((draws.mean(axis=1) - n * p).abs() / error).max() < 4.5
    pd.testing.assert_frame_equal(draws, fit.simulate(500, seed=3))
    assert not draws.equals(fit.simulate(500, seed=4))


def test_simulated_categories_carry_their_labels(glmm_fit: Fits) -> None:
    fit = glmm_fit("ordinal")
    draws = fit.simulate(300, seed=0, conditional=True)
    assert draws["sim_1"].dtype == pd.CategoricalDtype(list("ABCD"), ordered=True)
    shares = pd.concat([(draws == level).mean(axis=1) for level in "ABCD"], axis=1)
    assert np.abs(shares.to_numpy() - fit.predict().to_numpy()).max() < 4.5 * 0.5 / np.sqrt(300)


@pytest.mark.parametrize("options", [{"n": 0}, {"n": 1.5}, {"seed": -1}, {"seed": None}, {"n": True}])
def test_impossible_simulations_are_refused(glmm_fit: Fits, options: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"simulate\((n|seed)="):
        glmm_fit("cbpp").simulate(**options)


# --- refits ---------------------------------------------------------------------------------------------------------
def test_a_refit_is_the_fit_of_the_new_response(glmm_fit: Fits) -> None:
    fit = glmm_fit("cbpp")
    y = fit.simulate(1, seed=5)["sim_1"]
    again = fit.refit(y)
    data = jmix.load_data("cbpp").assign(incidence=y)
    fresh = jmix.glmm(fit.formula, data, family="binomial")
    np.testing.assert_allclose(again.loglik, fresh.loglik, rtol=1e-10)
    np.testing.assert_allclose(again.fixef(), fresh.fixef(), rtol=1e-6)
    np.testing.assert_allclose(fit.refit(fit.design.response.y).fixef(), fit.fixef(), rtol=1e-8)


def test_a_refit_takes_the_labels_of_categories(glmm_fit: Fits) -> None:
    fit = glmm_fit("ordinal")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = fit.refit(fit.simulate(1, seed=6)["sim_1"])
    assert again.family == fit.family
    assert again.loglik != fit.loglik
    with pytest.raises(DataError, match=r"values that the fit has not: 'Z'; its categories are 'A', 'B', 'C', 'D'"):
        fit.refit(["Z"] * 180)
    with pytest.raises(DataError, match="never takes the categories 'D'"):
        fit.refit(list("ABC") * 60)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(55), "refit needs 56 values"),
        (np.full(56, np.nan), "missing or infinite"),
        (np.full(56, 0.5), "whole|integer|counts"),
        (np.full(56, 1000.0), "trials|size"),
        (["a"] * 56, "numeric"),
    ],
)
def test_a_response_that_does_not_fit_is_refused(glmm_fit: Fits, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        glmm_fit("cbpp").refit(y)
