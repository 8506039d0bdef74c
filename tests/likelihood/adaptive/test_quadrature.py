"""Quadrature rules against the moments of a normal distribution."""

from __future__ import annotations

import numpy as np
import pytest

from jmix.errors import ModelError
from jmix.numerics.quadrature import gauss_hermite, sobol_normal


@pytest.mark.parametrize("n", [1, 2, 3, 7, 25, 50, 100])
def test_moments_are_exact(n: int) -> None:
    rule = gauss_hermite(n)
    w, x = np.exp(rule.log_weights), rule.nodes[:, 0]
    moment = 1.0
    for degree in range(0, min(2 * n, 30), 2):
        assert w @ x**degree == pytest.approx(moment, rel=1e-11)
        assert abs(w @ x ** (degree + 1)) < 1e-12 * max(1.0, moment) * 10
        moment *= degree + 1
    assert np.all(np.isfinite(rule.log_weights))


def test_nodes_of_known_rules() -> None:
    np.testing.assert_allclose(gauss_hermite(3).nodes[:, 0], [-np.sqrt(3), 0, np.sqrt(3)], atol=1e-15)
    np.testing.assert_allclose(np.exp(gauss_hermite(3).log_weights), [1 / 6, 2 / 3, 1 / 6], rtol=1e-14)


def test_tensor_grid() -> None:
    rule = gauss_hermite(5, 3)
    w = np.exp(rule.log_weights)
    assert rule.nodes.shape == (125, 3)
    assert w.sum() == pytest.approx(1.0, rel=1e-14)
    assert w @ (rule.nodes[:, 0] ** 2 * rule.nodes[:, 1] ** 4) == pytest.approx(3.0, rel=1e-13)
    pruned = gauss_hermite(15, 2, prune=1e-8)
    assert pruned.nodes.shape[0] < 225
    assert np.exp(pruned.log_weights).sum() == pytest.approx(1.0, rel=1e-13)


def test_quasi_monte_carlo_moments() -> None:
    rule = sobol_normal(1 << 14, 3, seed=1)
    w = np.exp(rule.log_weights)
    assert w.sum() == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(
        (w[:, None, None] * rule.nodes[:, :, None] * rule.nodes[:, None, :]).sum(0), np.eye(3), atol=1e-3
    )
    assert not np.array_equal(rule.nodes, sobol_normal(1 << 14, 3, seed=2).nodes)
    np.testing.assert_array_equal(rule.nodes, sobol_normal(1 << 14, 3, seed=1).nodes)


def test_what_is_out_of_range() -> None:
    for n, q in ((0, 1), (101, 1), (100, 4)):
        with pytest.raises(ModelError):
            gauss_hermite(n, q)
    with pytest.raises(ModelError):
        sobol_normal(0, 1, 0)
