"""Prediction intervals: against dense matrices, R, simulation, and new observations."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jmix
from jmix.errors import DataError, JmixError, ModelError
from jmix.results.glmm_inputs import _factors
from jmix.results.inference.fixed.fixed_tests import fixed_tests


def grouped() -> pd.DataFrame:
    """Seven groups of unequal size."""
    rng = np.random.default_rng(5)
    group = np.repeat(list("abcdefg"), [3, 5, 4, 6, 2, 5, 5])
    data = pd.DataFrame({"g": group, "x": rng.normal(size=30), "w": 1.0 + np.arange(30) % 3})
    shift = dict(zip("abcdefg", rng.normal(size=7), strict=True))
    data["y"] = 1 + data["x"] + 1.5 * data["g"].map(shift) + rng.normal(size=30) / np.sqrt(data["w"])
    return data


@pytest.fixture(scope="module")
def fit() -> Any:
    """A weighted random intercept."""
    return jmix.lmm("y ~ x + (1 | g)", grouped(), weights="w")


NEW = pd.DataFrame({"x": [0.3, -1.0, 2.0, np.nan], "g": ["a", "e", "new", "b"]})


def henderson(fit: Any, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two parts of the variance of x'b + z'(u_hat - u), by dense matrices alone."""
    n, term = fit.nobs, fit.terms[0]
    big = np.zeros((n, len(term.levels)))
    big[np.arange(n), term.codes] = 1.0
    cov = fit.varcorr()["vcov"][0] * np.eye(big.shape[1])
    v = big @ cov @ big.T + fit.sigma**2 * np.diag(1 / fit.design.weights)
    inverse = np.linalg.inv(v)
    gain = cov @ big.T @ inverse
    d = x - z @ gain @ fit.design.X
    beta = np.linalg.inv(fit.design.X.T @ inverse @ fit.design.X)
    given = cov - gain @ big @ cov
    return np.einsum("ij,jk,ik->i", d, beta, d), np.einsum("ij,jk,ik->i", z, given, z)


def test_known_groups_against_dense_matrices(fit: Any) -> None:
    found = fit.predict_interval(NEW, new_levels="population", df="none", weights=[1.0, 2.0, 4.0, 1.0])
    x = np.column_stack([np.ones(2), NEW["x"][:2]])
    z = np.zeros((2, 7))
    z[0, 0] = z[1, 4] = 1.0
    fixed, random = henderson(fit, x, z)
    np.testing.assert_allclose(found["var_fixed"][:2], fixed, rtol=1e-8)
    np.testing.assert_allclose(found["var_random"][:2], random, rtol=1e-8)
    np.testing.assert_allclose(found["var_residual"][:3], fit.sigma**2 / np.array([1.0, 2.0, 4.0]), rtol=1e-12)
    assert found["var_random"][2] == pytest.approx(fit.varcorr()["vcov"][0])  # a new group has its prior variance
    total = found[["var_fixed", "var_random", "var_residual"]].sum(axis=1)[:3]
    half = stats.norm.ppf(0.975) * np.sqrt(total)
    predicted = fit.predict(NEW, new_levels="population", se=True)
    np.testing.assert_allclose(found["fit"], predicted["fit"])
    np.testing.assert_allclose(found["upper"][:3] - found["fit"][:3], half)
    np.testing.assert_allclose(found["lower"][:3] - found["fit"][:3], -half)
    np.testing.assert_allclose(np.sqrt(found["var_fixed"] + found["var_random"]), predicted["se"])
    assert found.iloc[3].isna().all() and "df" not in found


def test_population_lines_and_new_groups(fit: Any) -> None:
    line = fit.predict_interval(NEW[["x"]], conditional=False, include="fixed", level=0.9)
    rows = np.column_stack([np.ones(3), NEW["x"][:3]])
    tests = fixed_tests(fit, "satterthwaite")
    by_hand = tests.contrasts(rows)
    np.testing.assert_allclose(line["df"][:3], by_hand["df"], rtol=1e-6)
    half = stats.t.ppf(0.95, by_hand["df"]) * by_hand["std_error"]
    np.testing.assert_allclose(line["upper"][:3], by_hand["estimate"] + half, rtol=1e-7)
    assert (line[["var_random", "var_residual"]].iloc[:3] == 0).all(axis=None) and line.iloc[3].isna().all()
    new = fit.predict_interval(NEW[["x"]], conditional=False)
    np.testing.assert_allclose(new["var_random"][:3], fit.varcorr()["vcov"][0])
    np.testing.assert_allclose(new["var_fixed"][:3], line["var_fixed"][:3])
    assert (new["df"][:2] > line["df"][:2]).all()
    own = fit.predict_interval(conditional=False, include=("residual",), df="none")
    np.testing.assert_allclose(own["var_residual"], fit.sigma**2 / grouped()["w"])


def test_new_groups_need_no_grouping_columns() -> None:
    model = jmix.model("y ~ x + (x | g)", grouped())
    fit: Any = SimpleNamespace(base=model.design, terms=model.terms)
    for data in (NEW[["x"]], {"x": NEW["x"].tolist()}, NEW):
        (z,), complete = _factors(fit, data, 4)
        np.testing.assert_allclose(z[:3], np.column_stack([np.ones(3), NEW["x"][:3]]))
        assert complete.tolist() == [True, True, True, False]
    with pytest.raises(DataError, match="'x'"):
        _factors(fit, NEW[["g"]], 4)


def test_degrees_of_freedom_of_a_whole_prediction() -> None:
    """Of a balanced layout Satterthwaite's for mean squares: v = (1/J + 1) / n MSA + (1 - 1/n) MSE."""
    data = jmix.load_data("Dyestuff")
    fit = jmix.lmm("Yield ~ 1 + (1 | Batch)", data)
    y = data["Yield"].to_numpy().reshape(6, 5)
    between, within = 5 * np.var(y.mean(axis=1), ddof=1), np.mean(np.var(y, axis=1, ddof=1))
    parts = np.array([(1 / 6 + 1) / 5 * between, (1 - 1 / 5) * within])
    df = parts.sum() ** 2 / (parts[0] ** 2 / 5 + parts[1] ** 2 / 24)
    found = fit.predict_interval(conditional=False).iloc[0]
    assert found[["var_fixed", "var_random", "var_residual"]].sum() == pytest.approx(parts.sum(), rel=1e-6)
    assert found["df"] == pytest.approx(df, rel=1e-4)
    simulated = fit.predict_interval(conditional=False, method="simulate", n=40_000, seed=1).iloc[0]
    normal = fit.predict_interval(conditional=False, df="none").iloc[0]
    spread = np.sqrt(parts.sum())
    np.testing.assert_allclose(simulated[["lower", "upper"]], normal[["lower", "upper"]], atol=0.04 * spread)


def test_least_squares_is_that_of_r() -> None:
    fit = jmix.lm("Reaction ~ Days", jmix.load_data("sleepstudy"))
    found = fit.predict_interval(pd.DataFrame({"Days": [0.0, 1.0, 2.0]}))
    # predict(lm(Reaction ~ Days, sleepstudy), data.frame(Days = 0:2), interval = "prediction")
    expected = [[251.4051, 156.3465, 346.4637], [261.8724, 167.0654, 356.6794], [272.3397, 177.7218, 366.9576]]
    np.testing.assert_allclose(found[["fit", "lower", "upper"]], expected, atol=1e-4)
    assert (found["df"] == 178).all() and (found["var_random"] == 0).all()


def test_refusals(fit: Any) -> None:
    for options, message in [
        ({"include": "everything"}, "include='everything'"),
        ({"include": ()}, "include=()"),
        ({"method": "guess"}, "method='guess'"),
        ({"new_levels": "zero"}, "new_levels='zero'"),
        ({"df": "kenward-roger"}, "df='kenward-roger'"),
        ({"df": "residual"}, "df='residual'"),
        ({"method": "simulate", "df": "none"}, "df="),
        ({"method": "bootstrap", "include": "residual"}, "include 'fixed'"),
        ({"level": 0}, "level=0"),
        ({"weights": [1.0]}, "weights="),
    ]:
        with pytest.raises(JmixError, match=re.escape(message)):
            fit.predict_interval(**options)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="new"):
        fit.predict_interval(NEW)
    with pytest.raises(DataError, match="4 positive"):
        fit.predict_interval(NEW, conditional=False, weights=[1.0, 2.0])


# --- coverage of new observations -----------------------------------------------------------------------------------
SETS = 800


def _worlds(groups: int, size: int) -> tuple[Any, Any, np.random.Generator]:
    """A fit whose estimates are the truth of many data sets: intercept 2, slope 1, sd 1.2 between, 1 within groups."""
    rng = np.random.default_rng(11)
    data = pd.DataFrame({"g": np.repeat(np.arange(groups).astype(str), size), "x": rng.normal(size=groups * size)})
    effects = 1.2 * rng.normal(size=(groups, SETS))
    means = 2 + data["x"].to_numpy()[:, None] + np.repeat(effects, size, axis=0)
    y = means + rng.normal(size=means.shape)
    fit = jmix.lmm("y ~ x + (1 | g)", data.assign(y=y[:, 0]))
    return fit.refit(y), effects, rng


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "size"), [(8, 4), (20, 5)])
def test_new_observations_are_covered(groups: int, size: int) -> None:
    refits, effects, rng = _worlds(groups, size)
    row = pd.DataFrame({"g": ["0"], "x": [0.7]})
    hits = {True: 0, False: 0}
    for i, replicate in enumerate(refits):
        for conditional in hits:
            effect = effects[0, i] if conditional else 1.2 * rng.normal()
            new = 2 + 0.7 + effect + rng.normal()
            found = replicate.predict_interval(row, conditional=conditional).iloc[0]
            hits[conditional] += int(found["lower"] <= new <= found["upper"])
    for count in hits.values():
        assert abs(count / SETS - 0.95) < 0.01 + 2 * np.sqrt(0.95 * 0.05 / SETS)


@pytest.mark.slow
def test_the_calibrated_bootstrap_agrees_with_satterthwaite_where_that_is_exact() -> None:
    fit = jmix.lmm("Yield ~ 1 + (1 | Batch)", jmix.load_data("Dyestuff"))
    calibrated = fit.predict_interval(method="bootstrap", n=3000, conditional=False, include="fixed", seed=2).iloc[0]
    # the mean of a balanced layout has an exact t interval on J - 1 degrees of freedom where the variance is not zero
    exact = fit.predict_interval(conditional=False, include="fixed").iloc[0]
    width = exact["upper"] - exact["lower"]
    np.testing.assert_allclose(calibrated[["lower", "upper"]], exact[["lower", "upper"]], atol=0.12 * width)
    known = fit.predict_interval(method="bootstrap", n=400, seed=2).iloc[0]
    normal = fit.predict_interval(df="none").iloc[0]
    assert known["upper"] - known["lower"] > 0.9 * (normal["upper"] - normal["lower"])


@pytest.mark.slow
def test_generalized_models_cover_new_counts() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(np.arange(15).astype(str), 6), "x": rng.normal(size=90)})
    sets = 300
    effects = 0.6 * rng.normal(size=(15, sets))
    y = rng.poisson(np.exp(1 + 0.5 * data["x"].to_numpy()[:, None] + np.repeat(effects, 6, axis=0)))
    fit = jmix.glmm("y ~ x + (1 | g)", data.assign(y=y[:, 0]), family="poisson")
    row = pd.DataFrame({"g": ["3"], "x": [0.5]})
    inside = {True: [], False: []}
    outside = []
    for i, replicate in enumerate(fit.refit(y)):
        for conditional, found in inside.items():
            effect = effects[3, i] if conditional else 0.6 * rng.normal()
            law = stats.poisson(np.exp(1 + 0.25 + effect))
            ends = replicate.predict_interval(row, conditional=conditional, n=800, seed=i).iloc[0]
            found.append(law.cdf(ends["upper"]) - law.cdf(ends["lower"] - 1))
            outside.append(ends["fit"])
    # limits are counts: at least 95%, less what parameters estimated from 15 groups and 800 draws take away
    for values in inside.values():
        assert 0.93 < np.mean(values) < 0.985


@pytest.mark.slow
def test_generalized_models_without_residuals_agree_with_the_delta_method() -> None:
    data = jmix.load_data("cbpp")
    fit = jmix.glmm("cbind(incidence, size - incidence) ~ period + (1 | herd)", data, family="binomial")
    link = fit.predict(type="link", se=True)
    found = fit.predict_interval(include=("fixed", "random"), n=20_000, seed=4)
    np.testing.assert_allclose(found["var_fixed"] + found["var_random"], link["se"] ** 2, rtol=1e-8)
    for sign, name in ((-1, "lower"), (1, "upper")):
        ends = 1 / (1 + np.exp(-(link["fit"] + sign * 1.959964 * link["se"])))
        np.testing.assert_allclose(found[name], ends, rtol=0.05, atol=0.004)
    np.testing.assert_allclose(found["fit"], fit.predict(), rtol=1e-10)
    averaged = fit.predict_interval(conditional=False, include="fixed", n=2000)
    np.testing.assert_allclose(averaged["fit"], fit.predict(population_averaged=True), rtol=1e-10)
    se = fit.predict(population_averaged=True, se=True)["se"]
    np.testing.assert_allclose((averaged["upper"] - averaged["lower"]) / 3.92, se, rtol=0.2)
    trials = fit.predict_interval(data.head(3), weights="size", n=500)
    assert np.allclose((trials["upper"] * data["size"].head(3)) % 1, 0)
    with pytest.raises(ModelError, match="random"):
        fit.predict_interval(conditional=False, include=("fixed", "residual"))
    with pytest.raises(ModelError, match="simulates"):
        fit.predict_interval(method="analytic")
