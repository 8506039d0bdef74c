"""The distribution of sum scores against all response patterns, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jmix.errors import DataError
from jmix.results.irt.lord_wingersky import (
    category_scores,
    rest_distributions,
    score_distribution,
    score_moments,
)


def tables(n_categories, n_nodes=3, seed=0):
    rng = np.random.default_rng(seed)
    out = np.zeros((len(n_categories), max(n_categories), n_nodes))
    for j, k in enumerate(n_categories):
        out[j, :k] = rng.dirichlet(np.ones(k), size=n_nodes).T
    return out


def by_patterns(p, scores, items):
    size = sum(scores[j].max() for j in items) + 1
    out = np.zeros((size, p.shape[2]))
    for pattern in itertools.product(*(np.flatnonzero(scores[j] >= 0) for j in items)):
        total = sum(scores[j, k] for j, k in zip(items, pattern, strict=True))
        out[total] += np.prod([p[j, k] for j, k in zip(items, pattern, strict=True)], axis=0)
    return out


@pytest.mark.parametrize("n_categories", [[2, 2, 2], [3, 2, 4, 2], [5], [2, 3, 3, 2, 4]])
def test_equals_the_sum_over_all_patterns(n_categories):
    p, s = tables(n_categories), category_scores(n_categories)
    np.testing.assert_allclose(score_distribution(p, s), by_patterns(p, s, range(len(n_categories))), rtol=1e-13)


def test_each_item_left_out_equals_the_sum_over_the_patterns_of_the_others():
    n_categories = [3, 2, 4, 2, 2]
    p, s = tables(n_categories), category_scores(n_categories)
    found = dict(rest_distributions(p, s))
    assert sorted(found) == [0, 1, 2, 3, 4]
    for j, rest in found.items():
        others = [i for i in range(5) if i != j]
        np.testing.assert_allclose(rest, by_patterns(p, s, others), rtol=1e-13)


def test_own_scores_of_the_categories():
    p, s = tables([3, 2]), np.array([[0, 2, 5], [1, 0, -1]])
    np.testing.assert_allclose(score_distribution(p, s), by_patterns(p, s, range(2)), rtol=1e-13)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(2, 5), min_size=1, max_size=12), st.integers(0, 2**16))
def test_equals_polynomial_products(n_categories, seed):
    """The distribution is the product of the items' generating polynomials; left out, each item's divides it."""
    p, s = tables(n_categories, 2, seed), category_scores(n_categories)
    found = score_distribution(p, s)
    rest = dict(rest_distributions(p, s))
    for q in range(2):
        want = np.array([1.0])
        for j, k in enumerate(n_categories):
            want = np.convolve(want, p[j, :k, q])
        np.testing.assert_allclose(found[:, q], want, rtol=1e-11)
        for j, k in enumerate(n_categories):
            np.testing.assert_allclose(np.convolve(rest[j][:, q], p[j, :k, q]), want, rtol=1e-11)


def test_a_thousand_equal_items_are_binomial():
    p = np.full((1000, 2, 1), 0.3)
    p[:, 0] = 0.7
    found = score_distribution(p, category_scores([2] * 1000))[:, 0]
    np.testing.assert_allclose(found, stats.binom.pmf(np.arange(1001), 1000, 0.3), rtol=1e-10, atol=1e-300)


def test_moments_by_patterns():
    p, s = tables([2, 3]), category_scores([2, 3])
    theta, w = np.array([[-1.0, 0.5], [0.0, 1.0], [2.0, -1.0]]), np.array([0.2, 0.5, 0.3])
    found = score_moments(score_distribution(p, s), theta, w)
    joint = by_patterns(p, s, range(2)) * w
    np.testing.assert_allclose(found.probability, joint.sum(1), rtol=1e-13)
    np.testing.assert_allclose(found.probability.sum(), 1.0, rtol=1e-13)
    for row, mean, cov in zip(joint, found.mean, found.covariance, strict=True):
        np.testing.assert_allclose(mean, np.average(theta, axis=0, weights=row), rtol=1e-12)
        np.testing.assert_allclose(cov, np.cov(theta.T, aweights=row, ddof=0), rtol=1e-10)


def test_scores_that_are_not_whole_numbers_are_refused():
    with pytest.raises(DataError, match="whole numbers"):
        score_distribution(tables([2, 2]), np.array([[0, 1.5], [0, 1]]))
    with pytest.raises(DataError, match=r"items, categories, nodes"):
        score_distribution(tables([2, 2]), np.array([[0, 1]]))
