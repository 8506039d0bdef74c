"""Bad input through the public face: an error of jmix's own, which names the cause and the remedy."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import jmix
from jmix.errors import DataError, FormulaError, JmixError, ModelError

N = 60
GROUP = np.repeat(np.arange(12), 5)
ROW = np.arange(N)
FORMULA = "y ~ x + (1 | g)"
SECONDS = 60.0
"""A case that takes longer hangs; all take less than a second each once compiled."""


@cache
def _numbers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    x, b, e = rng.standard_normal(N), rng.standard_normal(12), rng.standard_normal(N)
    return {"x": x, "b": b, "e": e, "y": 1 + 2 * x + b[GROUP] + 0.5 * e}


X, B, E, Y = (_numbers()[name] for name in ("x", "b", "e", "y"))


def frame(**columns: Any) -> pd.DataFrame:
    labels = np.array([f"g{i:02d}" for i in range(12)])[GROUP]
    data = pd.DataFrame({"y": Y, "x": X, "g": labels, "s": np.array(list("abc"))[ROW % 3]})
    return data.assign(**columns)


def where(rows: Any, value: Any, other: Any) -> np.ndarray:
    return np.where(rows, value, other)


@cache
def base(formula: str = FORMULA) -> jmix.Fit:
    return jmix.lmm(formula, frame())


@cache
def base_model() -> Any:
    return jmix.model(FORMULA, frame())


def with_missing_row(row: int = 0) -> jmix.Fit:
    return jmix.lmm(FORMULA, frame().drop(index=row))


def strict(call: Callable[[], Any]) -> Any:
    """Run with every warning an error, within the time limit."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return call()
        finally:
            assert time.perf_counter() - start < SECONDS


Case = tuple[Callable[[], Any], type[JmixError], str]


def fit(formula: str = FORMULA, **columns: Any) -> Callable[[], Any]:
    return lambda: jmix.lmm(formula, frame(**columns))


def of(data: Any, formula: str = FORMULA) -> Callable[[], Any]:
    return lambda: jmix.lmm(formula, data)


def using(formula: str = FORMULA, **options: Any) -> Callable[[], Any]:
    return lambda: jmix.lmm(formula, frame(), **options)


REFUSED: dict[str, Case] = {
    # --- the response
    "all NaN": (fit(y=np.nan), DataError, "no rows are left: all 60"),
    "all None": (fit(y=None), DataError, "no rows are left"),
    "infinite": (fit(y=where(ROW < 3, np.inf, Y)), DataError, "'y' has 3 infinite values; replace or drop"),
    "text": (fit(y="a"), DataError, "response y holds text.*to_numeric"),
    "digits as text": (fit(y=[str(v) for v in Y]), DataError, "response y holds text.*to_numeric"),
    "categorical": (fit(y=pd.Categorical(["a", "b"] * 30)), DataError, "response y holds text or categories"),
    "complex": (fit(y=Y + 1j), DataError, "'y' holds complex numbers; convert"),
    "dates": (fit(y=pd.date_range("2020", periods=N)), DataError, "'y' holds dates or times; convert"),
    "time differences": (fit(y=pd.to_timedelta(ROW, unit="D")), DataError, "'y' holds time differences; convert"),
    "mixed types": (fit(y=pd.Series([1, "a"] * 30, dtype=object)), DataError, "'y' mixes.*int, str; convert"),
    "whole numbers beyond doubles": (fit(y=[10**400] * N), DataError, "'y' holds whole numbers beyond"),
    "constant": (fit(y=3.0), DataError, r"response y is constant \(3 in every row\)"),
    "constant zero": (fit(y=0), DataError, r"response y is constant \(0"),
    "constant bool": (fit(y=True), DataError, r"response y is constant \(1"),
    "fitted exactly by X": (fit(y=1 + 2 * X), DataError, r"\(\(Intercept\) \+ x\) fit the response y exactly.*drop"),
    "fitted exactly, far origin": (fit(y=1e8 + 2 * X), DataError, "fit the response y exactly"),
    "fitted exactly, tiny": (fit(y=1e-140 * X), DataError, "fit the response y exactly"),
    "equal to the offset": (using(offset=Y), DataError, "offset fit the response y exactly"),
    "fitted exactly by the groups": (fit(y=B[GROUP]), ModelError, "levels of g fit the response y .*exactly.*Keep one"),
    "by the groups and x": (fit(y=B[GROUP] + X), ModelError, "levels of g fit the response y"),
    "by the groups, but for rounding": (fit(y=B[GROUP] + 1e-9 * E), ModelError, "levels of g fit the response y"),
    "by the groups' slopes": (fit("y ~ x + (x | g)", y=B[GROUP] * (1 + X)), ModelError, "levels of g fit the resp"),
    "by the groups' slopes, not parallel": (
        fit("y ~ x + (x | g)", y=B[GROUP] + B[::-1][GROUP] * X),
        ModelError,
        "levels of g fit the response y",
    ),
    "by nested groups": (fit("y ~ 1 + (1 | g/s)", y=B[GROUP] * (ROW % 3)), ModelError, "levels of s:g, g fit"),
    "by crossed groups": (fit("y ~ 1 + (1 | g) + (1 | s)", y=B[GROUP] + ROW % 3), ModelError, "levels of g, s fit"),
    "by the groups, ML": (using(offset=Y - B[GROUP], reml=False), ModelError, "levels of g fit the response y"),
    "by the groups, no fixed effects": (fit("y ~ 0 + (1 | g)", y=3.0), ModelError, "levels of g fit the response y"),
    "too large": (fit(y=Y * 1e300), DataError, "response y holds values of size 5.*e.300, too large.*rescale"),
    "too small": (fit(y=Y * 1e-300), DataError, "response y holds values .* too small.*rescale"),
    "subnormal": (fit(y=Y * 5e-324), DataError, "response y holds values .* too small.*rescale"),
    # --- predictors
    "x infinite": (fit(x=where(ROW == 3, -np.inf, X)), DataError, "'x' has 1 infinite values; replace or drop"),
    "x all missing": (fit(x=None), DataError, "no rows are left"),
    "x complex": (fit(x=X * 1j), DataError, "'x' holds complex"),
    "x dates": (fit(x=pd.date_range("2020", periods=N)), DataError, "'x' holds dates"),
    "x time differences": (fit(x=pd.to_timedelta(ROW, unit="s")), DataError, "'x' holds time differences"),
    "x mixed": (fit(x=pd.Series([1.5, "b"] * 30, dtype=object)), DataError, "'x' mixes.*float, str"),
    "x lists": (fit(x=[[1, 2]] * N), DataError, "'x' .*list"),
    "x one level": (fit("y ~ s + (1 | g)", s="a"), DataError, "s has only the level 'a'"),
    "x too large": (fit(x=X * 1e300), DataError, "x holds values of size .*too large.*rescale"),
    "x too small": (fit(x=X * 1e-300), DataError, "x holds values of size .*too small.*rescale"),
    "x far smaller than y": (fit(x=X * 1e-150, y=Y * 1e150), DataError, "response y is of size .* x of size.*rescale"),
    "x a factor of 60 levels": (fit("y ~ f + (1 | g)", f=ROW.astype(str)), ModelError, "60 rows are too few for 60"),
    "log of a negative": (fit("y ~ log(x) + (1 | g)"), DataError, r"log\(x\) is undefined"),
    "product overflows": (
        fit("y ~ I(x * k) + (1 | g)", x=1e200, k=1e200),
        DataError,
        r"infinite in 60 rows",
    ),
    # --- grouping factors
    "group all missing": (fit(g=np.nan), DataError, "no rows are left"),
    "group infinite": (fit(g=where(GROUP == 3, np.inf, GROUP)), DataError, "'g' has 5 infinite"),
    "group of tuples": (fit(g=pd.Series([(int(i),) for i in GROUP])), DataError, "'g' .*tuple"),
    "group mixed": (fit(g=[i if i % 2 else str(i) for i in GROUP.tolist()]), DataError, "'g' mixes.*int, str"),
    "group of one level": (fit(g="a"), ModelError, r"\(\(Intercept\) \| g\): g has only one level.*Drop the term"),
    "one row per group": (fit(g=ROW), ModelError, r"g has as many levels \(60\) as there are rows.*Drop"),
    "a continuous group": (fit("y ~ (1 | x)"), ModelError, "x has as many levels.*coarser grouping"),
    "more effects than rows": (fit("y ~ x + (s * x | g)"), ModelError, "12 levels x 6 columns = 72 .* 60 rows"),
    "slope on a constant": (fit("y ~ x + (k | g)", k=2.0), ModelError, r"\(\(Intercept\) \+ k \| g\): k is .*drop k"),
    "slope on zeros": (fit("y ~ x + (0 + k | g)", k=0.0), ModelError, r"\(k \| g\): k is zero.*drop k"),
    "collinear slopes": (fit("y ~ x + (x + k | g)", k=2 * X - 1), ModelError, "k is zero or a linear comb.*drop k"),
    "term twice": (fit("y ~ x + (1 | g) + (1 | g)"), FormulaError, r"\(1 \| g\) repeats an earlier one; leave"),
    "(x | g) + (1 | g)": (fit("y ~ x + (x | g) + (1 | g)"), ModelError, r"effect \(Intercept\) of g is in two terms"),
    "factor under two names": (fit("y ~ x + (1 | g) + (1 | h)", h=GROUP), ModelError, "g and h divide .*drop the term"),
    "nested one to one": (fit("y ~ x + (1 | g/h)", h=GROUP % 3), ModelError, "same 12 levels.*drop the term"),
    "group also fixed": (fit("y ~ g + (1 | g)"), ModelError, "already tell the levels of g apart.*drop"),
    "group also fixed, crossed": (fit("y ~ s + (1 | g) + (1 | s)"), ModelError, "levels of s apart.*drop"),
    "group by a number": (fit("y ~ x + (1 | 3)"), FormulaError, r"\(1 \| 3\) needs a column to group by"),
    # --- size and shape
    "no rows": (of(frame().iloc[:0]), DataError, "no rows"),
    "one row": (of(frame().iloc[:1]), ModelError, "1 rows are too few for 1 fixed"),
    "two rows": (of(frame().iloc[:2]), ModelError, "2 rows are too few for 2 fixed effects; drop"),
    "more columns than rows": (
        lambda: jmix.lmm("y ~ " + " + ".join(f"v{i}" for i in range(70)) + " + (1 | g)", _wide(70)),
        ModelError,
        "60 rows are too few for 60 fixed effects; drop predictors",
    ),
    "one degree of freedom": (
        lambda: jmix.lmm("y ~ " + " + ".join(f"v{i}" for i in range(58)) + " + (1 | g)", _wide(58)),
        ModelError,
        "leave one degree of freedom for the variance of g.*drop predictors",
    ),
    # --- what is not a table
    "None": (of(None), DataError, "the data are a NoneType; pass a pandas"),
    "a list": (of([1, 2]), DataError, "the data are a list; pass a pandas"),
    "a number": (of(3), DataError, "the data are a int; pass a pandas"),
    "a generator": (lambda: jmix.lmm(FORMULA, (v for v in Y)), DataError, "the data are a generator; pass a pandas"),
    "a file name": (of("data.csv"), DataError, "the data are a str; pass a pandas"),
    "a class": (of(pd.DataFrame), DataError, "the data are a type; pass a pandas"),
    "groupby": (lambda: jmix.lmm(FORMULA, frame().groupby("g")), DataError, "DataFrameGroupBy; pass a pandas"),
    "an array": (of(np.ones((3, 3))), DataError, "the data are a ndarray; pass a pandas"),
    "dict of scalars": (of({"y": 3, "x": 1, "g": 2}), DataError, "'y' of the data is a int, not a column"),
    "dict of unequal lengths": (of({"y": Y, "x": X[:3], "g": GROUP}), DataError, "differ in length.*'x': 3"),
    "dict with a matrix": (of({"y": Y[:, None], "x": X, "g": GROUP}), DataError, "'y' has 2 dimensions"),
    # --- column names
    "unknown column": (fit("y ~ X + (1 | g)"), FormulaError, "'X', which is not a column; did you mean 'x'"),
    "unknown group": (fit("y ~ x + (1 | missing)"), FormulaError, "'missing', which is not a column; the columns are"),
    "unknown nested group": (fit("y ~ x + (1 | g/missing)"), FormulaError, "'missing', which is not a column"),
    "duplicated columns": (
        lambda: jmix.lmm(FORMULA, pd.concat([frame(), frame()[["x"]]], axis=1)),
        DataError,
        "2 columns named 'x'; rename",
    ),
    "columns on two levels": (
        lambda: jmix.lmm(FORMULA, pd.concat({"a": frame()}, axis=1)),
        FormulaError,
        "names of the columns are of type tuple, not text; rename",
    ),
    "columns named by numbers": (
        lambda: jmix.lmm("`0` ~ `1` + (1 | `2`)", frame().set_axis(range(4), axis=1)),
        FormulaError,
        "names of the columns are of type int, not text; rename",
    ),
    # --- weights and offset
    "weight zero": (
        using(weights=where(ROW == 0, 0.0, 1.0)),
        DataError,
        "weights must be positive, but 1 are not; drop",
    ),
    "weights negative": (using(weights=-np.ones(N)), DataError, "weights must be positive, but 60"),
    "weight infinite": (using(weights=where(ROW == 0, np.inf, 1.0)), DataError, "weights: some values are infinite"),
    "weights all NaN": (using(weights=np.full(N, np.nan)), DataError, "no rows are left"),
    "weights too few": (using(weights=np.ones(3)), DataError, "weights: 3 values given for 60 rows"),
    "weights text": (using(weights=["a"] * N), DataError, "weights: give numbers"),
    "weights complex": (using(weights=np.ones(N) + 0j), DataError, "weights: give numbers.*not complex"),
    "weights dates": (
        using(weights=pd.date_range("2020", periods=N)),
        DataError,
        "weights: give numbers.*not datetime",
    ),
    "weights unknown": (using(weights="w"), DataError, "weights='w' is not a column of the data; the columns are"),
    "weights too large": (using(weights=np.full(N, 1e306)), DataError, "weighted, .*too large.*rescale"),
    "offset too long": (using(offset=np.ones(N + 1)), DataError, "offset: 61 values given for 60 rows"),
    "offset text": (using(offset="s"), DataError, "offset s holds text or categories; it must be numbers"),
    "offset too large": (using(offset=np.full(N, 1e200)), DataError, "offset holds values .*too large"),
    # --- contrasts, control, method
    "contrasts unknown column": (using(contrasts={"q": "sum"}), FormulaError, "'q', which is not a fixed factor"),
    "contrasts of numbers": (using(contrasts={"x": "sum"}), FormulaError, r"'x', which is numeric; wrap it in factor"),
    "contrasts unknown kind": (
        using("y ~ s + (1 | g)", contrasts={"s": "foo"}),
        FormulaError,
        "unknown contrast 'foo'",
    ),
    "contrasts a list": (using(contrasts=["sum"]), FormulaError, "contrasts must be a dict"),
    "control unknown key": (using(control={"foo": 1}), ModelError, "unknown option 'foo'; allowed are optimizer"),
    "control unknown optimizer": (using(control={"optimizer": "bobyqa"}), ModelError, "'bobyqa' is unknown; choose"),
    "control zero iterations": (
        using(control={"max_iterations": 0}),
        ModelError,
        "max_iterations=0 must be a positive",
    ),
    "control true": (using(control={"max_iterations": True}), ModelError, "max_iterations=True must be"),
    "control a number": (using(control=3), ModelError, "control=3: give a dict"),
    "control a text": (using(control="lbfgs"), ModelError, "control='lbfgs': give a dict"),
    "reml a text": (using(reml="yes"), ModelError, "reml='yes': choose True"),
    "method capital": (lambda: base_model().fit("REML"), ModelError, "method='REML': choose 'reml', 'ml' or 'map'"),
    "method None": (lambda: base_model().fit(None), ModelError, "method=None: choose"),
    "method a list": (lambda: base_model().fit(["ml"]), ModelError, r"method=\['ml'\]: choose"),
    # --- start and parameters
    "start too long": (
        lambda: base_model().fit(start=[1, 2]),
        ModelError,
        r"theta must hold 1 finite.*g\.\(Intercept\)",
    ),
    "start NaN": (lambda: base_model().fit(start=[np.nan]), ModelError, "theta must hold 1 finite number"),
    "start text": (lambda: base_model().fit(start="a"), ModelError, "theta must hold 1 finite number"),
    "start digits": (lambda: base_model().fit(start=["1"]), ModelError, "theta must hold 1 finite number"),
    "start complex": (lambda: base_model().fit(start=[1j]), ModelError, "theta must hold 1 finite number"),
    "start dict": (lambda: base_model().fit(start={"a": 1}), ModelError, "theta must hold 1 finite number"),
    "start huge": (lambda: base_model().fit(start=[1e300]), ModelError, "theta holds numbers beyond"),
    "parameters None": (lambda: base_model().log_marginal(None), ModelError, "params must be a dict"),
    "parameters without theta": (lambda: base_model().log_marginal({}), ModelError, "theta must hold 1 finite"),
    "parameters unknown": (lambda: at(foo=1), ModelError, r"unknown parameters \['foo'\]; log_marginal takes theta"),
    "beta too short": (lambda: at(beta=[1]), ModelError, "beta must hold 2 finite numbers"),
    "beta NaN": (lambda: at(beta=[1, np.nan]), ModelError, "beta must hold 2 finite numbers"),
    "beta text": (lambda: at(beta=["a", "b"]), ModelError, "beta must hold 2 finite numbers"),
    "beta huge": (lambda: at(beta=[1e200, 0]), ModelError, "likelihood overflows"),
    "sigma zero": (lambda: at(sigma=0), ModelError, "sigma=0: give one positive number"),
    "sigma negative": (lambda: at(sigma=-1.0), ModelError, "sigma=-1.0: give one positive number"),
    "sigma tiny": (lambda: at(sigma=1e-200), ModelError, "sigma=1e-200: give one positive number"),
    "sigma a list": (lambda: at(sigma=[1, 2]), ModelError, r"sigma=\[1, 2\]: give one positive number"),
    "beta under REML": (
        lambda: base_model().log_marginal({"theta": [1.0], "beta": [1, 2]}, reml=True),
        ModelError,
        "integrates beta out",
    ),
    # --- formulas
    "not closed": (fit("y ~ x + (1 | g"), FormulaError, "a parenthesis is not closed"),
    "closed twice": (fit("y ~ x) + (1 | g)"), FormulaError, r"there is a '\)' too many"),
    "no response": (fit("~ x + (1 | g)"), FormulaError, "has no response: write it before the ~"),
    "nothing at all": (fit(""), FormulaError, "the formula is empty; write"),
    "no formula": (lambda: jmix.lmm(None, frame()), FormulaError, "a formula is a text such as"),  # type: ignore[arg-type]
    "no group": (fit("y ~ (1 | )"), FormulaError, r"no grouping factor after its '\|'.*write \(1 \| g\)"),
    "code": (fit('y ~ __import__("os").system("id") + (1 | g)'), FormulaError, "unexpected '.system'"),
    "unknown function": (fit("y ~ eval(x) + (1 | g)"), FormulaError, r"eval\(\) is not a function that a formula may"),
    "NUL": (fit("y ~ \x00x"), FormulaError, "character '.x00'"),
    "100,000 parentheses": (fit("y ~ " + "(" * 50_000 + "x" + ")" * 50_000), FormulaError, "nested more than"),
    "100,000 signs": (fit("y ~ " + "-" * 100_000 + "x"), FormulaError, "nested more than"),
    "100,000 letters": (fit("y ~ " + "z" * 100_000), FormulaError, "^.{0,500}which is not a column; the columns are"),
    "1,000,000 letters": (fit("y ~ " + "z" * 1_000_000), FormulaError, "has 1,000,004 characters; the limit is"),
    "2^40 interactions": (fit("y ~ " + "*".join(f"x{i}" for i in range(40))), FormulaError, "more than 20,000 terms"),
    "5,000 nested factors": (fit("y ~ (1 | " + "/".join(["g"] * 5000) + ")"), FormulaError, "nests 5,000 factors"),
    # --- results
    "refit too short": (lambda: base().refit(Y[:3]), DataError, r"refit needs 60 rows.*shape \(3,\)"),
    "refit no columns": (lambda: base().refit(np.ones((N, 0))), DataError, r"shape \(60, 0\)"),
    "refit NaN": (lambda: base().refit(where(ROW == 1, np.nan, Y)), DataError, "missing or infinite values"),
    "refit text": (lambda: base().refit(["a"] * N), DataError, "new response must be numeric"),
    "refit dates": (lambda: base().refit(pd.date_range("2020", periods=N)), DataError, "numeric.*holds datetime64"),
    "refit complex": (lambda: base().refit(Y + 0j), DataError, "numeric.*holds complex"),
    "refit None": (lambda: base().refit(None), DataError, "new response must be numeric"),
    "refit constant": (lambda: base().refit(np.ones(N)), DataError, r"response y is constant \(1"),
    "refit groups": (lambda: base().refit(B[GROUP]), ModelError, "levels of g fit the response y"),
    "refit huge": (lambda: base().refit(Y * 1e200), DataError, "response y holds .*too large"),
    "refit many, one constant": (lambda: base().refit(np.column_stack([Y, Y * 0])), DataError, "in column 1 .*drop"),
    "refit many, one by groups": (
        lambda: base().refit(np.column_stack([B[GROUP], Y])),
        DataError,
        "in column 0 .*drop",
    ),
    "predict a list": (lambda: base().predict([1]), DataError, "the data are a list; pass"),
    "predict without the group": (lambda: base().predict(frame()[["x"]]), DataError, "new data lack the column 'g'"),
    "predict a new group": (
        lambda: base().predict(frame(g="q")),
        DataError,
        "g has levels.*'q'; new_levels='population'",
    ),
    "predict text": (lambda: base().predict(frame(x="a")), DataError, "x holds text.*was numeric"),
    "predict infinite": (lambda: base().predict(frame(x=np.inf)), DataError, "'x' has 60 infinite"),
    "predict a new level": (lambda: base("y ~ s + (1 | g)").predict(frame(s="q")), DataError, "s has levels.*'q'"),
    "predict new_levels": (lambda: base().predict(frame(), new_levels="zero"), ModelError, "'zero': choose 'error'"),
    "residuals": (lambda: base().residuals("deviance"), ModelError, "'deviance'.: choose 'raw', 'pearson'"),
    "confint per cent": (lambda: base().confint(95), ModelError, "level=95: choose a number between 0 and 1"),
    "confint NaN": (lambda: base().confint(float("nan")), ModelError, "level=nan: choose a number"),
    "confint text": (lambda: base().confint("a"), ModelError, "level='a': choose a number"),
    "simulate none": (lambda: base().simulate(0), ModelError, r"simulate\(n=0\): n must be a whole number"),
    "simulate seed": (lambda: base().simulate(seed=-1), ModelError, r"simulate\(seed=-1\): seed must be a whole"),
}


def at(**params: Any) -> Any:
    return base_model().log_marginal({"theta": [1.0], **params})


def _wide(p: int) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return frame(**{f"v{i}": rng.standard_normal(N) for i in range(p)})


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, error, reason = REFUSED[name]
    with pytest.raises(JmixError) as caught:
        strict(call)
    assert type(caught.value) is error
    assert re.search(reason, str(caught.value), re.DOTALL), str(caught.value)
    assert len(str(caught.value)) < 600


def numbers(result: jmix.Fit) -> np.ndarray:
    return np.concatenate([result.beta, result.theta, [result.sigma, result.loglik]])


HOLES = frame(x=where(ROW == 0, np.nan, X))
MISSING = [None, *X[1:].tolist()]
INTEGERS = np.round(10 * X).astype(int)
COUNTS = [None, *INTEGERS[1:].tolist()]
CLEAN_COUNTS = frame(x=10 * X).assign(x=lambda d: np.round(d["x"])).drop(index=0)

ANSWERED: dict[str, tuple[Callable[[], jmix.Fit], Callable[[], jmix.Fit]]] = {
    "NaN in x": (of(HOLES), with_missing_row),
    "NaN in y": (fit(y=where(ROW == 0, np.nan, Y)), with_missing_row),
    "NaN in weights": (using(weights=where(ROW == 0, np.nan, 1.0)), with_missing_row),
    "NaN in a numeric group": (fit(g=where(ROW == 0, np.nan, GROUP)), with_missing_row),
    "nullable dtypes": (lambda: jmix.lmm(FORMULA, HOLES.convert_dtypes()), with_missing_row),
    "pyarrow dtypes": (lambda: jmix.lmm(FORMULA, HOLES.convert_dtypes(dtype_backend="pyarrow")), with_missing_row),
    "pyarrow table": (
        lambda: jmix.lmm(FORMULA, pa.table({**HOLES.drop(columns="x").to_dict("list"), "x": MISSING})),
        with_missing_row,
    ),
    "polars": (lambda: jmix.lmm(FORMULA, pl.DataFrame({**HOLES.to_dict("list"), "x": MISSING})), with_missing_row),
    "polars lazy": (lambda: jmix.lmm(FORMULA, pl.LazyFrame({**HOLES.to_dict("list"), "x": MISSING})), with_missing_row),
    "dict of lists": (lambda: jmix.lmm(FORMULA, {**HOLES.to_dict("list"), "x": MISSING}), with_missing_row),
    "Int64 with NA": (fit(x=pd.array(COUNTS, dtype="Int64")), lambda: jmix.lmm(FORMULA, CLEAN_COUNTS)),
    "Float64 with NA": (fit(x=pd.array(MISSING, dtype="Float64")), with_missing_row),
    "string group with NA": (fit(g=pd.array([None, *map(str, GROUP[1:])], dtype="string")), with_missing_row),
    "Int64 group with NA": (fit(g=pd.array([None, *GROUP[1:].tolist()], dtype="Int64")), with_missing_row),
    "large Int64 group with NA": (
        fit(g=pd.array([None, *(GROUP[1:] + 2**60).tolist()], dtype="Int64")),
        with_missing_row,
    ),
    "large polars group with null": (
        lambda: jmix.lmm(FORMULA, pl.DataFrame({"y": Y, "x": X, "g": [None, *(GROUP[1:] + 2**60).tolist()]})),
        with_missing_row,
    ),
    "group beyond int64": (fit(g=[2**80 + i for i in GROUP.tolist()]), base),
    "group of dates": (fit(g=pd.Timestamp("2020") + pd.to_timedelta(GROUP, unit="D")), base),
    "group of time differences": (fit(g=pd.to_timedelta(GROUP, unit="D")), base),
    "group of fractions": (fit(g=GROUP + 0.5), base),
    "unused levels of the group": (
        lambda: jmix.lmm(FORMULA, frame(g=pd.Categorical(frame().g, categories=[*frame().g.unique(), "zz", "yy"]))),
        base,
    ),
    "unused levels of a factor": (
        lambda: jmix.lmm("y ~ s + (1 | g)", frame(s=pd.Categorical(frame().s, categories=["a", "q", "b", "c"]))),
        lambda: base("y ~ s + (1 | g)"),
    ),
    "sparse": (fit(x=pd.arrays.SparseArray(where(ROW % 2, 0.0, X))), fit(x=where(ROW % 2, 0.0, X))),
    "boolean response": (fit(y=Y > 1), fit(y=(Y > 1).astype(float))),
    "nullable boolean response": (
        fit(y=pd.array([None, *(Y[1:] > 1).tolist()], dtype="boolean")),
        lambda: jmix.lmm(FORMULA, frame(y=(Y > 1).astype(float)).drop(index=0)),
    ),
    "int8 squares do not overflow": (
        fit("y ~ I(k^2) + (1 | g)", k=ROW.astype(np.int8)),
        fit("y ~ q + (1 | g)", q=ROW**2.0),
    ),
    "int64 squares do not overflow": (
        fit("y ~ I(k^2) + (1 | g)", k=ROW * 2**40),
        fit("y ~ q + (1 | g)", q=(ROW * 2.0**40) ** 2),
    ),
    "duplicate index": (lambda: jmix.lmm(FORMULA, frame().set_axis([0] * N)), base),
    "duplicate columns not used": (lambda: jmix.lmm(FORMULA, pd.concat([frame(), frame()[["s"]]], axis=1)), base),
    "column named log": (lambda: jmix.lmm("y ~ log + (1 | g)", frame().rename(columns={"x": "log"})), base),
    "column named I": (
        lambda: jmix.lmm("y ~ I + I(I^2) + (1 | g)", frame().rename(columns={"x": "I"})),
        lambda: base("y ~ x + I(x^2) + (1 | g)"),
    ),
    "names with blanks": (
        lambda: jmix.lmm(
            "`the y` ~ `x 1` + (1 | `g g`)", frame().rename(columns={"y": "the y", "x": "x 1", "g": "g g"})
        ),
        base,
    ),
    "unicode names": (
        lambda: jmix.lmm(
            "größe ~ 温度 + (1 | группа)", frame().rename(columns={"y": "größe", "x": "温度", "g": "группа"})
        ),
        base,
    ),
    "constant predictor": (fit("y ~ x + k + (1 | g)", k=2.0), base),
    "collinear predictors": (fit("y ~ x + k + (1 | g)", k=2 * X - 3), base),
    "zero predictor": (fit("y ~ x + k + (1 | g)", k=0.0), base),
    "response among the predictors": (fit("y ~ x + y:k + (1 | g)", k=0.0), base),
    "implicitly nested": (
        fit("y ~ x + (1 | g/h)", h=ROW % 2),
        fit("y ~ x + (1 | k) + (1 | g)", k=2 * GROUP + ROW % 2),
    ),
    "100,000 characters": (fit("y ~ " + " + ".join(["x"] * 25_000) + " + (1 | g)"), base),
    "start at zero": (lambda: base_model().fit(start=[0.0]), base),
    "start below zero": (lambda: base_model().fit(start=[-1.0]), base),
    "start far off": (lambda: base_model().fit(start=[1e6]), base),
    "weights of one": (using(weights=np.ones(N, dtype=bool)), base),
    "offset zero": (using(offset=np.zeros(N)), base),
    "reml as a NumPy bool": (using(reml=np.bool_(True)), base),
    "refit of the same": (lambda: base().refit(pd.Series(Y).tolist()), base),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_answered(name: str) -> None:
    call, clean = ANSWERED[name]
    np.testing.assert_allclose(numbers(strict(call)), numbers(strict(clean)), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [1e150, 1e-150, 1e12, 1e-12])
@pytest.mark.parametrize("formula", [FORMULA, "y ~ x + (x | g)"])
def test_scales(formula: str, scale: float) -> None:
    """Estimates in other units are the estimates times the factor, up to 1e150 and down to 1e-150."""
    clean, large, wide = base(formula), strict(fit(formula, y=Y * scale)), strict(fit(formula, x=X * scale))
    np.testing.assert_allclose(large.beta / scale, clean.beta, rtol=1e-6)
    np.testing.assert_allclose(large.sigma / scale, clean.sigma, rtol=1e-6)
    np.testing.assert_allclose(wide.beta * [1, scale], clean.beta, rtol=1e-5)
    np.testing.assert_allclose(wide.sigma, clean.sigma, rtol=1e-6)
    for result in (large, wide):
        assert np.isfinite(result.varcorr()["vcov"]).all()
        assert np.isfinite(strict(result.se)).all()
        assert "Random effects" in strict(result.__repr__)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
def test_a_small_signal_on_a_large_origin(scale: float) -> None:
    result = strict(fit(y=1e8 + scale * Y))
    np.testing.assert_allclose(result.sigma / scale, base().sigma, rtol={1.0: 1e-7, 1e-3: 1e-5, 1e-6: 1e-3}[scale])


@pytest.mark.parametrize("noise", [1e-1, 1e-3, 1e-5])
def test_groups_that_explain_nearly_everything(noise: float) -> None:
    """In a balanced one-way layout the REML estimate of sigma is the pooled standard deviation."""
    y = B[GROUP] + noise * E
    within = y - (y.reshape(12, 5).mean(axis=1))[GROUP]
    result = strict(fit("y ~ 1 + (1 | g)", y=y))
    assert result.converged
    np.testing.assert_allclose(result.sigma, np.sqrt(np.sum(within**2) / 48), rtol=1e-4)


def test_integer_groups_beyond_2_to_53_stay_apart() -> None:
    assert jmix.lmm(FORMULA, frame(g=pd.array((GROUP + 2**60).tolist(), dtype="Int64"))).ngrps() == {"g": 12}


def test_least_squares_of_a_constant_response_is_exact() -> None:
    result = strict(lambda: jmix.lm("y ~ x", frame(y=3.0)))
    np.testing.assert_allclose(result.beta, [3.0, 0.0], atol=1e-14)
    assert result.sigma <= 1e-14


def test_predictions_of_rows_that_cannot_be_predicted_are_marked_missing() -> None:
    rows = frame(x=where(ROW == 0, np.nan, X)).iloc[:2]
    predicted = strict(lambda: base().predict(rows))
    assert np.isnan(predicted.iloc[0])
    np.testing.assert_allclose(predicted.iloc[1], base().fitted().iloc[1])


def test_duplicate_index_stays_aligned() -> None:
    data = frame().set_axis([7] * N)
    result = strict(lambda: jmix.lmm(FORMULA, data))
    np.testing.assert_allclose(strict(lambda: result.predict(data)), base().fitted())
    np.testing.assert_allclose(strict(lambda: result.augment()["resid"]), base().residuals())


def test_few_iterations_are_reported() -> None:
    with pytest.warns(jmix.errors.ConvergenceWarning, match="not converged.*max_iterations"):
        result = jmix.lmm(FORMULA, frame(), control={"max_iterations": 1})
    assert not result.converged
