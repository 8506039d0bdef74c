"""Formatting of numbers and abbreviation of names against R's ``format``, ``printCoefmat`` and ``abbreviate``."""

from __future__ import annotations

import pytest

from jmix.results.numbers import (
    abbreviate,
    format_estimates,
    format_numbers,
    format_p_column,
    format_p_values,
    zap_small,
)
from jmix.results.text_table import Table, render_text, shorten

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "digits", "text"),  # R: paste(format(values, digits = digits), collapse = "|")
    [
        ([1, 10, 1e5], 7, "1e+00|1e+01|1e+05"),
        ([-1, 1e5], 7, "    -1|100000"),
        ([1e5], 7, "1e+05"),
        ([123456.7], 4, "123457"),
        ([0, 0, 0], 4, "0|0|0"),
        ([0.00001, 123], 4, "1.00e-05|1.23e+02"),
        ([NAN, 1, -2.5], 4, " NaN| 1.0|-2.5"),
        ([INF, -1e-20], 4, "   Inf|-1e-20"),
        ([1e100, 1e-200], 4, "1e+100|1e-200"),
        ([99999.5, 0.1], 4, "1e+05|1e-01"),
        ([0.1, 0.25, 1 / 3], 3, "0.100|0.250|0.333"),
        ([1234.5678, 0.00012345], 4, "1.235e+03|1.234e-04"),
        ([9.9999, 1], 4, "10| 1"),
        ([5e-324, 1], 4, "4.941e-324| 1.000e+00"),
    ],
)
def test_numbers_look_as_in_r(values: list[float], digits: int, text: str) -> None:
    assert "|".join(format_numbers(values, digits)) == text


def test_no_numbers_and_no_negative_zero() -> None:
    assert format_numbers([]) == []
    assert format_numbers([-0.0, 1.5]) == ["0.0", "1.5"]


@pytest.mark.parametrize(
    ("estimate", "se", "texts"),  # R: printCoefmat(cbind(estimate, se, estimate / se), digits = 4)
    [
        ([1e10, 1e-8], [1e9, 1e-9], ["1e+10", "1e-08", "1e+09", "1e-09"]),
        ([0, 1e-6, 250], [1, 1e-7, 3], ["0.0e+00", "1.0e-06", "2.5e+02", "1.0e+00", "1.0e-07", "3.0e+00"]),
        ([0.5, -1e-12], [0.1, 0.2], ["5e-01", "-1e-12", "1e-01", "2e-01"]),
        ([1, 2], [NAN, 1], ["1", "2", "NaN", "1"]),
        ([1e-300], [1e-301], ["1e-300", "1e-301"]),
        ([12345.678, 0.001], [10, 0.0001], ["1.235e+04", "1.000e-03", "1.000e+01", "1.000e-04"]),
    ],
)
def test_estimates_look_as_in_r(estimate: list[float], se: list[float], texts: list[str]) -> None:
    first, second = format_estimates(estimate, se)
    assert [t.strip() for t in first + second] == texts


def test_p_values_below_the_precision_of_a_double_are_bounds() -> None:
    assert format_p_values([0.0, 1e-300, 0.0491234, 9.891e-15, 1.0, NAN]) == [
        "< 2e-16",
        "< 2e-16",
        "0.0491",
        "9.89e-15",
        "1",
        "NaN",
    ]


@pytest.mark.parametrize(
    ("values", "texts"),
    [  # format.pval(values, digits = 3)
        ([1.7912e-09, 0.0012123, 0.00054912, 0.00021823], ["1.79e-09", "0.001212", "0.000549", "0.000218"]),
        ([0.012123, 0.12345678, 0.5, 0.0012345], ["0.01212", "0.12346", "0.50000", "0.00123"]),
        ([0.00001234567, 0.00123456], ["1.23e-05", "0.00123"]),
        ([0.0, 0.893], ["<2e-16", "0.893"]),
        ([0.0, 1e-300, 5.04e-05], ["< 2e-16", "< 2e-16", "5.04e-05"]),
        ([0.0, 0.0], ["<2e-16", "<2e-16"]),
        ([], []),
    ],
)
def test_a_column_of_p_values_is_rs(values: list[float], texts: list[str]) -> None:
    assert [text.strip() for text in format_p_column(values)] == texts


def test_small_values_vanish_beside_large_ones() -> None:
    assert zap_small([1e-12, 3.0], 5) == [0.0, 3.0]
    assert zap_small([0.0, NAN], 5)[0] == 0.0


SIX = {
    "(Intercept)": "(Intr)",
    "SexFemale": "SexFml",
    "MinorityYes": "MnrtyY",
    "SES:SexFemale": "SES:SF",
    "I(Days^2)": "I(D^2)",
    "Days": "Days",
    "situdo": "situdo",
    "situdo:btypecurse": "std:bt",
    "poly(x, 2)1": "p(,2)1",
    "ns(age, df = 3)1": "n(,d=3",
    "a very long name indeed": "avrlni",
    "treatmentA": "trtmnA",
    "treatmentB": "trtmnB",
    "treatmentAA": "trtmAA",
    "lectage.L": "lctg.L",
    "UPPERCASENAME": "UPPERCASENAME",
    "UPPERCASENAMES": "UPPERCASENAMES",
}
"""R: abbreviate(names, 6); the last two stay whole because only then they differ."""


def test_names_are_abbreviated_as_in_r() -> None:
    assert abbreviate(list(SIX), 6) == list(SIX.values())
    assert abbreviate(["SES:SexFemale", "MinorityYes", "situdo:btypecurse"], 11) == [
        "SES:SexFeml",
        "MinorityYes",
        "std:btypcrs",
    ]


def test_abbreviations_of_different_names_differ() -> None:
    names = [f"a_long_variable_name{i}" for i in range(120)]
    assert len(set(abbreviate(names, 6))) == 120
    assert abbreviate(["same name twice", "same name twice"], 6)[0] == abbreviate(["same name twice"], 6)[0]


def test_tables_align_wide_characters() -> None:
    table = Table.of_columns([("", "l", ["被験者", "x"]), ("n", "r", ["1", "20"])], labels=1)
    assert render_text(table) == "        n\n被験者  1\nx      20"


def test_shortened_names_stay_distinct() -> None:
    assert shorten(["a" * 30 + "b" * 30, "c"], 11) == ["aaaaa…bbbbb", "c"]
    alike = ["a" * 30 + "x" + "b" * 30, "a" * 30 + "y" + "b" * 30]
    assert shorten(alike, 11) == alike
