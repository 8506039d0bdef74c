"""Random designs of every structure, and the dense textbook twin that they are checked against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings

from jmix.design import Design, RandomTerm
from jmix.models import Model

Array = npt.NDArray[Any]

settings.register_profile(
    "jmix", deadline=None, derandomize=True, max_examples=6, suppress_health_check=list(HealthCheck), database=None
)
settings.load_profile("jmix")

SLOPES = ("x", "z", "u", "v", "s", "t")

STRUCTURES: dict[str, tuple[tuple[str, str], ...]] = {
    "one factor": (("a", "1"),),
    "slope": (("a", "1 x"),),
    "slope only": (("a", "x"),),
    "q = 3": (("a", "1 x z"),),
    "q = 6": (("a", "1 x z u v s"),),
    "q = 7": (("a", "1 x z u v s t"),),
    "double bar": (("a", "1"), ("a", "x")),
    "terms of one factor": (("a", "1 x"), ("a", "z"), ("a", "u v")),
    "nested": (("a:b", "1"), ("a", "1")),
    "nested vectors": (("a:b", "1 x"), ("a", "1 z u")),
    "nested three deep": (("a:b:c", "1"), ("a:b", "1 x"), ("a", "1")),
    "crossed": (("d", "1"), ("e", "1")),
    "crossed vectors": (("d", "1 x"), ("e", "1 z")),
    "crossed, double bar": (("d", "1"), ("d", "x"), ("e", "1 z")),
    "three crossed": (("a", "1"), ("d", "1 x"), ("e", "1")),
    "nested and crossed": (("a:b:c", "1 x"), ("a:b", "1"), ("a", "1 z"), ("d", "1 x"), ("e", "1")),
}
"""Grouping factor and columns of each term; ``a:b:c`` in ``a:b`` in ``a``, all of them crossed with ``d`` and ``e``."""

N = 60


def group_codes() -> dict[str, Array]:
    """(60,) levels of each row: 30, 16 and 6 nested levels of unequal size; 7 and 5 crossed."""
    i = np.arange(N)
    a = np.repeat(np.arange(6), (4, 6, 8, 12, 14, 16))
    b = a * 100 + (np.concatenate([np.arange(m) for m in (4, 6, 8, 12, 14, 16)]) // 4)
    return {
        "a": a,
        "a:b": np.unique(b, return_inverse=True)[1],
        "a:b:c": i // 2,
        "d": (i * 5 + i // 4) % 7,
        "e": (i * 3 + i // 7) % 5,
    }


@dataclass(frozen=True)
class Case:
    """A model of a random design with a random theta."""

    model: Model
    theta: Array
    rng: np.random.Generator = field(repr=False)

    @property
    def phi(self) -> Array:
        return self.model.objective.to_phi @ self.theta


def random_columns(rng: np.random.Generator) -> dict[str, Array]:
    """Predictors of unlike origins and scales; a third of them only -1 and 1, so that sums cancel exactly."""
    out = {"1": np.ones(N)}
    for name in SLOPES:
        if rng.random() < 1 / 3:
            out[name] = np.where(np.arange(N) % 2 == 0, -1.0, 1.0) * np.where(rng.random(N) < 0.2, -1.0, 1.0)
        else:
            scale = 10.0 ** rng.uniform(-1, 1)
            out[name] = scale * (rng.normal(size=N) + rng.uniform(-2, 2))
    return out


def make_model(structure: str, seed: int, *, p: int = 2, weighted: bool = False, offset: bool = False) -> Model:
    """A model whose array shapes depend on ``structure`` and ``p`` alone."""
    rng = np.random.default_rng(seed)
    columns, rows = random_columns(rng), rng.permutation(N)
    terms = []
    labels = {name: rng.permutation(int(codes.max()) + 1) for name, codes in group_codes().items()}
    for group, names in STRUCTURES[structure]:
        codes = labels[group][group_codes()[group]][rows].astype(np.int32)
        levels = [f"{group}{k}" for k in range(labels[group].size)]
        kept = names.split()
        terms.append(RandomTerm(group, levels, codes, kept, tuple(columns[c][rows] for c in kept)))
    x = np.asfortranarray(np.column_stack([columns[c][rows] for c in ("1", "x", "t")][:p] or [np.zeros((N, 0))]))
    y = 10.0 ** rng.uniform(-2, 2) * (rng.normal(size=N) + rng.uniform(-5, 5))
    design = Design(
        formula=structure,
        y=y,
        y_name="y",
        X=x,
        x_names=["(Intercept)", "x", "t"][:p],
        dropped=(),
        random=tuple(terms),
        weights=rng.uniform(0.2, 3.0, N) if weighted else None,
        offset=rng.normal(size=N) if offset else None,
        n_missing=0,
        index=np.arange(N),
        encoding=None,
    )
    return Model(design)


def make_case(structure: str, seed: int, **options: Any) -> Case:
    """A model with a theta that may have zeros, negative diagonals and large entries."""
    model = make_model(structure, seed, **options)
    rng = np.random.default_rng(seed + 1)
    phi = rng.normal(size=model.spec.n_theta) * rng.choice([0.3, 1.0, 4.0])
    phi[rng.random(phi.size) < 0.15] = 0.0
    return Case(model, model.objective.to_theta @ phi, rng)


def random_effects(model: Model, theta: Array) -> tuple[Array, Array]:
    """Z (n, Q) and Lambda (Q, Q) over all terms, level-major within a term."""
    z_parts, lam_parts = [], []
    start = 0
    for term in model.terms:
        q, j = len(term.names), len(term.levels)
        lam = np.zeros((q, q), dtype=theta.dtype)
        rows = [(r, c) for c in range(q) for r in range(c, q)]
        for (r, c), value in zip(rows, theta[start : start + len(rows)], strict=True):
            lam[r, c] = value
        start += len(rows)
        z = np.zeros((N, q * j))
        for k, column in enumerate(term.columns):
            z[np.arange(N), term.codes * q + k] = column
        z_parts.append(z)
        lam_parts.append(np.kron(np.eye(j), lam))
    size = sum(part.shape[0] for part in lam_parts)
    full, at = np.zeros((size, size), dtype=theta.dtype), 0
    for part in lam_parts:
        full[at : at + part.shape[0], at : at + part.shape[0]] = part
        at += part.shape[0]
    return np.concatenate(z_parts, axis=1), full


def dense(model: Model, theta: Array) -> SimpleNamespace:
    """V, log|V|, generalised least squares and its residual sum of squares, by the textbook; theta may be complex."""
    z, lam = random_effects(model, theta)
    design = model.design
    weights = np.ones(N) if design.weights is None else design.weights
    y = design.y if design.offset is None else design.y - design.offset
    v = np.diag(1.0 / weights) + (z @ lam) @ (z @ lam).T
    inverse_x, inverse_y = np.linalg.solve(v, design.X), np.linalg.solve(v, y)
    xvx = design.X.T @ inverse_x
    beta = np.linalg.solve(xvx, inverse_x.T @ y)
    residual = y - design.X @ beta
    rss = residual @ (inverse_y - inverse_x @ beta)
    return SimpleNamespace(v=v, logdet=_logdet(v), xvx=xvx, beta=beta, rss=rss, y=y)


def _logdet(matrix: Array) -> Any:
    sign, value = np.linalg.slogdet(matrix)
    return value + np.log(sign)


def criterion(model: Model, theta: Array, reml: bool) -> Any:
    """Profiled deviance or REML criterion (Bates et al. 2015, eq. 34 and 41) from V."""
    at = dense(model, theta)
    nu = N - model.design.X.shape[1] if reml else N
    out = nu * (1.0 + np.log(2.0 * np.pi * at.rss / nu)) + at.logdet
    return out + _logdet(at.xvx) if reml else out


def gradient(model: Model, theta: Array, reml: bool) -> Array:
    """Complex-step derivative of ``criterion``: exact to rounding (Squire & Trapp 1998, SIAM Rev. 40, 110-112)."""
    step = 1e-30
    units = np.eye(theta.size)
    return np.array([np.imag(criterion(model, theta + 1j * step * unit, reml)) / step for unit in units])


def hessian_times(model: Model, theta: Array, reml: bool, directions: Array) -> Array:
    """(k, m) Hessian times each column of ``directions``, by central differences of ``gradient``."""
    columns = []
    for direction in directions.T:
        step = 1e-5 * direction / max(1.0, float(np.abs(direction).max()))
        up, down = gradient(model, theta + step, reml), gradient(model, theta - step, reml)
        columns.append((up - down) * float(direction @ direction) / (2.0 * float(step @ direction)))
    return np.array(columns).T


def close(actual: Any, expected: Any, tolerance: float) -> None:
    """Largest error relative to the largest entry of ``expected`` (or to 1)."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    error = float(np.max(np.abs(actual - expected), initial=0.0)) / scale
    assert error < tolerance, (error, actual, expected)


@pytest.fixture(scope="session")
def twin() -> SimpleNamespace:
    """The textbook, functions of (model, theta, ...): ``criterion``, ``gradient``, ``hessian_times``, ``dense``, ..."""
    return SimpleNamespace(
        dense=dense, criterion=criterion, gradient=gradient, hessian_times=hessian_times, random_effects=random_effects
    )


@pytest.fixture(scope="session")
def case() -> Callable[..., Case]:
    """``case(structure, seed, p=2, weighted=False, offset=False)``: a random model with a random theta."""
    return make_case


@pytest.fixture(scope="session")
def near() -> Callable[[Any, Any, float], None]:
    """``near(actual, expected, tolerance)``."""
    return close


@pytest.fixture(scope="session", params=list(STRUCTURES))
def structure(request: pytest.FixtureRequest) -> str:
    """Every structure in turn."""
    return str(request.param)
