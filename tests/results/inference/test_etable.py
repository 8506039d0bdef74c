"""Regression tables: the numbers in the cells, which rows there are, and the markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import jmix
from jmix import ModelError
from jmix.results.fit import Fit
from jmix.results.glmm_fit import GlmmFit
from jmix.results.inference.fixed.fixed_tests import fixed_tests
from jmix.results.inference.tables.etable import RegressionTable
from jmix.results.inference.tables.etable_cells import decimals_for, number, stars_of, token
from jmix.results.posterior import Posterior


@pytest.fixture(scope="module")
def fits() -> tuple[Fit, Fit]:
    data = jmix.load_data("sleepstudy")
    return jmix.lm("Reaction ~ Days", data), jmix.lmm("Reaction ~ Days + (Days | Subject)", data)


@pytest.fixture(scope="module")
def both(fits: tuple[Fit, Fit]) -> RegressionTable:
    return jmix.table(*fits)


def cell(table: RegressionTable, row: str, column: str) -> str:
    return str(table.to_frame().loc[row, column])


# --- numbers --------------------------------------------------------------------------------------------------------
def test_cells_hold_estimates_and_errors(both: RegressionTable, fits: tuple[Fit, Fit]) -> None:
    for name, fit in zip(("(1)", "(2)"), fits, strict=True):
        frame = both.to_frame()[name].tolist()
        for i, term in enumerate(fit.x_names):
            assert frame[2 * i].rstrip("*") == f"{fit.fixef()[term]:.3f}"
            assert frame[2 * i + 1] == f"({fit.se()[term]:.3f})"
    sd = fits[1].varcorr()["sdcor"]
    rows = ["Subject: sd (Intercept)", "Subject: sd Days", "Subject: cor (Intercept), Days", "Residual sd"]
    assert [cell(both, row, "(2)") for row in rows] == [f"{v:.3f}" for v in sd]
    assert [cell(both, row, "(1)") for row in rows] == ["", "", "", f"{fits[0].sigma:.3f}"]


def test_statistics_below(both: RegressionTable, fits: tuple[Fit, Fit]) -> None:
    mixed = fits[1]
    expected = {
        "N": "180", "N Subject": "18", "R² marginal": f"{mixed.r2().marginal:.3f}",
        "R² conditional": f"{mixed.r2().conditional:.3f}", "ICC": f"{mixed.icc().adjusted:.3f}", "R²": "",
        "Log likelihood": f"{mixed.loglik:.1f}", "AIC": f"{mixed.aic:.1f}", "BIC": f"{mixed.bic:.1f}",
        "Estimation": "REML",
    }  # fmt: skip
    assert {row: cell(both, row, "(2)") for row in expected} == expected
    y, fitted = fits[0].design.y, fits[0].fitted().to_numpy()
    assert cell(both, "R²", "(1)") == f"{1 - np.sum((y - fitted) ** 2) / np.sum((y - y.mean()) ** 2):.3f}"
    assert "R² marginal" not in jmix.table(fits[0]).to_frame().index


def test_p_values_and_intervals_follow_the_degrees_of_freedom(fits: tuple[Fit, Fit]) -> None:
    from scipy.special import stdtrit

    for df in ("satterthwaite", "containment", "none"):
        made = jmix.table(fits[1], df=df, level=0.9).table.query("term == 'Days' and part == 'cond'").iloc[0]  # type: ignore[arg-type]
        tests = fixed_tests(fits[1], df)  # type: ignore[arg-type]
        own = tests.contrasts(np.array([[0.0, 1.0]])).iloc[0]
        assert made["p_value"] == own["p_value"]
        half = stdtrit(own["df"], 0.95) * own["std_error"]
        assert made["lower"] == pytest.approx(own["estimate"] - half, rel=1e-12)
        assert made["upper"] == pytest.approx(own["estimate"] + half, rel=1e-12)


def test_variances_in_place_of_standard_deviations(fits: tuple[Fit, Fit]) -> None:
    table = jmix.table(fits[1], random="variance")
    rows = ["Subject: variance (Intercept)", "Subject: variance Days", "Subject: covariance (Intercept), Days"]
    shown = [cell(table, row, "(1)") for row in [*rows, "Residual variance"]]
    assert shown == [f"{v:.3f}" for v in fits[1].varcorr()["vcov"]]
    assert "Subject" not in str(jmix.table(fits[1], random=None, stats="nobs"))


def test_odds_ratios(glmm_fit: Callable[[str], GlmmFit], fits: tuple[Fit, Fit]) -> None:
    fit = glmm_fit("cbpp")
    table = jmix.table(fit, fits[1], exponentiate=True, cells="b (se)\n[ci]", stats="nobs").table
    row = table[(table["term"] == "period2") & (table["model"] == "(1)")].iloc[0]
    ratio, bounds = np.exp(fit.fixef()["period2"]), np.exp(fit.confint().loc["period2"])
    assert row["estimate"] == pytest.approx(ratio)
    assert row["std_error"] == pytest.approx(ratio * fit.se()["period2"])
    assert (row["lower"], row["upper"]) == pytest.approx(tuple(bounds))
    assert row["p_value"] == pytest.approx(fit.tidy().set_index("term").loc["period2", "p_value"])
    linear = table[(table["term"] == "Days") & (table["model"] == "(2)")].iloc[0]
    assert linear["estimate"] == fits[1].fixef()["Days"]
    assert "odds ratios, in (1)" in str(jmix.table(fit, exponentiate=True, stats="nobs"))


@pytest.mark.slow
def test_components_have_blocks_of_their_own(glmm_fit: Callable[[str], GlmmFit]) -> None:
    fit = glmm_fit("zinb")
    table = jmix.table(fit, stats="nobs")
    assert [block.title for block in table.grid.blocks] == ["", "Zero inflation (logit)", "Random effects", ""]
    numbers = table.table.set_index(["part", "term"])["estimate"]
    assert numbers["cond", "x"] == fit.fixef()["x"]
    assert numbers["zi", "x"] == fit.fixef("zi")["x"]
    assert numbers["random", "Dispersion"] == fit.dispersion
    ratios = jmix.table(fit, stats="nobs", exponentiate=True).table.set_index(["part", "term"])["estimate"]
    assert ratios["zi", "x"] == pytest.approx(np.exp(numbers["zi", "x"]))


@pytest.mark.slow
def test_all_components(glmm_fit: Callable[[str], GlmmFit]) -> None:
    fits = [glmm_fit(name) for name in ("zinb", "hurdle", "disp", "ordinal")]
    table = jmix.table(*fits, stats="nobs")
    shown = ["", "Zero inflation (logit)", "Hurdle (logit of a zero)", "Dispersion (log)", "Thresholds"]
    assert [block.title for block in table.grid.blocks] == [*shown, "Random effects", ""]
    numbers = table.table.set_index(["model", "part", "term"])["estimate"]
    assert numbers["(2)", "hurdle", "x"] == fits[1].fixef("zi")["x"]
    assert numbers["(3)", "disp", "x"] == fits[2].fixef("disp")["x"]
    assert numbers["(4)", "thresholds", "A|B"] == fits[3].fixef("thresholds")["A|B"]


def test_a_posterior_beside_a_fit(fake_posterior: Posterior, fits: tuple[Fit, Fit]) -> None:
    table = jmix.table(fits[1], fake_posterior, cells="b (se)\n[ci]", names=["REML", "Bayes"])
    draws, bounds = fake_posterior["Days"], fake_posterior.confint().loc["Days"]
    assert table.to_frame()["Bayes"].tolist()[2:4] == [
        f"{draws.mean():.3f} ({draws.std(ddof=1):.3f})", f"[{bounds['lower']:.3f}, {bounds['upper']:.3f}]",
    ]  # fmt: skip
    assert cell(table, "Subject: sd Days", "Bayes") == f"{fake_posterior['sd_Subject__Days'].mean():.3f}"
    assert cell(table, "Estimation", "Bayes") == "posterior"
    assert "Posterior mean, standard deviation and interval in Bayes." in table.grid.notes[0]


@pytest.mark.slow
def test_uncorrelated_terms_share_rows_with_correlated_ones(fits: tuple[Fit, Fit]) -> None:
    other = jmix.lmm("Reaction ~ Days + (Days || Subject)", jmix.load_data("sleepstudy"))
    frame = jmix.table(fits[1], other).to_frame()
    assert (frame.loc[["Subject: sd (Intercept)", "Subject: sd Days"]] != "").all(axis=None)
    assert frame.loc["Subject: cor (Intercept), Days", "(2)"] == ""


# --- rows -----------------------------------------------------------------------------------------------------------
def test_keep_drop_order_and_labels(glmm_fit: Callable[[str], GlmmFit]) -> None:
    def labels(**options: Any) -> list[str]:
        table = jmix.table(glmm_fit("cbpp"), cells="b", **options)
        return [row.label for row in table.grid.blocks[0].rows]

    assert labels(keep=["period3", "period2"]) == ["period2", "period3"]
    assert labels(drop="(Intercept)", order=["period4"]) == ["period4", "period2", "period3"]
    assert labels(labels={"period2": "Second"})[1] == "Second"
    made = jmix.table(glmm_fit("cbpp"), labels={"herd": "Herd", "(Intercept)": "Constant", "aic": "Akaike"})
    assert {"Herd: sd Constant", "N Herd", "Akaike"} <= set(made.to_frame().index)


def test_labels_reach_parts_of_interactions() -> None:
    data = jmix.load_data("sleepstudy").assign(z=np.arange(180) % 7)
    table = jmix.table(jmix.lm("Reaction ~ Days * z", data), cells="b", labels={"z": "Zeta"})
    assert table.grid.blocks[0].rows[-1].label == "Days × Zeta"


def test_stars_and_their_thresholds(fits: tuple[Fit, Fit]) -> None:
    assert [stars_of(p, {"*": 0.05, "**": 0.01, "***": 0.001}) for p in (0.2, 0.05, 0.04, 0.009, 1e-9, np.nan)] == [
        "", "", "*", "**", "***", "",
    ]  # fmt: skip
    own = jmix.table(fits[1], stars={"†": 1e-4})
    assert "10.467†" in str(own) and "† p < 0.0001." in own.grid.notes
    off = jmix.table(fits[1], stars=False, cells="b (se) p")
    assert "*" not in str(off) and "10.467 (1.546) <0.001" in str(off)


def test_decimals_show_small_errors() -> None:
    assert [decimals_for(v, 3) for v in ([0.02, 3.0], [0.0004], [0.0, np.nan], [1e-12])] == [3, 4, 3, 8]
    assert [number(v, 3) for v in (-0.0001, 1234.5, np.nan, 1e12)] == ["0.000", "1234.500", "", "1.00e+12"]
    assert (token("(1.5)").left, token("(1.5)").right, token("(12)").right) == ("(1", ".5)", ")")


# --- text and markup ------------------------------------------------------------------------------------------------
def test_decimal_points_stand_below_each_other(fits: tuple[Fit, Fit]) -> None:
    text = str(jmix.table(*fits, stats=["nobs", "loglik"]))
    lines = [line for line in text.splitlines() if re.match(r"\(Intercept\)|Days|Residual|Log| +\(", line)]
    points = {tuple(m.start() for m in re.finditer(r"\.\d", line)) for line in lines if "(1)" not in line}
    assert len(points) == 1 and len(next(iter(points))) == 2


def test_markup_is_escaped(fits: tuple[Fit, Fit]) -> None:
    table = jmix.table(
        fits[1], names=["a_b & <i>"], labels={"Days": "D_% | $x$"}, caption="50% _of_ <b>", label="tab:a"
    )
    latex, html, markdown = table.to_latex(), table.to_html(), table.to_markdown()
    assert r"a\_b \& \textless{}i\textgreater{}" in latex and r"D\_\% \textbar{} \$x\$" in latex
    assert r"\caption{50\% \_of\_ \textless{}b\textgreater{}}" in latex and r"\label{tab:a}" in latex
    assert "<i>" not in html and "<b>" not in html and "a_b &amp; &lt;i&gt;" in html
    assert r"D\_% \| \$x\$" in markdown and r"10.467\*\*\*" in markdown


def test_latex_is_balanced(both: RegressionTable) -> None:
    latex = both.to_latex()
    rows = [line for line in latex.splitlines() if line.endswith(r"\\") and "multicolumn{3}" not in line]
    assert all(line.count("&") == 2 for line in rows)
    assert latex.count("{") == latex.count("}") and latex.count("$") % 2 == 0
    assert all(f"\\{rule}rule" in latex for rule in ("top", "mid", "bottom"))
    assert r"$10.467^{***}\phantom{)}$" in latex and r"$(1.546)\phantom{^{***}}$" in latex


def test_html_rows_have_a_cell_for_each_fit(both: RegressionTable) -> None:
    html = both.to_html()
    assert html.count("<td ") == 2 * len(both.to_frame()) + 1  # and the notes
    assert both._repr_html_() == html


# --- notes and refusals ---------------------------------------------------------------------------------------------
def test_notes_say_what_cannot_be_compared(fits: tuple[Fit, Fit]) -> None:
    data = jmix.load_data("sleepstudy").assign(z=np.arange(180) % 7)
    other = jmix.lmm("Reaction ~ Days + z + (1 | Subject)", data)
    notes = " ".join(jmix.table(other, fits[1]).grid.notes)
    assert "REML likelihoods of fits with different fixed effects" in notes
    assert "different numbers of rows" in " ".join(jmix.table(fits[0], jmix.lm("Reaction ~ 1", data[:50])).grid.notes)
    assert "residual in (1); Satterthwaite in (2)" in " ".join(jmix.table(*fits).grid.notes)
    status = replace(fits[1].status, converged=False, singular=True)
    bad = replace(fits[1], solution=replace(fits[1].solution, status=status))
    assert {"(1) has not converged.", "(1) is singular"} <= {
        note.partition(":")[0] for note in jmix.table(bad, df="none", stats="nobs").grid.notes
    }


REFUSED: dict[str, Callable[[Fit], Any]] = {
    "wants one fit or more": lambda fit: jmix.table(),
    "int is none": lambda fit: jmix.table(fit, 3),
    "no fit has a coefficient 'Day'; did you mean 'Days'": lambda fit: jmix.table(fit, keep=["Day"]),
    "leave no coefficient": lambda fit: jmix.table(fit, drop=["Days", "(Intercept)"]),
    "cells='beta'": lambda fit: jmix.table(fit, cells="beta"),
    "there is no 'aicc'": lambda fit: jmix.table(fit, stats=["aicc"]),
    "none of the fits has one": lambda fit: jmix.table(fit, exponentiate=True),
    "a LaTeX label": lambda fit: jmix.table(fit, label="}"),
    "stars=3": lambda fit: jmix.table(fit, stars=3),  # type: ignore[arg-type]
    "2 names for 1 fits": lambda fit: jmix.table(fit, names=["a", "b"]),
    "digits=-1": lambda fit: jmix.table(fit, digits=-1),
    "random='cor'": lambda fit: jmix.table(fit, random="cor"),  # type: ignore[arg-type]
    "level=2": lambda fit: jmix.table(fit, level=2),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_refused(message: str, fits: tuple[Fit, Fit]) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        REFUSED[message](fits[1])
