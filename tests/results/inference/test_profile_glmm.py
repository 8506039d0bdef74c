"""Profile likelihoods of generalized models: lme4's and glmmTMB's intervals, constrained optima by SciPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import jmix
from jmix.errors import ModelError

CUT = 1.959963984540054


@pytest.fixture(scope="module")
def binomial() -> Any:
    data = jmix.load_data("cbpp")
    return jmix.glmm("cbind(incidence, size - incidence) ~ period + (1 | herd)", data, family="binomial")


@pytest.fixture(scope="module")
def profile(binomial: Any) -> Any:
    return binomial.profile(level=0.96)


def test_the_limits_of_lme4(profile: Any) -> None:
    """``confint(glmer(...), method = "profile")``, lme4 1.1-31, whose optimiser leaves the last digits."""
    theirs = [
        [-1.9012120, -0.94775401],
        [-1.6167833, -0.40776307],
        [-1.8010244, -0.51153607],
        [-2.5007506, -0.80075532],
        [0.3460732, 1.09997465],
    ]
    np.testing.assert_allclose(profile.confint(), theirs, atol=1.5e-4)


def test_knots_are_optima_with_one_parameter_held(binomial: Any, profile: Any) -> None:
    objective = binomial.objective
    names = list(profile.profiles)
    for name, place in (("period4", 3), ("sd_herd__Intercept", 4)):
        row = profile.table[profile.table["parameter"] == name].iloc[1]
        x = row[names].to_numpy(float)
        free = [i for i in range(5) if i != place]
        value, gradient = objective.evaluate(x)
        assert 2 * (binomial.loglik - value) == pytest.approx(row["zeta"] ** 2, abs=1e-8)
        assert np.max(np.abs(gradient[free])) < 1e-3
        assert gradient[place] * row["zeta"] < 0


def test_random_slopes_and_covariances(binomial: Any) -> None:
    assert binomial.profile("sd_herd__Intercept", level=0.9, scale="varcov").confint(0.9).iloc[0, 0] > 0
    with pytest.raises(ModelError, match="sd_herd__Intercept"):
        binomial.profile("sd_herd")


@pytest.mark.slow
def test_a_correlation_against_scipy() -> None:
    data = jmix.load_data("Contraception")
    fit = jmix.glmm("use ~ age + urban + (urban | district)", data, family="binomial")
    name = "cor_district__Intercept__urbanY"
    limit = fit.profile(name, level=0.95).confint().loc[name, "upper"]

    def deviance(z: Any) -> float:
        first, second = np.exp(z[3:5])
        theta = [first, second * limit, second * np.sqrt(1 - limit**2)]
        return -2.0 * fit.objective.loglik(np.concatenate([z[:3], theta])) + 2.0 * fit.loglik

    sd = np.log([0.6, 0.85])
    found = minimize(deviance, np.concatenate([fit.beta, sd]), method="BFGS", options={"gtol": 1e-4})
    assert np.sqrt(found.fun) == pytest.approx(CUT, abs=2e-5)


@pytest.mark.slow
def test_thresholds_against_scipy() -> None:
    rng = np.random.default_rng(0)
    group, x = np.repeat(np.arange(20), 8), rng.normal(size=160)
    latent = 0.8 * x + rng.normal(size=20)[group] + rng.logistic(size=160)
    y = pd.Categorical.from_codes(np.digitize(latent, [-1, 0.3, 1.5]), ["a", "b", "c", "d"], ordered=True)
    fit = jmix.glmm("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": group}), family="cumulative")
    limits = fit.profile(["Intercept[1]", "Intercept[3]"], level=0.95).confint()
    place = fit.objective.slices["tau"].start
    for k, name in ((0, "Intercept[1]"), (2, "Intercept[3]")):
        for limit in limits.loc[name]:

            def deviance(z: Any, limit: float = limit, k: int = k) -> float:
                x = np.insert(z, place, 0.0)
                x[place] = limit - np.sum(np.exp(x[place + 1 : place + 1 + k]))
                return -2.0 * fit.objective.loglik(x) + 2.0 * fit.loglik

            found = minimize(deviance, np.delete(fit.solution.x, place), method="BFGS", options={"gtol": 1e-4})
            assert np.sqrt(found.fun) == pytest.approx(CUT, abs=2e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::jmix.errors.ConvergenceWarning")
def test_an_unbounded_estimate_has_no_limits() -> None:
    """Counts without overdispersion: the size of the negative binomial has no estimate."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"y": rng.poisson(3.0, 200), "g": np.repeat(np.arange(20), 10)})
    fit = jmix.glmm("y ~ 1 + (1 | g)", data, family="nbinom2")
    profile = fit.profile("shape", level=0.95)
    assert profile.confint().loc["shape"].isna().all()
    assert any("unbounded" in note for note in profile.notes)


def test_map_is_refused() -> None:
    fit = jmix.lmm("Reaction ~ Days", jmix.load_data("sleepstudy"))
    with pytest.raises(ModelError, match="MAP"):
        replace(fit, method="MAP").profile()
