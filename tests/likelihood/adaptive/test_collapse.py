"""Merging equal rows and equal groups leaves the likelihood, its gradient and the modes as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmix.likelihood.collapse import collapse
from jmix.likelihood.glmm_rows import RowData
from jmix.likelihood.rowsum import block_layout, block_width

seeds = st.integers(0, 2**32 - 1)


def repeated(case: Any, family: str, seed: int, q: int = 1) -> Any:
    """A design of 153 groups whose covariates take two values, so that rows and groups repeat."""
    drawn = case(family, seed, q, sizes=(2,) * 120 + (1,) * 30 + (0,) * 3, weighted=True, offset=True)
    rng = np.random.default_rng(seed)
    n = drawn.Z.shape[0]
    binary = (rng.random(n) < 0.5).astype(float)
    drawn.design.base.X[:, -1] = binary
    drawn.design.base.offset[:] = 0.3 * (rng.random(n) < 0.05)
    drawn.design.weights[:] = 1.0 + (rng.random(n) < 0.05)
    for k, column in enumerate(drawn.terms[0].columns):
        column[:] = drawn.Z[:, k] = 1.0 if k == 0 else binary
    if family == "cloglog":
        drawn.design.response.size[:] = 5.0
        drawn.design.response.y[:] = 5.0 * (drawn.design.response.y > 1)
    return drawn


@pytest.mark.parametrize(
    "family",
    [
        "bernoulli",
        "cloglog",
        pytest.param("poisson", marks=pytest.mark.slow),
        pytest.param("cumulative", marks=pytest.mark.slow),
    ],
)
def test_merged_equals_unmerged(case: Any, run: Any, family: str) -> None:
    drawn = repeated(case, family, 0, 2 if family == "bernoulli" else 1)
    merged, plain = drawn.build(5), drawn.build(5, merge=False)
    assert merged.restore.merged < 0.7 * 153
    a, b = run("first", merged, drawn.x), run("first", plain, drawn.x)
    assert float(a[0]) == pytest.approx(float(b[0]), rel=1e-12)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(merged.restore.levels(a[2])["g"], plain.restore.levels(b[2])["g"], atol=1e-9)
    if family == "bernoulli":
        second = run("second", merged, drawn.x, a[2])
        np.testing.assert_allclose(second, run("second", plain, drawn.x, b[2]), rtol=1e-9, atol=1e-9)


def test_sum_scores_of_a_rasch_model(run: Any) -> None:
    persons, items = 5000, 6
    rng = np.random.default_rng(0)
    y = (rng.random((persons, items)) < 0.5).astype(float)
    codes = np.repeat(np.arange(persons, dtype=np.int32), items)
    x = np.tile(np.eye(items), (persons, 1)).T
    # every other person answers in another order
    shuffled = np.arange(persons * items).reshape(persons, items)
    shuffled[::2] = shuffled[::2, ::-1]
    order = shuffled.ravel()
    left = collapse(RowData(y.ravel()[order], x[:, order]), np.ones((1, y.size)), codes, persons, canonical=True)
    assert left.multiplicity.size == items + 1
    assert left.multiplicity.sum() == persons
    assert left.codes.size == items * (items + 1)
    scores = y.sum(axis=1)
    assert left.zy is not None
    np.testing.assert_array_equal(left.zy[0][left.group_map], scores)
    np.testing.assert_array_equal(left.linear, y.sum(axis=0))


def test_groups_that_differ_in_one_number_stay_apart() -> None:
    codes = np.repeat(np.arange(100, dtype=np.int32), 2)
    y = np.tile([1.0, 2.0], 100)
    x = np.ones((1, 200))
    x[0, 57] = np.nextafter(1.0, 2.0)
    left = collapse(RowData(y, x), np.ones((1, 200)), codes, 100, canonical=False)
    assert left.multiplicity.tolist() == [99.0, 1.0]
    assert left.group_map[28] == 1
    negative_zero = RowData(y, np.where(np.arange(200) % 2 == 0, 0.0, -0.0)[None])
    assert collapse(negative_zero, np.ones((1, 200)), codes, 100, canonical=False).multiplicity.size == 1


def test_data_without_repetition_are_left_alone() -> None:
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(50, dtype=np.int32), 4)
    rows = RowData(rng.normal(size=200), rng.normal(size=(2, 200)))
    left = collapse(rows, np.ones((1, 200)), codes, 50, canonical=False)
    assert left.rows is rows
    np.testing.assert_array_equal(left.group_map, np.arange(50))


@given(seed=seeds)
def test_every_row_has_one_place(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.choice([0, 1, 2, 3, 5, 60, 300], int(rng.integers(1, 60)), p=[0.1, 0.2, 0.2, 0.2, 0.2, 0.05, 0.05])
    if sizes.sum() == 0:
        sizes[0] = 1
    codes = rng.permutation(np.repeat(np.arange(sizes.size), sizes)).astype(np.int32)
    layout = block_layout(codes, sizes.size, int(rng.integers(1, 500)))
    np.testing.assert_array_equal(np.sort(layout.index[layout.real]), np.arange(codes.size))
    parts, m, s = layout.index.shape
    assert parts * m * s <= 4 * codes.size + 12 * (sizes.size + s) + 4 * s * m
    owner = np.broadcast_to(np.arange(s), (parts, s)) if layout.owner is None else layout.owner
    assert np.all(np.diff(owner, axis=1) >= 0)
    place = np.arange(parts)[:, None] * layout.n_local + owner
    group = layout.position[codes[layout.index]]
    np.testing.assert_array_equal(group[layout.real], np.broadcast_to(place[:, None], group.shape)[layout.real])


def test_block_widths() -> None:
    assert block_width(np.full(1000, 10)) == 10
    assert block_width(np.arange(1, 21)) == 20
    assert 3 <= block_width(np.array([100_000] + [3] * 30_000)) <= 9
    assert block_width(np.full(10, 1_000_000)) < 5000
