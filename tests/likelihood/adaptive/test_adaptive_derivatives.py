"""Implicit gradients and Hessians against finite differences, and how the search for the modes ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

COMBINATIONS = [
    ("bernoulli", 1, 1),
    ("bernoulli", 5, 2),
    ("nbinom2", 5, 1),
    pytest.param("poisson", 1, 2, marks=pytest.mark.slow),
    pytest.param("zero-inflated", 5, 1, marks=pytest.mark.slow),
    pytest.param("cumulative", 1, 2, marks=pytest.mark.slow),
    pytest.param("cumulative", 5, 1, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("family", "n_agq", "q"), COMBINATIONS)
def test_gradient_and_hessian(case: Any, run: Any, family: str, n_agq: int, q: int) -> None:
    drawn = case(family, 11, q, sides=True, weighted=True)
    built = drawn.build(n_agq, merge=False)
    x = drawn.x
    value, gradient, u, mode = run("first", built, x)
    assert bool(mode.converged)
    hessian = np.asarray(run("second", built, x, u))
    step, size = 1e-4, x.size
    for i in range(size):
        e = np.eye(size)[i] * step
        near = [run("first", built, x + k * e, u)[:2] for k in (-2, -1, 1, 2)]
        slope = _difference([float(v) for v, _ in near], step)
        assert float(gradient[i]) == pytest.approx(slope, rel=1e-7, abs=1e-8)
        np.testing.assert_allclose(
            hessian[i], _difference([np.asarray(g) for _, g in near], step), rtol=1e-7, atol=1e-7
        )
    np.testing.assert_allclose(hessian, hessian.T)
    assert float(value) == pytest.approx(float(run("value", built, x)[0]), rel=1e-14)


def _difference(near: list[Any], step: float) -> Any:
    """Central difference of fourth order from values at -2, -1, 1 and 2 steps."""
    return (near[0] - 8 * near[1] + 8 * near[2] - near[3]) / (12 * step)


@pytest.mark.parametrize("q", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_parts_and_batches_change_no_derivative(case: Any, run: Any, q: int) -> None:
    drawn = case("bernoulli", 7, q, sizes=(3, 150, 2, 3, 1, 3, 2, 9, 0, 3) + (3, 2) * 60, weighted=True)
    whole, few = drawn.build(5, merge=False), drawn.build(5, merge=False, part_rows=6)
    one, several = run("first", whole, drawn.x), run("first", few, drawn.x)
    assert several[2].shape[0] > 1
    assert few.data.groups.owner is not None
    np.testing.assert_allclose(several[1], one[1], rtol=1e-10, atol=1e-10)
    second = run("second", few, drawn.x, several[2])
    np.testing.assert_allclose(second, run("second", whole, drawn.x, one[2]), rtol=1e-9, atol=1e-9)


def test_log_marginal_differentiates(case: Any, run: Any) -> None:
    import jax

    from jmix import runtime
    from jmix.likelihood import implicit

    drawn = case("bernoulli", 11, 1, sides=True, weighted=True)
    built = drawn.build(1, merge=False)
    value, gradient, u, _ = run("first", built, drawn.x)

    def density(x: Any, data: Any, u: Any) -> Any:
        return jax.value_and_grad(lambda at: implicit.log_marginal(built.approx, at, data, u))(x)

    found = runtime.Program(density)(drawn.x, built.data, u)
    assert float(found[0]) == pytest.approx(float(value), rel=1e-14)
    np.testing.assert_allclose(found[1], gradient, rtol=1e-10)


def test_modes_far_from_zero(case: Any, run: Any) -> None:
    """Newton from zero where the first step overflows the exponential, and where every row saturates."""
    drawn = case("poisson", 1, 2)
    drawn.design.response.y[:] = [1e6] * 8 + [0.0] * 8
    built = drawn.build(1, merge=False)
    x = drawn.x.copy()
    x[2:] *= 30.0
    value, gradient, u, mode = run("first", built, x)
    assert bool(mode.converged)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    again = run("first", built, x, np.asarray(u) + 300.0)
    assert bool(again[3].converged)
    assert float(again[0]) == pytest.approx(float(value), rel=1e-12)
    np.testing.assert_allclose(again[2], u, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("family", ["student", "zero-inflated", "inverse gaussian"])
def test_modes_where_the_density_is_not_log_concave(case: Any, run: Any, family: str) -> None:
    for seed in range(4):
        drawn = case(family, seed, 1)
        if family == "student":
            drawn.design.response.y[:] += 40.0 * (np.arange(16) % 3 == 0)
        value, gradient, _, mode = run("first", drawn.build(1, merge=False), drawn.x)
        assert bool(mode.converged)
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradient))


def test_a_search_without_an_end_says_so(case: Any, run: Any) -> None:
    drawn = case("poisson", 1, 2)
    x = drawn.x.copy()
    x[0] = np.nan
    mode = run("first", drawn.build(1, merge=False), x)[3]
    assert not bool(mode.converged)
    assert np.all(mode.stuck)


def test_a_model_without_random_effects(case: Any) -> None:
    from jmix import runtime
    from jmix.likelihood import implicit
    from jmix.likelihood.adaptive_plain import build_plain

    drawn = case("nbinom2", 4, offset=True, weighted=True, sides=True)
    plain, data = build_plain(drawn.design)
    x = np.delete(drawn.x, 2)
    drawn.parts.theta = np.zeros(1)
    exact = sum(float(drawn.log_integrand(j, np.zeros(1))) for j in range(5))

    def both(x: Any, data: Any) -> Any:
        first = implicit.value_and_grad(plain, x, data, plain.start(data))
        return first[0], first[1], implicit.hessian(plain, x, data, ())

    program = runtime.Program(both)
    value, gradient, hessian = program(x, data)
    assert float(value) == pytest.approx(exact, rel=1e-12)
    for i in range(x.size):
        e = np.eye(x.size)[i] * 1e-5
        up, down = program(x + e, data), program(x - e, data)
        assert float(gradient[i]) == pytest.approx((float(up[0]) - float(down[0])) / 2e-5, rel=1e-6, abs=1e-7)
        slope = (np.asarray(up[1]) - np.asarray(down[1])) / 2e-5
        np.testing.assert_allclose(hessian[i], slope, rtol=1e-6, atol=1e-6)
