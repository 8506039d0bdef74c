"""Predictions and simulated responses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import DataError, ModelError
from jmix.results.fit import Fit


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return jmix.load_data("sleepstudy")


@pytest.fixture(scope="module")
def fit(sleep: pd.DataFrame) -> Fit:
    return jmix.lmm("Reaction ~ Days + (Days | Subject)", sleep)


@pytest.fixture(scope="module")
def new() -> pd.DataFrame:
    return pd.DataFrame({"Days": [0.0, 4.0, 20.0], "Subject": ["308", "335", "372"]}, index=["a", "b", "c"])


def test_the_data_of_the_fit_give_the_fitted_values(fit: Fit, sleep: pd.DataFrame) -> None:
    pd.testing.assert_series_equal(fit.predict(), fit.fitted(), check_names=False)
    pd.testing.assert_series_equal(fit.predict(sleep), fit.fitted(), check_names=False)
    population = fit.predict(sleep, conditional=False)
    pd.testing.assert_series_equal(population, fit.fitted(conditional=False), check_names=False)


def test_new_rows_by_hand(fit: Fit, new: pd.DataFrame) -> None:
    coef = fit.coef()["Subject"].loc[new.Subject]
    expected = coef["(Intercept)"].to_numpy() + new.Days.to_numpy() * coef["Days"].to_numpy()
    out = fit.predict(new)
    assert list(out.index) == ["a", "b", "c"]
    np.testing.assert_allclose(out, expected, rtol=1e-12)


def test_terms_are_matched_whatever_their_order_in_the_formula() -> None:
    d = jmix.load_data("Penicillin")
    a = jmix.lmm("diameter ~ 1 + (1 | sample) + (1 | plate)", d)
    assert [t.group for t in a.design.random] != [t.group for t in a.terms]
    np.testing.assert_allclose(a.predict(d), a.fitted(), rtol=1e-12)


def test_uncorrelated_terms_of_one_group(sleep: pd.DataFrame) -> None:
    fit = jmix.lmm("Reaction ~ Days + (Days || Subject)", sleep)
    np.testing.assert_allclose(fit.predict(sleep), fit.fitted(), rtol=1e-12)


def test_population_needs_no_grouping_column(fit: Fit) -> None:
    out = fit.predict({"Days": [0.0, 1.0]}, conditional=False)
    np.testing.assert_allclose(out, fit.beta[0] + np.array([0.0, 1.0]) * fit.beta[1])
    with pytest.raises(DataError, match="Subject"):
        fit.predict({"Days": [0.0]})


def test_no_rows_give_no_predictions(fit: Fit, sleep: pd.DataFrame) -> None:
    out = fit.predict(sleep.head(0), se=True)
    assert list(out.columns) == ["fit", "se"]
    assert len(out) == 0


def test_missing_columns_are_named(fit: Fit) -> None:
    with pytest.raises(DataError, match="Days"):
        fit.predict({"Subject": ["308"]}, conditional=False)


def test_new_levels_are_refused_by_name_or_get_the_population(fit: Fit, new: pd.DataFrame) -> None:
    new = new.assign(Subject=["308", "nobody", "372"])
    with pytest.raises(DataError, match=r"Subject.*'nobody'.*new_levels='population'"):
        fit.predict(new)
    out = fit.predict(new, new_levels="population")
    np.testing.assert_allclose(out["b"], fit.beta[0] + 4 * fit.beta[1])
    np.testing.assert_allclose(out[["a", "c"]], fit.predict(new.loc[["a", "c"]]))
    with pytest.raises(ModelError, match="new_levels"):
        fit.predict(new, new_levels="mean")


def test_missing_values_give_nan(fit: Fit) -> None:
    d = pd.DataFrame({"Days": [0.0, np.nan, 2.0], "Subject": ["308", "308", None]})
    out = fit.predict(d, se=True)
    assert out.isna().all(axis=1).tolist() == [False, True, True]
    assert out.loc[0].notna().all()
    population = fit.predict(d, new_levels="population")
    assert population.isna().tolist() == [False, True, False]
    assert fit.predict(d, conditional=False).isna().tolist() == [False, True, False]


def test_offset(sleep: pd.DataFrame) -> None:
    d = sleep.assign(o=np.linspace(0, 5, len(sleep)))
    by_name = jmix.lmm("Reaction ~ Days + (1 | Subject)", d, offset="o")
    np.testing.assert_allclose(by_name.predict(d), by_name.fitted(), rtol=1e-12)
    by_array = jmix.lmm("Reaction ~ Days + (1 | Subject)", d, offset=d.o.to_numpy())
    np.testing.assert_allclose(by_array.predict(), by_array.fitted(), rtol=1e-12)
    with pytest.raises(DataError, match="offset"):
        by_array.predict(d)


def test_least_squares(sleep: pd.DataFrame) -> None:
    fit = jmix.lm("Reaction ~ Days", sleep)
    np.testing.assert_allclose(fit.predict({"Days": [3.0]}), fit.beta[0] + 3 * fit.beta[1])
    assert fit.simulate(2, seed=1).shape == (180, 2)


def test_simulation_has_the_moments_of_the_model(sleep: pd.DataFrame) -> None:
    d = sleep.assign(w=np.where(sleep.Days > 4, 4.0, 0.5))
    fit = jmix.lmm("Reaction ~ Days + (Days | Subject)", d, weights="w")
    draws = fit.simulate(4000, seed=3).to_numpy()
    Z = np.stack([np.ones(10), np.arange(10.0)], axis=1)
    cov = Z @ fit.cov_terms()[0] @ Z.T + fit.sigma**2 * np.diag(1 / fit.design.weights[:10])
    sd = np.sqrt(np.diag(cov))
    population = fit.fitted(conditional=False)[:10]
    np.testing.assert_allclose(draws[:10].mean(axis=1), population, rtol=0, atol=5 * sd.max() / 4000**0.5)
    error = (np.cov(draws[:10]) - cov) / np.outer(sd, sd)
    assert np.abs(error).max() < 5 * (2 / 4000) ** 0.5
    across = np.corrcoef(draws[[0, 10]])[0, 1]
    assert abs(across) < 5 / 4000**0.5
    given = fit.simulate(4000, seed=3, conditional=True).to_numpy()
    np.testing.assert_allclose(given.var(axis=1, ddof=1), fit.sigma**2 / fit.design.weights, rtol=0.15)
    residual = (given.mean(axis=1) - fit.fitted().to_numpy()) * np.sqrt(fit.design.weights) / fit.sigma
    assert np.abs(residual).max() < 5 / 4000**0.5


def test_seeds(fit: Fit) -> None:
    pd.testing.assert_frame_equal(fit.simulate(2, seed=9), fit.simulate(2, seed=9))
    assert not fit.simulate(1, seed=9).equals(fit.simulate(1, seed=10))
    assert list(fit.simulate(2).columns) == ["sim_1", "sim_2"]
    for bad in (0, -1, 1.5, True):
        with pytest.raises(ModelError, match="n must be"):
            fit.simulate(bad)
