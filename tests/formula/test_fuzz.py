"""Whatever the text, the answer is a design or an error of jmix's own."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jmix.design import build_design
from jmix.errors import JmixError

I30 = np.arange(30)
FRAME = pd.DataFrame({"y": np.sin(I30), "x": np.cos(I30), "f": np.array(list("abc"))[I30 % 3], "g": I30 % 5})
PIECES = [
    "y", "x", "f", "g", "1", "0", "2", "0.5", "(", ")", "(", ")", "+", "+", "-", "*", ":", "/", "^", "|", "||", "~",
    ",", "=", "!", "<", "==", "&", "%in%", "%%", "log(", "poly(", "C(", "I(", "factor(", "offset(", "bs(", "scale(",
    "(1 | g)", "(x | g)", "(x || f)", '"a"', "Sum", "TRUE", "c(", "[", "]", "degree", "contr.sum", "`x`", "relevel(",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join))
@example("x ~ ! x")
@example("1 < 2")
@example("ns ( log ( g ) )")
@example("y ~ x + f : f")
@example("y ~ ( x | g : g )")
@settings(max_examples=400, deadline=None)
def test_any_text(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for formula in (text, "y ~ " + text):
            try:
                design = build_design(formula, FRAME)
            except JmixError as error:
                assert str(error)
            else:
                assert np.isfinite(design.X).all()
                assert design.encoding.encode(FRAME).complete.all()


@given(st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_characters(text: str) -> None:
    try:
        build_design("y ~ " + text, FRAME)
    except JmixError as error:
        assert str(error)
