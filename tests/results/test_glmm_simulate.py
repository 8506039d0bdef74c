"""Responses simulated from generalized linear mixed models, and refits to them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import DataError, ModelError
from jmix.results.glmm_fit import GlmmFit

Fits = Callable[[str], GlmmFit]


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


def test_a_posterior_mode_is_not_refitted(glmm_fit: Fits) -> None:
    fit = glmm_fit("cbpp")
    mode = replace(fit, solution=replace(fit.solution, method="MAP"))
    assert str(mode).startswith("Generalized linear mixed model fit by maximum a posteriori (MAP; Laplace")
    with pytest.raises(ModelError, match="with its priors instead"):
        mode.refit(fit.design.response.y)


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
