"""Importance sampling of the exact likelihood against brute-force integration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jmix import runtime
from jmix.design import Design, RandomTerm
from jmix.design_response import GlmmDesign, Response
from jmix.errors import ModelError
from jmix.families import resolve_family
from jmix.likelihood import implicit
from jmix.likelihood.importance import chain_rules, log_ratios, summarise, tail_points
from jmix.likelihood.importance_fit import build_sampled
from jmix.likelihood.importance_run import importance
from jmix.likelihood.laplace import build_laplace
from jmix.spec.covariance import CovarianceSpec, Term

Array = Any

RATIOS = runtime.Program(
    lambda x, data, u, tails, rules, approx: log_ratios(approx, x, data, u, tails, rules, 4), static=("approx",)
)
FIRST = runtime.Program(lambda x, data, u, approx: implicit.value_and_grad(approx, x, data, u), static=("approx",))
HESSIAN = runtime.Program(lambda x, data, u, approx: implicit.hessian(approx, x, data, u), static=("approx",))
MODE = runtime.Program(lambda x, data, u, approx: approx.find_mode(x, data, u)[0], static=("approx",))

POINTS, STEP = np.linspace(-8, 8, 65, retstep=True)
MASS = STEP * np.exp(-(POINTS**2) / 2) / np.sqrt(2 * np.pi)
"""Trapezoidal rule for the standard normal: its error falls faster than any power of the step."""


def make_design(
    family: str, codes: dict[str, Array], seed: int, slope: str = ""
) -> tuple[GlmmDesign, CovarianceSpec, Array, Array, Array]:
    """A design with intercepts by each grouping factor, its specification, eta of the fixed part, y and predictor."""
    rng = np.random.default_rng(seed)
    n = next(iter(codes.values())).size
    column, ones = rng.normal(size=n), np.ones(n)
    fixed = 0.3 + 0.5 * column
    eta = fixed + sum(rng.normal(size=int(c.max()) + 1)[c] for c in codes.values())
    if family == "gaussian":
        y = eta + rng.normal(size=n)
    else:
        y = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
    terms = []
    for group, c in codes.items():
        names, columns = ["(Intercept)"], (ones,)
        if group == slope:
            names, columns = ["(Intercept)", "x"], (ones, column)
        levels = [str(k) for k in range(int(c.max()) + 1)]
        terms.append(RandomTerm(group, levels, c.astype(np.int32), names, columns))
    base = Design(
        formula="",
        y=y,
        y_name="y",
        X=np.asfortranarray(np.column_stack([ones, column])),
        x_names=["(Intercept)", "x"],
        dropped=(),
        random=tuple(terms),
        weights=None,
        offset=None,
        n_missing=0,
        index=np.arange(n),
        encoding=None,
    )
    design = GlmmDesign(base, resolve_family(family), Response(y, None, ()), None, None, None)
    spec = CovarianceSpec(tuple(Term(t.group, tuple(t.names)) for t in base.terms))
    return design, spec, fixed, y, column


def make(family: str, codes: dict[str, Array], seed: int, slope: str = "") -> tuple[Any, Array, Array, Array]:
    """The Laplace approximation of such a design, eta of the fixed part, y and predictor."""
    design, spec, *rest = make_design(family, codes, seed, slope)
    return build_laplace(design, spec, design.base.terms), *rest


def bernoulli(y: Array, eta: Array) -> Array:
    return -np.logaddexp(0.0, np.where(y > 0, -eta, eta))


def by_level(rows: Array, codes: Array) -> Array:
    """Sums over rows, the last axis, of each level."""
    return np.stack([rows[..., codes == k].sum(axis=-1) for k in range(int(codes.max()) + 1)], axis=-1)


def log_mean(values: Array, axis: int) -> Array:
    """Log of the integral over one standard normal, whose values lie on an axis."""
    shape = [1] * values.ndim
    shape[axis] = -1
    return np.log(np.sum(np.exp(values) * MASS.reshape(shape), axis=axis))


def test_crossed_effects_agree_with_a_grid() -> None:
    i = np.arange(36)
    codes = {"a": i % 6, "d": (i // 2 + i // 18) % 2}
    (approx, data, _), fixed, y, _ = make("bernoulli", codes, 1)
    x = np.array([0.3, 0.5, 1.4, 0.9])
    got = importance(approx, x, data, n_points=256)
    # the two effects of d on a grid; given these, each level of a is one integral
    total = np.zeros((POINTS.size, POINTS.size))
    for j in range(6):
        rows = codes["a"] == j
        eta = fixed[rows] + 1.4 * POINTS[:, None]
        left = bernoulli(y[rows], eta + 0.9 * POINTS[:, None, None])[..., codes["d"][rows] == 0].sum(axis=-1)
        right = bernoulli(y[rows], eta + 0.9 * POINTS[:, None, None])[..., codes["d"][rows] == 1].sum(axis=-1)
        total += log_mean(left[:, None] + right[None], axis=-1)
    exact = float(log_mean(log_mean(total, 0), 0))
    assert got.warning == "" and got.effective > 0.5
    assert got.se < 2e-3
    assert abs(got.loglik - exact) < 4 * got.se + 1e-6
    assert abs(got.laplace - exact) > 0.05


def test_nested_effects_agree_with_a_grid() -> None:
    i = np.arange(48)
    codes = {"b": i // 4, "a": i // 16}
    (approx, data, _), fixed, y, _ = make("bernoulli", codes, 2)
    x = np.array([0.3, 0.5, 0.8, 1.3])
    got = importance(approx, x, data, nodes=25)
    eta = fixed + 0.8 * POINTS[:, None] + 1.3 * POINTS[:, None, None]
    inner = log_mean(by_level(bernoulli(y, eta), codes["b"]), axis=-2)
    exact = float(log_mean(by_level(inner, np.arange(12) // 4), axis=-2).sum())
    assert got.draws == 1 and got.se == 0.0 and got.nodes == (25, 25)
    assert abs(got.loglik - exact) < 1e-7
    default = importance(approx, x, data)
    assert abs(default.loglik - exact) < 1e-4 < abs(got.laplace - exact)


def test_slopes_of_one_factor_agree_with_a_grid() -> None:
    codes = {"a": np.arange(40) // 5}
    (approx, data, _), fixed, y, column = make("bernoulli", codes, 3, slope="a")
    x = np.array([0.3, 0.5, 1.1, -0.4, 0.7])
    got = importance(approx, x, data, nodes=25)
    first, second = POINTS[:, None, None], POINTS[None, :, None]
    eta = fixed + 1.1 * first + (-0.4 * first + 0.7 * second) * column
    values = by_level(bernoulli(y, eta), codes["a"])
    exact = float(log_mean(log_mean(values, 1), 0).sum())
    assert abs(got.loglik - exact) < 1e-6


@pytest.mark.slow
def test_a_gaussian_response_leaves_nothing_to_sample(near: Any) -> None:
    i = np.arange(60)
    codes = {"b": i // 3, "a": i // 12, "d": i % 7, "e": (i * 3 + i // 7) % 5}
    (approx, data, _), *_ = make("gaussian", codes, 4, slope="d")
    x = np.array([0.3, 0.5, 1.0, 0.7, 0.2, 0.4, 0.0, 1.2, -0.1])[: approx.plan.size]
    x = np.pad(x, (0, approx.plan.size - x.size))
    u = MODE(x, data, tuple(np.zeros(s) for s in approx.sizes), approx=approx)
    size = sum(q * j for q, j in approx.sizes[2:])
    tails = np.random.default_rng(0).normal(size=(6, size))
    near(RATIOS(x, data, u, tails, chain_rules(approx, 2, 3), approx=approx), np.zeros(6), 1e-8)


def test_points_of_the_tail_integrate_normal_moments() -> None:
    points, logs = tail_points(2048, 3, 0)
    weights = np.exp(logs) / logs.size
    assert points.shape == (2048, 3)
    assert abs(weights.sum() - 1) < 1e-3
    np.testing.assert_allclose((points * weights[:, None]).T @ points, np.eye(3), atol=0.02)
    with pytest.raises(ModelError, match="30000 crossed"):
        tail_points(8, 30_000, 0)


def test_the_summary_is_the_log_of_a_mean_with_its_error() -> None:
    weights = np.exp(np.random.default_rng(1).normal(size=(5, 16)))
    out = summarise(-7.0, np.log(weights) + 900.0, (3,))
    assert np.isclose(out.loglik, -7.0 + 900.0 + np.log(weights.mean()))
    assert np.isclose(out.se, weights.mean(axis=1).std(ddof=1) / np.sqrt(5) / weights.mean())
    assert np.isclose(out.effective, weights.sum() ** 2 / (weights**2).sum() / 80)
    assert out.warning == "" and out.draws == 80
    poor = summarise(0.0, np.append(np.zeros(99), 12.0)[None], (3,))
    assert "not reliable" in poor.warning


def test_sparse_crossings_are_called_unreliable() -> None:
    rng = np.random.default_rng(5)
    codes = {"a": rng.permutation(np.arange(240) % 80), "d": rng.permutation(np.arange(240) % 79)}
    (approx, data, _), *_ = make("bernoulli", codes, 5)
    assert "not reliable" in importance(approx, np.array([0.3, 0.5, 2.5, 2.5]), data, n_points=32).warning


def test_too_many_nodes_are_refused() -> None:
    codes = {"c": np.arange(48) // 2, "b": np.arange(48) // 4, "a": np.arange(48) // 16}
    (approx, _, _), *_ = make("bernoulli", codes, 2, slope="b")
    with pytest.raises(ModelError, match=r"15 nodes for each of 4 random effects"):
        chain_rules(approx, 3, 15)
    assert np.prod([len(rule.nodes) for rule in chain_rules(approx, 3)]) <= 256


@pytest.mark.slow
def test_the_simulated_likelihood_has_exact_derivatives(near: Any) -> None:
    i = np.arange(36)
    codes = {"a": i // 4, "d": (i // 2 + i // 18) % 2}
    design, spec = make_design("bernoulli", codes, 6)[:2]
    approx, data, _ = build_sampled(design, spec, design.base.terms, n_points=16, seed=3, nodes=3)
    x, zeros = np.array([0.3, 0.5, 1.1, 0.9]), tuple(np.zeros(s) for s in approx.sizes)
    value, gradient, u, _ = FIRST(x, data, zeros, approx=approx)
    plain = build_laplace(design, spec, design.base.terms)
    same = importance(plain[0], x, plain[1], n_points=16, replications=1, nodes=3, seed=3)
    near(value, same.loglik, 1e-10)
    step, slopes, curvature = 1e-4, [], []
    for unit in np.eye(x.size):
        at = [FIRST(x + k * step * unit, data, u, approx=approx) for k in (1, -1, 2, -2)]
        f, g = [float(a[0]) for a in at], [np.asarray(a[1]) for a in at]
        slopes.append((8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * step))
        curvature.append((8 * (g[0] - g[1]) - (g[2] - g[3])) / (12 * step))
    near(gradient, np.array(slopes), 1e-8)
    near(HESSIAN(x, data, u, approx=approx), np.array(curvature), 1e-7)
