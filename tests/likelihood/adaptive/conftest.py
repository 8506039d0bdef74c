"""Small one-factor designs of every family, and their densities written once more with SciPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import integrate, special, stats

from jmix import runtime
from jmix.design import Design, RandomTerm
from jmix.design_response import GlmmDesign, Response, Side
from jmix.families import Family, resolve_family
from jmix.likelihood import implicit
from jmix.likelihood.adaptive_build import build_adaptive
from jmix.spec.covariance import CovarianceSpec, Term

Array = npt.NDArray[Any]

SIZES = (1, 4, 2, 6, 3)

FAMILIES: dict[str, Family] = {
    "bernoulli": resolve_family("bernoulli"),
    "probit": resolve_family("bernoulli", "probit"),
    "cloglog": resolve_family("binomial", "cloglog"),
    "binomial": resolve_family("binomial"),
    "poisson": resolve_family("poisson"),
    "nbinom2": resolve_family("nbinom2"),
    "nbinom1": resolve_family("nbinom1"),
    "gamma": resolve_family("gamma", "log"),
    "inverse gaussian": resolve_family("inverse_gaussian", "log"),
    "beta": resolve_family("beta"),
    "gaussian": resolve_family("gaussian"),
    "student": resolve_family("student"),
    "cumulative": replace(resolve_family("cumulative"), n_categories=4),
    "zero-inflated": resolve_family("poisson", zero="inflated"),
    "hurdle": resolve_family("nbinom2", zero="hurdle"),
}


@dataclass
class Case:
    """A design with parameters: X (n, p), Z (n, q), codes (n,), and x with its pieces."""

    design: GlmmDesign
    spec: CovarianceSpec
    terms: tuple[RandomTerm, ...]
    x: Array
    Z: Array
    parts: SimpleNamespace

    @property
    def lam(self) -> Array:
        return self.spec.split(self.parts.theta)[0]

    def build(self, n_agq: int | None = 1, **options: Any) -> Any:
        approx, data, restore = build_adaptive(self.design, self.spec, self.terms, n_agq, **options)
        return SimpleNamespace(approx=approx, data=runtime.put(data), restore=restore)

    def log_integrand(self, j: int, u: Array) -> Array:
        """(...,) sum of the weighted log densities of level j at u (..., q), without the prior of u."""
        rows = np.flatnonzero(self.terms[0].codes == j)
        base, parts = self.design.base, self.parts
        eta = base.X[rows] @ parts.beta + (0.0 if base.offset is None else base.offset[rows])
        eta = eta + (u @ self.lam.T) @ self.Z[rows].T
        size = self.design.response.size
        density = log_density(
            self.design.family,
            base.y[rows],
            None if size is None else size[rows],
            eta,
            *(None if v is None else v[rows] for v in (parts.phi, parts.pi)),
            parts.tau,
            parts.nu,
        )
        weights = np.ones(rows.size) if self.design.weights is None else self.design.weights[rows]
        return density @ weights

    def brute(self, reach: float = 9.0) -> float:
        """The log likelihood by integration over each group's u on a grid or, for q = 1, by adaptive quadrature."""
        q = self.Z.shape[1]
        return sum(
            self._line(j, reach) if q == 1 else self._grid(j, reach, q) for j in range(len(self.terms[0].levels))
        )

    def _line(self, j: int, reach: float) -> float:
        def f(u: float) -> float:
            return float(np.exp(self.log_integrand(j, np.array([u])) - shift) * stats.norm.pdf(u))

        grid = np.linspace(-reach, reach, 2001)
        values = self.log_integrand(j, grid[:, None]) + stats.norm.logpdf(grid)
        top = int(np.argmax(values))
        shift = float(values[top])
        found = integrate.quad(f, -reach, reach, points=[grid[top]], limit=400, epsabs=0, epsrel=1e-11)[0]
        return float(np.log(found) + shift)

    def _grid(self, j: int, reach: float, q: int) -> float:
        count = {2: 601, 3: 121}[q]
        axis = np.linspace(-reach, reach, count)
        u = np.stack(np.meshgrid(*[axis] * q, indexing="ij"), axis=-1).reshape(-1, q)
        values = self.log_integrand(j, u) + stats.norm.logpdf(u).sum(axis=1)
        return float(special.logsumexp(values) + q * np.log(axis[1] - axis[0]))


def log_density(family: Family, y: Array, size: Any, eta: Array, phi: Any, pi: Any, tau: Any, nu: Any) -> Array:
    """Complete log densities from scipy.stats."""
    if family.zero:
        base = replace(family, zero="")
        own = log_density(base, y, size, eta, phi, None, tau, nu)
        at_zero = log_density(base, np.zeros_like(y), size, eta, phi, None, tau, nu)
        if family.zero == "inflated":
            return np.where(y == 0, np.log(pi + (1 - pi) * np.exp(at_zero)), np.log1p(-pi) + own)
        return np.where(y == 0, np.log(pi), np.log1p(-pi) + own - np.log1p(-np.exp(at_zero)))
    mu = {
        "logit": special.expit,
        "probit": stats.norm.cdf,
        "cloglog": lambda e: -np.expm1(-np.exp(e)),
        "log": np.exp,
        "identity": lambda e: e,
    }[family.link](eta)
    if family.name == "cumulative":
        edges = np.concatenate([[-np.inf], tau, [np.inf]])
        k = y.astype(int)
        return np.log(special.expit(edges[k + 1] - eta) - special.expit(edges[k] - eta))
    return {
        "bernoulli": lambda: stats.bernoulli.logpmf(y, mu),
        "binomial": lambda: stats.binom.logpmf(y, size, mu),
        "poisson": lambda: stats.poisson.logpmf(y, mu),
        "nbinom2": lambda: stats.nbinom.logpmf(y, phi, phi / (phi + mu)),
        "nbinom1": lambda: stats.nbinom.logpmf(y, mu / phi, 1 / (1 + phi)),
        "gamma": lambda: stats.gamma.logpdf(y, 1 / phi, scale=mu * phi),
        "inverse_gaussian": lambda: stats.invgauss.logpdf(y, mu * phi, scale=1 / phi),
        "beta": lambda: stats.beta.logpdf(y, mu * phi, (1 - mu) * phi),
        "gaussian": lambda: stats.norm.logpdf(y, mu, phi),
        "student": lambda: stats.t.logpdf(y, nu, mu, phi),
    }[family.name]()


def _draw(family: Family, rng: np.random.Generator, eta: Array, phi: Any) -> tuple[Array, Array | None]:
    """Responses (n,) and trials."""
    n = eta.size
    if family.name == "bernoulli":
        return (rng.random(n) < special.expit(eta)).astype(float), None
    if family.name == "binomial":
        size = rng.integers(1, 6, n)
        return rng.binomial(size, special.expit(eta)).astype(float), size.astype(float)
    if family.name in {"poisson", "nbinom1", "nbinom2"}:
        return rng.poisson(np.exp(eta)) * (rng.random(n) < 0.8) * 1.0, None
    if family.name in {"gamma", "inverse_gaussian"}:
        return rng.gamma(2.0, np.exp(eta) / 2.0) + 0.05, None
    if family.name == "beta":
        return rng.beta(2.0, 2.0, n), None
    if family.name == "cumulative":
        return rng.integers(0, family.n_categories, n).astype(float), None
    return eta + rng.standard_t(3, n), None


def _pieces(family: Family, rng: np.random.Generator, p: int, q: int, disp: Array, zi: Array) -> SimpleNamespace:
    """Random natural parameters and the flat x that stands for them."""
    out = SimpleNamespace(phi=None, pi=None, tau=None, nu=None, beta=rng.normal(size=p) * 0.5)
    lam = np.tril(rng.normal(size=(q, q)) * 0.5)
    lam[np.diag_indices(q)] = rng.uniform(0.4, 1.0, q)
    out.theta = lam.T[np.triu_indices(q)]
    x = [out.beta, out.theta]
    if family.has_dispersion:
        x.append(rng.normal(size=disp.shape[1]) * 0.3)
        out.phi = np.exp(disp @ x[-1])
    if family.zero:
        x.append(rng.normal(size=zi.shape[1]) * 0.5)
        out.pi = special.expit(zi @ x[-1])
    if family.n_thresholds:
        steps = rng.normal(size=family.n_thresholds) * 0.3
        x.append(np.concatenate([[-1.0], steps[1:]]))
        out.tau = np.cumsum(np.concatenate([[-1.0], np.exp(steps[1:])]))
    if family.has_shape:
        x.append(np.array([0.7]))
        out.nu = 1.0 + np.exp(0.7)
    return SimpleNamespace(x=np.concatenate(x), **vars(out))


def make_case(
    name: str,
    seed: int,
    q: int = 1,
    *,
    sizes: tuple[int, ...] = SIZES,
    weighted: bool = False,
    offset: bool = False,
    sides: bool = False,
) -> Case:
    """A random design of a family; ``sides`` gives dispersion and zeros a covariate of their own."""
    family, rng = FAMILIES[name], np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    codes = codes[rng.permutation(codes.size)].astype(np.int32)
    n = codes.size
    one, v = np.ones(n), rng.normal(size=n)
    x_matrix = v[:, None] if family.name == "cumulative" else np.stack([one, v], axis=1)
    z = np.stack([one, v, rng.normal(size=n)][:q], axis=1)
    side = np.stack([one, rng.normal(size=n)], axis=1) if sides else one[:, None]
    parts = _pieces(family, rng, x_matrix.shape[1], q, side, side)
    shift = rng.normal(size=n) * 0.3 if offset else None
    eta = x_matrix @ parts.beta + (0.0 if shift is None else shift) + z @ rng.normal(size=q) * 0.5
    y, size = _draw(family, rng, eta, parts.phi)
    names = ["(Intercept)", "v", "w"][:q]
    term = RandomTerm("g", [str(j) for j in range(len(sizes))], codes, names, tuple(z.T))
    base = Design("", y, "y", np.asfortranarray(x_matrix), [], (), (term,), None, shift, 0, None, None)
    response = Response(y, size, ())
    extra = Side(side, ["1", "s"][: side.shape[1]], "~ s", None)  # type: ignore[arg-type]
    design = GlmmDesign(
        base,
        family,
        response,
        rng.integers(1, 4, n).astype(float) if weighted else None,
        extra if family.has_dispersion else None,
        extra if family.zero else None,
    )
    return Case(design, CovarianceSpec((Term("g", tuple(names)),)), (term,), parts.x, z, parts)


def _value(x: Any, data: Any, u0: Any, approx: Any) -> Any:
    return implicit.value(approx, x, data, u0)


def _first(x: Any, data: Any, u0: Any, approx: Any) -> Any:
    return implicit.value_and_grad(approx, x, data, u0)


def _second(x: Any, data: Any, u: Any, approx: Any) -> Any:
    return implicit.hessian(approx, x, data, u)


_PROGRAMS = SimpleNamespace(
    value=runtime.Program(_value, static=("approx",)),
    first=runtime.Program(_first, static=("approx",)),
    second=runtime.Program(_second, static=("approx",)),
)


@pytest.fixture(scope="session")
def case() -> Callable[..., Case]:
    return make_case


@pytest.fixture(scope="session")
def run() -> Callable[..., Any]:
    """Run one of the programs ``value``, ``first`` and ``second`` from modes u (zeros by default)."""

    def call(program: str, built: Any, x: Array, u: Any = None) -> Any:
        if u is None:
            groups = built.data.groups.multiplicity.shape
            u = np.zeros((groups[0], built.approx.plan.layout[0].q, groups[1]))
        return getattr(_PROGRAMS, program)(x, built.data, u, approx=built.approx)

    return call
