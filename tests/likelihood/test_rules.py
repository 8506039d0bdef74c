"""The block and dense kernels against their definitions, their custom derivatives against finite differences."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jmix.likelihood.gaussian import profiled_criterion
from jmix.numerics import blocks, dense
from jmix.runtime import float64

GROUPS = 3


def _blocks(q: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(q)
    return np.tril(rng.normal(size=(q, q))), rng.normal(size=(q, q + 1, GROUPS))


def _plain_node(lam: Any, a: Any) -> tuple[Any, Any]:
    """The definition, group by group, through ``slogdet`` and ``solve``."""
    groups = jnp.moveaxis(a, -1, 0)
    m = jnp.eye(lam.shape[0]) + lam.T @ groups @ lam
    n = lam @ jnp.linalg.solve(m, jnp.broadcast_to(lam.T, m.shape))
    return jnp.linalg.slogdet(m)[1], jnp.moveaxis(n, 0, -1)


def _from_root(function: Any) -> Any:
    """A function of symmetric blocks as one of their roots, so that every direction is symmetric."""
    return lambda lam, root: function(jnp.tril(lam), jnp.einsum("acj,bcj->abj", root, root))


@pytest.mark.parametrize("q", [1, 2, 3, 6, 7])
def test_node_is_its_definition(q: int) -> None:
    with float64():
        lam, root = _blocks(q)
        ours, plain = (jax.jit(_from_root(f))(lam, root) for f in (blocks.node, _plain_node))
        for left, right in zip(ours, plain, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("q", "unrolled"), [(2, 6), (2, 0)])
def test_node_derivatives_to_second_order(q: int, unrolled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unrolled and, with UNROLL_MAX at 0, through LAPACK."""
    monkeypatch.setattr(blocks, "UNROLL_MAX", unrolled)
    with float64():
        check_grads(jax.jit(_from_root(blocks.node)), _blocks(q), order=2, modes=("fwd",), atol=1e-5, rtol=1e-5)


def test_node_derivatives_where_the_factor_is_singular() -> None:
    with float64():
        lam, root = _blocks(2)
        lam[1:, 1] = 0.0
        root[:, :, 0] = 0.0
        check_grads(jax.jit(_from_root(blocks.node)), (lam, root), order=2, modes=("rev",), atol=1e-5, rtol=1e-5)


def _dense_arguments(size: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(size)
    return rng.normal(size=(size, size)) / np.sqrt(size), rng.normal(size=(size, 2))


def _from_dense_root(function: Any) -> Any:
    return lambda root, v: function(jnp.eye(root.shape[0]) + root @ root.T, v)


@pytest.mark.parametrize("size", [1, 5, 80, 81, 200])
def test_logdet_quad_is_its_definition(size: int) -> None:
    with float64():
        root, v = _dense_arguments(size)
        m = np.eye(size) + root @ root.T
        logdet, quad = jax.jit(dense.logdet_quad)(m, v)
        np.testing.assert_allclose(logdet, np.linalg.slogdet(m)[1], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(quad, v.T @ np.linalg.solve(m, v), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("panel", "block"), [(32, 300), (2, 4), pytest.param(2, 300, marks=pytest.mark.slow)])
def test_logdet_quad_derivatives_to_second_order(panel: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one elimination, by panels, and by halves."""
    monkeypatch.setattr(dense, "PANEL", panel)
    monkeypatch.setattr(dense, "BLOCK", block)
    with float64():
        function = jax.jit(_from_dense_root(dense.logdet_quad))
        check_grads(function, _dense_arguments(7), order=2, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5)


def test_closed_form_equals_automatic_differentiation(case: Any) -> None:
    drawn = case("slope", 5, weighted=True)
    objective = drawn.model.objective
    reduced, n = objective.reduced, float(objective.n)

    def value(t: Any) -> Any:
        return profiled_criterion(t, reduced.stats, n, reduced.layout, True)[0]

    at = objective.full(drawn.phi, True)
    with float64():
        theta = jnp.asarray(drawn.phi)
        gradient, automatic = jax.jit(lambda t: (jax.grad(value)(t), jax.hessian(value)(t)))(theta)
    np.testing.assert_allclose(at.gradient, gradient, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(at.hessian, automatic, rtol=1e-8, atol=1e-8 * float(np.abs(automatic).max()))


@pytest.mark.parametrize("name", ["one factor", "nested", "crossed vectors"])
def test_gradient_without_hessian_is_the_same(name: str, case: Any) -> None:
    drawn = case(name, 3)
    objective = drawn.model.objective
    full, first = objective.full(drawn.phi, True), objective.first(drawn.phi, True)
    assert first.hessian is None
    np.testing.assert_allclose(first.value, full.value, rtol=1e-13)
    np.testing.assert_allclose(first.gradient, full.gradient, rtol=1e-9, atol=1e-9 * np.abs(full.gradient).max())
