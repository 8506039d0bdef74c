"""Hypotheses about draws: their numbers against NumPy, their language, and what it refuses."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import jmix
from jmix.results.expressions import compare, spellings
from jmix.results.hypothesis import density_at_zero
from jmix.results.posterior import Posterior

NAMES = ["(Intercept)", "x", "x2", "ses:himinty", "I(x^2)", "age>=65", "log(x)", "exp", "sd_g__Intercept", "a b"]


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: 1.0 + rng.random((2, 5)) for name in NAMES}


def evaluate(text: str, values: dict[str, np.ndarray]) -> tuple[str, np.ndarray]:
    return compare(text, spellings(NAMES, NAMES[:8]), values)


# --- the language ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x > 0", lambda v: v["x"]),
        ("x - x2 - 1 > 2", lambda v: v["x"] - v["x2"] - 3),
        ("1 - (x - x2) * 2 / 4 < .5", lambda v: 0.5 - (v["x"] - v["x2"]) / 2),
        ("-x**2 = 0", lambda v: -(v["x"] ** 2)),
        ("2^x^2*3 = 1e1", lambda v: 2 ** (v["x"] ** 2) * 3 - 10),
        ("x^-x2 > +1", lambda v: v["x"] ** -v["x2"] - 1),
        ("exp(-x) + abs ( x2-3 ) > sqrt(x)", lambda v: np.exp(-v["x"]) + abs(v["x2"] - 3) - np.sqrt(v["x"])),
        ("Intercept + b_x > (Intercept)", lambda v: v["x"]),
        ("exp((Intercept)) > exp(Intercept) + 1", lambda v: np.full_like(v["x"], -1.0)),
        ("ses:himinty*2 < `ses:himinty` + `a b`", lambda v: v["ses:himinty"] - v["a b"]),
        ("I(x^2) - log(x) + log(x2) > 0", lambda v: v["I(x^2)"] - v["log(x)"] + np.log(v["x2"])),
        ("age>=65 > exp", lambda v: v["age>=65"] - v["exp"]),
        ("sd_g__Intercept >= 2e-1", lambda v: v["sd_g__Intercept"] - 0.2),
    ],
)
def test_arithmetic_and_names(text: str, expected: Any, values: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(evaluate(text, values)[1], expected(values), rtol=1e-14)


def test_long_sums_are_no_deep_nests(values: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(evaluate("+".join(["x"] * 5000) + " > 0", values)[1], 5000 * values["x"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "expected '<', '>' or '=', found the end"),
        ("x > ", "expected a number or a parameter, found the end"),
        ("x x2 > 0", "found 'x2'"),
        ("2 x > 0", "found 'x'"),
        ("2x > 0", "no parameter '2x'"),
        ("0 < x < 1", "more than one comparison, found '<'"),
        ("(x > 0", r"expected '\)', found '>'"),
        ("1 > 0", "names no parameter"),
        ("x22 > 0", "no parameter 'x22'. Did you mean 'x2'"),
        ("ses:himint > 0", "Did you mean 'ses:himinty'"),
        ("`x > 0", "backquote is not closed"),
        ("x.real > 0", "no parameter 'x.real'"),
        ("__import__('os').system('true') > 0", "no parameter '__import__'"),
        ("x[0] > 0", r"no parameter 'x\[0\]'"),
        ("sin(x) > 0", "no parameter 'sin'"),
        ("(" * 5000 + "x > 0", "nested more than 100 deep"),
        ("-" * 5000 + "x > 0", "nested more than 100 deep"),
        ("", "expected a number"),
        ("x ; x2 > 0", "no parameter ';'"),
    ],
)
def test_what_is_no_comparison_is_refused(text: str, message: str, values: dict[str, np.ndarray]) -> None:
    with pytest.raises(jmix.ModelError, match=message):
        evaluate(text, values)


# --- the numbers ----------------------------------------------------------------------------------------------------
def test_one_sided_hypotheses_are_posterior_odds(fake_posterior: Posterior) -> None:
    draws = fake_posterior["Days"].ravel() - 10.0
    row = fake_posterior.hypothesis("Days > 10").table.loc["Days > 10"]
    above = (draws > 0).mean()
    assert row["probability"] == above
    assert row["evidence_ratio"] == pytest.approx(above / (1 - above), rel=1e-12)
    assert [row["estimate"], row["est_error"]] == pytest.approx([draws.mean(), draws.std(ddof=1)], rel=1e-12)
    assert [row["lower"], row["upper"]] == pytest.approx(list(np.quantile(draws, [0.05, 0.95])), rel=1e-12)
    assert bool(row["star"]) == (above > 0.95)
    other = fake_posterior.hypothesis("Days < 10").table.iloc[0]
    assert other["evidence_ratio"] == pytest.approx(1 / row["evidence_ratio"])


def test_nothing_against_it_is_infinite_evidence(fake_posterior: Posterior) -> None:
    result = fake_posterior.hypothesis({"positive": "sigma > 0", "no": "sigma < 0"}, alpha=0.1)
    assert list(result.table.index) == ["positive", "no"]
    assert result.table["evidence_ratio"].tolist() == [np.inf, 0.0]
    assert result.table["star"].tolist() == [True, False]
    np.testing.assert_array_equal(result.draws["positive"], fake_posterior["sigma"])
    line = next(line for line in str(result).split("\n") if line.startswith("positive"))
    assert line.split()[-3:] == ["Inf", "1.00", "*"]
    assert "80%-CI for one-sided and 90%-CI for two-sided" in str(result)


def test_a_point_hypothesis_needs_draws_of_the_prior(fake_posterior: Posterior) -> None:
    result = fake_posterior.hypothesis("Days = 10")
    row = result.table.iloc[0]
    draws = fake_posterior["Days"].ravel() - 10.0
    assert np.isnan(row["evidence_ratio"])
    assert np.isnan(row["probability"])
    assert [row["lower"], row["upper"]] == pytest.approx(list(np.quantile(draws, [0.025, 0.975])))
    assert "no evidence ratio without draws of the prior" in str(result)
    assert fake_posterior.hypothesis("Days = 100").table["star"].item()


@pytest.mark.parametrize("kind", [dict, pd.DataFrame])
def test_savage_dickey_ratio_of_normals(fake_posterior: Posterior, kind: Any) -> None:
    rng = np.random.default_rng(1)
    prior = kind({"Days": rng.normal(0, 20, 40_000)})
    at = float(fake_posterior["Days"].mean()) + 1.0
    row = fake_posterior.hypothesis(f"Days = {at}", prior=prior).table.iloc[0]
    draws = fake_posterior["Days"].ravel()
    expected = norm.pdf(at, draws.mean(), draws.std()) / norm.pdf(at, 0, 20)
    assert row["evidence_ratio"] == pytest.approx(expected, rel=0.1)
    assert row["probability"] == pytest.approx(row["evidence_ratio"] / (1 + row["evidence_ratio"]))


def test_density_at_zero() -> None:
    rng = np.random.default_rng(2)
    assert density_at_zero(rng.normal(1, 2, 100_000)) == pytest.approx(norm.pdf(0, 1, 2), rel=0.03)
    assert np.isnan(density_at_zero(np.zeros(10)))


@pytest.mark.parametrize(
    ("hypothesis", "options", "message"),
    [
        (3, {}, "takes a text"),
        ([], {}, "takes a text"),
        (["Days > 0", 1], {}, "takes a text"),
        ("Days > 0", {"alpha": 1.5}, "alpha=1.5"),
        ("log(Days - 10) > 0", {}, "not finite in .* draws"),
        ("Days = 0", {"prior": 3}, "prior= takes draws"),
        ("Days = 0", {"prior": {"sigma": np.ones(5)}}, "no parameter 'Days'"),
    ],
)
def test_bad_arguments_are_refused(
    fake_posterior: Posterior, hypothesis: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(jmix.ModelError, match=message):
        fake_posterior.hypothesis(hypothesis, **options)


def test_markup_is_escaped(fake_posterior: Posterior) -> None:
    result = fake_posterior.hypothesis("Days < 2*sigma")
    assert "Days &lt; 2*sigma" in result.to_html()
    ET.fromstring(result.to_html())
    assert r"Days \textless{} 2*sigma" in result.to_latex()
    assert r"Days \< 2\*sigma" in result.to_markdown()
