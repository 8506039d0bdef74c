"""compare, ranova and drop1: the numbers of lme4 and lmerTest, the mixtures on the boundary, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jmix
from jmix.results.fit import Fit

REACTION = "Reaction ~ Days + "


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return jmix.load_data("sleepstudy")


@pytest.fixture(scope="module")
def slopes(sleep: pd.DataFrame) -> Fit:
    return jmix.lmm(REACTION + "(Days | Subject)", sleep)


@pytest.fixture(scope="module")
def intercepts(sleep: pd.DataFrame) -> Fit:
    return jmix.lmm(REACTION + "(1 | Subject)", sleep)


def half(chisq: float, df: int) -> float:
    """Half and half of chi-squared on df - 1 and df degrees of freedom."""
    less = stats.chi2.sf(chisq, df - 1) if df > 1 else 0.0
    return float(0.5 * less + 0.5 * stats.chi2.sf(chisq, df))


# --- compare ---------------------------------------------------------------------------------------------------------
def test_restricted_likelihoods_are_kept_where_the_fixed_effects_agree(slopes: Fit, intercepts: Fit) -> None:
    table = jmix.compare(slopes, intercepts, names=["slopes", "intercepts"]).table
    assert list(table.index) == ["intercepts", "slopes"]
    row = table.loc["slopes"]
    assert row["loglik"] == slopes.loglik and row["aic"] == slopes.aic and row["bic"] == slopes.bic
    assert row["chisq"] == pytest.approx(2 * (slopes.loglik - intercepts.loglik), rel=1e-12)
    assert row["df"] == 2 and row["p_naive"] == pytest.approx(stats.chi2.sf(row["chisq"], 2), rel=1e-10)
    assert row["p_value"] == pytest.approx(half(row["chisq"], 2), rel=1e-10)
    assert np.isnan(table.loc["intercepts", "p_value"])


def test_different_fixed_effects_are_refitted_by_maximum_likelihood(sleep: pd.DataFrame, slopes: Fit) -> None:
    empty = jmix.model("Reaction ~ 1", sleep).fit("reml")
    report = jmix.compare(empty, slopes)
    ml = [jmix.model("Reaction ~ 1", sleep).fit("ml"), jmix.lmm(slopes.formula, sleep, reml=False)]
    np.testing.assert_allclose(report.table["loglik"], [f.loglik for f in ml], rtol=1e-10)
    assert "refitted by maximum likelihood because the fixed effects differ: m1, m2" in report.notes
    kept = jmix.compare(empty, slopes, refit=False)
    assert list(kept.table["loglik"]) == [empty.loglik, slopes.loglik]
    assert any("not comparable" in note for note in kept.notes)


def test_least_squares_has_its_restricted_likelihood(sleep: pd.DataFrame, intercepts: Fit) -> None:
    plain = jmix.lm("Reaction ~ Days", sleep)
    table = jmix.compare(plain, intercepts).table
    X, y = plain.design.X, plain.design.y
    rss, n, p = float(np.sum(plain.residuals() ** 2)), *X.shape
    restricted = -0.5 * ((n - p) * (1 + np.log(2 * np.pi * rss / (n - p))) + np.linalg.slogdet(X.T @ X)[1])
    assert table["loglik"].iloc[0] == pytest.approx(restricted, rel=1e-12)
    assert table["p_value"].iloc[1] == pytest.approx(0.5 * table["p_naive"].iloc[1], rel=1e-10)
    assert len(y) == n


def test_a_mixture_is_only_used_on_the_boundary(sleep: pd.DataFrame, slopes: Fit) -> None:
    apart = jmix.lmm(REACTION + "(Days || Subject)", sleep, reml=False)
    report = jmix.compare(apart, slopes)
    assert report.table["p_value"].iloc[1] == report.table["p_naive"].iloc[1] == pytest.approx(0.800418, rel=1e-5)
    assert not any("mixture" in note for note in report.notes)


def test_models_that_are_not_nested_get_no_test(sleep: pd.DataFrame, slopes: Fit) -> None:
    other = jmix.lmm("Reaction ~ I(Days^2) + (1 | Subject)", sleep)
    report = jmix.compare(other, slopes, weights=True)
    assert np.isnan(report.table["p_value"]).all() and "m1 and m2 are not nested" in " ".join(report.notes)
    assert report.table["weight"].sum() == pytest.approx(1.0)
    assert report.table["delta_aic"].min() == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: replace(f, design=replace(f.design, y=f.design.y + 1.0)), "different responses"),
        (lambda f: replace(f, design=replace(f.design, weights=np.full(f.nobs, 2.0))), "different weights"),
        (lambda f: replace(f, method="MAP"), "without priors"),
        (lambda f: f.design, "takes results of"),
    ],
)
def test_what_cannot_be_compared_is_refused(slopes: Fit, change: Callable[[Fit], Any], message: str) -> None:
    with pytest.raises(jmix.ModelError, match=message):
        jmix.compare(slopes, change(slopes))


def test_refusals_of_arguments(sleep: pd.DataFrame, slopes: Fit, intercepts: Fit) -> None:
    with pytest.raises(jmix.ModelError, match="two or more"):
        jmix.compare(slopes)
    with pytest.raises(jmix.ModelError, match="2 different names"):
        jmix.compare(slopes, intercepts, names=["a", "a"])
    with pytest.raises(jmix.ModelError, match="refit"):
        jmix.compare(slopes, intercepts, refit="ml")  # type: ignore[arg-type]
    with pytest.raises(jmix.ModelError, match="150 rows"):
        jmix.compare(slopes, jmix.lm("Reaction ~ Days", sleep.head(150)))


# --- ranova, drop1 ---------------------------------------------------------------------------------------------------
def test_ranova_reduces_or_drops(slopes: Fit, intercepts: Fit) -> None:
    reduced, dropped = slopes.ranova().table, slopes.ranova(reduce=False).table
    assert list(reduced.index) == ["<none>", "Days in (Days | Subject)"]
    assert list(dropped.index) == ["<none>", "(Days | Subject)"]
    assert reduced["loglik"].iloc[1] == pytest.approx(intercepts.loglik, abs=1e-8)
    assert dropped["npar"].iloc[1] == 3 and dropped["df"].iloc[1] == 3
    assert dropped["p_value"].iloc[1] < dropped["p_naive"].iloc[1]


def test_drop1_by_marginality() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x": rng.normal(size=80), "f": np.tile(list("abcd"), 20), "g": np.repeat(list("pqrst"), 16)})
    data["y"] = data["x"] + rng.normal(size=80) + rng.normal(size=5)[np.repeat(np.arange(5), 16)]
    plain = jmix.lm("y ~ x * f + I(x^2)", data)
    table = plain.drop1().table
    assert list(table.index) == ["<none>", "I(x^2)", "x:f"] and list(table["df"].iloc[1:]) == [1, 3]
    less = jmix.lm("y ~ x + f + I(x^2)", data)
    assert table.loc["x:f", "lrt"] == pytest.approx(2 * (plain.loglik - less.loglik), rel=1e-10)
    with pytest.raises(jmix.ModelError, match="this model has none"):
        plain.ranova()


def test_reference_values(reference: Callable[[str], Any], slopes: Fit, intercepts: Fit) -> None:
    """Of ../shared: anova and ranova of sleepstudy; naive p-values are lme4's."""
    expected = reference("inference")
    sleep = jmix.load_data("sleepstudy")
    apart = jmix.lmm(REACTION + "(Days || Subject)", sleep, reml=False)
    table = jmix.compare(intercepts, apart, slopes, refit=True).table
    values = np.array(expected["sleepstudy"]["anova_refitML"]["values"], dtype=float)
    columns = ["npar", "aic", "bic", "loglik", "deviance", "chisq", "df", "p_naive"]
    np.testing.assert_allclose(table[columns].to_numpy(), values, rtol=2e-6)
    rand = expected["sleepstudy"]["ranova"]["values"]
    own = slopes.ranova().table[["npar", "loglik", "aic", "lrt", "df", "p_naive"]].to_numpy()
    np.testing.assert_allclose(own, np.array(rand, dtype=float), rtol=1e-6)


@pytest.mark.slow
def test_reference_values_of_the_classroom(reference: Callable[[str], Any], shared_dir: Any) -> None:
    """Of ../shared: anova and rand of the classroom models; refit=False mixes likelihoods as lme4's does."""
    expected = reference("inference")
    rooms, classroom = pd.read_csv(shared_dir / "data/classroom.csv"), expected["classroom"]
    schools, both = (jmix.lmm(f"mathkind ~ ses + (1 | {g})", rooms) for g in ("schoolid", "schoolid/classid"))
    plain = jmix.lm("mathkind ~ ses", rooms)
    for key, pair, refit in (
        ("anova_lme1_lme5", (schools, both), None),
        ("anova_lme1_lme5_refitML", (schools, both), True),
        ("anova_lme5_lm1", (both, plain), False),
    ):
        table = jmix.compare(*pair, refit=refit).table
        for (_, row), known in zip(table.iterrows(), classroom[key].values(), strict=True):
            assert row["loglik"] == pytest.approx(known["logLik"], rel=1e-7)
            assert row["aic"] == pytest.approx(known["AIC"], rel=1e-7)
            if known["Df"] is not None:
                assert row["chisq"] == pytest.approx(known["Chisq"], rel=1e-5)
                assert row["p_naive"] == pytest.approx(known["Pr(>Chisq)"], rel=1e-4)
    table = both.ranova().table
    for label, known in classroom["rand"]["lme5"].items():
        assert table.loc[label, "loglik"] == pytest.approx(known["logLik"], rel=1e-7)
        if known["df"] is not None:
            assert table.loc[label, "p_naive"] == pytest.approx(known["p"], rel=1e-5)
            assert table.loc[label, "p_value"] == pytest.approx(0.5 * known["p"], rel=1e-5)


def test_reference_values_of_nlme(reference: Callable[[str], Any], shared_dir: Any) -> None:
    """Of ../shared: anova of the Bryk models, whose p-values are naive; the tests are on the boundary."""
    expected, data = reference("inference")["bryk_nlme"], pd.read_csv(shared_dir / "data/mathachieve_bryk.csv")
    whole = jmix.lmm("mathach ~ meanses * cses + sector * cses + (cses | school)", data)
    for key, random in (("anova_1_2", "1"), ("anova_1_3", "0 + cses")):
        smaller = jmix.lmm(f"mathach ~ meanses * cses + sector * cses + ({random} | school)", data)
        table = jmix.compare(smaller, whole).table
        row, theirs = table.iloc[1], expected[key]
        np.testing.assert_allclose(table["loglik"].to_numpy()[::-1], theirs["logLik"], rtol=1e-9)
        np.testing.assert_allclose(table["aic"].to_numpy()[::-1], theirs["AIC"], rtol=1e-9)
        assert row["chisq"] == pytest.approx(theirs["L.Ratio"][1], abs=1e-4)
        assert row["p_naive"] == pytest.approx(theirs["p-value"][1], rel=1e-3)
        assert row["p_value"] < row["p_naive"]
