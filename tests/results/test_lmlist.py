"""One regression per group, and plain least squares."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import FormulaError, ModelError
from jmix.api import model
from jmix.estimate import by_group


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return jmix.load_data("sleepstudy")


@pytest.fixture(scope="module")
def uneven() -> pd.DataFrame:
    """Groups of 5, 2 and 1 rows, and one in which x is constant."""
    return pd.DataFrame({
        "g": np.repeat(list("abcd"), (5, 2, 1, 4)),
        "x": [1, 2, 3, 4, 5, 1, 3, 2, 2, 2, 2, 2.0],
        "y": [1.1, 2.3, 2.9, 4.2, 5.1, 1, 3, 2, 1, 2, 3, 4.5],
    })  # fmt: skip


def test_sleepstudy_agrees_with_the_reference(sleep: pd.DataFrame, reference: Callable[[str], Any]) -> None:
    expected = reference("lmm")["sleepstudy"]
    fit = jmix.lmlist("Reaction ~ Days | Subject", sleep)
    coef = fit.coef()
    for label, value in expected["lm_all"].items():
        subject, _, slope = label.removeprefix("Subject").partition(":")
        assert coef.loc[subject, slope or "(Intercept)"] == pytest.approx(value, rel=1e-10)
    assert fit.sigma == pytest.approx(expected["lm_all_sigma"], rel=1e-12)
    assert fit.df_residual == 144
    alone = jmix.lm("Reaction ~ Days", sleep[sleep.Subject.astype(str) == "350"])
    for name, value in expected["lm_350"].items():
        assert alone.fixef()[name] == pytest.approx(value, rel=1e-10)


def test_classroom_school_slopes(shared_dir: Path, reference: Callable[[str], Any]) -> None:
    expected = reference("inference")["classroom"]["school_slopes"]
    d = pd.read_csv(shared_dir / "data" / "classroom.csv")
    slopes = jmix.lmlist("mathkind ~ ses | schoolid", d).coef()["ses"]
    slopes.index = slopes.index.astype(int)
    slopes = slopes.sort_index()
    np.testing.assert_allclose(slopes.head(5), expected["first5"], rtol=1e-9)
    assert slopes.mean() == pytest.approx(expected["mean"], rel=1e-9)
    assert slopes.median() == pytest.approx(expected["median"], rel=1e-9)


def test_bryk_regressions_by_sector(shared_dir: Path, reference: Callable[[str], Any]) -> None:
    d = pd.read_csv(shared_dir / "data" / "mathachieve_bryk.csv", dtype={"school": str})
    for sector, expected in reference("inference")["bryk_nlme"]["lmList"].items():
        coef = jmix.lmlist("mathach ~ ses | school", d[d.sector == sector]).coef()
        assert len(coef) == expected["n"]
        np.testing.assert_allclose(coef.mean(), expected["mean"], rtol=1e-9)
        np.testing.assert_allclose(coef.std(), expected["sd"], rtol=1e-9)
        np.testing.assert_allclose(coef.loc[expected["first3"]["rows"]], expected["first3"]["values"], rtol=1e-9)


@pytest.mark.r
@pytest.mark.parametrize("pool", [True, False])
def test_standard_errors_and_p_agree_with_nlme(pool: bool, sleep: pd.DataFrame, rscript: str) -> None:
    flag = "TRUE" if pool else "FALSE"
    program = (
        f"library(nlme); f <- lmList(Reaction ~ Days | Subject, lme4::sleepstudy, pool={flag}); "
        "cat(format(coef(summary(f))[, 2:4, ], digits=15), sep='\\n')"
    )
    done = subprocess.run([rscript, "-e", program], capture_output=True, text=True, check=True, timeout=120)
    theirs = np.array([float(v) for v in done.stdout.split()]).reshape(2, 3, 18)
    tidy = jmix.lmlist("Reaction ~ Days | Subject", sleep, pool=pool).tidy()
    ours = tidy[["std_error", "statistic", "p_value"]].to_numpy().reshape(18, 2, 3).transpose(1, 2, 0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-7)


@pytest.mark.r
def test_intervals_agree_with_nlme(sleep: pd.DataFrame, rscript: str) -> None:
    program = (
        "library(nlme); i <- intervals(lmList(Reaction ~ Days | Subject, lme4::sleepstudy), level=0.9); "
        "cat(format(i[, c('lower', 'upper'), ], digits=15), sep='\\n')"
    )
    done = subprocess.run([rscript, "-e", program], capture_output=True, text=True, check=True, timeout=120)
    theirs = np.array([float(v) for v in done.stdout.split()]).reshape(2, 2, 18)
    ours = jmix.lmlist("Reaction ~ Days | Subject", sleep).confint(0.9).to_numpy().reshape(18, 2, 2)
    np.testing.assert_allclose(ours.transpose(1, 2, 0), theirs, rtol=1e-7)


def test_every_group_is_a_regression_of_its_own(sleep: pd.DataFrame) -> None:
    d = sleep.assign(w=np.linspace(0.5, 3, 180), o=np.linspace(0, 40, 180))
    d = d.drop(index=[3, 4, 15, 16, 17, 99])
    fit = jmix.lmlist("Reaction ~ poly(Days, 2) + offset(o) | Subject", d, weights="w", pool=False)
    design = fit.coef().columns
    for subject, rows in d.groupby("Subject", observed=True):
        alone = jmix.lm("Reaction ~ Days + I(Days^2) + offset(o)", rows, weights="w")
        assert fit.sigmas()[str(subject)] == pytest.approx(alone.sigma, rel=1e-9)
        assert fit.regressions.n[fit.levels.index(str(subject))] == len(rows)
    assert list(design) == ["(Intercept)", "poly(Days, 2)1", "poly(Days, 2)2"]
    assert fit.sigma**2 * fit.df_residual == pytest.approx(fit.regressions.rss.sum())


def test_no_intercept_and_interactions_of_groups(sleep: pd.DataFrame) -> None:
    d = sleep.assign(half=np.where(sleep.index % 2 == 0, "even", "odd"))
    fit = jmix.lmlist("Reaction ~ Days - 1 | Subject:half", d)
    assert list(fit.coef().columns) == ["Days"]
    rows = d[(d.Subject.astype(str) == "310") & (d.half == "odd")]
    expected = rows.Days @ rows.Reaction / (rows.Days @ rows.Days)
    assert fit.coef().loc["310:odd", "Days"] == pytest.approx(expected, rel=1e-12)


def test_what_a_group_cannot_estimate_is_nan_and_named(uneven: pd.DataFrame) -> None:
    fit = jmix.lmlist("y ~ x | g", uneven)
    coef = fit.coef()
    # nlme gives the same coefficients; it counts p coefficients in every group, so its degrees of freedom are too few
    np.testing.assert_allclose(coef["(Intercept)"], [0.15, 0.0, 2.0, 2.625], atol=1e-12)
    np.testing.assert_allclose(coef["x"], [0.99, 1.0, np.nan, np.nan], rtol=1e-12)
    assert fit.se().isna().to_numpy().tolist() == coef.isna().to_numpy().tolist()
    assert fit.df_residual == 3 + 0 + 0 + 3
    whole = jmix.lm("y ~ g + g:x", uneven)
    assert fit.sigma == pytest.approx(whole.sigma, rel=1e-10)
    assert fit.se().loc["a", "x"] == pytest.approx(whole.se()["ga:x"], rel=1e-10)
    assert "c (1 rows): x; d (4 rows): x" in fit.messages[0]
    assert "not estimable in 2 of 4 groups of g" in repr(fit)
    own = jmix.lmlist("y ~ x | g", uneven, pool=False)
    assert own.se().loc[["b", "c"]].isna().all(axis=None)
    assert own.sigmas().notna().tolist() == [True, False, False, True]
    assert any("b, c" in message for message in own.messages)


def test_long_lists_of_groups_are_cut() -> None:
    d = pd.DataFrame({"g": np.arange(30), "x": np.arange(30.0) % 7, "y": np.arange(30.0) ** 2})
    fit = jmix.lmlist("y ~ x | g", d)
    assert np.isnan(fit.sigma)
    assert fit.se().isna().all(axis=None)
    assert "30 of 30" in fit.messages[0]
    assert fit.messages[0].endswith("and 20 more")


def test_stacks_of_groups_do_not_change_the_answer(sleep: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    once = jmix.lmlist("Reaction ~ Days | Subject", sleep).coef()
    monkeypatch.setattr(by_group, "CELLS", 1)
    pd.testing.assert_frame_equal(jmix.lmlist("Reaction ~ Days | Subject", sleep).coef(), once)


def test_summary_prints_a_table_per_coefficient(sleep: pd.DataFrame) -> None:
    summary = jmix.lmlist("Reaction ~ Days | Subject", sleep).summary()
    assert list(summary.tables()) == ["(Intercept)", "Days"]
    assert summary.tables()["Days"].loc["308", "estimate"] == pytest.approx(21.764702, rel=1e-7)
    assert "25.5918 on 144 degrees of freedom" in str(summary)


@pytest.mark.parametrize(
    "formula",
    ["Reaction ~ Days", "Reaction ~ Days | ", "Reaction ~ Days + (Days | Subject)", "Reaction ~ Days | Subject | Days",
     "Reaction ~ Days + (1 | Subject) | Subject", "Reaction ~ Days | Subject/Days"],
)  # fmt: skip
def test_formulas_that_are_not_lists_are_refused(formula: str, sleep: pd.DataFrame) -> None:
    with pytest.raises(FormulaError, match="lmlist wants one grouping factor"):
        jmix.lmlist(formula, sleep)


def test_confidence_level(sleep: pd.DataFrame) -> None:
    with pytest.raises(ModelError, match="level"):
        jmix.lmlist("Reaction ~ Days | Subject", sleep).confint(95)


def test_lm_agrees_with_the_reference(shared_dir: Path, reference: Callable[[str], Any]) -> None:
    expected = reference("lmm")["plain_regression"]
    d = pd.read_csv(shared_dir / "data" / "classroom.csv")
    fits = {"lm_ses": jmix.lm("mathkind ~ ses", d), "lm0": jmix.lm("mathkind ~ 1", d)}
    for name, fit in fits.items():
        want = expected[name]
        assert fit.loglik == pytest.approx(want["logLik_ML"], rel=1e-11)
        assert fit.aic == pytest.approx(want["AIC"], rel=1e-11)
        assert fit.bic == pytest.approx(want["BIC"], rel=1e-11)
        restricted = model(fit.formula, d).fit("reml")
        assert restricted.loglik == pytest.approx(want["logLik_REML"], rel=1e-11)
    want, fit = expected["lm_ses"], fits["lm_ses"]
    assert fit.method == "OLS"
    assert fit.sigma == pytest.approx(want["sigma"], rel=1e-11)
    assert fit.df_residual == want["df"]
    for name in want["coef"]:
        assert fit.fixef()[name] == pytest.approx(want["coef"][name], rel=1e-10)
        assert fit.se()[name] == pytest.approx(want["se"][name], rel=1e-10)
    np.testing.assert_allclose(fit.residuals().quantile([0, 0.25, 0.5, 0.75, 1]), want["resid_q"], rtol=1e-9)


@pytest.mark.r
def test_weighted_lm_with_offset_agrees_with_r(rscript: str) -> None:
    program = (
        "f <- lm(dist ~ poly(speed, 2), cars, weights=speed, offset=2*speed); "
        "out <- c(coef(f), sqrt(diag(vcov(f))), sigma(f), logLik(f), AIC(f), BIC(f), hatvalues(f)); "
        "cat(format(out, digits=15), sep='\\n'); cat(cars$speed, cars$dist, sep='\\n')"
    )
    done = subprocess.run([rscript, "-e", program], capture_output=True, text=True, check=True, timeout=120)
    values = np.array([float(v) for v in done.stdout.split()])
    theirs, cars = values[:60], pd.DataFrame({"speed": values[60:110], "dist": values[110:]})
    fit = jmix.lm("dist ~ poly(speed, 2)", cars, weights="speed", offset=2 * cars.speed)
    ours = [*fit.fixef(), *fit.se(), fit.sigma, fit.loglik, fit.aic, fit.bic, *fit.leverage()]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_lm_refuses_random_terms(sleep: pd.DataFrame) -> None:
    with pytest.raises(ModelError, match=r"jmix\.lmm"):
        jmix.lm("Reaction ~ Days + (1 | Subject)", sleep)
