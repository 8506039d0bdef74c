"""Bad input to generalized linear mixed models: an error of jmix's own, which names the cause and the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.errors import DataError, FormulaError, JmixError, ModelError

N = 60
ROW = np.arange(N)
LEVELS = ["lo", "mid", "hi"]


def frame(**columns: Any) -> pd.DataFrame:
    data = pd.DataFrame({"m": ROW % 4, "n": 4 + ROW % 3, "y": ROW * 7 % 5 % 2, "x": np.cos(ROW), "g": ROW // 5})
    data["p"] = data["m"] / data["n"]
    data["s"] = np.array(list("abc"))[ROW % 3]
    data["two"] = np.array(["no", "yes"])[ROW % 2]
    data["o"] = pd.Categorical(np.array(LEVELS)[ROW % 3], LEVELS, ordered=True)
    return data.assign(**columns)


Case = tuple[Callable[[], Any], type[JmixError], str]


def model(formula: str, family: str, columns: dict[str, Any] | None = None, **options: Any) -> Callable[[], Any]:
    return lambda: jmix.model(formula, frame(**(columns or {})), family=family, **options)


def glmm(formula: str, family: str, **options: Any) -> Callable[[], Any]:
    return lambda: jmix.glmm(formula, frame(), family=family, **options)


BINARY = "y ~ x + (1 | g)"
COUNTS = "m ~ x + (1 | g)"
REFUSED: dict[str, Case] = {
    # --- counts of successes and failures
    "negative failures": (
        model("cbind(m, 3 - n) ~ x", "binomial"),
        DataError,
        r"cbind\(m, 3 - n\) has a negative number of failures \(in 60 rows, first in row 0\)",
    ),
    "one negative success": (
        model("cbind(m, n) ~ x", "binomial", {"m": np.where(ROW == 5, -1, 2)}),
        DataError,
        r"negative number of successes \(in row 5\)",
    ),
    "part of a success": (
        model("cbind(m, n) ~ x", "binomial", {"m": np.where(ROW > 57, 0.5, 2)}),
        DataError,
        r"numbers of successes that are not whole \(in 2 rows, first in row 58\)",
    ),
    "no trials": (
        model("cbind(m, n) ~ x", "binomial", {"m": 0, "n": np.where(ROW == 9, 0, 3)}),
        DataError,
        r"no trials at all.*drop them \(in row 9\)",
    ),
    "text in cbind": (model("cbind(m, s) ~ x", "binomial"), DataError, "response s holds text.*to_numeric"),
    "one column in cbind": (
        model("cbind(m) ~ x", "binomial"),
        FormulaError,
        r"cbind\(m\).*two columns.*cbind\(m, n - m",
    ),
    "three columns in cbind": (model("cbind(m, n, y) ~ x", "binomial"), FormulaError, "two columns"),
    "cbind for a count": (
        model("cbind(m, n) ~ x", "poisson"),
        ModelError,
        "one of family 'binomial'; family 'poisson'",
    ),
    "cbind for 0/1": (model("cbind(m, n) ~ x", "bernoulli"), ModelError, "that is family='binomial'"),
    "cbind for categories": (model("cbind(m, n) ~ x", "cumulative"), ModelError, "that is family='binomial'"),
    "cbind on the right": (model("y ~ cbind(m, n)", "binomial"), FormulaError, "response of a binomial model"),
    "cbind of a linear model": (lambda: jmix.lmm("cbind(m, n) ~ x + (1 | g)", frame()), FormulaError, "binomial model"),
    "unknown column in cbind": (model("cbind(m, nn) ~ x", "binomial"), FormulaError, "'nn'.*did you mean 'n'"),
    # --- proportions
    "proportion without trials": (
        model("m / n ~ x", "binomial"),
        DataError,
        r"m/n is a proportion, but its trials are not known; give cbind.*trials as weights",
    ),
    "counts as proportions": (
        model("m ~ x", "binomial", weights="n"),
        DataError,
        r"response m must lie between 0 and 1.*give cbind\(successes, failures\)",
    ),
    "trials that are not whole": (
        model("p ~ x", "binomial", weights=4.5 + ROW % 3),
        DataError,
        "whole weights.*the trials; with 0/1 responses and family='bernoulli' they multiply",
    ),
    "proportions that do not fit the trials": (
        model("p ~ x", "binomial", weights=np.full(N, 7.0)),
        DataError,
        r"response p times the weights.*not a whole number of successes; give cbind",
    ),
    "proportions of family bernoulli": (
        model("p ~ x", "bernoulli"),
        DataError,
        r"response p must be 0 or 1.*family='binomial', with their trials as weights",
    ),
    # --- 0/1 and two levels
    "counts of family bernoulli": (model("m ~ x", "bernoulli"), DataError, r"response m must be 0 or 1.*I\(m > 0\)"),
    "three levels": (
        model("s ~ x", "bernoulli"),
        DataError,
        r"response s has 3 levels \('a', 'b', 'c'\).*family='cumulative'",
    ),
    "three levels, binomial": (model("o ~ x", "binomial"), DataError, "response o has 3 levels"),
    "one level": (model("two ~ x", "bernoulli", {"two": "no"}), DataError, "response two has only the level 'no'"),
    "two levels of a count": (model("two ~ x", "poisson"), DataError, "response two holds text.*family 'poisson'"),
    "several columns": (model("poly(x, 2) ~ 1", "poisson"), DataError, "has 2 columns"),
    # --- categories
    "one category": (model("o ~ x", "cumulative", {"o": "lo"}), DataError, "only the category 'lo'"),
    "numbers as categories": (
        model("x ~ m", "cumulative"),
        DataError,
        r"response x must be categories or whole numbers.*ordered\(x\)",
    ),
    "too many categories": (
        lambda: jmix.model("y ~ 1", {"y": np.arange(150)}, family="cumulative"),
        DataError,
        "response y has 150 different values.*merge",
    ),
    "no intercept beside thresholds": (
        model("o ~ 0 + x + (1 | g)", "cumulative"),
        FormulaError,
        "thresholds.*take its place; leave out the '0 \\+'",
    ),
    # --- numbers outside the family's range
    "negative counts": (model("I(m - 1) ~ x", "poisson"), DataError, r"response I\(m - 1\) must not be negative"),
    "rates as counts": (model("p ~ x", "nbinom2"), DataError, "response p must hold whole counts.*offset=log"),
    "zeros of a gamma": (model("m ~ x", "gamma"), DataError, "response m must be positive.*zeros"),
    "percentages of a beta": (model("n ~ x", "beta"), DataError, "response n must lie between 0 and 1.*divide"),
    "ones of a beta": (model("y ~ x", "beta"), DataError, "strictly between 0 and 1"),
    "no zeros to inflate": (model("n ~ x", "poisson", zi="~ 1"), DataError, "response n has no zeros.*leave the zero"),
    # --- missing and infinite
    "all missing": (model("y ~ x", "bernoulli", {"y": np.nan}), DataError, "no rows are left: all 60"),
    "missing in zi": (model("m ~ x", "poisson", {"p": np.nan}, zi="~ p"), DataError, "no rows are left: all 60"),
    "infinite in disp": (
        model("m ~ x", "nbinom2", {"p": np.where(ROW < 3, np.inf, 1.0)}, disp="~ p"),
        DataError,
        "'p' has 3 infinite values; replace or drop",
    ),
    "weights not positive": (
        model("m ~ x", "poisson", weights=np.where(ROW < 2, 0, 1)),
        DataError,
        "weights must be positive, but 2 are not",
    ),
    # --- one-sided formulas
    "random term in zi": (
        model(COUNTS, "poisson", zi="~ x + (1 | g)"),
        FormulaError,
        r"zi='~ x \+ \(1 \| g\)': the random term \(1 \| g\) cannot stand in zi.*move it to the main formula",
    ),
    "random term in disp": (
        model("n ~ x", "gamma", disp="~ (x || s)"),
        FormulaError,
        r"\(x \|\| s\) cannot stand in disp",
    ),
    "offset in disp": (model("n ~ x", "gamma", disp="~ offset(x)"), FormulaError, r"disp.*leave offset\(x\) out"),
    "no columns in zi": (model(COUNTS, "poisson", zi="~ 0"), FormulaError, "zi='~ 0' has no columns; write '~ 1'"),
    "two sides in zi": (model(COUNTS, "poisson", zi="y ~ x"), FormulaError, "zi: .*has a response; write '~ terms'"),
    "no tilde in hurdle": (model(COUNTS, "poisson", hurdle="x"), FormulaError, "has no ~; write '~ terms'"),
    "a flag for zi": (
        model(COUNTS, "poisson", zi=True),
        FormulaError,
        "zi=True: write a one-sided formula such as '~ 1'",
    ),
    "unknown column in zi": (
        model(COUNTS, "poisson", zi="~ xx"),
        FormulaError,
        "the formula of zi names 'xx', which is not a column; did you mean 'x'",
    ),
    "unknown function in disp": (model("n ~ x", "gamma", disp="~ eval(x)"), FormulaError, r"disp: eval\(\) is not"),
    "disp without dispersion": (
        model(COUNTS, "poisson", disp="~ x"),
        ModelError,
        "disp='~ x': family 'poisson' has no dispersion to model; leave disp out",
    ),
    "zi and hurdle": (
        model(COUNTS, "poisson", zi="~ 1", hurdle="~ 1"),
        ModelError,
        "zi='~ 1' and hurdle='~ 1' exclude each other",
    ),
    "zi of 0/1": (model(BINARY, "bernoulli", zi="~ 1"), ModelError, "bernoulli has no zero-inflated variant"),
    "hurdle of a gamma": (model("n ~ x", "gamma", hurdle="~ 1"), ModelError, "gamma has no hurdle variant"),
    "zi of a hurdle family": (model(COUNTS, "hurdle_poisson", zi="~ 1"), ModelError, "write hurdle= instead of zi="),
    "contrasts of no factor": (
        model(COUNTS, "poisson", zi="~ s", contrasts={"two": "sum"}),
        FormulaError,
        "contrasts names 'two', which is not a fixed factor",
    ),
    # --- family, link, integration
    "unknown family": (model(COUNTS, "poison"), ModelError, "unknown family 'poison'.*'poisson'"),
    "unknown link": (model(COUNTS, "poisson", link="logit"), ModelError, "poisson has no link 'logit'; its links: log"),
    "REML": (lambda: model(BINARY, "bernoulli")().fit("reml"), ModelError, "choose 'ml' or 'map'; REML is for linear"),
    "no nodes": (glmm(BINARY, "bernoulli", n_agq=0), ModelError, "n_agq=0: give a whole number of nodes"),
    "half a node": (glmm(BINARY, "bernoulli", n_agq=2.5), ModelError, "n_agq=2.5: give a whole number"),
    "a flag of nodes": (glmm(BINARY, "bernoulli", n_agq=True), ModelError, "n_agq=True: give a whole number"),
    "quadrature over two factors": (
        glmm("y ~ x + (1 | g) + (1 | s)", "bernoulli", n_agq=5),
        ModelError,
        r"n_agq=5 needs a single grouping factor, but the formula has 2: g, s; use n_agq=1 \(Laplace.*marginal=False",
    ),
    "quadrature over nested factors": (
        glmm("y ~ x + (1 | s/g)", "bernoulli", n_agq=5),
        ModelError,
        "single grouping factor, but the formula has 2: g:s, s",
    ),
    "quadrature in five dimensions": (
        glmm("y ~ x + (poly(x, 4) | s)", "bernoulli", n_agq=3),
        ModelError,
        "s has 5 random effects a level, and a grid serves up to 4; use n_agq=1.*method='qmc'",
    ),
    "a grid too large": (
        glmm("y ~ x + (poly(x, 3) | s)", "bernoulli", n_agq=50),
        ModelError,
        "makes 6,250,000 nodes.*take fewer",
    ),
    "too many nodes": (glmm(BINARY, "bernoulli", n_agq=1000), ModelError, "n_agq=1000: 100 nodes"),
    "unknown method": (glmm(BINARY, "bernoulli", method="pql"), ModelError, "method='pql': choose 'agq'"),
    "points of quadrature": (glmm(BINARY, "bernoulli", n_points=9), ModelError, "n_points=9 is for method='qmc'"),
    "nodes of qmc": (glmm(BINARY, "bernoulli", n_agq=9, method="qmc"), ModelError, "n_agq=9 is for method='agq'"),
    "a start of the wrong length": (
        lambda: model(BINARY, "bernoulli")().fit(start=[0.0]),
        ModelError,
        r"start must hold 3 finite numbers, in this order: \(Intercept\), x",
    ),
    # --- models that the data cannot identify
    "one row a level": (
        lambda: jmix.glmm("y ~ x + (1 | r)", frame(r=ROW), family="bernoulli"),
        ModelError,
        r"\(\(Intercept\) \| r\): every level of r has one row.*Drop the term",
    ),
    "one level of the grouping factor": (
        lambda: jmix.glmm("y ~ x + (1 | g)", frame(g=1), family="bernoulli"),
        ModelError,
        r"\(\(Intercept\) \| g\): g has only one level",
    ),
    # --- parameters by hand
    "params left out": (
        lambda: model(BINARY, "bernoulli")().log_marginal({"beta": [0, 0]}),
        ModelError,
        "params lack theta; this model takes beta, theta",
    ),
    "params of another family": (
        lambda: model(BINARY, "bernoulli")().log_marginal({"beta": [0, 0], "theta": [1], "disp": [0]}),
        ModelError,
        r"unknown parameters \['disp'\]",
    ),
    "thresholds out of order": (
        lambda: model("o ~ x + (1 | g)", "cumulative")().log_marginal(
            {"beta": [0], "theta": [1], "thresholds": [1.0, 0.0]}
        ),
        ModelError,
        "thresholds must increase",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_with_cause_and_remedy(case: str) -> None:
    call, error, pattern = REFUSED[case]
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert re.search(pattern, message, re.DOTALL), message
    assert "\n" not in message and len(message) < 400


ACCEPTED: dict[str, tuple[Callable[[], Any], Callable[[Any], bool]]] = {
    "0/1 of family binomial": (model(BINARY, "binomial"), lambda m: m.family.name == "bernoulli"),
    "two levels": (model("two ~ x", "binomial"), lambda m: m.design.response.levels == ("no", "yes")),
    "bool": (model("I(y == 1) ~ x", "binomial"), lambda m: m.family.name == "bernoulli" and m.design.base.y[0] == 0),
    "rounded proportions": (model("p ~ x", "binomial", weights="n"), lambda m: m.design.response.y[3] == 3.0),
    "all-or-nothing proportions": (
        model("y ~ x", "binomial", weights="n"),
        lambda m: m.family.name == "binomial" and m.design.weights is None,
    ),
    "weights of 0/1": (
        model("y ~ x", "bernoulli", weights="n"),
        lambda m: m.family.name == "bernoulli" and m.design.weights[0] == 4.0,
    ),
    "weights of counts": (
        model("cbind(m, n) ~ x", "binomial", weights="n"),
        lambda m: m.design.response.size[1] == 6.0 and m.design.weights[1] == 5.0,
    ),
    "an unused category": (
        model("o ~ x", "cumulative", {"o": pd.Categorical(["lo", "hi"] * 30, LEVELS, ordered=True)}),
        lambda m: m.design.response.levels == ("lo", "hi") and m.family.n_categories == 2,
    ),
    "whole numbers as categories": (
        model("m ~ 1", "ordinal"),
        lambda m: m.design.response.levels == ("0", "1", "2", "3") and m.design.base.X.shape == (N, 0),
    ),
    "a hurdle by name": (
        model(COUNTS, "hurdle_poisson"),
        lambda m: m.family.zero == "hurdle" and m.design.zi.intercept_only,
    ),
    "zero inflation by formula": (
        model(COUNTS, "poisson", zi="~ s"),
        lambda m: m.family.zero == "inflated" and m.design.zi.names == ["(Intercept)", "sb", "sc"],
    ),
    "contrasts of a side": (
        model(COUNTS, "poisson", zi="~ s", contrasts={"s": "sum"}),
        lambda m: m.design.zi.names == ["(Intercept)", "s1", "s2"],
    ),
    "a link by name": (model(BINARY, "binomial", link="probit"), lambda m: m.family.link == "probit"),
    "a gaussian stays linear": (model("x ~ m + (1 | g)", "gaussian"), lambda m: type(m).__name__ == "Model"),
    "a gaussian with disp": (model("x ~ m", "gaussian", disp="~ s"), lambda m: m.design.disp.names[1:] == ["sb", "sc"]),
    "a gaussian with a link": (model("n ~ m", "gaussian", link="log"), lambda m: m.family.link == "log"),
    "collinear columns of a side": (
        model(COUNTS, "poisson", zi="~ x + I(2 * x)"),
        lambda m: m.design.zi.names == ["(Intercept)", "x"] and m.design.zi.encoding.dropped == ("I(2 * x)",),
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_is_read_as_meant(case: str) -> None:
    call, holds = ACCEPTED[case]
    assert holds(call())


def test_polars_and_dicts_give_the_same_response() -> None:
    pl = pytest.importorskip("polars")
    data = frame()
    expected = jmix.model("cbind(m, n) ~ s", data, family="binomial").design
    for table in (pl.from_pandas(data.drop(columns="o")), dict(data)):
        found = jmix.model("cbind(m, n) ~ s", table, family="binomial").design
        np.testing.assert_array_equal(found.response.y, expected.response.y)
        np.testing.assert_array_equal(found.base.X, expected.base.X)
