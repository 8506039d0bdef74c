"""The Laplace approximation against dense linear algebra, for every structure and family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from jmix import runtime
from jmix.datasets import load_data
from jmix.design import Design
from jmix.design_response import GlmmDesign, Response, build_glmm_design
from jmix.errors import ModelError
from jmix.families import Family, resolve_family
from jmix.likelihood import implicit
from jmix.likelihood.adaptive_build import build_adaptive
from jmix.likelihood.laplace import Laplace, build_laplace
from jmix.spec.covariance import CovarianceSpec, Term

Array = Any

VALUE_AND_GRAD = runtime.Program(
    lambda x, data, u, approx: implicit.value_and_grad(approx, x, data, u), static=("approx",)
)
VALUE = runtime.Program(lambda x, data, u, approx: implicit.value(approx, x, data, u), static=("approx",))
HESSIAN = runtime.Program(lambda x, data, u, approx: implicit.hessian(approx, x, data, u), static=("approx",))
COVARIANCES = runtime.Program(lambda x, data, u, approx: approx.covariances(x, data, u), static=("approx",))
SOLVE = runtime.Program(lambda x, data, u, rhs, approx: approx.solve(x, data, u, rhs), static=("approx",))
JOINT = runtime.Program(lambda x, data, u, approx: approx.joint(x, data, u), static=("approx",))


def logistic(eta: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-eta))


def bernoulli(y: Array, size: Array, eta: Array, phi: Array, tau: Array, nu: float) -> Array:
    mu = logistic(eta)
    return np.where(y > 0, np.log(mu), np.log(1.0 - mu))


def binomial_cloglog(y: Array, size: Array, eta: Array, phi: Array, tau: Array, nu: float) -> Array:
    mu = 1.0 - np.exp(-np.exp(eta))
    return np.log(special.comb(size, y)) + y * np.log(mu) - (size - y) * np.exp(eta)


def poisson(y: Array, size: Array, eta: Array, phi: Array, tau: Array, nu: float) -> Array:
    return y * eta - np.exp(eta) - special.gammaln(y + 1)


def nbinom2(y: Array, size: Array, eta: Array, phi: Array, tau: Array, nu: float) -> Array:
    mu = np.exp(eta)
    constant = special.gammaln(y + phi) - special.gammaln(phi) - special.gammaln(y + 1)
    return constant + phi * np.log(phi / (mu + phi)) + y * np.log(mu / (mu + phi))


def student(y: Array, size: Array, eta: Array, phi: Array, tau: Array, nu: float) -> Array:
    constant = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - np.log(nu * np.pi) / 2 - np.log(phi)
    return constant - (nu + 1) / 2 * np.log(1 + ((y - eta) / phi) ** 2 / nu)


def gamma_log(y: Array, size: Array, eta: Array, phi: Array, tau: Array, nu: float) -> Array:
    shape = 1.0 / phi
    rate = shape / np.exp(eta)
    return shape * np.log(rate) - special.gammaln(shape) + (shape - 1) * np.log(y) - rate * y


def beta(y: Array, size: Array, eta: Array, phi: Array, tau: Array, nu: float) -> Array:
    a, b = logistic(eta) * phi, (1.0 - logistic(eta)) * phi
    norm = special.loggamma(phi) - special.loggamma(a) - special.loggamma(b)
    return norm + (a - 1) * np.log(y) + (b - 1) * np.log(1 - y)


def cumulative(y: Array, size: Array, eta: Array, phi: Array, tau: Array, nu: float) -> Array:
    edges = np.concatenate([[-40.0], tau, [40.0]])
    code = y.astype(int)
    return np.log(logistic(edges[code + 1] - eta) - logistic(edges[code] - eta))


FAMILIES: dict[str, tuple[Family, Callable[..., Array]]] = {
    "bernoulli": (resolve_family("bernoulli"), bernoulli),
    "binomial": (resolve_family("binomial", "cloglog"), binomial_cloglog),
    "poisson": (resolve_family("poisson"), poisson),
    "nbinom2": (resolve_family("nbinom2"), nbinom2),
    "student": (resolve_family("student"), student),
    "gamma": (resolve_family("gamma", "log"), gamma_log),
    "beta": (resolve_family("beta"), beta),
    "cumulative": (replace(resolve_family("cumulative"), n_categories=4), cumulative),
}


def response(name: str, eta: Array, rng: np.random.Generator) -> Response:
    """Data not far from those of the family with a linear predictor eta."""
    n, mu = eta.size, logistic(eta)
    size = None
    if name == "bernoulli":
        y = (rng.random(n) < mu).astype(float)
    elif name == "binomial":
        size = rng.integers(1, 9, n).astype(float)
        y = rng.binomial(size.astype(int), 1 - np.exp(-np.exp(eta))).astype(float)
    elif name in ("poisson", "nbinom2"):
        y = rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, n)).astype(float)
    elif name == "student":
        y = eta + rng.standard_t(3, n)
    elif name == "gamma":
        y = np.exp(eta) * rng.gamma(2.0, 0.5, n)
    elif name == "beta":
        y = np.clip(rng.beta(5 * mu, 5 * (1 - mu)), 0.01, 0.99)
    elif name == "cumulative":
        y = np.digitize(eta + rng.logistic(size=n), [-1.0, 0.0, 1.0]).astype(float)
    else:
        y = eta + rng.normal(size=n)
    return Response(y, size, ())


def scaled(base: Design) -> Design:
    """Slopes of unit size: a Poisson mean of exp(30) tests nothing."""

    def unit(column: Array) -> Array:
        return column / max(1.0, float(np.max(np.abs(column))))

    terms = tuple(replace(t, columns=tuple(unit(c) for c in t.columns)) for t in base.random)
    x = np.asfortranarray(np.column_stack([unit(c) for c in base.X.T]))
    return replace(base, X=x, random=terms, weights=None)


class Problem:
    """A design with a response of one family, and parameters x away from the optimum."""

    def __init__(self, case: Any, structure: str, name: str, seed: int, weighted: bool = False) -> None:
        drawn = case(structure, seed, offset=True)
        rng = drawn.rng
        self.base = scaled(drawn.model.design)
        self.model = SimpleNamespace(design=self.base, terms=self.base.terms, spec=drawn.model.spec)
        family = resolve_family("gaussian") if name == "gaussian" else FAMILIES[name][0]
        beta, theta = 0.5 * rng.normal(size=2), 0.7 * rng.normal(size=drawn.model.spec.n_theta)
        if rng.random() < 0.3:
            theta[0] = 0.0
        parts = [beta, theta]
        self.phi = np.exp(0.3 * rng.normal()) if family.has_dispersion else None
        parts += [[np.log(self.phi)]] if self.phi else []
        self.tau, self.nu = np.array([-1.0, 0.2, 1.1]), 4.0
        parts += [[-1.0, np.log(1.2), np.log(0.9)]] if name == "cumulative" else []
        parts += [[np.log(self.nu - 1)]] if name == "student" else []
        self.x, self.theta, self.rng = np.concatenate(parts), theta, rng
        offset = 0.0 if self.base.offset is None else self.base.offset
        self.fixed = self.base.X @ beta + offset
        self.response = response(name, self.fixed + 0.7 * rng.normal(size=self.fixed.size), rng)
        self.weights = rng.integers(0, 4, self.fixed.size).astype(float) if weighted else None
        self.design = GlmmDesign(self.base, family, self.response, self.weights, None, None)
        self.density = None if name == "gaussian" else FAMILIES[name][1]
        self.approx, self.data, self.restore = build_laplace(self.design, self.model.spec, self.base.terms)

    def rows(self, eta: Array) -> Array:
        assert self.density is not None
        out = self.density(self.response.y, self.response.size, eta, self.phi, self.tau, self.nu)
        return out if self.weights is None else self.weights * out

    def slope(self, eta: Array) -> Array:
        """Complex step."""
        return np.imag(self.rows(eta + 1e-30j)) / 1e-30

    def curvature(self, eta: Array) -> Array:
        """W, by a difference of fourth order of complex steps."""
        s, h = self.slope, 1e-3
        return -(8 * (s(eta + h) - s(eta - h)) - (s(eta + 2 * h) - s(eta - 2 * h))) / (12 * h)

    def start(self) -> Any:
        return tuple(np.zeros(size) for size in self.approx.sizes)

    def value(self, u: Any = None) -> Any:
        return VALUE(self.x, self.data, self.start() if u is None else u, approx=self.approx)

    def evaluate(self, x: Array, u: Any = None) -> Any:
        return VALUE_AND_GRAD(x, self.data, self.start() if u is None else u, approx=self.approx)


def dense_laplace(problem: Problem, twin: Any) -> SimpleNamespace:
    """Mode by damped Newton steps in full matrices, and the approximation there."""
    z, lam = twin.random_effects(problem.model, problem.theta)
    zl = z @ lam
    u = np.zeros(zl.shape[1])

    def h(v: Array) -> float:
        return float(np.sum(problem.rows(problem.fixed + zl @ v)) - v @ v / 2)

    for _ in range(200):
        eta = problem.fixed + zl @ u
        gradient = zl.T @ problem.slope(eta) - u
        m = np.eye(u.size) + zl.T @ (problem.curvature(eta)[:, None] * zl)
        if np.linalg.eigvalsh(m)[0] <= 1e-6:
            m = np.eye(u.size) + zl.T @ (np.abs(problem.curvature(eta))[:, None] * zl)
        step, size = np.linalg.solve(m, gradient), 1.0
        while h(u + size * step) < h(u) - 1e-11 and size > 1e-8:
            size /= 2
        u = u + size * step
        if gradient @ step < 1e-22:
            break
    eta = problem.fixed + zl @ u
    m = np.eye(u.size) + zl.T @ (problem.curvature(eta)[:, None] * zl)
    sign, logdet = np.linalg.slogdet(m)
    assert sign > 0
    value = h(u) - logdet / 2
    return SimpleNamespace(value=value, u=u, m=m, lam=lam, zl=zl, h=h)


def by_group(problem: Problem, values: Array) -> dict[str, Array]:
    """A vector over terms, level-major within a term, as (J, q) by grouping factor."""
    out: dict[str, list[Array]] = {}
    start = 0
    for term in problem.model.terms:
        q, j = len(term.names), len(term.levels)
        out.setdefault(term.group, []).append(values[start : start + q * j].reshape(j, q))
        start += q * j
    return {group: np.concatenate(parts, axis=1) for group, parts in out.items()}


@given(seed=st.integers(0, 2**32 - 1))
def test_gaussian_is_the_multivariate_normal(structure: str, case: Any, near: Any, twin: Any, seed: int) -> None:
    problem = Problem(case, structure, "gaussian", seed)
    z, lam = twin.random_effects(problem.model, problem.theta)
    cov = (z @ lam) @ (z @ lam).T + problem.phi**2 * np.eye(problem.fixed.size)
    value, u, mode = problem.value()
    expected = stats.multivariate_normal.logpdf(problem.response.y, problem.fixed, cov)
    near(value, expected, 1e-10)
    assert bool(mode.converged) and int(mode.iterations) <= 4
    residual = problem.response.y - problem.fixed
    modes = by_group(problem, (z @ lam).T @ np.linalg.solve(cov, residual))
    for group, values in problem.restore.levels(u).items():
        near(values, modes[group], 1e-9)


@pytest.mark.parametrize(
    ("structure", "name"),
    [
        ("crossed vectors", "bernoulli"),
        *(pytest.param("crossed vectors", name, marks=pytest.mark.slow) for name in FAMILIES if name != "bernoulli"),
        pytest.param("nested vectors", "student", marks=pytest.mark.slow),
        pytest.param("nested and crossed", "poisson", marks=pytest.mark.slow),
    ],
)
@given(seed=st.integers(0, 2**32 - 1), weighted=st.booleans())
def test_equals_dense_laplace(
    structure: str, name: str, case: Any, near: Any, twin: Any, seed: int, weighted: bool
) -> None:
    problem = Problem(case, structure, name, seed, weighted)
    dense = dense_laplace(problem, twin)
    value, u, mode = problem.value()
    assert bool(mode.converged)
    near(value, dense.value, 1e-8)
    expected = by_group(problem, dense.u)
    for group, values in problem.restore.levels(u).items():
        near(values, expected[group], 1e-7)
    if name not in ("bernoulli", "student", "poisson"):
        return
    full = dense.lam @ np.linalg.inv(dense.m) @ dense.lam.T
    own = problem.restore.blocks(COVARIANCES(problem.x, problem.data, u, approx=problem.approx))
    start = 0
    for term in problem.model.terms:
        q, j = len(term.names), len(term.levels)
        if own[term.group].shape[1] == q:
            blocks = full[start : start + q * j, start : start + q * j].reshape(j, q, j, q)
            near(own[term.group], np.einsum("jajb->jab", blocks), 1e-8)
        start += q * j


@pytest.mark.parametrize(
    ("structure", "name"),
    [
        ("slope", "student"),
        pytest.param("nested vectors", "cumulative", marks=pytest.mark.slow),
        pytest.param("three crossed", "nbinom2", marks=pytest.mark.slow),
    ],
)
def test_derivatives_are_those_of_differences(structure: str, name: str, case: Any, near: Any) -> None:
    problem = Problem(case, structure, name, 11)
    _, gradient, u, _ = problem.evaluate(problem.x)
    hessian = HESSIAN(problem.x, problem.data, u, approx=problem.approx)
    step = 1e-4
    values, slopes = [], []
    for unit in np.eye(problem.x.size):
        at = [problem.evaluate(problem.x + k * step * unit, u) for k in (1, -1, 2, -2)]
        f, g = [float(a[0]) for a in at], [np.asarray(a[1]) for a in at]
        values.append((8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * step))
        slopes.append((8 * (g[0] - g[1]) - (g[2] - g[3])) / (12 * step))
    near(gradient, np.array(values), 1e-8)
    near(hessian, np.array(slopes), 1e-7)


@pytest.mark.parametrize(
    ("structure", "name"),
    [("crossed", "poisson"), pytest.param("crossed vectors", "student", marks=pytest.mark.slow)],
)
def test_conjugate_gradients_equal_elimination(structure: str, name: str, case: Any, near: Any) -> None:
    problem = Problem(case, structure, name, 5)
    iterative = replace(problem.approx, iterative=True)
    value, gradient, u, mode = problem.evaluate(problem.x)
    other = VALUE_AND_GRAD(problem.x, problem.data, problem.start(), approx=iterative)
    assert bool(mode.converged) and bool(other[3].converged)
    near(other[0], value, 1e-11)
    near(other[1], gradient, 1e-9)
    rhs = tuple(problem.rng.normal(size=size) for size in problem.approx.sizes)
    direct = SOLVE(problem.x, problem.data, u, rhs, approx=problem.approx)
    for a, b in zip(SOLVE(problem.x, problem.data, u, rhs, approx=iterative), direct, strict=True):
        near(a, b, 1e-10)


def test_solve_inverts_the_negative_hessian_of_joint(case: Any, near: Any, twin: Any) -> None:
    problem = Problem(case, "nested and crossed", "poisson", 2)
    dense = dense_laplace(problem, twin)
    u = problem.value()[1]
    near(JOINT(problem.x, problem.data, u, approx=problem.approx), dense.h(dense.u), 1e-9)
    rhs = problem.rng.normal(size=dense.u.size)
    inner = problem.restore.internal(by_group(problem, rhs))
    solved = problem.restore.levels(SOLVE(problem.x, problem.data, u, inner, approx=problem.approx))
    for group, values in by_group(problem, np.linalg.solve(dense.m, rhs)).items():
        near(solved[group], values, 1e-8)


def test_one_factor_equals_quadrature_with_one_node(case: Any, near: Any) -> None:
    problem = Problem(case, "terms of one factor", "nbinom2", 4, weighted=True)
    approx, data, restore = build_adaptive(problem.design, problem.model.spec, problem.base.terms, 1)
    with runtime.float64():
        start = approx.start(data)
    other, u, _ = VALUE(problem.x, data, start, approx=approx)
    value, own, _ = problem.value()
    near(value, other, 1e-10)
    for group, modes in restore.levels(u).items():
        near(problem.restore.levels(own)[group], modes, 1e-8)


def test_verbal_aggression_agrees_with_lme4() -> None:
    """The log likelihood at the estimates of glmer 1.1: shared/reference/glmm.json."""
    data = load_data("VerbAgg")
    formula = "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)"
    design = build_glmm_design(formula, data, resolve_family("binomial"))
    spec = CovarianceSpec(tuple(Term(t.group, tuple(t.names)) for t in design.terms))
    approx, arrays, _ = build_laplace(design, spec, design.terms)
    assert design.base.x_names[1:3] == ["Anger", "GenderM"]
    beta = [0.199049476394989, 0.057429956695581, 0.320710434446602]
    beta += [-1.0587991578397, -2.1054009570824, -1.05546366906205]
    x = np.array([*beta, 1.33970910622663, 0.49530404636762])
    u = tuple(np.zeros(size) for size in approx.sizes)
    value, gradient, u, _ = VALUE_AND_GRAD(x, arrays, u, approx=approx)
    assert abs(float(value) - -4075.69985987293) < 1e-7
    assert np.max(np.abs(gradient)) < 2e-3
    moved = VALUE_AND_GRAD(1.01 * x, arrays, u, approx=approx)[3]
    assert bool(moved.converged) and int(moved.iterations) <= 4


def test_warm_start_and_bad_start_find_the_same_mode(case: Any, near: Any) -> None:
    problem = Problem(case, "crossed vectors", "poisson", 8)
    value, u, _ = problem.value()
    again = problem.value(u)
    assert int(again[2].iterations) == 1
    near(again[0], value, 1e-12)
    for far in (30.0, 1e4, np.nan):
        out = problem.value(tuple(np.full(size, far) for size in problem.approx.sizes))
        assert bool(out[2].converged), far
        near(out[0], value, 1e-10)


def test_a_design_without_random_terms_is_refused(case: Any) -> None:
    problem = Problem(case, "one factor", "poisson", 1)
    with pytest.raises(ModelError, match="random term"):
        build_laplace(problem.design, problem.model.spec, ())


def test_programs_are_shared_between_equal_shapes(case: Any) -> None:
    first, second = (Problem(case, "crossed", "poisson", seed).approx for seed in (1, 2))
    assert first == second and hash(first) == hash(second) and isinstance(first, Laplace)
