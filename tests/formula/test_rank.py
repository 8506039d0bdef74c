"""Rank deficiency: the later columns go, and scale has nothing to do with it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmix.design import build_design
from jmix.formula.rank import dependencies, independent_columns


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_later_columns_go(seed: int, independent: int, extra: int, scaled: bool) -> None:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(40, independent))
    combined = base @ rng.normal(size=(independent, extra))
    X = np.asfortranarray(np.hstack([base, combined]))
    if scaled:
        X = X * 10.0 ** rng.integers(-150, 150, size=X.shape[1])
    assert independent_columns(X).tolist() == [True] * independent + [False] * extra


def test_scales_are_not_collinearity() -> None:
    x = np.random.default_rng(1).normal(size=(500, 3))
    design = build_design("y ~ a + b + c", {"y": x[:, 0], "a": x[:, 0] * 1e-8, "b": x[:, 1] * 1e8, "c": x[:, 2]})
    assert design.dropped == ()


@pytest.mark.parametrize(("noise", "kept"), [(1e-5, True), (1e-6, True), (1e-9, False), (0.0, False)])
def test_tolerance_is_that_of_r(noise: float, kept: bool) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=3000)
    X = np.column_stack([np.ones(3000), x, x + noise * rng.normal(size=3000)])
    assert independent_columns(X).tolist() == [True, True, kept]


def test_a_large_mean_is_not_collinearity() -> None:
    year = np.tile(np.arange(2000.0, 2010.0), 50)
    stamp = 1.7e9 + np.arange(500.0) * 3600
    X = np.column_stack([np.ones(500), year, stamp])
    assert independent_columns(X).all()


def test_zero_and_more_columns_than_rows() -> None:
    X = np.random.default_rng(3).normal(size=(4, 9))
    X[:, 1] = 0
    assert independent_columns(X).tolist() == [True, False, True, True, True] + [False] * 4
    assert independent_columns(np.empty((5, 0))).tolist() == []


def test_many_chunks_agree_with_one() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(150_000, 4))
    X[:, 2] = X[:, 0] - 3 * X[:, 1]
    assert independent_columns(X).tolist() == [True, True, False, True]


def test_nested_factor_drops_what_r_drops() -> None:
    frame = pd.DataFrame({"y": np.sin(np.arange(24)), "a": list("pqr") * 8, "b": np.repeat(list("uvwz"), 6)})
    design = build_design("y ~ a:b", frame)
    assert design.dropped == ("ar:bz",)
    assert np.linalg.matrix_rank(design.X) == design.X.shape[1] == 12


def test_dropped_columns_follow_from_those_kept() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 60))
    X = np.column_stack([np.ones(60), a * 100, b, 3.0 - 200 * a, np.zeros(60), rng.normal(size=60), a - b])
    kept = independent_columns(X)
    assert kept.tolist() == [True, True, True, False, False, True, False]
    found = dependencies(X, kept)
    assert found == pytest.approx(np.array([[3, 0, 0], [-2, 0, 0.01], [0, 0, -1], [0, 0, 0]]), abs=1e-12)
