"""Merging equal rows, sums and patterns of missing responses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jmix.responses import MISSING, collapse
from jmix.responses.collapse import merge_patterns, missing_patterns, sum_scores, unique_rows

TABLES = arrays(np.int8, st.tuples(st.integers(1, 80), st.integers(1, 20)), elements=st.integers(-1, 2))


@settings(max_examples=100, deadline=None)
@given(TABLES, st.integers(1, 3), st.booleans(), st.integers(0, 1000))
def test_merged_patterns_are_the_different_rows(table: np.ndarray, groups: int, weighted: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = table[rng.integers(0, table.shape[0], 3 * table.shape[0])]
    strata = rng.integers(0, groups, table.shape[0]) if groups > 1 else None
    weights = rng.random(table.shape[0]) + 0.1 if weighted else None
    merged = merge_patterns(table, weights, strata, always=True)
    keyed = table if strata is None else np.column_stack([table, strata])
    different, counts = np.unique(keyed, axis=0, return_counts=True)
    assert merged.table.shape[0] == different.shape[0]
    np.testing.assert_array_equal(merged.table[merged.inverse], table)
    np.testing.assert_array_equal(merged.table, table[merged.first])
    assert np.all(np.diff(merged.first) > 0)
    if strata is not None:
        np.testing.assert_array_equal(strata[merged.first][merged.inverse], strata)
    if weights is None:
        assert sorted(merged.weights) == sorted(counts)
    assert merged.weights.sum() == pytest.approx(table.shape[0] if weights is None else weights.sum())


def test_rows_that_do_not_repeat_are_left_alone() -> None:
    table = np.random.default_rng(0).integers(0, 2, (10_000, 40)).astype(np.int8)
    merged = merge_patterns(table)
    assert merged.table is table and merged.inverse.tolist() == list(range(10_000)) and merged.weights.sum() == 10_000


def test_repeating_rows_beyond_the_sample_are_merged() -> None:
    table = np.random.default_rng(0).integers(0, 2, (20_000, 9)).astype(np.int8)
    merged = merge_patterns(table)
    assert merged.table.shape[0] == 512
    np.testing.assert_array_equal(merged.table[merged.inverse], table)


def test_collisions_of_the_hash_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(0).integers(0, 3, (300, 12)).astype(np.int8)
    table = np.vstack([table, table])
    expected, first = unique_rows(table)
    monkeypatch.setattr(collapse, "_hash", lambda table, strata: table[:, 0].astype(np.uint64))
    codes, again = unique_rows(table)
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(again, first)


@settings(max_examples=60, deadline=None)
@given(TABLES)
def test_sums_and_missing_patterns(table: np.ndarray) -> None:
    given_ = table != MISSING
    np.testing.assert_array_equal(sum_scores(table), np.where(given_, table, 0).sum(axis=1))
    worth = np.arange(table.shape[1])[:, None] * 10 + np.array([0, 1, 5])
    expected = np.where(given_, worth[np.arange(table.shape[1]), np.maximum(table, 0)], 0).sum(axis=1)
    np.testing.assert_array_equal(sum_scores(table, worth), expected)
    patterns, codes = missing_patterns(table)
    np.testing.assert_array_equal(patterns[codes], given_)
    assert len(np.unique(patterns, axis=0)) == len(patterns)
