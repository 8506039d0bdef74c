"""The printed summary against lme4's and R's, its messages, and its markup."""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.results.fit import Fit
from jmix.results.summary import Summary

SLEEP = jmix.load_data("sleepstudy")
MISSING = SLEEP.assign(Z=2 * SLEEP["Days"], Reaction=SLEEP["Reaction"].where(~SLEEP.index.isin([2, 3, 4])))
SCALED = SLEEP.assign(tiny=SLEEP["Reaction"] * 1e-8, huge=SLEEP["Reaction"] * 1e8)
QUADRATIC = "Reaction ~ Days + Z + I(Days^2/10) + (Days + I(Days^2/10) | Subject)"

MIXED: dict[str, tuple[str, pd.DataFrame | str, bool]] = {
    "sleepstudy": ("Reaction ~ Days + (Days | Subject)", SLEEP, True),
    "sleepstudy ML": ("Reaction ~ Days + (Days | Subject)", SLEEP, False),
    "uncorrelated": ("Reaction ~ Days + (Days || Subject)", SLEEP, True),
    "uncorrelated ML": ("Reaction ~ Days + (Days || Subject)", SLEEP, False),
    "Penicillin": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", True),
    "Pastes": ("strength ~ 1 + (1 | batch/cask)", "Pastes", True),
    "MathAchieve": ("MathAch ~ SES * Sex + Minority + MEANSES + (SES | School)", "MathAchieve", True),
    "missing": (QUADRATIC, MISSING, True),
    "tiny": ("tiny ~ Days + (Days | Subject)", SCALED, True),
    "huge": ("huge ~ Days + (Days | Subject)", SCALED, True),
    "many levels": ("Reaction ~ factor(Days) + (1 | Subject)", SLEEP, True),
    "no fixed intercept": ("Reaction ~ 0 + factor(Days) + (1 | Subject)", SLEEP, True),
}
LEAST_SQUARES = {
    "lm": ("Reaction ~ Days", None),
    "lm without intercept": ("Reaction ~ 0 + factor(Days)", None),
    "lm weighted": ("Reaction ~ Days", 1.0 + SLEEP["Days"]),
    "lm of a mean": ("Reaction ~ 1", None),
}


@pytest.fixture(scope="module")
def expected() -> dict[str, list[str]]:
    """R's summaries by name, as lines (written by summaries.R)."""
    text = (Path(__file__).parent / "summaries.txt").read_text(encoding="utf-8")
    parts = [part.split("\n", 1) for part in text.split("=== ")[1:]]
    return {name: body.rstrip("\n").split("\n") for name, body in parts}


@pytest.fixture(scope="module")
def sleep_fit() -> Fit:
    return jmix.lmm("Reaction ~ Days + (Days | Subject)", SLEEP)


def singular_data() -> pd.DataFrame:
    """Groups without any difference in mean or slope."""
    x = np.tile([0.0, 1.0, 2.0, 3.0], 6)
    noise = np.tile([0.3, -0.4, -0.1, 0.2], 6) * np.repeat([1, -1, 1, -1, 1, -1], 4)
    return pd.DataFrame({"y": 1.0 + x + noise, "x": x, "g": np.repeat(list("abcdef"), 4)})


@pytest.mark.parametrize("name", MIXED)
def test_prints_what_lme4_prints(name: str, expected: dict[str, list[str]]) -> None:
    formula, data, reml = MIXED[name]
    frame = jmix.load_data(data) if isinstance(data, str) else data
    ours = str(jmix.lmm(formula, frame, reml=reml).summary(df="none")).split("\n")
    theirs = expected[name]
    assert theirs[0].split("[")[0].rstrip() == ours[0]
    assert ours[1] == f"Formula: {formula}"
    tables = theirs[theirs.index("") :]
    if "fit warnings:" in tables:
        tables = tables[: tables.index("fit warnings:")]
    assert ours[2 : 2 + len(tables)] == tables


@pytest.mark.parametrize("name", ["sleepstudy", "sleepstudy ML", "Penicillin", "Pastes", "MathAchieve", "many levels"])
def test_prints_the_tests_that_lmertest_prints(name: str, expected: dict[str, list[str]]) -> None:
    formula, data, reml = MIXED[name]
    frame = jmix.load_data(data) if isinstance(data, str) else data
    text = str(jmix.lmm(formula, frame, reml=reml))
    assert "\nt-tests: Satterthwaite's degrees of freedom\n" in text
    theirs = expected[f"{name} tests"]
    ours = text[text.index("Fixed effects:") :].split("\n")[: len(theirs)]
    assert ours[:2] == theirs[:2]
    for mine, other in zip(ours[2:], theirs[2:], strict=True):
        left, right = mine.split(), other.split()
        assert float(left[3]) == pytest.approx(float(right[3]), rel=1e-5)  # lmerTest differentiates numerically
        assert len(mine) == len(other) and left[:3] + left[4:] == right[:3] + right[4:]


@pytest.mark.parametrize(("name", "kind"), [("sleepstudy", 3), ("MathAchieve", "II"), ("many levels", 1)])
def test_prints_the_anova_that_lmertest_prints(name: str, kind: int | str, expected: dict[str, list[str]]) -> None:
    formula, data, _ = MIXED[name]
    frame = jmix.load_data(data) if isinstance(data, str) else data
    lines = str(jmix.lmm(formula, frame).anova(kind)).split("\n")
    theirs = expected[f"{name} anova"]
    assert [lines[0], lines[3]] == theirs[:2]
    for mine, other in zip(lines[4:], theirs[2:], strict=True):
        left, right = mine.split(), other.split()
        assert len(mine) == len(other) and left[0] == right[0] and left[6:] == right[6:]
        assert [float(v) for v in left[1:6]] == pytest.approx([float(v) for v in right[1:6]], rel=1e-5)


@pytest.mark.parametrize("name", ["tiny", "huge"])
def test_degrees_of_freedom_do_not_depend_on_the_scale(name: str) -> None:
    formula, frame, _ = MIXED[name]
    table = jmix.lmm(formula, frame).summary().coefficients
    assert table["df"].to_numpy() == pytest.approx(17.0, rel=1e-6)


@pytest.mark.parametrize("name", LEAST_SQUARES)
def test_prints_what_r_prints_for_least_squares(name: str, expected: dict[str, list[str]]) -> None:
    formula, weights = LEAST_SQUARES[name]
    ours = str(jmix.lmm(formula, SLEEP, weights=weights))
    assert ours.startswith(f"Linear model fit by least squares\nFormula: {formula}\n")
    theirs = "\n".join(expected[name]).split("\n\n", 2)
    body = theirs[2] if "Call" in theirs[1] else "\n\n".join(theirs[1:])
    assert _loose(ours[ours.lower().index("residuals:") :]) == _loose(body[body.lower().index("residuals:") :])


def _loose(text: str) -> list[str]:
    """Lines in lower case without differences of spacing."""
    return [" ".join(line.lower().replace("< ", "<").split()) for line in text.split("\n") if line.strip()]


def test_nothing_trails_and_nothing_is_too_wide(sleep_fit: Fit) -> None:
    lines = str(sleep_fit).split("\n")
    assert all(line == line.rstrip() and len(line) <= 80 for line in lines)
    assert str(sleep_fit) == repr(sleep_fit) == str(sleep_fit.summary()) == repr(sleep_fit.summary())


def test_missing_rows_and_dropped_columns_are_reported() -> None:
    text = str(jmix.lmm(QUADRATIC, MISSING))
    assert text.endswith(
        "\n\n3 rows dropped for missing values\n"
        "fixed effects are rank deficient: dropped 1 column that others determine: Z"
    )


def test_a_single_missing_row_is_a_row() -> None:
    data = SLEEP.assign(Days=SLEEP["Days"].where(SLEEP.index != 7))
    assert str(jmix.lmm("Reaction ~ Days + (1 | Subject)", data)).endswith("\n\n1 row dropped for missing values")


def test_a_singular_fit_names_the_direction_and_has_no_correlation() -> None:
    fit = jmix.lmm("y ~ x + (x | g)", singular_data())
    assert fit.singular
    text = str(fit)
    random = text[text.index("Random effects:") : text.index("Number of obs")].split("\n")
    assert [line.split()[-1] for line in random[3:4]] == ["NaN"]
    assert float(random[2].split()[2]) == 0.0
    assert "boundary (singular) fit: (" in text
    assert "| g): the standard deviation of" in " ".join(text.split())


def test_a_fit_that_stopped_early_names_the_remedy() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = jmix.load_data("MathAchieve")
        fit = jmix.lmm("MathAch ~ SES + (SES | School)", data, control={"max_iterations": 1})
    assert not fit.converged
    note = " ".join(str(fit).split("\n\n")[-1].split())
    assert note.startswith("not converged: ")
    assert "max_iterations" in note


def test_more_than_twenty_fixed_effects_omit_their_correlations() -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": rng.normal(size=150), "f": np.repeat([f"l{i:02d}" for i in range(50)], 3)})
    data["g"] = np.tile(["a", "b", "c"], 50)
    twenty = data[data["f"] < "l20"]
    assert "Correlation of Fixed Effects:" in str(jmix.lmm("y ~ f + (1 | g)", twenty))
    text = str(jmix.lmm("y ~ f + (1 | g)", data))
    assert "Correlation of Fixed" not in text
    assert "Correlations of the 50 fixed effects not shown; see fit.vcov()." in text
    assert len(re.findall(r"^fl\d\d +-?\d", text, flags=re.M)) == 49


def test_wide_tables_continue_below_with_their_labels() -> None:
    levels = [f"level_{i}" for i in range(16)]
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=480), "f": np.tile(levels, 30), "g": np.repeat(range(10), 48)})
    text = str(jmix.lmm("y ~ f + (1 | g)", data))
    table = text[text.index("Correlation of Fixed Effects:") :].split("\n\n")[0].split("\n")[1:]
    assert max(map(len, table)) <= 80
    assert sum(line.startswith("flevel_15") for line in table) == 2
    assert len(table) == 2 * 16


def test_long_names_lose_their_middle_in_text_only() -> None:
    long = [f"a very long answer that somebody wrote in full, {i} of those in the questionnaire {i}" for i in range(3)]
    data = pd.DataFrame({"y": np.arange(30.0) % 7, "f": np.tile(long, 10), "g": np.repeat(list("abcde"), 6)})
    fit = jmix.lmm("y ~ f + (1 | g)", data)
    assert all(len(line) <= 80 for line in str(fit).split("\n"))
    assert str(fit.summary(df="none")).count("…") == 2 and str(fit).count("…") == 4  # the wider table in two parts
    assert f"f{long[1]}" in fit.summary().to_html()


def test_maximum_likelihood_without_random_terms() -> None:
    text = str(jmix.lmm("Reaction ~ Days", SLEEP, reml=False))
    assert text.startswith("Linear model fit by maximum likelihood\n")
    assert "  1906.3   1915.9   -950.1   1900.3      177" in text  # R: AIC, BIC, logLik of lm(Reaction ~ Days)
    assert "Residual standard deviation: 47.45\nNumber of obs: 180\n" in text


def test_a_model_without_fixed_effects_says_so() -> None:
    assert str(jmix.lmm("Reaction ~ 0 + (1 | Subject)", SLEEP)).endswith("\n\nNo fixed effects")
    text = str(jmix.lmm("Reaction ~ 0", SLEEP))
    assert "\n\nNo coefficients\n\nResidual standard error: 303.7 on 180 degrees of freedom" in text


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_a_perfect_fit_is_called_one(level: float) -> None:
    data = pd.DataFrame({"y": [level] * 4, "x": [1.0, 2.0, 4.0, 5.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = str(jmix.lmm("y ~ x", data))
    assert text.split("\n\n")[-1] == "essentially perfect fit: standard errors and tests reflect rounding only"
    assert "perfect" not in str(jmix.lmm("y ~ x", data.assign(y=[1.0, 1.0, 1.0, 1.00001])))


def test_weights_are_mentioned() -> None:
    text = str(jmix.lmm("Reaction ~ Days + (1 | Subject)", SLEEP, weights=1.0 + SLEEP["Days"]))
    assert text.split("\n")[2] == "Weights: from 1 to 10"


# --- markup ---------------------------------------------------------------------------------------------------------
NASTY = ["<b>x</b>", 'a & "b"', "c|d_e%", "$1 {2} #3 \\ ~^"]


@pytest.fixture(scope="module")
def nasty() -> Summary:
    """A model with level names that mean something in every markup."""
    data = pd.DataFrame({"y": np.arange(40.0) % 7, "f": np.tile(NASTY, 10), "g": np.repeat(list("abcde"), 8)})
    return jmix.lmm('y ~ C(f, Treatment("<b>x</b>")) + (1 | g)', data).summary()


def test_html_is_escaped_and_well_formed(nasty: Summary) -> None:
    text = nasty.to_html()
    root = ET.fromstring(text)
    assert "<b>" not in text
    assert root.find(".//code").text == nasty.fit.formula
    labels = [cell.text for cell in root.findall(".//tbody/tr/th")]
    assert [name for name in nasty.fit.design.x_names if name not in labels] == []
    assert nasty.fit._repr_html_() == text == nasty._repr_html_()


def test_html_holds_the_printed_numbers(sleep_fit: Fit) -> None:
    root = ET.fromstring(sleep_fit.summary().to_html())
    tables = {table.findtext("caption"): _html_rows(table) for table in root.findall("table")}
    assert tables["Fixed effects"][1:] == [
        ["(Intercept)", "251.405", "6.825", "17.000", "36.838", "< 2e-16"],
        ["Days", "10.467", "1.546", "17.000", "6.771", "3.26e-06"],
    ]
    assert tables["Random effects"][2] == ["", "Days", "35.07", "5.922", "0.07"]
    assert list(tables) == ["Scaled residuals", "Random effects", "Fixed effects", "Correlation of Fixed Effects"]


def _html_rows(table: ET.Element) -> list[list[str]]:
    return [[cell.text or "" for cell in row] for row in table.iter("tr")]


def test_markdown_tables_keep_their_columns(nasty: Summary) -> None:
    text = nasty.to_markdown()
    tables = [block.split("\n") for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
        assert set(table[1]) <= set("|:- ")
    assert r"c\|d\_e%" in text
    assert f"Formula: `{nasty.fit.formula}`" in text


def test_latex_is_escaped(nasty: Summary, sleep_fit: Fit) -> None:
    text = nasty.to_latex()
    assert r"c\textbar{}d\_e\%" in text
    assert r"\$1 \{2\} \#3 \textbackslash{} \textasciitilde{}\textasciicircum{}" in text
    bodies = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, flags=re.S)
    assert len(bodies) == 4
    for columns, body in bodies:
        rows = [line for line in body.split("\n") if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(columns) - 1}
    assert r"Days & $-0.138$ \\" in sleep_fit.summary().to_latex()


def test_latex_sets_powers_of_ten() -> None:
    fit = jmix.lmm("tiny ~ Days + (Days | Subject)", SCALED)
    assert r"Subject & (Intercept) & $6.121 \times 10^{-14}$ & $2.474 \times 10^{-7}$ &  \\" in fit.summary().to_latex()
    assert r"$< 2 \times 10^{-16}$" in jmix.lmm("Reaction ~ Days", SLEEP).summary().to_latex()


def test_line_breaks_in_names_do_not_break_tables() -> None:
    data = pd.DataFrame({"y": np.arange(30.0) % 7, "f": np.tile(["a", "b\nc"], 15), "g": np.repeat(list("abcde"), 6)})
    fit = jmix.lmm("y ~ f + (1 | g)", data)
    assert r"fb\nc" in str(fit)
    assert r"| fb\\nc |" in fit.summary().to_markdown()
