"""Linear hypotheses from matrices, weights and text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.results.inference.fixed.linear_hypotheses import linear_hypotheses

NAMES = ["(Intercept)", "Days", "a:b", "I(x^2)"]


@pytest.mark.parametrize(
    ("given", "rows", "rhs", "labels"),
    [
        ("Days = 10", [[0, 1, 0, 0]], [10], ["Days = 10"]),
        ("2 * Days - a:b / 4 > 1", [[0, 2, -0.25, 0]], [1], ["2 * Days - a:b / 4 > 1"]),
        ("b_Days", [[0, 1, 0, 0]], [0], ["b_Days"]),
        ("Intercept + I(x^2) = 2 * (1 + 2)", [[1, 0, 0, 1]], [6], ["Intercept + I(x^2) = 2 * (1 + 2)"]),
        (["`a:b`", "Days = Intercept"], [[0, 0, 1, 0], [-1, 1, 0, 0]], [0, 0], ["`a:b`", "Days = Intercept"]),
        ({"Days": 1, "a:b": -2}, [[0, 1, -2, 0]], [0], ["Days - 2*a:b"]),
        (
            {"slope": {"Days": 1}, "sum": {"Intercept": 1, "a:b": 1}},
            [[0, 1, 0, 0], [1, 0, 1, 0]],
            [0, 0],
            ["slope", "sum"],
        ),
        ([0, 0, 0, 3], [[0, 0, 0, 3]], [0], ["3*I(x^2)"]),
        (pd.DataFrame({"Days": [1.0], "a:b": [1.0]}, index=["both"]), [[0, 1, 1, 0]], [0], ["both"]),
    ],
)
def test_ways_to_write_a_hypothesis(given: Any, rows: Any, rhs: Any, labels: list[str]) -> None:
    found = linear_hypotheses(given, NAMES)
    assert pytest.approx(np.array(rows, float), abs=1e-12) == found.L
    assert found.rhs == pytest.approx(np.array(rhs, float), abs=1e-12)
    assert list(found.labels) == labels


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("exp(Days) = 1", r"not a linear function.*fit.hypothesis"),
        ("Days * a:b = 0", "not a linear function"),
        ("abs(Days) = 0", "not a linear function"),
        ("Dais = 0", "Did you mean 'Days'"),
        ("3 = 3", "names no parameter"),
        ([1.0, 2.0], "one column for each of the 4 fixed effects"),
        ({"Dais": 1}, "no fixed effect 'Dais'"),
        ({"Days": "x"}, "finite numbers"),
        ({}, "names no coefficient"),
        ([[np.nan, 0, 0, 0]], "finite numbers"),
        (None, "finite numbers"),
    ],
)
def test_what_cannot_be_read(given: Any, message: str) -> None:
    with pytest.raises(jmix.ModelError, match=message):
        linear_hypotheses(given, NAMES)


@pytest.fixture(scope="module")
def sleep() -> Any:
    return jmix.lmm("Reaction ~ Days + (Days | Subject)", jmix.load_data("sleepstudy"))


def test_one_row_is_the_t_test(sleep: Any) -> None:
    test, row = sleep.test("Days = 0"), sleep.summary().coefficients.loc["Days"]
    assert [test.statistic, test.df2, test.p_value] == pytest.approx(
        [row["statistic"] ** 2, row["df"], row["p_value"]], rel=1e-9
    )
    assert test.df1 == 1 and test.method == "satterthwaite"
    shifted = sleep.test({"Days": 1}, rhs=10)
    assert shifted.table["statistic"].iloc[0] == pytest.approx((sleep.beta[1] - 10) / row["std_error"], rel=1e-9)
    assert sleep.test(["Days = 10"]).p_value == pytest.approx(shifted.p_value, rel=1e-12)


def test_joint_without_degrees_of_freedom_is_walds(sleep: Any) -> None:
    test = sleep.test(np.eye(2), df="none")
    wald = float(sleep.beta @ np.linalg.solve(sleep.vcov().to_numpy(), sleep.beta))
    assert test.statistic * test.df1 == pytest.approx(wald, rel=1e-9)
    assert "Chi-squared = " in str(test) and "df" not in test.table.columns
    assert "F = " in str(sleep.test(np.eye(2)))


def test_directions_and_a_second_right_side_are_refused(sleep: Any) -> None:
    with pytest.raises(jmix.ModelError, match="direction"):
        sleep.test("Days > 0")
    with pytest.raises(jmix.ModelError, match="write it into the text"):
        sleep.test("Days = 0", rhs=1)
    with pytest.raises(jmix.ModelError, match="has 1 row"):
        sleep.test({"Days": 1}, rhs=[1, 2])
