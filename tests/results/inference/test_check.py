"""Checks by simulated residuals: what they compute, that they hold their level, and that they find planted faults."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.errors import DataError, ModelError
from jmix.results.inference.checks import residual_tests as tests
from jmix.results.inference.checks.residual_standard import standardized
from jmix.results.inference.checks.simulated_residuals import scaled


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return jmix.load_data("sleepstudy")


@pytest.fixture(scope="module")
def fit(sleep: pd.DataFrame) -> Any:
    return jmix.lmm("Reaction ~ Days + (Days | Subject)", sleep)


def test_ranks_are_spread_over_their_share_and_ties() -> None:
    rng = np.random.default_rng(0)
    values = np.tile(np.array([[3.0, 1.0, 2.0, 4.0], [0.0, 0.0, 0.0, 5.0]]), (2000, 1))
    found = scaled(values, rng)
    first, second = found[::2], found[1::2]
    for column, low in enumerate((0.5, 0.0, 0.25, 0.75)):
        assert first[:, column].min() >= low and first[:, column].max() <= low + 0.25
        assert np.ptp(first[:, column]) > 0.24
    assert second[:, 0].max() < 0.75 and np.ptp(second[:, 0]) > 0.74 and second[:, 3].min() > 0.75


def test_discrete_ranks_are_uniform() -> None:
    values = np.random.default_rng(1).poisson(0.7, (4000, 50)).astype(float)
    found = scaled(values, np.random.default_rng(2))[:, 0]
    assert tests.ks_distance(found[:, None])[0] < 1.63 / np.sqrt(4000)


def test_kolmogorov_smirnov_as_scipy() -> None:
    from scipy.stats import kstest, levene

    values = np.random.default_rng(0).uniform(size=(57, 30))
    assert tests.ks_distance(values)[0] == pytest.approx(kstest(values[:, 0], "uniform").statistic)
    from scipy.special import ndtri

    codes = np.arange(57) % 4
    parts = [ndtri(values[codes == g, 0]) for g in range(4)]
    assert tests.spread(values, codes).statistic == pytest.approx(levene(*parts, center="median").statistic)


def test_durbin_watson_and_outliers() -> None:
    values = np.random.default_rng(0).uniform(size=(40, 100))
    values[:, 0] = np.linspace(0.01, 0.99, 40)
    found = tests.durbin_watson(values, np.arange(40.0))
    centred = values[:, 0] - values[:, 0].mean()
    assert found.statistic == pytest.approx(np.sum(np.diff(values[:, 0]) ** 2) / np.sum(centred**2))
    assert found.p_value < 0.05 and not found.above
    values[3, 0], values[7, 0] = 2.0, -1.0
    assert (
        tests.outliers(values).statistic
        == 2.0 + np.sum((values[:, 0] < values[:, 1:].min(axis=1)) | (values[:, 0] > values[:, 1:].max(axis=1))) - 2.0
    )


def test_p_values_are_ranks() -> None:
    statistics = np.concatenate([[5.0], np.arange(99.0)])
    assert tests.upper(statistics).p_value == pytest.approx(95 / 100)
    assert tests.two_sided(statistics).p_value == pytest.approx(2 * 7 / 100)


def test_linear_residuals_are_errors_of_predictions_from_the_other_rows(sleep: pd.DataFrame, fit: Any) -> None:
    found = standardized(fit, np.column_stack([fit.design.y, 3.0 * fit.design.y + 7.0]))
    np.testing.assert_allclose(found[:, 0], found[:, 1], rtol=1e-8)
    rows = fit.influence()
    lam, term = fit.spec.split(fit.theta_values)[0], fit.terms[0]
    z = np.stack(term.columns, axis=1)
    v = np.eye(180) + (term.codes[:, None] == term.codes) * (z @ lam @ lam.T @ z.T)
    for i in (0, 57):
        others = np.arange(180) != i
        beta = rows.fixef().iloc[i].to_numpy()
        w = np.linalg.inv(v[np.ix_(others, others)])
        x, y = fit.design.X, fit.design.y
        error = y[i] - x[i] @ beta - v[i, others] @ w @ (y[others] - x[others] @ beta)
        d = x[i] - v[i, others] @ w @ x[others]
        variance = v[i, i] - v[i, others] @ w @ v[others, i]
        variance += d @ np.linalg.solve(x[others].T @ w @ x[others], d)
        assert found[i, 0] == pytest.approx(error / np.sqrt(variance) / fit.sigma, rel=1e-7)


def test_the_table_of_a_linear_model(sleep: pd.DataFrame, fit: Any) -> None:
    found = fit.check(group="Subject", time=sleep["Days"])
    assert list(found.table.columns) == ["statistic", "p_value", "ok", "message"]
    assert "dispersion" not in found.table.index and "zeros" not in found.table.index
    assert not found.table.loc["spread by group", "ok"]  # 308 and 332 scatter several times as much as others
    text = str(found)
    assert "look" in text and "robust() standard errors" in text and "enough levels" in text
    assert found.residuals.between(0, 1).all() and len(found.residuals) == 180
    again = fit.check(group="Subject", time=sleep["Days"])
    pd.testing.assert_frame_equal(found.table, again.table)
    assert not np.array_equal(fit.check(seed=1).residuals, found.residuals)
    left, right = found.plot().axes
    assert left.get_xlabel() == "expected" and "rank" in right.get_xlabel()


def test_random_effects_for_a_quantile_plot(fit: Any) -> None:
    effects = fit.check(50).random_effects()
    assert list(effects.columns) == ["group", "level", "term", "mode", "standardized", "normal_quantile"]
    own = effects[effects["term"] == "Days"]
    np.testing.assert_allclose(own["mode"], fit.ranef()["Subject"]["Days"], rtol=1e-12)
    np.testing.assert_array_equal(np.argsort(own["standardized"]), np.argsort(own["normal_quantile"]))
    total = fit.cov_terms()[0][1, 1] - fit.mode_covariances["Subject"][:, 1, 1]
    np.testing.assert_allclose(own["standardized"], own["mode"] / np.sqrt(total), rtol=1e-9)


def test_residuals_of_rows_and_of_sums(fit: Any) -> None:
    rows = fit.check_residuals(60)
    assert rows.index.equals(fit.design.index) and rows.between(0, 1).all()
    assert fit.check_residuals(60).equals(rows)
    sums = fit.check_residuals(60, group="Subject")
    assert sums.index.name == "Subject" and len(sums) == 18
    totals = pd.Series(fit.design.y).groupby(fit.terms[0].codes).sum()
    assert np.corrcoef(sums, totals)[0, 1] > 0.8
    conditional = fit.check(50, conditional=True)
    assert "modes" in str(conditional) and "dispersion" in conditional.table.index


def test_refusals(fit: Any) -> None:
    with pytest.raises(ModelError, match="at least 20"):
        fit.check(5)
    with pytest.raises(ModelError, match="whole number"):
        fit.check(seed=-1)
    with pytest.raises(DataError, match="time"):
        fit.check(time=np.arange(4))
    with pytest.raises(ModelError, match="not a grouping factor"):
        fit.check(group="Days")
    with pytest.raises(ModelError, match="counts"):
        fit.overdispersion()
    with pytest.raises(ModelError, match="counts"):
        fit.zero_check()


def test_a_large_sample_of_rows(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from jmix.results.inference.checks import simulated_residuals

    monkeypatch.setattr(simulated_residuals, "CELLS", 100 * 51)
    found = fit.check(50, group="Subject")
    assert len(found.residuals) == 100 and "random sample of 100 of the 180 rows" in str(found)


def test_least_squares_and_few_levels(sleep: pd.DataFrame) -> None:
    found = jmix.lmm("Reaction ~ Days", sleep).check(group=sleep["Subject"])
    assert not found.table.loc["uniformity by group", "ok"]
    assert "add it to the formula" in found.table.loc["uniformity by group", "message"]


# --- level and power ------------------------------------------------------------------------------------------------
GROUPS = np.repeat(np.arange(20), 10)


def p_values(make: Any, fit: Any, count: int) -> pd.DataFrame:
    """(count, tests) p-values of simulated data sets of one design."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=200)
    data = pd.DataFrame({"x": x, "g": GROUPS.astype(str)})
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(count):
            data["y"] = make(rng, x, rng.normal(size=20)[GROUPS])
            rows.append(fit(data).check(99, seed=seed, group="g").table["p_value"])
    return pd.concat(rows, axis=1).T


def linear(data: pd.DataFrame) -> Any:
    return jmix.lmm("y ~ x + (1 | g)", data)


def counts(data: pd.DataFrame) -> Any:
    return jmix.glmm("y ~ x + (1 | g)", data, family="poisson")


@pytest.mark.slow
def test_level_of_linear_models() -> None:
    found = p_values(lambda rng, x, b: 1 + 0.5 * x + b + rng.normal(size=200), linear, 150)
    exact = ["uniformity", "quartiles by prediction", "spread by prediction", "uniformity by group", "spread by group"]
    for name in exact:
        small, mean = (found[name] <= 0.1).mean(), found[name].mean()
        assert 0.03 < small < 0.19 and 0.42 < mean < 0.6, name
    assert (found["uniformity of group sums"] <= 0.1).mean() < 0.15


@pytest.mark.slow
def test_level_of_counts() -> None:
    found = p_values(lambda rng, x, b: rng.poisson(np.exp(0.5 + 0.5 * x + 0.5 * b)).astype(float), counts, 100)
    shown = found.drop(columns=[c for c in found if found[c].isna().all()])
    assert ((shown <= 0.1).mean() < 0.19).all()
    assert 0.42 < found["spread by prediction"].mean() < 0.6


@pytest.mark.slow
def test_power() -> None:
    spread = p_values(lambda rng, x, b: 1 + b + np.exp(0.6 * x) * rng.normal(size=200) + x, linear, 20)
    assert (spread["spread by prediction"] < 0.05).mean() > 0.8
    heavy = p_values(lambda rng, x, b: b + rng.standard_t(2, size=200), linear, 20)
    assert (heavy["uniformity"] < 0.05).mean() > 0.7
    over = p_values(
        lambda rng, x, b: rng.poisson(np.exp(0.5 + 0.5 * x + 0.5 * b + 0.8 * rng.normal(size=200))).astype(float),
        counts,
        20,
    )
    assert (over["Pearson dispersion"] < 0.05).mean() > 0.9
    zeros = p_values(
        lambda rng, x, b: (rng.poisson(np.exp(1 + 0.5 * x + 0.5 * b)) * (rng.random(200) > 0.3)).astype(float),
        counts,
        20,
    )
    assert (zeros["zeros"] < 0.05).mean() > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bernoulli", "cumulative", "gamma", "beta", "nbinom2"])
def test_other_families(family: str) -> None:
    rng = np.random.default_rng(3)
    eta = 0.3 * rng.normal(size=20)[GROUPS]
    drawn: dict[str, Any] = {
        "bernoulli": lambda: (rng.random(200) < 1 / (1 + np.exp(-eta))).astype(int),
        "cumulative": lambda: pd.Categorical(rng.integers(0, 4, 200), ordered=True),
        "gamma": lambda: rng.gamma(2.0, np.exp(eta)),
        "beta": lambda: rng.beta(2.0, 3.0, 200),
        "nbinom2": lambda: rng.negative_binomial(2, 0.3, 200),
    }
    data = pd.DataFrame({"g": GROUPS.astype(str), "x": rng.normal(size=200), "y": drawn[family]()})
    found = jmix.glmm("y ~ x + (1 | g)", data, family=family).check(60, group="g")
    assert ("dispersion" in found.table.index) == (family not in ("bernoulli", "cumulative"))
    assert ("zeros" in found.table.index) == (family == "nbinom2")
    assert found.residuals.between(0, 1).all() and str(found)
    found.plot()
