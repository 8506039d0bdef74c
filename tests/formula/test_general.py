"""Left sides of generalized models and one-sided formulas: whatever the text, a design or an error of jmix's own."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jmix.design_response import build_glmm_design
from jmix.errors import FormulaError, JmixError
from jmix.families import resolve_family
from jmix.formula import parse_formula
from jmix.formula.encoding import Encoding
from jmix.formula.parse import parse_side

I30 = np.arange(30)
FRAME = pd.DataFrame({"y": I30 * 7 % 5 % 2, "n": 2 + I30 % 4, "x": np.cos(I30), "g": I30 % 5})
FRAME["f"] = np.array(list("abc"))[I30 % 3]
FRAME["two"] = np.array(["no", "yes"])[I30 % 2]
PIECES = [
    "y", "n", "x", "f", "two", "g", "1", "0", "2", "(", ")", "+", "-", "*", "/", ":", "^", "|", ",", "=", "!", "==",
    "~", "cbind(", "cbind(y, n)", "factor(", "ordered(", "I(", "relevel(", "offset(", '"a"', '"yes"', "c(", "levels",
    "(1 | g)", "poly(", "scale(", "TRUE", "ref",
]  # fmt: skip
FAMILIES = [resolve_family(name) for name in ("bernoulli", "binomial", "cumulative", "poisson", "gaussian")]


def build_or_refuse(formula: str, zi: str | None = None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for family in FAMILIES if zi is None else FAMILIES[3:4]:
            try:
                design = build_glmm_design(formula, FRAME, family, zi=zi)
            except JmixError as error:
                assert str(error)
                continue
            assert np.isfinite(design.base.X).all() and np.isfinite(design.response.y).all()
            for encoding in (design.base.encoding, *([design.zi.encoding] if design.zi else [])):
                kept = Encoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
                assert kept.encode(FRAME, random=False).complete.all()


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join))
@example("cbind( y , n )")
@example("( cbind(y, n) )")
@example("cbind(y, n) , n")
@example("cbind( factor( y ) , n )")
@example('ordered( f , levels = c( "a" ) )')
@example("relevel( two , ref = 'yes' )")
@example("poly( x , 2 )")
@settings(max_examples=150, deadline=None)
def test_any_left_side(text: str) -> None:
    build_or_refuse(f"{text} ~ x + (1 | g)")


@given(st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join))
@example("")
@example("f - 1")
@example("scale( x ) * f")
@example("x | g")
@settings(max_examples=150, deadline=None)
def test_any_one_sided_formula(text: str) -> None:
    build_or_refuse("n ~ x", zi=f"~ {text}")
    build_or_refuse("y ~ x", zi=f"~ {text}")


@given(st.text(max_size=20))
@settings(max_examples=100, deadline=None)
def test_any_characters(text: str) -> None:
    build_or_refuse(f"{text} ~ x")
    build_or_refuse("y ~ x", zi=text)


def test_a_one_sided_formula_is_read_like_the_right_side() -> None:
    side, whole = parse_side(" ~ x * f + ns(x,3)", "zi"), parse_formula("y ~ x * f + ns(x,3)")
    assert (side.fixed, side.terms.labels[1:]) == (whole.fixed, whole.terms.labels[2:])
    assert str(side) == "~ x * f + ns(x, 3)" and side.response == ""
    assert side.columns() == ["x", "f"]
    assert parse_side(str(side), "zi").fixed == side.fixed


def test_the_left_side_of_a_linear_model_is_as_before() -> None:
    for text in ("cbind(y, n) ~ x", "factor(y) ~ x", "(y + factor(f)) ~ x"):
        with pytest.raises(FormulaError):
            parse_formula(text)


def test_the_response_is_not_a_predictor() -> None:
    """As in R, which drops the response from the right side."""
    design = build_glmm_design("two ~ two + x", FRAME, FAMILIES[0])
    assert design.base.x_names == ["(Intercept)", "x"]
