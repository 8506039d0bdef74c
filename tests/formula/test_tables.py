"""pandas, polars, pyarrow and dicts give the same design."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.design import build_design

FORMULA = "y ~ c + s * b + i + o + (1 | g) + (x | t)"


def columns(missing: bool) -> dict[str, Any]:
    """Plain lists, with None where missing."""
    i = range(60)
    hide = (lambda k, value: None if k % 10 == value else k) if missing else (lambda k, value: k)
    return {
        "y": [None if hide(k, 1) is None else (k * 7 % 11) / 3 for k in i],
        "x": [None if hide(k, 2) is None else (k * 5 % 13) / 7 for k in i],
        "i": [None if hide(k, 3) is None else k % 6 for k in i],
        "g": [None if hide(k, 4) is None else k * 3 % 8 for k in i],
        "s": [None if hide(k, 5) is None else "zab"[k % 3] for k in i],
        "b": [None if hide(k, 6) is None else k * k % 7 > 2 for k in i],
        "t": ["uvw"[k % 3] for k in i],
        "c": [None if hide(k, 7) is None else ["lo", "mid", "hi"][k // 3 % 3] for k in i],
        "o": [["B", "A"][k // 2 % 2] for k in i],
    }


def as_pandas(data: dict[str, Any]) -> Any:
    frame = pd.DataFrame(data)
    frame["c"] = pd.Categorical(frame["c"], ["lo", "mid", "hi"])
    frame["o"] = pd.Categorical(frame["o"], ["B", "A"], ordered=True)
    return frame


def as_pandas_nullable(data: dict[str, Any]) -> Any:
    return as_pandas(data).convert_dtypes()


def as_pandas_arrow(data: dict[str, Any]) -> Any:
    pytest.importorskip("pyarrow")
    frame = as_pandas(data)
    plain = frame.drop(columns=["c", "o"]).convert_dtypes(dtype_backend="pyarrow")
    return plain.assign(c=frame["c"], o=frame["o"])


def as_dict(data: dict[str, Any]) -> Any:
    frame = as_pandas(data)
    return {**data, "c": frame["c"].array, "o": frame["o"], "t": np.array(data["t"]), "y": tuple(data["y"])}


def as_arrow(data: dict[str, Any]) -> Any:
    pa = pytest.importorskip("pyarrow")
    return pa.Table.from_pandas(as_pandas(data), preserve_index=False)


def as_polars(data: dict[str, Any]) -> Any:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(data)
    return frame.with_columns(pl.col("c").cast(pl.Enum(["lo", "mid", "hi"])), pl.col("o").cast(pl.Enum(["B", "A"])))


def as_polars_lazy(data: dict[str, Any]) -> Any:
    return as_polars(data).lazy()


MAKERS = [as_pandas_nullable, as_pandas_arrow, as_dict, as_arrow, as_polars, as_polars_lazy]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("make", MAKERS)
def test_every_table_gives_the_design_of_pandas(make: Callable[[dict[str, Any]], Any], missing: bool) -> None:
    data = columns(missing)
    expected = build_design(FORMULA, as_pandas(data), contrasts={"o": "treatment"})
    found = build_design(FORMULA, make(data), contrasts={"o": "treatment"})
    assert found.x_names == expected.x_names
    np.testing.assert_array_equal(found.X, expected.X)
    np.testing.assert_array_equal(found.y, expected.y)
    assert found.n_missing == expected.n_missing == (42 if missing else 0)
    assert found.index.tolist() == expected.index.tolist()
    for one, two in zip(found.random, expected.random, strict=True):
        assert (one.levels, one.names) == (two.levels, two.names)
        np.testing.assert_array_equal(one.codes, two.codes)


@pytest.mark.parametrize("make", [as_pandas, as_arrow, as_dict])
def test_ordered_categories_get_polynomial_contrasts_as_in_r(make: Callable[[dict[str, Any]], Any]) -> None:
    assert build_design("y ~ o", make(columns(False))).x_names == ["(Intercept)", "o.L"]


def test_pandas_index_is_kept() -> None:
    frame = as_pandas(columns(True)).set_index(pd.Index([f"row{k}" for k in range(60)]))
    assert build_design("y ~ x", frame).index[:3].tolist() == ["row0", "row3", "row4"]
