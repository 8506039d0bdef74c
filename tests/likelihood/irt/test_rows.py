"""Rows, strata and chunks without a likelihood: every person counts once, whatever the sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmix.errors import DataError, ModelError
from jmix.likelihood.irt.build import build_marginal
from jmix.likelihood.irt.choose import choose_integration
from jmix.likelihood.irt.marginal import Integration
from jmix.likelihood.irt.nodes import finer, grid_rule
from jmix.likelihood.irt.rows import Persons, in_strata, merged, persons_of, scored, scores_suffice
from jmix.likelihood.irt.sharding import shard_rows
from jmix.likelihood.irt.totals import count

from .textbook import Case


def _persons(sizes: list[int]) -> Persons:
    stratum = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return Persons(
        x=(np.arange(stratum.size, dtype=np.int64) % 100).astype(np.int8)[:, None],
        u=np.arange(stratum.size, dtype=np.float64)[:, None],
        weights=None,
        stratum=stratum if len(sizes) > 1 else None,
        place=None,
        group=np.arange(len(sizes), dtype=np.int32),
        observed=None,
        complete=True,
        masked=(False,),
    )


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(sum),
    chunk=st.integers(1, 50),
    devices=st.integers(1, 9),
)
def test_every_row_counts_once(sizes: list[int], chunk: int, devices: int) -> None:
    persons = _persons(sizes)
    devices = min(devices, persons.n)
    each = -(-persons.n // devices)
    chunk = min(chunk, each)
    rows, (start, low, high) = shard_rows(persons, chunk, devices)
    assert rows.x is not None and rows.u is not None
    per_device = len(rows.start) // devices
    seen = []
    for c in range(len(rows.start)):
        assert 0 <= rows.start[c] <= rows.x.shape[0] // devices - chunk
        assert 0 <= low[c] <= high[c] <= chunk
        local = np.arange(rows.start[c] + low[c], rows.start[c] + high[c])
        taken = local + (c // per_device) * (rows.x.shape[0] // devices)
        np.testing.assert_array_equal(taken, np.arange(start[c] + low[c], start[c] + high[c]))
        persons_here = rows.u[taken, 0].astype(int)
        seen.extend(persons_here)
        if persons.stratum is not None:
            assert np.all(persons.stratum[persons_here] == rows.stratum[c])
    assert sorted(seen) == list(range(persons.n))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 700), seed=st.integers(0, 1000), weighted=st.booleans())
def test_counts(n: int, seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 3, (n, 4)).astype(np.int8)
    w = rng.uniform(0, 2, n) if weighted else None
    for k in range(3):
        expected = (x == k).sum(axis=0) if w is None else w @ (x == k)
        np.testing.assert_allclose(count(x, k, w), expected)
    binary = np.maximum(x, 0) % 2
    np.testing.assert_allclose(count(binary, 1, None, indicator=True), binary.sum(axis=0))


def test_strata_are_few_or_masked() -> None:
    """Booklets make strata; responses missing at random a mask."""
    booklets = Case([("logistic", 2, 6)], n=600, missing="pattern", groups=2)
    persons = persons_of(booklets.spec, booklets.responses, None, 512)
    assert persons.observed is not None and persons.masked == (False,) and persons.group.size == 6
    assert persons_of(booklets.spec, booklets.responses, None, 3).masked == (True,)
    at_random = Case([("logistic", 2, 6)], n=600, missing=0.3)
    persons = persons_of(at_random.spec, at_random.responses, None, 512)
    assert persons.observed is None and persons.masked == (True,)


def test_merged_rows_are_the_persons() -> None:
    case = Case([("graded", 3, 3)], n=300, weights=True, groups=2, missing="pattern")
    whole = persons_of(case.spec, case.responses, None, 512)
    few = in_strata(merged(whole))
    assert few.n < 150 and few.x is not None and whole.x is not None and few.weights is not None
    assert few.place is not None and few.stratum is not None and whole.stratum is not None
    np.testing.assert_array_equal(few.x[few.place], whole.x)
    np.testing.assert_array_equal(few.stratum[few.place], whole.stratum)
    np.testing.assert_allclose(np.bincount(few.place, weights=whole.weights), few.weights)


def test_scores() -> None:
    case = Case([("logistic", 2, 2), ("gpcm", 3, 2)], common=True, n=300, missing="pattern", weights=True)
    assert scores_suffice(case.spec)
    whole = persons_of(case.spec, case.responses, None, 512)
    few = in_strata(scored(whole))
    assert few.u is not None and few.place is not None and few.n <= 3 * 7
    assert whole.x is not None and whole.weights is not None
    np.testing.assert_array_equal(few.u[few.place, 0], np.maximum(whole.x, 0).sum(axis=1))
    np.testing.assert_allclose(np.bincount(few.place, weights=whole.weights), few.weights)
    for other in ([("logistic", 2, 3)], [("nominal", 3, 2)], [("graded", 3, 2)]):
        assert not scores_suffice(Case(other).spec)


@pytest.mark.parametrize("rule", ["rectangle", "gh"])
@pytest.mark.parametrize("d", [1, 2])
def test_nodes_integrate_the_normal(rule: str, d: int) -> None:
    nodes, log_weights = grid_rule(Integration(nodes=31, rule=rule), d)
    w = np.exp(log_weights)
    assert w.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(w @ nodes, 0, atol=1e-12)
    # beyond ±6, 6.5 in a diagonal, lies less than 1e-6 of the second and fourth moments
    np.testing.assert_allclose((nodes * w[:, None]).T @ nodes, np.eye(d), atol=1e-6)
    np.testing.assert_allclose(w @ nodes**4, 3, atol=1e-5)
    if rule == "rectangle":
        np.testing.assert_array_equal(nodes.astype(np.float32), nodes)


@pytest.mark.parametrize(("nodes", "rule", "d"), [(61, "rectangle", 1), (61, "gh", 1), (41, "rectangle", 3)])
def test_finer_grids_exist(nodes: int, rule: str, d: int) -> None:
    own = Integration(nodes=nodes, rule=rule)
    assert grid_rule(finer(own, d), d).nodes.shape[0] > 1.9 * grid_rule(own, d).nodes.shape[0]


def test_longer_tests_take_more_nodes() -> None:
    def nodes(j: int) -> int:
        return choose_integration(Case([("logistic", 2, j)], n=4).spec, Case([("logistic", 2, j)], n=4).responses).nodes

    assert (nodes(5), nodes(50)) == (31, 61)
    assert nodes(200) > 100
    large = Case([("logistic", 2, 6)], n=4, d=3)
    assert choose_integration(large.spec, large.responses).method == "adaptive"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "monte-carlo"}, "monte-carlo"),
        ({"rule": "simpson"}, "simpson"),
        ({"nodes": 1}, "1 nodes"),
        ({"limit": -1.0}, "positive limit"),
        ({"precision": "float16"}, "float16"),
        ({"chunk": 0}, "chunk of 0"),
    ],
)
def test_impossible_integration(options: dict[str, Any], said: str) -> None:
    case = Case([("logistic", 2, 3)])
    with pytest.raises(ModelError, match=said):
        build_marginal(case.spec, case.responses, Integration(**options))


def test_covariates_that_do_not_fit() -> None:
    case = Case([("logistic", 2, 3)], covariates=1)
    assert case.W is not None
    with pytest.raises(ModelError, match="latent regression"):
        build_marginal(case.spec, case.responses, Integration())
    with pytest.raises(ModelError, match="shape"):
        build_marginal(case.spec, case.responses, Integration(), case.W[:-1])
    with pytest.raises(ModelError, match="infinite"):
        build_marginal(case.spec, case.responses, Integration(), np.full_like(case.W, np.nan))


def test_a_category_that_the_model_does_not_have() -> None:
    case = Case([("logistic", 2, 2), ("graded", 3, 1)], columns=[2, 0, 1])
    assert case.responses.table is not None
    table = case.responses.table.copy()
    table[3, 0] = 2
    with pytest.raises(DataError, match="item 'i0' has a response coded 2"):
        build_marginal(case.spec, replace(case.responses, table=table), Integration())
