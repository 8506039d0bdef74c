"""The priors of a model: defaults, who overrides whom, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
from scipy import stats

import jmix
from jmix.errors import ModelError

SLOPES = "y ~ x + (x | g)"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(6), 5)
    data = pd.DataFrame({"g": g, "h": np.tile(np.arange(5), 6), "x": rng.normal(size=30), "sigma": rng.normal(size=30)})
    return data.assign(y=3 + data.x + rng.normal(size=6)[g] + rng.normal(size=30))


def _model(rows: pd.DataFrame, priors: Any, formula: str = SLOPES, **options: Any) -> jmix.Model:
    return jmix.model(formula, rows, priors=priors, **options)


def _table(rows: pd.DataFrame, priors: Any, formula: str = SLOPES, **options: Any) -> dict[str, tuple[str, str]]:
    table = _model(rows, priors, formula, **options).priors.table()
    return {r.parameter: (r.prior, r.source) for r in table.itertuples()}


def test_the_defaults_are_those_of_brms(rows: pd.DataFrame) -> None:
    rows = rows.assign(y=rows.y * 40 + 1_234_567)
    location = np.round(np.median(rows.y), 1)
    scale = np.round(stats.median_abs_deviation(rows.y, scale=1 / 1.4826), 1)
    assert scale > 2.5
    priors = _model(rows, None).priors
    assert _table(rows, None) == {
        "Intercept": (f"student_t(3, {location:.10g}, {scale:g})", "default"),
        "b_x": ("flat", "default"),
        "sd_g__Intercept": (f"student_t(3, 0, {scale:g})", "default"),
        "sd_g__x": (f"student_t(3, 0, {scale:g})", "default"),
        "cor_g": ("lkj(1)", "default"),
        "sigma": (f"student_t(3, 0, {scale:g})", "default"),
    }
    assert priors.centred is not None and float(priors.centred.prior.distribution.loc) == location
    assert not priors.proper


def test_the_least_default_scale_is_brms_s(rows: pd.DataFrame) -> None:
    assert _table(rows.assign(y=rows.y / 1000), None)["sigma"][0] == "student_t(3, 0, 2.5)"


def test_a_name_goes_before_its_group_and_that_before_its_class(rows: pd.DataFrame) -> None:
    given = {
        "b": "normal(0, 9)",
        "b_sigma": "normal(0, 1)",
        "sd": "exponential(1)",
        "sd_g": "exponential(2)",
        "sd_g__x": "exponential(3)",
        "cor": "lkj(2)",
    }
    table = _table(rows, given, "y ~ x + sigma + (x | g) + (x | h)")
    assert {k: v[0] for k, v in table.items() if v[1] == "user"} == {
        "b_x": "normal(0, 9)",
        "b_sigma": "normal(0, 1)",
        "sd_g__Intercept": "exponential(2)",
        "sd_g__x": "exponential(3)",
        "sd_h__Intercept": "exponential(1)",
        "sd_h__x": "exponential(1)",
        "cor_g": "lkj(2)",
        "cor_h": "lkj(2)",
    }
    assert table["sigma"][1] == "default"


@pytest.mark.parametrize("name", ["(Intercept)", "b_(Intercept)"])
def test_the_intercept_at_zero_has_its_own_prior(rows: pd.DataFrame, name: str) -> None:
    table = _table(rows, {name: "uniform(-9, 9)", "x": "normal(0, 1)"})
    assert table["b_(Intercept)"] == ("uniform(-9, 9)", "user") and "Intercept" not in table
    assert table["b_x"] == ("normal(0, 1)", "user")


def test_a_model_is_proper_when_every_coefficient_is(rows: pd.DataFrame) -> None:
    assert _model(rows, {"b": "normal(0, 1)"}).priors.proper
    assert not _model(rows, {"b": "normal(0, 1)", "Intercept": "flat"}).priors.proper
    assert not _model(rows, {"Intercept": "normal(0, 1)"}).priors.proper


def test_half_a_distribution_bounds_a_coefficient(rows: pd.DataFrame) -> None:
    own = _model(rows, {"b_x": "half_student_t(3, 1)"}).priors.coefficients[1]
    assert (own.low, own.high) == (0.0, np.inf)


def test_normal_on_a_standard_deviation_is_cut_at_zero(rows: pd.DataFrame) -> None:
    own = _model(rows, {"sd": "normal(1, 2)"}).priors.terms[0].sds[0]
    assert (own.low, own.high) == (0.0, np.inf)


def test_the_table_prints(rows: pd.DataFrame) -> None:
    priors = _model(rows, {"sd": "exponential(1)"}).priors
    assert list(priors.table().columns) == ["prior", "parameter", "source"]
    assert "exponential(1)" in repr(priors) and "<table" in priors._repr_html_()


CONTRADICTIONS = [
    ({"Intercept": "normal(0, 1)", "b_(Intercept)": "normal(0, 1)"}, "give one"),
    ({"x": "normal(0, 1)", "b_x": "normal(0, 1)"}, "two priors for the same coefficient"),
    ({"cov_g": "wishart(3, 1)", "sd_g": "exponential(1)"}, "'cov_g' and 'sd_g'.*give one"),
    ({"cov_g": "wishart(3, 1)", "sd_g__x": "exponential(1)"}, "'cov_g' and 'sd_g__x'.*give one"),
    ({"cov_g": "wishart(3, 1)", "sd": "exponential(1)"}, "both 'sd' and whole covariance matrices.*give one"),
    ({"cov_g": "wishart(3, 1)", "cor": "lkj(2)"}, "both 'cor' and whole covariance matrices.*give one"),
    ({"cov_g": "wishart(3, 1)", "cor_g": "lkj(1)"}, "'cov_g' and 'cor_g'.*give one"),
]
UNFIT = [
    ({"sd": "flat"}, "flat prior on sd_g__Intercept is improper.*uniform"),
    ({"sigma": None}, "flat prior on sigma is improper"),
    ({"sd": "uniform(-1, 1)"}, "reaches below zero; start it at 0"),
    ({"sd": dist.RightTruncatedDistribution(dist.Normal(0.0, 1.0), -1.0)}, "leaves sd_g__Intercept no positive value"),
    ({"sd": "lkj(2)"}, "one number"),
    ({"b": "wishart(3, 1)"}, "one number"),
    ({"b": dist.Normal(np.zeros(2), 1.0)}, "one number"),
    ({"b": dist.MultivariateNormal(np.zeros(2), np.eye(2))}, "one number"),
    ({"b": dist.Delta(1.0)}, "support"),
    ({"b": "gamma(1, 1) on precision"}, "coefficients have none"),
    ({"Intercept": "uniform(0, 9)"}, "whole real line"),
    ({"cor": "normal(0, 1)"}, r"correlations take 'lkj\(eta\)'"),
    ({"cor": "lkj(1) on precision"}, r"correlations take 'lkj\(eta\)'"),
    ({"cor": dist.LKJ(3, 1.0)}, "2 columns"),
    ({"cov_g": "lkj(2)"}, "takes a Wishart or inverse-Wishart"),
    ({"cov_g": "wishart(1, 1)"}, "proper only above 1"),
    ({"cov_g": dist.InverseWishart(4.0, np.eye(3))}, "2 columns"),
    ({"cov_g": dist.Wishart(np.array([4.0, 5.0]), np.eye(2))}, "one matrix"),
]
MISSPELT = [
    ({"sgima": "exponential(1)"}, "no parameter 'sgima'. Did you mean 'sigma'?"),
    ({"sd_g__X": "exponential(1)"}, "Did you mean 'sd_g__x'?"),
    ({"b_z": "normal(0, 1)"}, "no parameter 'b_z'.*There are: Intercept, b, "),
    ({1: "normal(0, 1)"}, "no parameter '1'"),
    ({"nu": "gamma(2, 0.1)"}, "family='student'"),
    ([("b", "flat")], "must be a dict"),
]


@pytest.mark.parametrize(("priors", "message"), CONTRADICTIONS + UNFIT + MISSPELT)
def test_priors_that_do_not_fit_are_refused_with_the_remedy(rows: pd.DataFrame, priors: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        _ = _model(rows, priors).priors


def test_names_that_a_formula_lacks_are_refused(rows: pd.DataFrame) -> None:
    with pytest.raises(ModelError, match="The formula has no intercept"):
        _ = _model(rows, {"Intercept": "normal(0, 1)"}, "y ~ 0 + x + (1 | g)").priors
    with pytest.raises(ModelError, match="no parameter 'cor'"):
        _ = _model(rows, {"cor": "lkj(1)"}, "y ~ x + (1 | g)").priors


def test_the_degrees_of_freedom_of_a_student_response(rows: pd.DataFrame) -> None:
    assert _table(rows, None, family="student")["nu"] == ("gamma(2, 0.1)", "default")
    own = _model(rows, {"nu": "exponential(0.1)"}, family="student").priors.nu
    assert own is not None and (own.low, own.high) == (1.0, np.inf)
    with pytest.raises(ModelError, match="nu is on its precision"):
        _ = _model(rows, {"nu": "gamma(2, 0.1) on precision"}, family="student").priors
    with pytest.raises(ModelError, match="no positive value"):
        _ = _model(rows, {"nu": "uniform(0, 0.5)"}, family="student").priors


@pytest.mark.parametrize(
    ("formula", "given", "name"),
    [
        ("y ~ 1 + (1 | g)", {"b": "normal(0, 1)"}, "b"),
        ("y ~ x + (1 | g)", {"sd": "half_normal(1)", "sd_g": "half_normal(2)"}, "sd"),
        ("y ~ x + (x | g)", {"cor": "lkj(1)", "cor_g": "lkj(2)"}, "cor"),
    ],
)
def test_a_prior_that_nothing_uses_is_refused(formula: str, given: dict[str, str], name: str) -> None:
    data = {"y": [1.0, 2.0, 4.0, 3.0], "x": [0.0, 1.0, 2.0, 4.0], "g": ["a", "a", "b", "b"]}
    with pytest.raises(ModelError, match=f"the prior of '{name}' is not used"):
        jmix.model(formula, data, priors=given)
