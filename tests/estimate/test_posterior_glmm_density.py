"""The posterior density of generalized mixed models against SciPy's densities, integrated on a dense grid.

Priors are scipy's, on the variables on which the user placed them; the Jacobian from the coordinates to those variables
is differenced numerically; each group's likelihood is integrated over its random intercept by the trapezoidal rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from jmix import runtime
from jmix.design_response import build_glmm_design
from jmix.estimate.glmm_density import coordinates, log_density, point
from jmix.estimate.glmm_warm_start import VALUE_AND_GRAD, build_density
from jmix.families import resolve_family
from jmix.models_glmm import GlmmModel

GROUPS, EACH, POINTS, STEP = 4, 5, 3, 1e-5
GRID = np.linspace(-9.0, 9.0, 2001)


def _rows() -> pd.DataFrame:
    rng = np.random.default_rng(12)
    g = np.repeat(np.arange(GROUPS), EACH)
    x = rng.normal(0.4, 1.0, g.size)
    eta = 0.3 + 0.5 * x + 0.7 * rng.normal(size=GROUPS)[g]
    data = pd.DataFrame({"g": g, "x": x, "o": rng.normal(0.0, 0.3, g.size)})
    data["yes"] = rng.binomial(1, expit(eta))
    data["m"], data["k"] = rng.binomial(5, expit(eta)), 5
    data["count"] = rng.poisson(np.exp(eta)) * rng.binomial(1, 0.8, g.size)
    data["size"] = rng.gamma(3.0, np.exp(eta) / 3.0)
    data["share"] = np.clip(rng.beta(3 * expit(eta), 3 * expit(-eta)), 0.01, 0.99)
    data["grade"] = pd.Categorical.from_codes(np.digitize(eta + rng.logistic(size=g.size), [-0.5, 1.0]), list("abc"))
    data["real"] = eta + rng.standard_t(4, g.size)
    return data


DATA = _rows()
Parts = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A model, its priors as the user writes them, and the same in scipy.

    ``logpdf`` gives the log density of the rows at linear predictors (n, G) from natural parameters; ``laws`` the
    scipy distribution of each variable, which ``variables`` gives from beta, sd and the others; flat where None.
    """

    formula: str
    family: str
    priors: dict[str, str]
    logpdf: Callable[[Any, Any, Parts], Any]
    laws: list[Any]
    variables: Callable[[Any, Any, Parts], list[Any]] = lambda beta, sd, other: [*beta, sd]
    options: dict[str, Any] | None = None


def _column(name: str) -> np.ndarray:
    return DATA[name].to_numpy(dtype=float)[:, None]


def _zip(y: Any, eta: Any, other: Parts) -> Any:
    pi = other["zi"]
    return np.log(pi * (y == 0) + (1 - pi) * stats.poisson(np.exp(eta)).pmf(y))


def _ordinal(y: Any, eta: Any, other: Parts) -> Any:
    ends = np.concatenate([[-np.inf], other["tau"], [np.inf]])
    codes = y[:, 0].astype(int)
    with np.errstate(divide="ignore"):
        return np.log(expit(ends[codes + 1][:, None] - eta) - expit(ends[codes][:, None] - eta))


MEAN = float(DATA.x.mean())
WIDE, T3 = stats.norm(0, 3), stats.t(3, 0, 2.5)
FIXED = {"b": "normal(0, 3)", "b_(Intercept)": "normal(0, 3)"}
CASES = {
    "bernoulli, gamma on precision": Case(
        "yes ~ x + (1 | g)",
        "bernoulli",
        {"b": "normal(0, 3)", "Intercept": "student_t(3, 0, 2.5)", "sd": "gamma(2, 0.7) on precision"},
        lambda y, eta, other: stats.bernoulli(expit(eta)).logpmf(y),
        [T3, WIDE, stats.gamma(2, scale=1 / 0.7)],
        lambda beta, sd, other: [beta[0] + MEAN * beta[1], beta[1], sd**-2],
    ),
    "binomial, probit": Case(
        "cbind(m, k - m) ~ x + (1 | g)",
        "binomial(probit)",
        FIXED | {"sd": "exponential(1)"},
        lambda y, eta, other: stats.binom(5, stats.norm.cdf(eta)).logpmf(y),
        [WIDE, WIDE, stats.expon()],
    ),
    "negative binomial": Case(
        "count ~ x + offset(o) + (1 | g)",
        "nbinom2",
        FIXED | {"sd": "half_normal(1)", "shape": "gamma(2, 0.5)"},
        lambda y, eta, other: stats.nbinom(other["phi"], other["phi"] / (other["phi"] + np.exp(eta))).logpmf(y),
        [WIDE, WIDE, stats.halfnorm(), stats.gamma(2, scale=2)],
        lambda beta, sd, other: [*beta, sd, other["phi"]],
    ),
    "gamma, whose shape is 1/phi": Case(
        "size ~ x + (1 | g)",
        "gamma(log)",
        FIXED | {"sd": "half_normal(1)", "shape": "gamma(2, 0.5)"},
        lambda y, eta, other: stats.gamma(1 / other["phi"], scale=np.exp(eta) * other["phi"]).logpdf(y),
        [WIDE, WIDE, stats.halfnorm(), stats.gamma(2, scale=2)],
        lambda beta, sd, other: [*beta, sd, 1 / other["phi"]],
    ),
    "gamma with a formula for the shape": Case(
        "size ~ x + (1 | g)",
        "gamma(log)",
        FIXED | {"sd": "half_normal(1)", "Intercept_shape": "normal(0.5, 1)", "shape_x": "normal(0, 0.5)"},
        lambda y, eta, other: stats.gamma(1 / other["phi"], scale=np.exp(eta) * other["phi"]).logpdf(y),
        [WIDE, WIDE, stats.halfnorm(), stats.norm(0.5, 1), stats.norm(0, 0.5)],
        lambda beta, sd, other: [*beta, sd, -other["disp"][0] - MEAN * other["disp"][1], -other["disp"][1]],
        {"disp": "~ x"},
    ),
    "beta": Case(
        "share ~ x + (1 | g)",
        "beta",
        FIXED | {"sd": "half_normal(1)", "phi": "lognormal(1, 1)"},
        lambda y, eta, other: stats.beta(expit(eta) * other["phi"], expit(-eta) * other["phi"]).logpdf(y),
        [WIDE, WIDE, stats.halfnorm(), stats.lognorm(1, scale=np.exp(1))],
        lambda beta, sd, other: [*beta, sd, other["phi"]],
    ),
    "zero-inflated Poisson": Case(
        "count ~ x + (1 | g)",
        "poisson",
        FIXED | {"sd": "half_normal(1)", "zi": "beta(2, 3)"},
        _zip,
        [WIDE, WIDE, stats.halfnorm(), stats.beta(2, 3)],
        lambda beta, sd, other: [*beta, sd, other["zi"][0, 0]],
        {"zi": "~ 1"},
    ),
    "zero inflation with a formula": Case(
        "count ~ x + (1 | g)",
        "poisson",
        FIXED | {"sd": "half_normal(1)", "b_zi": "normal(0, 1)"},
        _zip,
        [WIDE, WIDE, stats.halfnorm(), stats.logistic(), stats.norm()],
        lambda beta, sd, other: [*beta, sd, other["gamma"][0] + MEAN * other["gamma"][1], other["gamma"][1]],
        {"zi": "~ x"},
    ),
    "ordered categories": Case(
        "grade ~ x + (1 | g)",
        "cumulative",
        {"b": "normal(0, 3)", "sd": "half_normal(1)", "Intercept[2]": "normal(1, 2)"},
        _ordinal,
        [WIDE, stats.halfnorm(), T3, stats.norm(1, 2)],
        lambda beta, sd, other: [*beta, sd, *(other["tau"] - MEAN * beta[0])],
    ),
    "Student-t": Case(
        "real ~ x + (1 | g)",
        "student",
        FIXED | {"sd": "half_normal(1)", "sigma": "inv_gamma(2, 2) on variance", "nu": "gamma(2, 0.1)"},
        lambda y, eta, other: stats.t(other["nu"], eta, other["phi"]).logpdf(y),
        [WIDE, WIDE, stats.halfnorm(), stats.invgamma(2, scale=2), stats.gamma(2, scale=10)],
        lambda beta, sd, other: [*beta, sd, other["phi"][0, 0] ** 2, other["nu"]],
    ),
}


def _points(zs: Any, data: Any, plan: Any) -> Any:
    return jax.vmap(lambda z: point(z, data, plan))(zs)


def _densities(zs: Any, data: Any, plan: Any) -> Any:
    both = jax.vmap(lambda z: jax.value_and_grad(log_density)(z, data, plan))(zs)
    return *both, jax.vmap(lambda z: log_density(z, data, plan, False))(zs)


_POINTS = runtime.Program(_points, static=("plan",))
_DENSITIES = runtime.Program(_densities, static=("plan",))


class Twin:
    """The definition of a model, evaluated at natural parameters."""

    def __init__(self, case: Case, model: GlmmModel) -> None:
        self.case, self.model = case, model
        self.y = model.design.response.y[:, None]

    def other(self, at: Any, i: int) -> Parts:
        design, out = self.model.design, {}
        if design.disp is not None:
            out |= {"disp": at.disp[i], "phi": np.exp(design.disp.X @ at.disp[i])[:, None]}
        if design.zi is not None:
            out |= {"gamma": at.zi[i], "zi": expit(design.zi.X @ at.zi[i])[:, None]}
        return out | {"tau": at.tau[i], "nu": None if at.nu is None else at.nu[i]}

    def variables(self, at: Any, i: int) -> np.ndarray:
        sd = at.chols[0][i, 0, 0]
        return np.array([float(np.ravel(v)[0]) for v in self.case.variables(at.beta[i], sd, self.other(at, i))])

    def log_likelihood(self, at: Any, i: int) -> float:
        design, sd = self.model.design, at.chols[0][i, 0, 0]
        eta = (design.base.X @ at.beta[i])[:, None] + sd * GRID[None]
        if design.base.offset is not None:
            eta = eta + design.base.offset[:, None]
        rows = self.case.logpdf(self.y, eta, self.other(at, i))
        by_group = np.stack([rows[DATA.g == g].sum(axis=0) for g in range(GROUPS)])
        return float(np.log(np.trapezoid(np.exp(by_group) * stats.norm.pdf(GRID), GRID, axis=1)).sum())

    def log_prior(self, at: Any, i: int) -> float:
        return float(sum(law.logpdf(v) for law, v in zip(self.case.laws, self.variables(at, i), strict=True)))


@dataclass(frozen=True)
class Evaluated:
    """Random points, each followed by its neighbours for central differences, and what jmix gives there."""

    twin: Twin
    zs: np.ndarray
    at: Any
    value: np.ndarray
    gradient: np.ndarray
    without: np.ndarray
    back: np.ndarray
    other_route: list[tuple[float, np.ndarray]]

    @property
    def first(self) -> range:
        return range(0, len(self.zs), len(self.zs) // POINTS)


SLOW = ("binomial, probit", "gamma with a formula for the shape", "beta", "zero-inflated Poisson")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in CASES]
)
def evaluated(request: pytest.FixtureRequest) -> Evaluated:
    case = CASES[request.param]
    design = build_glmm_design(case.formula, DATA, resolve_family(case.family), **(case.options or {}))
    model = GlmmModel(design, given_priors=case.priors)
    objective = model.objective(61)
    density = build_density(objective, model.priors)
    dim = density.plan.dim
    rng = np.random.default_rng(3)
    centres = density.first + rng.normal(0.0, 0.6, (POINTS, dim))
    steps = np.concatenate([np.zeros((1, dim)), *([[e], [-e]] for e in STEP * np.eye(dim))], axis=None)
    zs = (centres[:, None] + steps.reshape(-1, dim)[None]).reshape(-1, dim)
    value, gradient, without = (np.asarray(v) for v in _DENSITIES(zs, density.data, plan=density.plan))
    at = jax.tree.map(np.asarray, _POINTS(zs, density.data, plan=density.plan))
    first = range(0, len(zs), 2 * dim + 1)
    back = [coordinates(model.priors, density.bases, objective.split(at.x[i]), [c[i] for c in at.chols]) for i in first]
    route = [VALUE_AND_GRAD(zs[i], density.data, plan=density.plan, jacobian=True)[:2] for i in first]
    other = [(float(v), np.asarray(g)) for v, g in route]
    return Evaluated(Twin(case, model), zs, at, value, gradient, without, np.array(back), other)


def _log_det(evaluated: Evaluated) -> np.ndarray:
    """(POINTS,) log absolute determinant of the map from z to the variables of the priors."""
    values = np.stack([evaluated.twin.variables(evaluated.at, i) for i in range(len(evaluated.zs))])
    by_point = values.reshape(POINTS, -1, values.shape[1])
    return np.linalg.slogdet((by_point[:, 1::2] - by_point[:, 2::2]) / (2 * STEP))[1]


def _same_up_to_a_constant(a: np.ndarray, b: np.ndarray) -> None:
    assert np.ptp(a) > 0.3, "the points are too close to tell two densities apart"
    np.testing.assert_allclose(a - a[0], b - b[0], atol=2e-6, rtol=1e-7)


def test_the_density_of_the_coordinates_is_the_textbook_one(evaluated: Evaluated) -> None:
    twin, at = evaluated.twin, evaluated.at
    expected = [twin.log_likelihood(at, i) + twin.log_prior(at, i) for i in evaluated.first]
    _same_up_to_a_constant(evaluated.value[list(evaluated.first)], np.array(expected) + _log_det(evaluated))


def test_the_gradient_is_that_of_the_value_by_both_routes(evaluated: Evaluated) -> None:
    value = evaluated.value.reshape(POINTS, -1)
    numeric = (value[:, 1::2] - value[:, 2::2]) / (2 * STEP)
    exact = evaluated.gradient[list(evaluated.first)]
    np.testing.assert_allclose(exact, numeric, rtol=2e-6, atol=2e-5)
    for (own, slope), i in zip(evaluated.other_route, evaluated.first, strict=True):
        assert own == pytest.approx(evaluated.value[i], rel=1e-10)
        np.testing.assert_allclose(slope, evaluated.gradient[i], rtol=1e-8, atol=1e-8)


def test_coordinates_invert(evaluated: Evaluated) -> None:
    np.testing.assert_allclose(evaluated.back, evaluated.zs[list(evaluated.first)], rtol=1e-6, atol=1e-8)
