"""Power by simulation: against the noncentral t of balanced designs, and the parts that it is made of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import ModelError
from jmix.estimate.inference.satterthwaite_batch import batch_df
from jmix.models import Model
from jmix.results.inference.fixed.fixed_tests import fixed_tests
from jmix.results.inference.planning.power_design import extended, pool
from jmix.results.inference.planning.power_result import clopper_pearson, crossing

BETWEEN, SIGMA, ROWS = 0.8, 1.0, 5
PARAMS = {"(Intercept)": 10.0, "t": 1.0, "sd_g__Intercept": BETWEEN, "sigma": SIGMA}


@pytest.fixture(scope="module")
def trial() -> Model:
    """A cluster-randomised trial: treatment by group, its response not yet known."""
    groups = np.repeat(np.arange(8), ROWS)
    frame = pd.DataFrame({"g": groups, "t": (groups >= 4).astype(float), "y": 0.0})
    model = jmix.model("y ~ t + (1 | g)", frame)
    assert isinstance(model, Model)
    return model


def exact(n_groups: int, effect: float, alpha: float = 0.05) -> float:
    """Of the t-test of group means, J - 2 degrees of freedom."""
    from scipy import stats

    se = np.sqrt(4.0 * (BETWEEN**2 + SIGMA**2 / ROWS) / n_groups)
    cut = stats.t.ppf(1 - alpha / 2, n_groups - 2)
    return float(stats.nct.sf(cut, n_groups - 2, effect / se) + stats.nct.cdf(-cut, n_groups - 2, effect / se))


def test_a_cluster_randomised_trial_has_the_power_of_theory(trial: Model) -> None:
    found = jmix.power(trial, {"t": 1.0}, n_groups=[8, 20, 32], n_sim=1500, params=PARAMS, progress=False)
    table = found.table
    expected = np.array([exact(n, 1.0) for n in (8, 20, 32)])
    error = np.sqrt(expected * (1 - expected) / 1500)
    assert np.max(np.abs(table["power"] - expected) / error) < 4.0
    assert ((table["lower"] < table["power"]) & (table["power"] < table["upper"])).all()
    needed = next(n for n in range(8, 40) if exact(n, 1.0) >= 0.8)
    assert abs(found.required()["n_groups"].iloc[0] - needed) <= 3
    assert np.all(np.diff(table["type_m"]) < 0) and table["type_m"].iloc[-1] > 1.0
    assert np.abs(table["mean_estimate"] - 1.0).max() < 0.06
    assert "power 0.8 from about" in str(found)


def test_no_effect_is_found_at_the_nominal_rate(trial: Model) -> None:
    found = jmix.power(trial, {"t": 0.0}, n_groups=[8, 20, 32], n_sim=1500, params=PARAMS, seed=1).table
    assert np.max(np.abs(found["power"] - 0.05)) < 4.0 * np.sqrt(0.05 * 0.95 / 1500)
    assert found["type_s"].isna().all()
    again = jmix.power(trial, {"t": 0.0}, n_groups=[8, 20, 32], n_sim=1500, params=PARAMS, seed=1).table
    pd.testing.assert_frame_equal(found, again)


def test_degrees_of_freedom_of_a_batch_are_those_of_single_fits() -> None:
    fit = jmix.lmm("Reaction ~ Days + (Days | Subject)", jmix.load_data("sleepstudy"))
    many = fit.refit(fit.simulate(60, seed=5))
    assert many.singular.any()
    df = batch_df(fit.objective, many.solutions, np.eye(2), reml=True)
    for i in [0, 40, *np.flatnonzero(many.singular)[:2].tolist()]:
        np.testing.assert_allclose(df[i], fixed_tests(many[i], "satterthwaite").df(np.eye(2)), rtol=1e-5)


def test_designs_keep_the_balance_of_the_pilot(trial: Model) -> None:
    """The pilot's treated groups come last; any even number of groups is half treated all the same."""
    groups = pool(trial.design, trial.terms, None, seed=0)
    for n, each in ((2, None), (6, None), (13, None), (24, 3), (8, 12)):
        design, terms = extended(trial.design, groups, n, each, 24)
        treated = pd.Series(design.X[:, 1]).groupby(terms[0].codes).first()
        assert len(treated) == n and abs(treated.mean() - 0.5) <= 0.5 / n
        assert design.X.shape[0] == n * (each or ROWS)
    with pytest.raises(ModelError, match="1 groups of the pilot do not determine"):
        extended(trial.design, groups, 1, None, 1)


def test_nested_levels_are_new_and_crossed_ones_are_kept() -> None:
    school, item = np.repeat(np.arange(4), 12), np.tile(np.arange(6), 8)
    pupil = np.repeat(np.arange(24), 2)
    frame = pd.DataFrame({"school": school, "pupil": pupil, "item": item, "x": 1.0 * item, "y": 0.0})
    nested = jmix.model("y ~ x + (1 | school) + (1 | pupil)", frame)
    groups = pool(nested.design, nested.terms, None, seed=0)
    assert groups.group == "school"
    _, terms = extended(nested.design, groups, 7, None, 7)
    assert {t.group: len(t.levels) for t in terms} == {"school": 7, "pupil": 42}
    crossed = jmix.model("y ~ x + (1 | pupil) + (1 | item)", frame)
    with pytest.raises(ModelError, match="crossed: say with group="):
        pool(crossed.design, crossed.terms, None, seed=0)
    _, terms = extended(crossed.design, pool(crossed.design, crossed.terms, "pupil", 0), 48, None, 48)
    assert {t.group: len(t.levels) for t in terms} == {"pupil": 48, "item": 6}


def test_intervals_and_the_size_that_is_needed() -> None:
    from scipy import stats

    for hits, count in ((0, 20), (13, 20), (20, 20)):
        known = stats.binomtest(hits, count).proportion_ci(0.95, method="exact")
        np.testing.assert_allclose(clopper_pearson(hits, count), (known.low, known.high), atol=1e-10)
    n = np.array([10.0, 40.0, 90.0])
    line = stats.norm.cdf(0.3 * np.sqrt(n) - 1.5)
    assert crossing(n, line, 0.8) == np.ceil(((stats.norm.ppf(0.8) + 1.5) / 0.3) ** 2)
    assert np.isnan(crossing(n, line, 0.99)) and np.isnan(crossing(n, line, 0.1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effect": "u"}, "the fixed effects are"),
        ({"params": {"sigma": 1.0}}, "params lacks"),
        ({"params": PARAMS | {"tau": 1.0}}, "no parameter 'tau'"),
        ({"params": PARAMS | {"sigma": -1.0}}, "sigma must be positive"),
        ({"test": "F"}, "choose 'wald'"),
        ({"n_groups": [1]}, "n_groups="),
        ({"n_sim": 0}, "n_sim=0"),
        ({"group": "h"}, "grouping factors are g"),
    ],
)
def test_what_cannot_be_simulated_is_refused(trial: Model, options: dict[str, object], message: str) -> None:
    call = {"effect": "t", "n_groups": [8], "params": PARAMS} | options
    with pytest.raises(ModelError, match=message):
        jmix.power(trial, **call)


@pytest.mark.slow
def test_likelihood_ratio_tests_and_generalized_models() -> None:
    """Wald and likelihood-ratio tests agree in a large binomial design; sizes share one program."""
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fit = jmix.glmm(formula, jmix.load_data("cbpp"), family="binomial")
    wald = jmix.power(fit, {"period2": -0.5}, n_groups=[15, 60], n_sim=300)
    ratio = jmix.power(fit, {"period2": -0.5}, n_groups=[15, 60], n_sim=300, test="lrt")
    assert np.abs(wald.table["power"] - ratio.table["power"]).max() < 0.06
    assert wald.table["power"].iloc[1] > 0.9 and wald.table["n_rows"].tolist()[0] == 56
    figure = wald.plot()
    assert figure.axes[0].get_ylabel() == "power" and len(figure.axes[0].containers) == 1
