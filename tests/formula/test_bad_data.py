"""Data that cannot be used are refused with jmix's own errors, which name the column."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.design import build_design
from jmix.errors import DataError, FormulaError

I24 = np.arange(24)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    labels = np.array(list("abcd"))[I24 % 4]
    data = pd.DataFrame({"y": np.sin(I24), "x": np.cos(I24 * 1.1), "g": I24 % 4, "s": labels})
    data["digits"] = [str(i) for i in I24]
    data["date"] = pd.date_range("2020", periods=24)
    data["span"] = pd.to_timedelta(I24, unit="D")
    data["period"] = pd.period_range("2020", periods=24)
    data["complex"] = I24 * 1j
    data["mixed"] = pd.Series([1, "a"] * 12, dtype=object)
    data["lists"] = [[1]] * 24
    data["dicts"] = [{} for _ in I24]
    data["day"] = [datetime.date(2020, 1, 1)] * 24
    data["infinite"] = np.where(I24 == 3, np.inf, 1.0 * I24)
    data["constant"] = 1.0
    data["empty"] = np.nan
    data["none"] = None
    data["one"] = "a"
    return data


@pytest.mark.parametrize(
    ("formula", "error", "reason"),
    [
        ("s ~ x", DataError, "response s holds text"),
        ("digits ~ x", DataError, "response digits holds text"),
        ("date ~ x", DataError, "'date' holds dates"),
        ("complex ~ x", DataError, "'complex' holds complex"),
        ("mixed ~ x", DataError, "'mixed' .*int, str"),
        ("infinite ~ x", DataError, "'infinite' has 1 infinite"),
        ("empty ~ x", DataError, "no rows are left: all 24"),
        ("none ~ x", DataError, "no rows are left"),
        ("poly(x, 2) ~ 1", DataError, "has 2 columns"),
        ("y ~ date", DataError, "'date' holds dates"),
        ("y ~ span", DataError, "'span' holds time differences"),
        ("y ~ period", DataError, "'period' has type period"),
        ("y ~ complex", DataError, "'complex' holds complex"),
        ("y ~ mixed", DataError, "'mixed' .*int, str"),
        ("y ~ lists", DataError, "'lists' .*list"),
        ("y ~ dicts", DataError, "'dicts' .*dict"),
        ("y ~ day", DataError, "'day' .*date"),
        ("y ~ infinite", DataError, "'infinite' has 1 infinite"),
        ("y ~ empty", DataError, "no rows are left"),
        ("y ~ one", DataError, "one has only the level 'a'"),
        ("y ~ X", FormulaError, "did you mean 'x'"),
        ("y ~ constnat", FormulaError, "did you mean 'constant'"),
        ("y ~ x.__class__", FormulaError, "not a column"),
        ("y ~ log(s)", DataError, "s holds text"),
        ("y ~ s > 2", DataError, "s holds text"),
        ("y ~ I(s == g)", DataError, "quote the label"),
        ("y ~ log(x)", DataError, r"log\(x\) is undefined \(NaN\) in 11 rows"),
        ("log(x) ~ 1", DataError, r"log\(x\) is undefined"),
        ("y ~ I(1/(constant - 1))", DataError, "infinite in 24 rows"),
        ("y ~ exp(I(1000 + x))", DataError, "infinite in 24 rows"),
        ("y ~ scale(constant)", DataError, "constant"),
        ("y ~ scale(s)", DataError, "s holds text"),
        ("y ~ poly(constant, 2)", DataError, "different values"),
        ("y ~ poly(x, 99)", FormulaError, "degree between"),
        ("y ~ bs(constant, df = 4)", DataError, "two different values"),
        ("y ~ bs(x, df = 2)", FormulaError, "at least 3"),
        ("y ~ ns(x, knots = c(9))", DataError, "inside its boundary"),
        ("y ~ cr(x)", FormulaError, "need df"),
        ("y ~ offset(s)", DataError, "offset s holds text"),
        ('y ~ relevel(s, "q")', DataError, "'q' is not a level of s"),
        ('y ~ C(s, Treatment("q"))', DataError, "'q' of .* does not occur"),
        ("y ~ C(s, contr.treatment, base = 9)", DataError, "number 9 of .* does not exist"),
        ("y ~ (1 | missing)", FormulaError, "'missing', which is not a column"),
        ("y ~ (missing | g)", FormulaError, "'missing', which is not a column"),
        ("y ~ (1 | complex)", DataError, "'complex' holds complex"),
        ("y ~ (1 | mixed)", DataError, "'mixed'"),
        ("y ~ (1 | lists)", DataError, "'lists'"),
        ("y ~ (1 | infinite)", DataError, "'infinite' has 1 infinite"),
        ("y ~ (1 | empty)", DataError, "no rows are left"),
        ("y ~ (date | g)", DataError, "'date' holds dates"),
        ("y ~ (infinite | g)", DataError, "'infinite' has 1 infinite"),
    ],
)
def test_column_cannot_be_used(frame: pd.DataFrame, formula: str, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        build_design(formula, frame)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "NoneType; pass a pandas"),
        (3, "int; pass a pandas"),
        ("y x", "str; pass a pandas"),
        ([{"y": 1}], "list; pass a pandas"),
        (np.ones((3, 2)), "ndarray; pass a pandas"),
        (object(), "object; pass a pandas"),
        (pd.Series([1.0], name="y"), "Series; pass a pandas"),
        ({}, "no rows"),
        (pd.DataFrame(), "no rows"),
        (pd.DataFrame({"y": [], "x": []}), "no rows"),
        ({"y": [1.0, 2.0], "x": [1.0]}, "differ in length"),
        ({"y": 3.0, "x": [1.0]}, "'y' of the data is a float"),
        ({"y": "abc", "x": [1.0]}, "'y' of the data is a str"),
        ({"y": np.ones((3, 2)), "x": np.ones(3)}, "'y' has 2 dimensions"),
        ({"y": [1.0, 2.0], "x": [3.0, [4.0]]}, "'x' mixes"),
        (pd.DataFrame([[1.0, 2.0, 3.0]] * 3, columns=["y", "x", "x"]), "2 columns named 'x'"),
        (pd.DataFrame({"y": [np.nan, 1.0], "x": [1.0, np.nan]}), "no rows are left"),
    ],
    ids=range(17),
)
def test_not_a_table(data: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        build_design("y ~ x", data)


def test_duplicated_arrow_columns() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]], names=["y", "x", "x"])
    with pytest.raises(DataError, match="several columns named 'x'"):
        build_design("y ~ x", table)


def test_duplicated_columns_that_are_not_used_do_no_harm(frame: pd.DataFrame) -> None:
    assert build_design("y ~ x", pd.concat([frame, frame[["s"]]], axis=1)).x_names == ["(Intercept)", "x"]


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"weights": "nope"}, DataError, "weights='nope' is not a column"),
        ({"weights": "s"}, DataError, "weights s holds text"),
        ({"weights": "x"}, DataError, "weights must be positive, but 11"),
        ({"weights": np.zeros(24)}, DataError, "weights must be positive"),
        ({"weights": [1, 2]}, DataError, "weights: 2 values given for 24"),
        ({"weights": ["a"] * 24}, DataError, "weights: give numbers"),
        ({"weights": np.full(24, np.inf)}, DataError, "weights: some values are infinite"),
        ({"weights": np.full(24, np.nan)}, DataError, "no rows are left"),
        ({"offset": 3.0}, DataError, "offset: 1 values given"),
        ({"offset": "nope"}, DataError, "offset='nope' is not a column"),
        ({"offset": np.full(24, -np.inf)}, DataError, "offset: some values are infinite"),
        ({"contrasts": "sum"}, FormulaError, "must be a dict"),
        ({"contrasts": {"q": "sum"}}, FormulaError, "'q', which is not a fixed factor"),
        ({"contrasts": {"x": "sum"}}, FormulaError, "'x', which is numeric"),
        ({"contrasts": {"s": "foo"}}, FormulaError, "unknown contrast 'foo'"),
        ({"contrasts": {"s": np.eye(3)}}, DataError, "3 rows for 4 levels"),
        ({"contrasts": {"s": [1, 2, 3]}}, FormulaError, "matrix with one row per level"),
        ({"require_random": True}, FormulaError, "no random term"),
    ],
)
def test_options(frame: pd.DataFrame, options: dict[str, Any], error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        build_design("y ~ x + s", frame, **options)


@pytest.mark.parametrize("formula", ["y ~ f", "y ~ f:h", "y ~ f * h"])
def test_a_factor_with_too_many_levels_is_refused_before_memory_is_taken(formula: str) -> None:
    n = 150_000
    data = {"y": np.zeros(n), "f": np.arange(n).astype(str), "h": np.arange(n).astype(str)}
    with pytest.raises(DataError, match=r"random\s+term such as \(1 \| g\)"):
        build_design(formula, data)


def test_odd_types_that_can_be_used() -> None:
    n = 12
    data = {
        "y": np.ma.masked_array(np.arange(n, dtype=float), np.arange(n) == 3),
        "dec": [decimal.Decimal(i * i) for i in range(n)],
        "half": np.arange(n, dtype=np.float16) ** 0.5,
        "big": np.arange(n, dtype=np.uint64) ** 3,
        "raw": np.array([b"a", b"b", b"b"] * 4),
        "flag": pd.array([True, False, None] * 4, dtype="boolean"),
        "sparse": pd.Series(pd.arrays.SparseArray([0.0, 0.0, 5.0, 1.0] * 3)),
    }
    design = build_design("y ~ dec + half + big + raw + sparse + flag", data)
    assert design.x_names == ["(Intercept)", "dec", "half", "big", "rawb", "sparse"]
    assert design.dropped == ("flagTRUE",)
    assert design.n_missing == 5
    assert design.index.tolist() == [0, 1, 4, 6, 7, 9, 10]
