"""Accessors, frames and the printed summary of generalized linear mixed models."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jmix
from jmix import ModelError
from jmix.results.glmm_fit import GlmmFit

Fits = Callable[[str], GlmmFit]


# --- accessors ------------------------------------------------------------------------------------------------------
def test_criteria_follow_from_the_likelihood(glmm_fit: Fits) -> None:
    fit = glmm_fit("zinb")
    assert fit.npar == 6
    assert fit.nobs == 180
    assert fit.ngrps() == {"Subject": 18}
    assert fit.df_residual == 174
    assert fit.deviance == -2 * fit.loglik
    assert fit.aic == pytest.approx(fit.deviance + 12)
    assert fit.bic == pytest.approx(fit.deviance + 6 * np.log(180))
    assert fit.converged
    assert not fit.singular


def test_a_component_has_its_own_names_and_covariance(glmm_fit: Fits) -> None:
    fit = glmm_fit("zinb")
    for component, place in (("cond", slice(0, 2)), ("disp", slice(3, 4)), ("zi", slice(4, 6))):
        names = list(fit.fixef(component).index)
        assert names == ["(Intercept)", "x"][: len(names)]
        np.testing.assert_array_equal(fit.fixef(component), fit.solution.x[place])
        np.testing.assert_array_equal(fit.vcov(component), fit.solution.vcov[place, place])
        assert list(fit.vcov(component).columns) == names
        np.testing.assert_allclose(fit.se(component), np.sqrt(np.diag(fit.vcov(component))))
    assert fit.dispersion == pytest.approx(np.exp(fit.fixef("disp").item()))
    every = ["(Intercept)", "x", "Subject.(Intercept)", "disp_(Intercept)", "zi_(Intercept)", "zi_x"]
    assert list(fit.vcov("all").index) == every
    np.testing.assert_array_equal(fit.vcov("all"), fit.solution.vcov)
    assert len(fit.thresholds) == 0
    assert fit.nu is None


def test_components_that_are_not_there_are_refused(glmm_fit: Fits) -> None:
    fit = glmm_fit("cbpp")
    with pytest.raises(ModelError, match="the model has no model of the zeros; it has 'cond'"):
        fit.fixef("zi")
    with pytest.raises(ModelError, match="choose 'cond', 'disp', 'zi', 'thresholds'"):
        fit.vcov("random")
    assert fit.dispersion == 1.0
    assert fit.sigma == 1.0


def test_thresholds_move_as_their_entries_do(glmm_fit: Fits) -> None:
    """Their covariance by numerical derivatives of the thresholds in the parameters."""
    fit = glmm_fit("ordinal")
    x, h, d = fit.solution.x, 1e-6, fit.solution.x.size
    moved = [
        (fit.objective.split(x + h * e).thresholds - fit.objective.split(x - h * e).thresholds) / (2 * h)
        for e in np.eye(d)
    ]
    gradient = np.stack(moved, axis=1)
    np.testing.assert_allclose(fit.vcov("thresholds"), gradient @ fit.solution.vcov @ gradient.T, rtol=1e-7)


def test_coef_adds_fixed_and_random_effects(glmm_fit: Fits) -> None:
    fit = glmm_fit("poisson")
    table = fit.coef()["Subject"]
    np.testing.assert_allclose(table, fit.ranef()["Subject"] + fit.fixef())


def test_intervals_are_walds(glmm_fit: Fits) -> None:
    fit = glmm_fit("zinb")
    z = stats.norm.ppf(0.95)
    table = fit.confint(0.9, component="zi")
    np.testing.assert_allclose(table["upper"], fit.fixef("zi") + z * fit.se("zi"))
    every = fit.confint(component="all")
    assert every.index.names == ["component", "term"]
    assert list(every.index.get_level_values(0)) == ["cond", "cond", "disp", "zi", "zi"]
    pd.testing.assert_frame_equal(every.loc["cond"], fit.confint(), check_names=False)
    with pytest.raises(ModelError, match="between 0 and 1"):
        fit.confint(95)


# --- frames ---------------------------------------------------------------------------------------------------------
def test_tidy_is_broom_mixeds(glmm_fit: Fits) -> None:
    table = glmm_fit("cbpp").tidy(conf_int=True)
    columns = ["effect", "group", "term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]
    assert list(table.columns) == columns
    assert list(table["term"]) == ["(Intercept)", "period2", "period3", "period4", "sd__(Intercept)"]
    fixed = table[table["effect"] == "fixed"]
    np.testing.assert_allclose(fixed["statistic"], fixed["estimate"] / fixed["std_error"])
    np.testing.assert_allclose(fixed["p_value"], 2 * stats.norm.sf(fixed["statistic"].abs()))
    assert table["p_value"].isna().tolist() == [False] * 4 + [True]


def test_tidy_tells_components_apart(glmm_fit: Fits) -> None:
    table = glmm_fit("zinb").tidy()
    assert list(table.columns[:4]) == ["effect", "component", "group", "term"]
    assert list(table["component"]) == ["cond", "cond", "zi", "zi", "cond"]
    assert list(glmm_fit("ordinal").tidy(effects="fixed")["component"]) == ["cond", *["thresholds"] * 3]
    assert list(glmm_fit("disp").tidy(effects="fixed")["component"]) == ["cond", "cond", "disp", "disp"]
    assert list(glmm_fit("zinb").tidy(effects="ran_pars")["term"]) == ["sd__(Intercept)"]
    values = glmm_fit("zinb").tidy(effects="ran_vals")
    assert list(values.columns) == ["effect", "group", "level", "term", "estimate", "std_error"]
    assert len(values) == 18
    with pytest.raises(ModelError, match="effects="):
        glmm_fit("zinb").tidy(effects="random")


def test_glance_and_augment(glmm_fit: Fits) -> None:
    fit = glmm_fit("cbpp")
    row = fit.glance().iloc[0]
    assert row["deviance"] == pytest.approx(-2 * fit.loglik)
    assert (row["nobs"], row["sigma"], row["df_residual"], bool(row["converged"])) == (56, 1.0, 51, True)
    table = fit.augment()
    assert {"herd", "trials", "fitted", "fixed", "link", "resid"} <= set(table.columns)
    np.testing.assert_array_equal(table["resid"], fit.residuals())
    np.testing.assert_array_equal(table["trials"], jmix.load_data("cbpp")["size"])
    ordinal = glmm_fit("ordinal").augment()
    assert list(ordinal["grade"].cat.categories) == list("ABCD")
    np.testing.assert_array_equal(ordinal["resid"], glmm_fit("ordinal").residuals("quantile"))


# --- the summary ----------------------------------------------------------------------------------------------------
def test_the_sections_of_a_zero_inflated_model(glmm_fit: Fits) -> None:
    text = str(glmm_fit("zinb"))
    assert text == str(glmm_fit("zinb").summary()) == repr(glmm_fit("zinb"))
    lines = text.split("\n")
    assert lines[1] == "Family: zero-inflated nbinom2  ( log )"
    assert "Zero inflation: ~ x" in lines
    assert "Dispersion (size, Var = mu + mu^2/size): 3.413" in lines
    order = ["Random effects:", "Number of obs: 180", "Dispersion (size", "Fixed effects:", "Zero-inflation model:"]
    places = [next(i for i, line in enumerate(lines) if line.startswith(start)) for start in order]
    assert places == sorted(places)
    assert lines[places[-1] + 3].split()[:5] == ["x", "-2.9470", "0.7270", "-4.054", "5.04e-05"]
    assert "Residual" not in text.replace("residuals", "")


def test_the_sections_of_a_dispersion_model(glmm_fit: Fits) -> None:
    text = str(glmm_fit("disp"))
    assert "Dispersion: ~ x" in text
    assert "Dispersion model (log):" in text
    assert "Residual " not in text


def test_the_sections_of_a_cumulative_model(glmm_fit: Fits) -> None:
    lines = str(glmm_fit("ordinal")).split("\n")
    assert lines[0] == "Cumulative link mixed model fit by maximum likelihood (Laplace Approximation)"
    at = lines.index("Threshold coefficients:")
    assert lines[at + 1].split() == ["Estimate", "Std.", "Error", "z", "value"]
    assert [line.split()[0] for line in lines[at + 2 : at + 5]] == ["A|B", "B|C", "C|D"]
    assert not any(line.startswith("Scaled residuals") for line in lines)


def test_a_model_without_random_terms_says_so(glmm_fit: Fits) -> None:
    text = str(glmm_fit("plain"))
    assert text.startswith("Generalized linear model fit by maximum likelihood\n")
    assert "Random effects" not in text
    assert "Number of obs: 56\n" in text


def test_the_residual_of_a_gaussian_model_is_in_the_table() -> None:
    data = jmix.load_data("sleepstudy")
    fit = jmix.glmm("Reaction ~ Days + (1 | Subject)", data, family="gaussian")
    linear = jmix.lmm("Reaction ~ Days + (1 | Subject)", data, reml=False)
    pd.testing.assert_frame_equal(fit.varcorr(), linear.varcorr(), rtol=1e-5)
    assert fit.sigma == pytest.approx(linear.sigma, rel=1e-6)
    table = str(fit).split("Random effects:")[1].split("Number of obs")[0]
    assert table == str(linear).split("Random effects:")[1].split("Number of obs")[0]
    np.testing.assert_allclose(fit.residuals("scaled"), linear.residuals("scaled"), atol=1e-5)
    np.testing.assert_allclose(fit.residuals("pearson"), linear.residuals("pearson"), atol=1e-3)


def test_a_variance_of_zero_is_named_and_taken_as_known() -> None:
    data = jmix.load_data("cbpp").assign(g=np.arange(56) % 4, y=np.arange(56) // 4 % 7)
    fit = jmix.glmm("y ~ period + (1 | g)", data, family="poisson")
    plain = jmix.glmm("y ~ period", data, family="poisson")
    assert fit.singular
    assert "boundary (singular) fit" in str(fit)
    assert fit.varcorr()["sdcor"].tolist() == [0.0]
    assert not fit.ranef()["g"].to_numpy().any()
    for options in ({}, {"population_averaged": True}):
        pd.testing.assert_frame_equal(fit.predict(se=True, **options), plain.predict(se=True), rtol=1e-6)  # type: ignore[arg-type]


def test_messages_are_printed_at_the_end(glmm_fit: Fits) -> None:
    from dataclasses import replace

    fit = glmm_fit("cbpp")
    status = replace(fit.status, converged=False, messages=("not converged: the search did not arrive",))
    told = replace(fit, solution=replace(fit.solution, status=status))
    assert str(told).rstrip().endswith("not converged: the search did not arrive")
    assert "> not converged" in told.summary().to_markdown()


@pytest.mark.parametrize("name", ["cbpp", "zinb", "ordinal"])
def test_the_summary_as_markup(glmm_fit: Fits, name: str) -> None:
    summary = glmm_fit(name).summary()
    markdown, latex, html = summary.to_markdown(), summary.to_latex(), summary.to_html()
    assert markdown.startswith("**")
    assert latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") >= 3
    ET.fromstring(html)
    value: Any = "5.04e-05" if name == "zinb" else "Std. Error"
    assert all(value.replace("e-05", "") in text for text in (markdown, latex, html))
