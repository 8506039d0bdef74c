"""The marginal likelihood of one grouping factor against brute-force integration and dense formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from jmix.errors import ModelError

seeds = st.integers(0, 2**32 - 1)
FAMILIES = [
    *("bernoulli", "binomial", "nbinom2", "gamma", "student", "cumulative", "zero-inflated", "hurdle"),
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("probit", "cloglog", "poisson", "nbinom1", "inverse gaussian", "beta")
    ),
]


@pytest.mark.parametrize("family", FAMILIES)
def test_scalar_effects_against_quad(case: Any, run: Any, family: str) -> None:
    for seed in range(3):
        drawn = case(family, seed, offset=True, weighted=seed == 2)
        built = drawn.build(61, merge=False)
        found, _, mode = run("value", built, drawn.x)
        assert bool(mode.converged)
        assert float(found) == pytest.approx(drawn.brute(), abs=1e-7)


@pytest.mark.parametrize(
    "family",
    [
        "bernoulli",
        pytest.param("nbinom2", marks=pytest.mark.slow),
        pytest.param("cumulative", marks=pytest.mark.slow),
    ],
)
@given(seed=seeds)
def test_vector_effects_against_a_grid(case: Any, run: Any, family: str, seed: int) -> None:
    drawn = case(family, seed, 2, sides=True)
    built = drawn.build(15, merge=False)
    assert float(run("value", built, drawn.x)[0]) == pytest.approx(drawn.brute(), abs=1e-6)


@pytest.mark.slow
def test_three_effects_against_a_grid(case: Any, run: Any) -> None:
    drawn = case("poisson", 3, 3, sizes=(2, 3))
    assert float(run("value", drawn.build(21), drawn.x)[0]) == pytest.approx(drawn.brute(7.0), abs=1e-6)


@pytest.mark.parametrize("n_agq", [1, 3])
@given(seed=seeds)
def test_gaussian_closed_form(case: Any, run: Any, n_agq: int, seed: int) -> None:
    drawn = case("gaussian", seed, 2)
    base, z, codes = drawn.design.base, drawn.Z, drawn.terms[0].codes
    shared = (codes[:, None] == codes[None, :]) * (z @ drawn.lam @ drawn.lam.T @ z.T)
    exact = stats.multivariate_normal.logpdf(base.y, base.X @ drawn.parts.beta, shared + np.diag(drawn.parts.phi**2))
    assert float(run("value", drawn.build(n_agq, merge=False), drawn.x)[0]) == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
@given(seed=seeds)
def test_one_node_is_laplace(case: Any, run: Any, family: str, seed: int) -> None:
    drawn = case(family, seed, 2)
    modes, value = _dense_laplace(drawn)
    built = drawn.build(1, merge=False)
    found, u, _ = run("value", built, drawn.x)
    assert float(found) == pytest.approx(value, rel=1e-11)
    np.testing.assert_allclose(built.restore.levels(u)["g"], modes, atol=1e-9)


def _dense_laplace(drawn: Any) -> tuple[Any, float]:
    """Modes (J, q) and Laplace's approximation from one dense problem in all of u, solved by SciPy."""
    base, codes, z = drawn.design.base, drawn.terms[0].codes, drawn.Z @ drawn.lam
    levels, q = len(drawn.terms[0].levels), drawn.Z.shape[1]
    full = np.zeros((base.y.size, levels, q))
    full[np.arange(base.y.size), codes] = z
    full = full.reshape(base.y.size, -1)
    fixed = base.X @ drawn.parts.beta
    poisson = drawn.design.family.name == "poisson"

    def mean(u: Any) -> Any:
        eta = fixed + full @ u
        return np.exp(eta) if poisson else 1.0 / (1.0 + np.exp(-eta))

    def loss(u: Any) -> float:
        density = stats.poisson if poisson else stats.bernoulli
        return float(-density.logpmf(base.y, mean(u)).sum() + u @ u / 2)

    def slope(u: Any) -> Any:
        return -full.T @ (base.y - mean(u)) + u

    def curvature(u: Any) -> Any:
        mu = mean(u)
        return full.T @ ((mu if poisson else mu * (1 - mu))[:, None] * full) + np.eye(u.size)

    start = np.zeros(levels * q)
    u = optimize.minimize(loss, start, jac=slope, hess=curvature, method="trust-exact", options={"gtol": 1e-9}).x
    u = u - np.linalg.solve(curvature(u), slope(u))
    return u.reshape(levels, q), -loss(u) - 0.5 * float(np.linalg.slogdet(curvature(u))[1])


def test_one_quadrature_node_and_parts_change_nothing(case: Any, run: Any) -> None:
    drawn = case("poisson", 1, 2, sizes=(3, 11, 2, 3, 1, 3, 2, 9, 0, 3) * 3, weighted=True, offset=True)
    one = np.zeros((1, 2)), np.zeros(1)
    whole = run("first", drawn.build(1, merge=False), drawn.x)
    node = run("value", drawn.build(None, points=one, merge=False), drawn.x)
    assert float(node[0]) == pytest.approx(float(whole[0]), rel=1e-13)
    few = run("first", drawn.build(1, merge=False, part_rows=6), drawn.x)
    assert few[2].shape[0] > 2
    assert float(few[0]) == pytest.approx(float(whole[0]), rel=1e-13)
    np.testing.assert_allclose(few[1], whole[1], rtol=1e-10, atol=1e-10)


def test_unequal_groups_and_a_level_without_rows(case: Any, run: Any) -> None:
    drawn = case("bernoulli", 5, sizes=(3, 400, 2, 0, 1, 3, 70, 2))
    built = drawn.build(25, merge=False, part_rows=30)
    assert built.data.groups.owner is not None
    found, u, mode = run("value", built, drawn.x)
    assert bool(mode.converged)
    assert float(found) == pytest.approx(drawn.brute(), abs=1e-7)
    modes = built.restore.levels(u)["g"]
    for j in range(8):
        best = optimize.minimize_scalar(
            lambda v, j=j: 0.5 * v * v - float(drawn.log_integrand(j, np.array([v]))), bracket=(-1, 1), tol=1e-12
        )
        assert modes[j, 0] == pytest.approx(best.x, abs=1e-6)


def test_moments_and_covariances(case: Any, run: Any) -> None:
    from jmix import runtime

    drawn = case("bernoulli", 8, 2)
    built = drawn.build(21)
    u = run("value", built, drawn.x)[1]
    mean, cov = runtime.Program(built.approx.moments)(drawn.x, built.data, u)
    axis = np.linspace(-8, 8, 401)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    for j in range(5):
        logs = drawn.log_integrand(j, grid) + stats.norm.logpdf(grid).sum(axis=1)
        weight = np.exp(logs - logs.max())
        weight /= weight.sum()
        centre = weight @ grid
        np.testing.assert_allclose(built.restore.levels(mean)["g"][j], centre, atol=1e-7)
        spread = (grid - centre).T @ (weight[:, None] * (grid - centre))
        np.testing.assert_allclose(built.restore.blocks(cov)["g"][j], spread, atol=1e-7)
    laplace = drawn.build(1)
    root = runtime.Program(laplace.approx.moments)(drawn.x, laplace.data, u)[1]
    blocks = runtime.Program(laplace.approx.covariances)(drawn.x, laplace.data, u)
    own, scaled = laplace.restore.blocks(root)["g"], laplace.restore.blocks(blocks)["g"]
    np.testing.assert_allclose(scaled, drawn.lam @ own @ drawn.lam.T, atol=1e-12)


def test_quasi_monte_carlo_agrees(case: Any, run: Any) -> None:
    from jmix.numerics.quadrature import scrambling_error, sobol_normal

    drawn = case("poisson", 2, 2)
    exact = float(run("value", drawn.build(15, merge=False), drawn.x)[0])
    each = np.array(
        [float(run("value", drawn.build(points=sobol_normal(1024, 2, s), merge=False), drawn.x)[0]) for s in range(8)]
    )
    error = scrambling_error(each)
    assert 0 < error < 1e-3
    assert abs(each.mean() - exact) < 4 * error


def test_several_factors_are_refused(case: Any) -> None:
    from jmix.spec.covariance import CovarianceSpec, Term

    drawn = case("poisson", 2)
    drawn.spec = CovarianceSpec((Term("g", ("1",)), Term("h", ("1",))))
    with pytest.raises(ModelError, match="one grouping factor"):
        drawn.build(5)
