"""Priors of generalized models: brms's names and defaults, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jmix.errors import ModelError
from jmix.families import Family
from jmix.spec.covariance import CovarianceSpec, Term
from jmix.spec.glmm_priors import SideColumns, linked_scale, resolve_glmm_priors
from jmix.spec.prior_sets import GlmmPriorSet

SPEC = CovarianceSpec((Term("g", ("(Intercept)",)),))
LEVEL = SideColumns(["(Intercept)"], np.ones(1), True)
SLOPE = SideColumns(["(Intercept)", "x"], np.array([1.0, 0.3]), False)
COUNTS = np.array([0.0, 1.0, 2.0, 5.0, 40.0, 300.0])


def _resolve(family: Family, given: Any = None, names: tuple[str, ...] = ("(Intercept)", "x"), **sides: Any) -> Any:
    return resolve_glmm_priors(
        given,
        family=family,
        x_names=list(names),
        x_means=np.array([1.0, 0.3])[-len(names) :],
        spec=SPEC,
        response=sides.pop("response", COUNTS),
        **sides,
    )


def _table(priors: GlmmPriorSet) -> dict[str, str]:
    return {row.parameter: repr(row.prior) for row in priors.rows}


# --- defaults ---------------------------------------------------------------------------------------------------------
SD = "sd_g__Intercept"
HALF = "student_t(3, 0, 2.5)"


def test_binary_responses_have_the_plain_defaults() -> None:
    assert _table(_resolve(Family("bernoulli", "logit"))) == {"Intercept": HALF, "b_x": "flat", SD: HALF}


def test_counts_have_the_median_and_spread_of_their_logs() -> None:
    """As brms's: zeros become 0.1; log(0.1, 1, 2, 5, 40, 300) has median 1.15 and mad 2.5."""
    logs = np.log([0.1, 1, 2, 5, 40, 300])
    spread = round(1.4826 * float(np.median(np.abs(logs - np.median(logs)))), 1)
    location = round(float(np.median(logs)), 1)
    table = _table(_resolve(Family("poisson", "log")))
    assert table["Intercept"] == f"student_t(3, {location:g}, {max(2.5, spread):g})"
    assert table[SD] == f"student_t(3, 0, {max(2.5, spread):g})"


def test_an_offset_moves_the_default_location() -> None:
    location, scale = linked_scale(Family("poisson", "log"), COUNTS, np.full(6, 2.0))
    same, same_scale = linked_scale(Family("poisson", "log"), COUNTS, None)
    assert location == same - 2.0 and scale == same_scale


@pytest.mark.parametrize(
    ("family", "name", "default"),
    [
        (Family("nbinom2", "log"), "shape", "gamma(0.01, 0.01)"),
        (Family("gamma", "log"), "shape", "gamma(0.01, 0.01)"),
        (Family("inverse_gaussian", "log"), "shape", "gamma(0.01, 0.01)"),
        (Family("beta", "logit"), "phi", "gamma(0.01, 0.01)"),
        (Family("nbinom1", "log"), "phi", "half_student_t(3, 2.5)"),
        (Family("gaussian", "log"), "sigma", None),
    ],
)
def test_each_dispersion_goes_by_the_name_of_brms(family: Family, name: str, default: str | None) -> None:
    response = np.array([0.2, 0.4, 0.5, 0.9])
    priors = _resolve(family, dispersion=LEVEL, response=response)
    assert priors.dispersion_name == name and priors.dispersion is not None
    assert _table(priors)[name] == (default or HALF)
    formula = _table(_resolve(family, dispersion=SLOPE, response=response))
    assert formula[f"Intercept_{name}"] == HALF and formula[f"{name}_x"] == "flat" and name not in formula


def test_the_zero_part_is_a_probability_or_logistic() -> None:
    inflated, hurdle = Family("poisson", "log", "inflated"), Family("poisson", "log", "hurdle")
    assert _table(_resolve(inflated, zero=LEVEL))["zi"] == "beta(1, 1)"
    assert _table(_resolve(hurdle, zero=LEVEL))["hu"] == "beta(1, 1)"
    formula = _table(_resolve(hurdle, zero=SLOPE))
    assert formula["Intercept_hu"] == "logistic(0, 1)" and formula["hu_x"] == "flat"
    own = _resolve(inflated, {"zi": "normal(0.2, 0.1)"}, zero=LEVEL).zero
    assert (own.low, own.high) == (0.0, 1.0)


def test_thresholds_and_nu() -> None:
    ordinal = Family("cumulative", "logit", n_categories=4)
    table = _table(_resolve(ordinal, {"Intercept[2]": "normal(0, 1)"}, names=("x",)))
    assert [table[f"Intercept[{k}]"] for k in (1, 2, 3)] == [HALF, "normal(0, 1)", HALF]
    both = _table(_resolve(ordinal, {"Intercept": "normal(0, 5)"}, names=("x",)))
    assert both["Intercept[1]"] == both["Intercept[3]"] == "normal(0, 5)"
    student = _resolve(Family("student", "identity"), dispersion=LEVEL)
    assert _table(student)["nu"] == "gamma(2, 0.1)" and student.nu.low == 1.0


def test_proper_means_that_every_prior_integrates() -> None:
    inflated = Family("poisson", "log", "inflated")
    assert _resolve(inflated, {"b": "normal(0, 1)"}, zero=LEVEL).proper
    assert not _resolve(inflated, {"b": "normal(0, 1)"}, zero=SLOPE).proper
    assert _resolve(inflated, {"b": "normal(0, 1)", "b_zi": "normal(0, 1)"}, zero=SLOPE).proper


# --- refused ----------------------------------------------------------------------------------------------------------
BERNOULLI, POISSON = Family("bernoulli", "logit"), Family("poisson", "log")
REFUSED: list[tuple[Family, dict[str, Any], dict[str, Any], str]] = [
    (BERNOULLI, {"sigma": "exponential(1)"}, {}, "'sigma'. Family='bernoulli' has no dispersion"),
    (POISSON, {"shape": "exponential(1)"}, {}, "'shape'. Family='poisson' has no dispersion"),
    (Family("nbinom2", "log"), {"sigma": "exponential(1)"}, {"dispersion": LEVEL}, "dispersion of .*'shape'"),
    (Family("nbinom2", "log"), {"shape": "exponential(1)"}, {"dispersion": SLOPE}, "shape_Intercept, shape_x"),
    (Family("nbinom2", "log"), {"shape": "gamma(1, 1) on precision"}, {"dispersion": LEVEL}, "only a standard dev"),
    (POISSON, {"zi": "beta(1, 1)"}, {}, "a model with zi="),
    (POISSON, {"nu": "gamma(2, 0.1)"}, {}, "family='student'"),
    (Family("poisson", "log", "inflated"), {"zi": "beta(1, 1)"}, {"zero": SLOPE}, "zi_Intercept, zi_x"),
    (Family("poisson", "log", "inflated"), {"zi": "uniform(2, 3)"}, {"zero": LEVEL}, "no value between 0 and 1"),
    (Family("poisson", "log", "inflated"), {"zi": "beta(1, 1) on variance"}, {"zero": LEVEL}, "probability has none"),
    (
        Family("poisson", "log", "inflated"),
        {"Intercept_zi": "normal(0, 1)", "zi_Intercept": "normal(0, 1)"},
        {"zero": SLOPE},
        "both 'Intercept_zi'.*give one",
    ),
    (Family("nbinom2", "log"), {"shape": "flat"}, {"dispersion": LEVEL}, "improper"),
    (Family("cumulative", "logit", n_categories=3), {"Intercept": "uniform(0, 1)"}, {}, "whole real line"),
]


@pytest.mark.parametrize(("family", "given", "sides", "message"), REFUSED)
def test_priors_that_do_not_fit_are_refused_with_words(
    family: Family, given: dict[str, Any], sides: dict[str, Any], message: str
) -> None:
    names = ("x",) if family.n_thresholds else ("(Intercept)", "x")
    with pytest.raises(ModelError, match=message):
        _resolve(family, given, names=names, **sides)
