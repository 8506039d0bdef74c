"""``confint`` by every method: what it hands over, and Wald intervals beyond the fixed effects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.errors import ModelError

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def fit() -> Any:
    return jmix.lmm(SLEEP, jmix.load_data("sleepstudy"), reml=False)


@pytest.fixture(scope="module")
def binomial() -> Any:
    data = jmix.load_data("cbpp")
    return jmix.glmm("cbind(incidence, size - incidence) ~ period + (1 | herd)", data, family="binomial")


def test_the_default_is_walds_normal_interval(fit: Any) -> None:
    plain = fit.confint()
    half = 1.959963984540054 * fit.se()
    np.testing.assert_allclose(plain["upper"], fit.fixef() + half)
    assert list(plain.columns) == ["lower", "upper"]
    pd.testing.assert_frame_equal(plain, fit.confint(0.95, method="wald", parameters="fixed"))
    pd.testing.assert_frame_equal(plain, fit.confint(df="none"), check_names=False)


def test_degrees_of_freedom_widen(fit: Any) -> None:
    wider = fit.confint(df="satterthwaite")
    assert np.all(wider["upper"] > fit.confint()["upper"])
    from scipy.special import stdtrit

    from jmix.results.inference.fixed.fixed_tests import fixed_tests

    df = fixed_tests(fit, "satterthwaite").df(np.eye(2))
    np.testing.assert_allclose(wider["upper"], fit.fixef() + stdtrit(df, 0.975) * fit.se())


def test_wald_limits_of_variance_parameters_match_the_curvature_of_the_profile(fit: Any) -> None:
    profile = fit.profile("random", level=0.5, scale="log")
    limits = fit.confint(parameters="random")
    for name, one in profile.profiles.items():
        plain = name.removeprefix("log_").removeprefix("atanh_")
        change = np.arctanh if "atanh" in name else np.log
        found = change(limits.loc[plain].to_numpy(float))
        assert found.mean() == pytest.approx(one.estimate, abs=1e-7)
        step = 1e-3
        curve = (one.zeta.at(np.array([one.zeta.u[one.zeta.curve.middle]]))[1])[0]
        u = one.zeta.u[one.zeta.curve.middle]
        slope = (one.value(u + step) - one.value(u - step)) / (2 * step)
        assert np.diff(found)[0] / (2 * 1.959963984540054) == pytest.approx(slope / curve, rel=1e-5)


def test_wald_limits_of_a_generalized_model(binomial: Any) -> None:
    limits = binomial.confint(parameters="all")
    assert list(limits.index) == [*binomial.x_names, "sd_herd__Intercept"]
    pd.testing.assert_frame_equal(limits.iloc[:4], binomial.confint(), check_names=False)
    theta, se = binomial.solution.x[4], binomial.solution.se[4]
    np.testing.assert_allclose(limits.iloc[4], theta * np.exp(np.array([-1, 1]) * 1.959963984540054 * se / theta))
    assert list(binomial.confint(component="all").index.names) == ["component", "term"]


def test_a_variance_of_zero_has_no_wald_interval() -> None:
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"g": np.repeat(np.arange(8), 6), "y": rng.normal(size=48)})
    data["y"] -= data.groupby("g")["y"].transform("mean")
    fit = jmix.lmm("y ~ 1 + (1 | g)", data)
    assert fit.singular
    limits = fit.confint(parameters="all")
    assert limits.loc["sd_g__Intercept"].isna().all()
    assert limits.loc["sigma"].notna().all()


def test_least_squares_has_all_parameters() -> None:
    fit = jmix.lmm("Reaction ~ Days", jmix.load_data("sleepstudy"))
    assert list(fit.confint(parameters="all").index) == ["(Intercept)", "Days", "sigma"]
    np.testing.assert_allclose(fit.confint(method="profile"), fit.confint(), rtol=1e-10)


def test_profile_is_handed_the_level_and_the_parameters(fit: Any) -> None:
    limits = fit.confint(0.9, method="profile", parameters=["sigma", "Days"])
    assert list(limits.index) == ["sigma", "Days"]
    expected = fit.profile(["sigma", "Days"], level=0.95).confint(0.9)
    np.testing.assert_allclose(limits, expected, rtol=1e-6)


def test_the_bootstrap_is_handed_its_options(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    class Draws:
        def confint(self, level: float, kind: str) -> pd.DataFrame:
            asked.update(level=level, interval=kind)
            return pd.DataFrame({"lower": 0.0, "upper": 1.0}, index=["(Intercept)", "Days", "sigma"])

    def bootstrap(self: Any, **options: Any) -> Draws:
        asked.update(options)
        return Draws()

    monkeypatch.setattr(type(fit), "bootstrap", bootstrap)
    out = fit.confint(0.8, method="boot", n=7, seed=3, kind="basic", resampling="residual")
    assert asked == {"n": 7, "seed": 3, "kind": "residual", "level": 0.8, "interval": "basic"}
    assert list(out.index) == ["(Intercept)", "Days"]
    with pytest.raises(ModelError, match="percentile"):
        fit.confint(method="boot", kind="exact")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "score"}, "'profile'"),
        ({"level": 95}, "level"),
        ({"n": 10}, "does not take n"),
        ({"method": "profile", "kind": "bca"}, "does not take kind"),
        ({"method": "profile", "df": "satterthwaite"}, "for method='wald'"),
        ({"df": "bogus"}, "satterthwaite"),
        ({"parameters": "Dayz"}, "Did you mean 'Days'"),
        ({"parameters": []}, "names none"),
        ({"method": "profile", "parameters": 3}, "parameters=3"),
    ],
)
def test_bad_arguments_are_named(fit: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        fit.confint(**arguments)


def test_components_are_for_wald(binomial: Any) -> None:
    with pytest.raises(ModelError, match="method='wald'"):
        binomial.confint(component="zi", method="profile")
    with pytest.raises(ModelError, match="no model of the zeros"):
        binomial.confint(component="zi")
