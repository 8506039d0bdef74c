"""Confidence intervals and the tidy frames against R (frames.R) and against the fit itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.results.fit import Fit

SLEEP = jmix.load_data("sleepstudy")

# printed by frames.R
R_WALD = [[240.179709528, 262.63050017], [7.924689428, 13.00988249]]
R_LM = [[238.360753187, 264.4494565], [8.023855022, 12.9107169]]
R_RANEF = [[2.258565501, 12.07083651], [-40.398576925, 12.07083651], [1.284029745, 2.304836978]]
R_HAT = [0.2293029948, 0.1697292490, 0.1268232171]


@pytest.fixture(scope="module")
def fit() -> Fit:
    return jmix.lmm("Reaction ~ Days + (Days | Subject)", SLEEP)


@pytest.fixture(scope="module")
def crossed() -> Fit:
    return jmix.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", jmix.load_data("Penicillin"), reml=False)


@pytest.fixture(scope="module")
def line() -> Fit:
    return jmix.lmm("Reaction ~ Days", SLEEP)


# --- confint --------------------------------------------------------------------------------------------------------
def test_wald_intervals_are_lme4s(fit: Fit) -> None:
    table = fit.confint(0.9)
    assert list(table.columns) == ["lower", "upper"]
    assert list(table.index) == ["(Intercept)", "Days"]
    np.testing.assert_allclose(table, R_WALD, rtol=1e-6)


def test_least_squares_intervals_are_those_of_lm(line: Fit) -> None:
    np.testing.assert_allclose(line.confint(), R_LM, rtol=1e-8)


def test_a_higher_level_gives_wider_intervals(fit: Fit) -> None:
    inner, outer = fit.confint(0.5), fit.confint(0.999)
    assert (outer["lower"] < inner["lower"]).all()
    assert (outer["upper"] > inner["upper"]).all()
    np.testing.assert_allclose(inner.mean(axis=1), fit.fixef())


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, float("nan"), "0.95", True, None])
def test_a_level_outside_0_1_is_refused(fit: Fit, level: Any) -> None:
    with pytest.raises(jmix.ModelError, match=r"level=.*between 0 and 1"):
        fit.confint(level)
    with pytest.raises(jmix.ModelError, match=r"level=.*between 0 and 1"):
        fit.tidy(level=level)


# --- tidy -----------------------------------------------------------------------------------------------------------
def test_tidy_has_the_columns_and_terms_of_broom_mixed(fit: Fit) -> None:
    table = fit.tidy()
    assert list(table.columns) == ["effect", "group", "term", "estimate", "std_error", "statistic"]
    assert table["effect"].tolist() == ["fixed"] * 2 + ["ran_pars"] * 4
    assert table["group"].fillna("").tolist() == ["", "", "Subject", "Subject", "Subject", "Residual"]
    assert table["term"].tolist() == [
        "(Intercept)",
        "Days",
        "sd__(Intercept)",
        "sd__Days",
        "cor__(Intercept).Days",
        "sd__Observation",
    ]
    np.testing.assert_allclose(table["estimate"], [*fit.fixef(), *fit.varcorr()["sdcor"]])
    np.testing.assert_allclose(table["statistic"][:2], fit.fixef() / fit.se())
    assert table[["std_error", "statistic"]][2:].isna().all(axis=None)


def test_tidy_limits_are_those_of_confint(fit: Fit) -> None:
    table = fit.tidy(conf_int=True, level=0.8)
    assert list(table.columns[-2:]) == ["conf_low", "conf_high"]
    np.testing.assert_allclose(table[["conf_low", "conf_high"]][:2], fit.confint(0.8))
    assert table["conf_low"][2:].isna().all()


def test_the_parts_of_tidy_make_the_whole(fit: Fit) -> None:
    parts = [fit.tidy(effects="fixed"), fit.tidy(effects="ran_pars")]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), fit.tidy(effects="all"))


def test_uncorrelated_terms_have_their_own_group_labels() -> None:
    table = jmix.lmm("Reaction ~ Days + (Days || Subject)", SLEEP).tidy(effects="ran_pars")
    assert table["group"].tolist() == ["Subject", "Subject.1", "Residual"]
    assert table["term"].tolist() == ["sd__(Intercept)", "sd__Days", "sd__Observation"]


def test_random_values_are_the_modes_and_their_sds(fit: Fit) -> None:
    table = fit.tidy(effects="ran_vals", conf_int=True)
    assert list(table.columns) == [
        "effect",
        "group",
        "level",
        "term",
        "estimate",
        "std_error",
        "conf_low",
        "conf_high",
    ]
    assert len(table) == 36
    got = table.iloc[[0, 1, 35]]
    assert got["level"].tolist() == ["308", "309", "372"]
    assert got["term"].tolist() == ["(Intercept)", "(Intercept)", "Days"]
    np.testing.assert_allclose(got[["estimate", "std_error"]], R_RANEF, rtol=1e-5)
    np.testing.assert_allclose(table["conf_high"] - table["conf_low"], 2 * 1.959963984540054 * table["std_error"])


def test_random_values_of_several_factors(crossed: Fit) -> None:
    table = crossed.tidy(effects="ran_vals")
    assert table.groupby("group", sort=False).size().to_dict() == {"plate": 24, "sample": 6}
    sample = table[table["group"] == "sample"].set_index("level")["estimate"]
    np.testing.assert_allclose(sample, crossed.ranef()["sample"].iloc[:, 0])
    assert list(sample.index) == list("ABCDEF")


def test_least_squares_has_no_random_values(line: Fit) -> None:
    table = line.tidy(effects="ran_vals")
    assert table.empty
    assert list(table.columns) == ["effect", "group", "level", "term", "estimate", "std_error"]
    assert line.tidy()["term"].tolist() == ["(Intercept)", "Days", "sd__Observation"]


@pytest.mark.parametrize("effects", ["random", "", None, ["fixed"]])
def test_other_effects_are_refused(fit: Fit, effects: Any) -> None:
    with pytest.raises(jmix.ModelError, match="choose 'fixed', 'ran_pars', 'ran_vals', 'all'"):
        fit.tidy(effects=effects)


def test_columns_have_one_type_each(fit: Fit) -> None:
    for table in (fit.tidy(conf_int=True), fit.tidy(effects="ran_vals")):
        text = {"effect", "group", "level", "term"} & set(table.columns)
        assert all(pd.api.types.is_string_dtype(table[c]) for c in text)
        assert all(table[c].dtype == np.float64 for c in table.columns if c not in text)


# --- glance ---------------------------------------------------------------------------------------------------------
def test_glance_is_one_row_of_the_fit(fit: Fit) -> None:
    table = fit.glance()
    assert list(table.columns) == [
        "nobs",
        "sigma",
        "loglik",
        "aic",
        "bic",
        "REMLcrit",
        "df_residual",
        "converged",
        "singular",
    ]
    row = table.iloc[0]
    assert (row["nobs"], row["df_residual"], row["converged"], row["singular"]) == (180, 174, True, False)
    assert row["REMLcrit"] == fit.criterion
    assert row["REMLcrit"] == pytest.approx(1743.628272, abs=1e-5)


def test_glance_after_maximum_likelihood_has_the_deviance(crossed: Fit) -> None:
    row = crossed.glance().iloc[0]
    assert "REMLcrit" not in row
    assert row["deviance"] == pytest.approx(332.188348669, abs=1e-6)  # lme4
    assert row["deviance"] == pytest.approx(-2 * row["loglik"])


# --- augment --------------------------------------------------------------------------------------------------------
def test_augment_holds_data_and_fitted_values(fit: Fit) -> None:
    table = fit.augment()
    assert list(table.columns) == ["Reaction", "Days", "Subject", "fitted", "fixed", "resid", "hat"]
    np.testing.assert_array_equal(table["Reaction"], SLEEP["Reaction"])
    assert table["Subject"].astype(str).tolist() == SLEEP["Subject"].astype(str).tolist()
    np.testing.assert_allclose(table["fitted"] + table["resid"], SLEEP["Reaction"])
    np.testing.assert_allclose(table["fixed"], fit.fitted(conditional=False))
    np.testing.assert_allclose(table["hat"][:3], R_HAT, rtol=1e-5)


def test_augment_keeps_the_index_of_the_rows_used() -> None:
    data = SLEEP.assign(Days=SLEEP["Days"].where(SLEEP.index != 7)).set_index(SLEEP.index + 1000)
    table = jmix.lmm("log(Reaction) ~ Days + (1 | Subject)", data).augment()
    assert list(table.index) == [i for i in range(1000, 1180) if i != 1007]
    np.testing.assert_allclose(table["log(Reaction)"], np.log(data["Reaction"].loc[table.index]))


def test_augment_keeps_apart_what_the_data_name_alike() -> None:
    data = SLEEP.rename(columns={"Reaction": "fitted", "Days": "hat"})
    fit = jmix.lmm("fitted ~ hat + (1 | Subject)", data, weights=1.0 + data["hat"], offset=data["hat"])
    table = fit.augment()
    names = ["fitted", "hat", "Subject", "offset", "weights", ".fitted", "fixed", "resid", ".hat"]
    assert list(table.columns) == names
    np.testing.assert_allclose(table[".fitted"] + table["resid"], data["fitted"])
    np.testing.assert_array_equal(table["weights"], 1.0 + data["hat"])
