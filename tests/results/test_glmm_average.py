"""Responses averaged over the population of random effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from scipy.special import expit, ndtr

from jmix import ModelError
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
