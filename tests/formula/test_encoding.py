"""The encoding travels: new data, JSON, states of transforms."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.design import Design, build_design
from jmix.errors import DataError
from jmix.formula import Encoding, NewDesign

FORMULA = (
    "log(y) ~ poly(x, 2) + bs(x, df = 5) + ns(x, df = 3) + cr(x, df = 4) + cc(z, df = 4) + scale(z) + center(z)"
    " + s * t + b + o + C(s, Sum):x + relevel(t, ref = 'v') + factor(g):z + offset(x)"
    " + (poly(x, 3) + t | g) + (o || g) + (1 | s:t) + (1 | t/b)"
)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    i = np.arange(60)
    data = pd.DataFrame({"y": 3 + np.sin(i), "x": np.cos(i * 1.1), "z": np.sin(i * 2.3), "g": i % 4})
    data["s"] = np.array(list("abcd"))[i % 4]
    data["t"] = np.array(list("uvw"))[i * i % 7 % 3]
    data["b"] = i % 5 > 2
    data["o"] = pd.Categorical(np.array(["lo", "hi", "mid"])[i % 3], ["lo", "mid", "hi"], ordered=True)
    return data


@pytest.fixture(scope="module")
def design(frame: pd.DataFrame) -> Design:
    return build_design(FORMULA, frame, contrasts={"t": "helmert"}, offset="z")


def travelled(encoding: Encoding) -> Encoding:
    return Encoding.from_dict(json.loads(json.dumps(encoding.to_dict(), allow_nan=False)))


def assert_same(one: Design | NewDesign, two: Design | NewDesign) -> None:
    np.testing.assert_array_equal(one.X, two.X)
    np.testing.assert_array_equal(one.y, two.y)
    np.testing.assert_array_equal(one.offset, two.offset)
    assert len(one.random) == len(two.random)
    for a, b in zip(one.random, two.random, strict=True):
        assert (a.group, a.names) == (b.group, b.names)
        np.testing.assert_array_equal(a.codes, b.codes)
        np.testing.assert_array_equal(np.stack(a.columns), np.stack(b.columns))


def test_training_data_give_the_training_matrices(frame: pd.DataFrame, design: Design) -> None:
    again = design.encoding.encode(frame, response=True)
    assert again.complete.all()
    assert_same(design, again)


def test_json_changes_nothing(frame: pd.DataFrame, design: Design) -> None:
    encoding = travelled(design.encoding)
    assert encoding.to_dict() == design.encoding.to_dict()
    assert encoding.factors == design.encoding.factors
    assert_same(design, encoding.encode(frame, response=True))
    part = frame.iloc[[7, 3, 3]]
    assert_same(design.encoding.encode(part, response=True), encoding.encode(part, response=True))


def test_transforms_keep_the_training_state(frame: pd.DataFrame, design: Design) -> None:
    rows = [5, 50, 17]
    part = design.encoding.encode(frame.iloc[rows], response=True)
    np.testing.assert_allclose(part.X, design.X[rows], atol=1e-12)
    for new, old in zip(part.random, design.random, strict=True):
        np.testing.assert_array_equal(new.codes, old.codes[rows])


def test_what_the_encoding_knows(design: Design) -> None:
    encoding = design.encoding
    assert encoding.columns == ["y", "x", "z", "s", "t", "b", "o", "g"]
    assert encoding.factors["t"] == ["u", "v", "w"]
    assert encoding.factors['relevel(t, ref = "v")'] == ["v", "u", "w"]
    assert encoding.contrasts["t"].kind == "helmert"
    assert encoding.x_names == design.x_names
    assert encoding.offset_column == "z"


def test_splines_go_on_beyond_the_training_range(frame: pd.DataFrame) -> None:
    encoding = build_design("y ~ ns(x, df = 3)", frame).encoding
    points = np.array([2.0, 3.0, 4.0, -3.0, -4.0, -5.0])
    X = encoding.encode({"x": points}).X
    assert np.isfinite(X).all()
    np.testing.assert_allclose(X[0] - 2 * X[1] + X[2], 0, atol=1e-9)
    np.testing.assert_allclose(X[3] - 2 * X[4] + X[5], 0, atol=1e-9)


def test_missing_columns_are_named(frame: pd.DataFrame, design: Design) -> None:
    with pytest.raises(DataError, match=r"lack the columns 'x', 'g'"):
        design.encoding.encode(frame.drop(columns=["x", "g", "y"]))
    with pytest.raises(DataError, match="lack the column 'y'"):
        design.encoding.encode(frame.drop(columns="y"), response=True)


def test_population_needs_no_groups(frame: pd.DataFrame) -> None:
    encoding = build_design("y ~ x + (z | g)", frame).encoding
    new = encoding.encode({"x": [0.5]}, random=False)
    assert new.random == ()
    assert new.X.tolist() == [[1.0, 0.5]]


@pytest.mark.parametrize("formula", ["y ~ s", "y ~ 0 + s", "y ~ x + (0 + s | g)", "y ~ C(s, Sum)", "y ~ factor(s)"])
def test_new_level_of_a_factor_is_named(frame: pd.DataFrame, formula: str) -> None:
    encoding = build_design(formula, frame).encoding
    with pytest.raises(DataError, match="not seen: 'new'"):
        encoding.encode({"s": ["a", "new"], "x": [1.0, 2.0], "g": [1, 2]})


def test_new_and_missing_groups_are_coded_as_unknown(frame: pd.DataFrame) -> None:
    encoding = build_design("y ~ x + (1 | g) + (1 | s:t)", frame).encoding
    new = encoding.encode({"x": [1.0, np.nan, 3.0], "g": [2.0, 9.0, np.nan], "s": ["a", "q", None], "t": ["u"] * 3})
    assert new.random[0].codes.tolist() == [2, -1, -1]
    assert new.random[0].unseen == ("9",)
    assert new.random[1].unseen == ("q:u",)
    assert new.random[1].codes[1:].tolist() == [-1, -1]
    assert new.complete.tolist() == [True, False, True]
    assert new.random[0].codes.dtype == np.int32


@pytest.mark.parametrize("g", [[0, 3, 1], [0.0, 3.0, 1.0], ["0", "3", "1"], pd.Categorical([0, 3, 1])])
def test_group_labels_match_across_types(frame: pd.DataFrame, g: Any) -> None:
    encoding = build_design("y ~ x + (1 | g)", frame).encoding
    assert encoding.encode({"x": [1.0] * 3, "g": g}).random[0].codes.tolist() == [0, 3, 1]


def test_type_changes_between_training_and_new_data(frame: pd.DataFrame) -> None:
    encoding = build_design("y ~ x + b + factor(g)", frame).encoding
    X = encoding.encode({"x": [1, 2], "b": [1, 0], "g": ["3", "0"]}).X
    assert X.tolist() == [[1, 1, 1, 0, 0, 1], [1, 2, 0, 0, 0, 0]]
    with pytest.raises(DataError, match="x holds text or categories in the new data"):
        encoding.encode({"x": ["1", "2"], "b": [1, 0], "g": ["3", "0"]})


def test_dropped_columns_stay_dropped(frame: pd.DataFrame) -> None:
    design = build_design("y ~ x + I(2 * x) + z", frame)
    assert design.dropped == ("I(2 * x)",)
    assert travelled(design.encoding).encode({"x": [1.0], "z": [2.0]}).X.tolist() == [[1.0, 1.0, 2.0]]


def test_encoding_of_no_rows(frame: pd.DataFrame, design: Design) -> None:
    assert build_design("y ~ x + s + (x | g)", frame).encoding.encode(frame.iloc[:0]).X.shape == (0, 5)


@pytest.mark.parametrize("state", [{}, {"version": 99}, None])
def test_foreign_dicts_are_refused(state: Any) -> None:
    with pytest.raises(DataError, match="not a saved encoding"):
        Encoding.from_dict(state)
