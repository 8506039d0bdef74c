"""Design: missing rows, shared memory, levels, properties, twin by formulaic, speed."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmix.design import build_design


def make_frame(seed: int, n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), "z": rng.normal(size=n)})
    frame["f"] = rng.choice(list("abc"), n)
    frame["g"] = rng.integers(0, 5, n)
    frame["h"] = rng.choice(["k1", "k2", "k3"], n)
    frame["w"] = rng.uniform(0.5, 2, n)
    return frame


FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ f * x + (1 | g/h)",
    "y ~ 0 + f:x + poly(z, 2) + (f || h)",
    "log(w) ~ ns(x, df = 3) + I(z > 0) + (0 + f | g) + (1 | h:f)",
]
seeds = st.integers(0, 10_000)


@given(seeds, st.sampled_from(FORMULAS))
@settings(max_examples=25, deadline=None)
def test_row_order_does_not_matter(seed: int, formula: str) -> None:
    frame = make_frame(seed)
    order = np.random.default_rng(seed + 1).permutation(len(frame))
    one, two = build_design(formula, frame), build_design(formula, frame.iloc[order])
    assert one.x_names == two.x_names
    np.testing.assert_allclose(two.X, one.X[order], atol=1e-8)
    for a, b in zip(one.random, two.random, strict=True):
        assert (a.levels, a.names) == (b.levels, b.names)
        np.testing.assert_array_equal(b.codes, a.codes[order])


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_level_names_do_not_matter(seed: int) -> None:
    frame = make_frame(seed)
    renamed = frame.assign(g=frame["g"].map(lambda k: f"group {k}"), f=frame["f"].map({"a": "A!", "b": "B:", "c": "ç"}))
    one = build_design("y ~ f + (f | g) + (1 | g:h)", frame)
    two = build_design("y ~ f + (f | g) + (1 | g:h)", renamed)
    np.testing.assert_array_equal(one.X, two.X)
    for a, b in zip(one.random, two.random, strict=True):
        np.testing.assert_array_equal(a.codes, b.codes)
        np.testing.assert_array_equal(np.stack(a.columns), np.stack(b.columns))


@given(seeds, st.sampled_from(FORMULAS))
@settings(max_examples=25, deadline=None)
def test_encoding_the_training_data_gives_the_design(seed: int, formula: str) -> None:
    frame = make_frame(seed)
    design = build_design(formula, frame)
    again = design.encoding.encode(frame, response=True)
    np.testing.assert_array_equal(again.X, design.X)
    np.testing.assert_array_equal(again.y, design.y)
    for a, b in zip(again.random, design.random, strict=True):
        np.testing.assert_array_equal(a.codes, b.codes)


@given(seeds, st.sets(st.tuples(st.integers(0, 39), st.sampled_from(list("yxfghw"))), max_size=12))
@settings(max_examples=25, deadline=None)
def test_missing_rows_are_dropped_and_counted(seed: int, holes: set[tuple[int, str]]) -> None:
    frame = make_frame(seed).astype({"g": float})
    for row, column in holes:
        frame.loc[row, column] = np.nan if column not in "fh" else None
    gone = {row for row, _ in holes}
    left = frame.drop(index=list(gone))
    one = build_design("y ~ x + f + (1 | g) + (1 | h)", frame, weights="w")
    two = build_design("y ~ x + f + (1 | g) + (1 | h)", left, weights=left["w"].to_numpy())
    assert (one.n_missing, two.n_missing) == (len(gone), 0)
    assert one.index.equals(left.index)
    np.testing.assert_array_equal(one.X, two.X)
    np.testing.assert_array_equal(one.weights, two.weights)
    assert [term.levels for term in one.random] == [term.levels for term in two.random]


def test_missing_values_in_other_columns_do_no_harm() -> None:
    assert build_design("y ~ x", make_frame(0).assign(z=np.nan)).n_missing == 0


def test_offsets_are_summed() -> None:
    frame = make_frame(1)
    design = build_design("y ~ offset(log(w)) + x + offset(z)", frame, offset="x")
    np.testing.assert_allclose(design.offset, np.log(frame["w"]) + frame["z"] + frame["x"])
    assert design.x_names == ["(Intercept)", "x"]
    given_array = build_design("y ~ x", frame, offset=frame["z"].to_numpy())
    np.testing.assert_array_equal(given_array.offset, frame["z"])
    assert given_array.encoding.encode(frame).offset is None


def test_memory_is_shared_where_variables_are() -> None:
    design = build_design("y ~ x + f + (x + z + f | g) + (1 | g)", make_frame(2))
    first, second = design.random
    assert design.X.flags.f_contiguous
    assert first.names == ["(Intercept)", "x", "z", "fb", "fc"]
    assert first.columns[0].strides == second.columns[0].strides == (0,)
    assert [np.shares_memory(column, design.X) for column in first.columns[1:]] == [True, False, True, True]
    assert first.codes is second.codes
    assert first.codes.dtype == np.int32


def test_design_does_not_follow_later_changes_of_the_data() -> None:
    data = {"y": np.arange(6.0), "x": np.arange(6.0) ** 2, "w": np.ones(6)}
    design = build_design("y ~ x", data, weights="w", offset="w")
    for column in data.values():
        column[:] = -1
    assert design.y.tolist() == [0, 1, 2, 3, 4, 5]
    assert design.X[:, 1].tolist() == [0, 1, 4, 9, 16, 25]
    assert design.weights.tolist() == design.offset.tolist() == [1.0] * 6


def test_a_sum_coded_factor_is_not_shared_with_its_dummies() -> None:
    frame = make_frame(3)
    design = build_design("y ~ f + (f | g)", frame, contrasts={"f": "sum"})
    assert design.x_names == ["(Intercept)", "f1", "f2"]
    assert design.random[0].names == ["(Intercept)", "fb", "fc"]
    np.testing.assert_array_equal(design.random[0].columns[1], (frame["f"] == "b").astype(float))


def test_unused_levels_are_dropped_and_order_is_kept() -> None:
    frame = make_frame(4).assign(f=lambda d: pd.Categorical(d["f"], ["c", "zz", "b", "a"]))
    frame["k"] = pd.Categorical(frame["h"], ["k3", "k1", "none", "k2"])
    frame.loc[frame["f"] == "b", "y"] = np.nan
    design = build_design("y ~ f + (1 | k)", frame)
    assert design.x_names == ["(Intercept)", "fa"]
    assert design.encoding.factors == {"f": ["c", "a"]}
    assert design.random[0].levels == ["k3", "k1", "k2"]


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([10, 9, 2, 10], ["2", "9", "10"]),
        ([10.0, 9.5, 2.0, 10.0], ["2", "9.5", "10"]),
        (["10", "9", "2", "10"], ["10", "2", "9"]),
        ([True, False, True, True], ["FALSE", "TRUE"]),
        ([-5, 10**15, 3, 3], ["-5", "3", "1000000000000000"]),
        ([2**62, 2**62 + 1, 0, 1], ["0", "1", str(2**62), str(2**62 + 1)]),
        ([1e-5, 0.1, 0.1, 2.5], ["1e-05", "0.1", "2.5"]),
        (pd.Categorical([3, 1, 3, 1], [3, 2, 1]), ["3", "1"]),
        (pd.to_datetime(["2021-01-02", "2020-01-01"] * 2), ["2020-01-01 00:00:00", "2021-01-02 00:00:00"]),
    ],
)
def test_group_levels(values: object, levels: list[str]) -> None:
    design = build_design("y ~ 1 + (1 | g)", {"y": np.arange(4.0), "g": values})
    (term,) = design.random
    assert term.levels == levels
    assert sorted(set(term.codes.tolist())) == list(range(len(levels)))


def test_interaction_levels_are_those_that_occur() -> None:
    data = {"y": np.arange(5.0), "a": [2, 1, 2, 10, 1], "b": list("vuuvu")}
    inner, outer = build_design("y ~ (1 | a/b)", data).random
    assert (inner.group, inner.levels) == ("b:a", ["u:1", "u:2", "v:2", "v:10"])
    assert inner.codes.tolist() == [2, 0, 1, 3, 0]
    assert (outer.group, outer.levels) == ("a", ["1", "2", "10"])


def test_names_with_dots_and_blanks() -> None:
    frame = make_frame(5).rename(columns={"x": "ses.mean", "f": "my factor", "g": "school.id"})
    design = build_design("y ~ ses.mean * `my factor` + (ses.mean | school.id)", frame)
    assert design.x_names[:4] == ["(Intercept)", "ses.mean", "`my factor`b", "`my factor`c"]
    assert design.random[0].group == "school.id"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("y ~ x", "1 + x"),
        ("y ~ x * z", "1 + x * z"),
        ("y ~ f", "1 + f"),
        ("y ~ f * x", "1 + f * x"),
        ("y ~ f * h", "1 + f * h"),
        ("y ~ 0 + f + h", "0 + f + h"),
        ("y ~ x + f:x", "1 + x + f:x"),
        ("y ~ (x + f + h)^2", "1 + (x + f + h)**2"),
        ("y ~ f / x", "1 + f / x"),
        ("y ~ log(w) + poly(x, 3)", "1 + log(w) + poly(x, 3)"),
        ("y ~ scale(x) + bs(z, df = 5)", "1 + scale(x) + bs(z, df=5)"),
        ("y ~ C(f, Sum) + C(h, Helmert)", "1 + C(f, contr.sum) + C(h, contr.helmert(scale=False))"),
    ],
)
def test_fixed_matrix_equals_formulaics(ours: str, theirs: str) -> None:
    formulaic = pytest.importorskip("formulaic")
    frame = make_frame(6, 60)
    expected = np.asarray(formulaic.model_matrix(theirs, frame), dtype=float)
    design = build_design(ours, frame)
    assert design.X.shape == expected.shape
    missing = [j for j in range(expected.shape[1]) if not np.isclose(expected[:, [j]], design.X).all(axis=0).any()]
    assert missing == []


def test_heavy_packages_are_not_imported() -> None:
    code = (
        "import sys, jmix.design, jmix.formula; d = {'y': [1., 2, 3, 5], 'x': [1., 3, 2, 2], 'g': [1, 1, 2, 2]}\n"
        "jmix.design.build_design('y ~ x * I(x > 1) + (x | g)', d)\n"
        "print([m for m in ('formulaic', 'scipy', 'jax', 'polars', 'narwhals', 'pyarrow.dataset') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def best_time(formula: str, data: object, repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        build_design(formula, data)
        times.append(time.perf_counter() - start)
    return min(times)


def test_a_small_design_takes_milliseconds() -> None:
    days = np.tile(np.arange(10), 18)
    frame = pd.DataFrame(
        {"Reaction": 250.0 + days, "Days": days, "Subject": np.repeat(range(308, 326), 10).astype(str)}
    )
    assert best_time("Reaction ~ Days + (Days | Subject)", frame, 10) < 0.003


def test_a_million_rows_take_a_fraction_of_a_second() -> None:
    rng = np.random.default_rng(0)
    n = 1_000_000
    frame = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), "g": rng.integers(0, 50_000, n)})
    assert best_time("y ~ x + (x | g)", frame) < 0.2
