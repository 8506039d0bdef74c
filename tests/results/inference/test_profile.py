"""Profile likelihoods of linear models: brute force, published intervals, boundaries, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit

import jmix
from jmix.errors import ModelError
from tests.results.inference.dense_profile import Dense

CUT = 1.959963984540054
SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep() -> Any:
    return jmix.lmm(SLEEP, jmix.load_data("sleepstudy"))


@pytest.fixture(scope="module")
def profile(sleep: Any) -> Any:
    return sleep.profile()


@pytest.fixture(scope="module")
def penicillin() -> Any:
    return jmix.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", jmix.load_data("Penicillin")).profile(level=0.96)


def dense(formula_terms: list[tuple[Any, Any]], y: Any, X: Any, weights: Any = None) -> Dense:
    return Dense(y, X, [(pd.factorize(g)[0], z) for g, z in formula_terms], weights)


def check_limits(found: Any, brute: Dense, chosen: list[tuple[str, str]]) -> None:
    """The deviance at a limit is a chi-squared quantile above the least, by another program and another minimiser."""
    limits = found.confint(0.95)
    start = [found.profiles[name].estimate for name in limits.index[brute.p :]]
    assert brute.deviance(start) == pytest.approx(found.deviance, abs=1e-8)
    for name, end in chosen:
        zeta = brute.zeta(start, list(limits.index).index(name), limits.loc[name, end])
        assert zeta == pytest.approx(CUT, abs=2e-6), (name, end)


@pytest.mark.slow
def test_limits_agree_with_the_dense_density(profile: Any) -> None:
    data = jmix.load_data("sleepstudy")
    X = np.column_stack([np.ones(len(data)), data["Days"]])
    ends = [("Days", "lower"), ("sd_Subject__Days", "upper"), ("cor_Subject__Intercept__Days", "lower")]
    check_limits(profile, dense([(data["Subject"], X)], data["Reaction"], X), ends)


@pytest.mark.slow
def test_crossed_limits_agree_with_the_dense_density(penicillin: Any) -> None:
    data = jmix.load_data("Penicillin")
    one = np.ones((len(data), 1))
    brute = dense([(data["plate"], one), (data["sample"], one)], data["diameter"], one)
    check_limits(penicillin, brute, [("sd_sample__Intercept", "lower"), ("sigma", "upper"), ("(Intercept)", "upper")])


def test_every_knot_is_a_constrained_optimum(profile: Any) -> None:
    data = jmix.load_data("sleepstudy")
    X = np.column_stack([np.ones(len(data)), data["Days"]])
    brute = dense([(data["Subject"], X)], data["Reaction"], X)
    names = list(profile.profiles)
    for row in profile.table.iloc[::9].itertuples(index=False):
        psi = np.array(row[3:])
        held = names.index(row.parameter)
        fixed = (held, psi[held]) if held < 2 else None
        assert psi[held] == pytest.approx(row.value)
        rise = brute.deviance(psi[2:], fixed) - profile.deviance
        assert rise == pytest.approx(row.zeta**2, abs=1e-7)
        for j in range(2, 6):  # no step of another parameter leads below
            for step in (-1e-3, 1e-3):
                moved = psi[2:].copy()
                moved[j - 2] += step * max(abs(moved[j - 2]), 0.1)
                assert j == held or brute.deviance(moved, fixed) - profile.deviance > rise - 1e-9


@pytest.mark.slow
def test_crossed_knots_lie_on_the_dense_density(penicillin: Any) -> None:
    data = jmix.load_data("Penicillin")
    one = np.ones((len(data), 1))
    brute = dense([(data["plate"], one), (data["sample"], one)], data["diameter"], one)
    for row in penicillin.table.iloc[::8].itertuples(index=False):
        fixed = (0, row.value) if row.parameter == "(Intercept)" else None
        assert brute.deviance(row[4:], fixed) - penicillin.deviance == pytest.approx(row.zeta**2, abs=1e-7)


def test_published_intervals(reference: Callable[[str], Any], profile: Any) -> None:
    theirs = np.array(reference("inference")["sleepstudy"]["profile_confint_sd_corr"]["values"])
    np.testing.assert_allclose(profile.confint().to_numpy()[[2, 4, 3, 5, 0, 1]], theirs, rtol=1e-4)


@pytest.mark.slow
def test_published_crossed_intervals(reference: Callable[[str], Any], penicillin: Any) -> None:
    theirs = np.array(reference("inference")["Penicillin"]["profile_confint"]["values"])
    np.testing.assert_allclose(penicillin.confint().to_numpy()[[1, 2, 3, 0]], theirs, rtol=1e-4)


@pytest.mark.slow
def test_published_nested_intervals(reference: Callable[[str], Any], shared_dir: Any) -> None:
    theirs = np.array(reference("inference")["classroom"]["confint_lme5"]["values"])
    data = pd.read_csv(shared_dir / "data/classroom.csv").astype({"classid": str, "schoolid": str})
    fit = jmix.lmm("mathkind ~ ses + (1 | schoolid/classid)", data)
    ours = fit.confint(method="profile", parameters="all")
    names = ["sd_classid:schoolid__Intercept", "sd_schoolid__Intercept", "sigma", "(Intercept)", "ses"]
    np.testing.assert_allclose(ours.loc[names], theirs, rtol=1e-4)


@pytest.mark.slow
def test_a_saddle_at_the_boundary_is_left() -> None:
    """A correlation at its bound at the estimates is inside it further out: zeta must follow the lower branch."""
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(30), 10), rng.normal(size=300)
    data = pd.DataFrame({"g": g, "x": x, "y": 1 + 0.5 * x + rng.normal(size=300)})
    fit = jmix.lmm("y ~ x + (x | g)", data, reml=False)
    profile = fit.profile(level=0.95)
    X = np.column_stack([np.ones(300), x])
    brute = dense([(g, X)], data["y"], X)
    names = list(profile.profiles)
    for row in profile.table[profile.table["value"] > 0].iloc[::4].itertuples(index=False):
        psi = np.array(row[5:])
        held = names.index(row.parameter)
        starts = [np.array([max(psi[0], 0.02), max(psi[1], 0.02), c, psi[3]]) for c in (-0.5, 0.0, 0.5)]
        least = min(brute.minimum(start, held, row.value)[0] for start in starts)
        assert row.zeta**2 < least - profile.deviance + 1e-5


def test_levels_are_interpolated_exactly(sleep: Any, profile: Any) -> None:
    names = ["sd_Subject__Intercept", "cor_Subject__Intercept__Days"]
    coarse = profile.confint(0.8).loc[names]
    again = sleep.profile(names, level=0.8).confint(0.8)
    np.testing.assert_allclose(coarse, again, rtol=2e-6)


def test_scales_share_zeta(sleep: Any, profile: Any) -> None:
    logs = sleep.profile("random", level=0.95, scale="log").confint()
    plain = profile.confint().loc["sd_Subject__Intercept":]
    assert list(logs.index) == [
        "log_sd_Subject__Intercept", "log_sd_Subject__Days", "atanh_cor_Subject__Intercept__Days", "log_sigma",
    ]  # fmt: skip
    back = logs.to_numpy().copy()
    back[[0, 1, 3]] = np.exp(back[[0, 1, 3]])
    back[2] = np.tanh(back[2])
    np.testing.assert_allclose(back, plain, rtol=1e-5)
    squares = sleep.profile(["sigma", "cov_Subject__Intercept__Days"], level=0.95, scale="varcov")
    np.testing.assert_allclose(squares.confint().loc["sigma2"], plain.loc["sigma"] ** 2, rtol=1e-6)
    covariance = squares.profiles["cov_Subject__Intercept__Days"]
    table = squares.table[squares.table["parameter"] == covariance.name]
    product = table["var_Subject__Intercept"] * table["var_Subject__Days"]
    assert np.all(table[covariance.name] ** 2 < product)
    data = jmix.load_data("sleepstudy")
    X = np.column_stack([np.ones(len(data)), data["Days"]])
    row = table.iloc[-1]
    sd = np.sqrt(row[["var_Subject__Intercept", "var_Subject__Days"]].to_numpy(float))
    psi = [*sd, row[covariance.name] / sd.prod(), np.sqrt(row["sigma2"])]
    rise = dense([(data["Subject"], X)], data["Reaction"], X).deviance(psi) - squares.deviance
    assert rise == pytest.approx(row["zeta"] ** 2, abs=1e-7)


def test_reml_is_profiled_by_ml_and_says_so(sleep: Any, profile: Any) -> None:
    assert any("maximum likelihood" in note for note in profile.notes)
    assert profile.deviance == pytest.approx(1751.9393444647, abs=1e-6)
    assert sleep.reml


def test_printing_and_figures(profile: Any) -> None:
    assert "sd_Subject__Intercept" in str(profile)
    assert "Intervals of 95%" in profile.to_markdown()
    assert len(profile.plot_zeta().axes) == 6
    assert len(profile.plot_zeta(["Days", "sigma"], absolute=True).axes) == 2
    assert len(profile.plot_density().axes) == 6
    pairs = profile.plot_pairs(["Days", "sd_Subject__Intercept"])
    assert len(pairs.axes) == 4
    with pytest.raises(ModelError, match="not profiled"):
        profile.plot_zeta("nothing")


def test_densities_integrate_to_one(profile: Any) -> None:
    from jmix.results.inference.profiling.profile_plots import density

    for one in profile.profiles.values():
        values, height = density(one, profile)
        area = np.trapezoid(height, values) if hasattr(np, "trapezoid") else np.trapz(height, values)
        assert 0.99 < area < 1.001


def test_what_is_refused(sleep: Any, profile: Any) -> None:
    with pytest.raises(ModelError, match="traced to level"):
        profile.confint(0.9999)
    with pytest.raises(ModelError, match="sd_Subject__Days"):
        sleep.profile("sd_Subject__Day")
    with pytest.raises(ModelError, match="scale="):
        sleep.profile(scale="precision")
    with pytest.raises(ModelError, match="level"):
        sleep.profile(level=95)


# --- least squares ----------------------------------------------------------------------------------------------------
def test_least_squares_is_exact() -> None:
    data = jmix.load_data("sleepstudy")
    fit = jmix.lmm("Reaction ~ Days", data)
    profile = fit.profile(level=0.99)
    np.testing.assert_allclose(profile.confint(0.9).loc[["(Intercept)", "Days"]], fit.confint(0.9), rtol=1e-10)
    assert profile.cut(0.95) == pytest.approx(stdtrit(178, 0.975))
    from scipy.stats import chi2

    ends = fit.sigma * np.sqrt(178 / chi2.ppf([0.975, 0.025], 178))
    np.testing.assert_allclose(profile.confint().loc["sigma"], ends, rtol=1e-9)
    assert len(profile.plot_density().axes) == 3


def test_maximum_likelihood_without_random_terms() -> None:
    data = jmix.load_data("sleepstudy")
    fit = jmix.lmm("Reaction ~ Days", data, reml=False)
    profile = fit.profile()
    n, X = len(data), np.column_stack([np.ones(len(data)), data["Days"]])
    limits = profile.confint()
    for name, j in (("(Intercept)", 0), ("Days", 1)):
        for end in limits.loc[name]:
            rest = data["Reaction"] - end * X[:, j]
            other = X[:, [1 - j]]
            rss = np.sum((rest - other @ np.linalg.lstsq(other, rest, rcond=None)[0]) ** 2)
            assert n * np.log(rss / (n * fit.sigma**2)) == pytest.approx(CUT**2, abs=1e-9)
    for s in limits.loc["sigma"]:
        rise = 2 * n * np.log(s / fit.sigma) + n * fit.sigma**2 / s**2 - n
        assert rise == pytest.approx(CUT**2, abs=1e-9)
