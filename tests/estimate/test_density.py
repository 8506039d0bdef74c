"""The posterior density against one computed densely, by other libraries, from the definition of the model.

For each case the priors are scipy's, on the variables on which the user placed them; the Jacobian from the coordinates
to those variables is differenced numerically; the likelihood is the multivariate normal density of the response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
from scipy import stats

import jmix
from jmix import runtime
from jmix.estimate.density import coordinates, density_data, log_density, log_likelihood, make_plan, parameters

POINTS = 4
STEP = 1e-5


def _rows() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 30
    g = np.arange(n) // 6
    data = pd.DataFrame({"g": [f"g{i}" for i in g], "h": [f"h{i}" for i in rng.integers(0, 4, n)]})
    data["k"] = [f"k{i % 2}" for i in range(n)]
    for name in ("x", "w", "v"):
        data[name] = rng.normal(0.3, 1.2, n)
    data["y"] = 2.0 + 0.7 * data.x + rng.normal(size=5)[g] + rng.normal(size=n)
    data["wt"], data["off"] = rng.uniform(0.3, 3.0, n), rng.normal(size=n)
    return data


DATA = _rows()
NORMAL, T3 = stats.norm(0.5, 2.0), stats.t(3, 0.0, 2.5)
MATRIX = np.array([[1.5, 0.4], [0.4, 0.8]])
with runtime.float64():  # NumPyro keeps the numbers of a matrix in the precision in force when it is built
    WISHART, WISHART_WIDE = dist.Wishart(3.5, MATRIX), dist.Wishart(2.1, MATRIX)
    INVERSE = dist.InverseWishart(3.5, MATRIX)
    MIXTURE = dist.MixtureSameFamily(
        dist.Categorical(np.array([0.3, 0.7])), dist.Normal(np.array([-1.0, 1.0]), np.array([0.5, 2.0]))
    )


@dataclass(frozen=True)
class Own:
    """A scalar prior in scipy, on the parameter to a power: -2 is its precision, 2 its variance."""

    law: Any
    power: int = 1


@dataclass(frozen=True)
class Term:
    """Prior of a random term: of its SDs and an LKJ concentration, or of its covariance to a power of -1 or 1."""

    sds: Sequence[Own] = ()
    eta: float = 1.0
    law: Any = None
    power: int = 1


@dataclass(frozen=True)
class Case:
    """A model, its priors as the user writes them, and the same priors in scipy, by label of the random term."""

    formula: str
    given: dict[str, Any]
    coefficients: list[Any]
    terms: dict[str, Term]
    sigma: Own = Own(T3)
    centred: Any = None
    options: dict[str, str] = field(default_factory=dict)


def _sds(*laws: Own) -> Term:
    return Term(laws)


GAMMA = stats.gamma(2.0, scale=1 / 0.7)
FIX = {"b": "normal(0.5, 2)", "b_(Intercept)": "normal(0.5, sd=2)"}
HALF_T = {"sd": "student_t(3, 0, 2.5)", "sigma": "student_t(3, 0, 2.5)"}
BASE = FIX | HALF_T
ALONE = {"b_(Intercept)": FIX["b_(Intercept)"]} | HALF_T

CASES = {
    "weights and offset": Case(
        "y ~ x + (1 | g)",
        {"Intercept": "student_t(4, 1, 2)", "b": "laplace(0, 2)", "sd": "half_cauchy(2)", "sigma": "exponential(0.5)"},
        [None, stats.laplace(0, 2)],
        {"g": _sds(Own(stats.halfcauchy(scale=2)))},
        sigma=Own(stats.expon(scale=2)),
        centred=stats.t(4, 1, 2),
        options={"weights": "wt", "offset": "off"},
    ),
    "precision, variance, LKJ(2)": Case(
        "y ~ x + (x | g)",
        FIX
        | {
            "sd_g__Intercept": "gamma(2, 0.7) on precision",
            "sd_g__x": "gamma(2, 0.7) on variance",
            "cor": "lkj(2)",
            "sigma": "inv_gamma(2, 3) on variance",
        },
        [NORMAL, NORMAL],
        {"g": Term((Own(GAMMA, -2), Own(GAMMA, 2)), eta=2.0)},
        sigma=Own(stats.invgamma(2, scale=3), 2),
    ),
    "bounded coefficients": Case(
        "y ~ x + w + v + (1 | g)",
        HALF_T
        | {
            "b_(Intercept)": "normal(0.5, precision=0.25)",
            "b_x": "uniform(-3, 5)",
            "b_w": "half_student_t(3, 2.5)",
            "b_v": dist.RightTruncatedDistribution(dist.Normal(0.5, 2.0), 1.5),
        },
        [NORMAL, stats.uniform(-3, 8), T3, stats.truncnorm(-np.inf, 0.5, 0.5, 2.0)],
        {"g": _sds(Own(T3))},
    ),
    "mixture, flat, lognormal, interval": Case(
        "y ~ x + w + (1 | g)",
        {
            "Intercept": "normal(0.5, 2)",
            "b_x": MIXTURE,
            "sd": "lognormal(0, 1)",
            "sigma": "uniform(0.1, 20)",
        },
        [None, "mixture", None],
        {"g": _sds(Own(stats.lognorm(1.0)))},
        sigma=Own(stats.uniform(0.1, 19.9)),
        centred=NORMAL,
    ),
    "four columns, LKJ(0.5)": Case(
        "y ~ 1 + (x + w + v | g)",
        ALONE | {"cor": "lkj(0.5)", "sd_g__w": "weibull(1.5, 2)"},
        [NORMAL],
        {"g": Term((Own(T3), Own(T3), Own(stats.weibull_min(1.5, scale=2)), Own(T3)), eta=0.5)},
    ),
    "crossed": Case(
        "y ~ x + (x | g) + (1 | h) + (1 | k)",
        BASE | {"sd_h": "uniform(0, 9) on variance"},
        [NORMAL, NORMAL],
        {"g": _sds(Own(T3), Own(T3)), "h": _sds(Own(stats.uniform(0, 9), 2)), "k": _sds(Own(T3))},
        options={"weights": "wt"},
    ),
    "nested": Case(
        "y ~ 1 + (1 | g/k)",
        ALONE | {"sd_g": "cauchy(1, 2)"},
        [NORMAL],
        {"g": _sds(Own(stats.cauchy(1, 2))), "k:g": _sds(Own(T3))},
    ),
    "two terms of a factor": Case(
        "y ~ x + (1 | g) + (0 + x | g)",
        BASE | {"sd_g__x": "logistic(0, 1)"},
        [NORMAL, NORMAL],
        {"g": _sds(Own(T3)), "g.1": _sds(Own(stats.logistic(0, 1)))},
        options={"weights": "wt"},
    ),
    "no fixed effects": Case(
        "y ~ 0 + (x | g)", HALF_T | {"cor": dist.LKJ(2, 1.5)}, [], {"g": Term((Own(T3), Own(T3)), eta=1.5)}
    ),
    "Wisharts on covariances": Case(
        "y ~ x + (x | g) + (x | h)",
        FIX
        | {
            "sigma": "student_t(3, 0, 2.5)",
            "cov_g": WISHART,
            "cov_h": INVERSE,
        },
        [NORMAL, NORMAL],
        {"g": Term(law=stats.wishart(3.5, MATRIX)), "h": Term(law=stats.invwishart(3.5, MATRIX))},
    ),
    "Wisharts on precisions": Case(
        "y ~ x + (x | g) + (w | h)",
        FIX
        | {
            "sigma": "student_t(3, 0, 2.5)",
            "cov_g": jmix.prior(WISHART_WIDE, on="precision"),
            "cov_h": jmix.prior(INVERSE, on="precision"),
        },
        [NORMAL, NORMAL],
        {"g": Term(law=stats.wishart(2.1, MATRIX), power=-1), "h": Term(law=stats.invwishart(3.5, MATRIX), power=-1)},
    ),
    "Wisharts in words": Case(
        "y ~ x + (x + w | g) + (1 | h)",
        FIX
        | {
            "sigma": "student_t(3, 0, 2.5)",
            "cov_g": "wishart(4.5, 0.5) on precision",
            "cov_h": "inv_wishart(1.5, 2)",
        },
        [NORMAL, NORMAL],
        {
            "g": Term(law=stats.wishart(4.5, 0.5 * np.eye(3)), power=-1),
            "h": Term(law=stats.invwishart(1.5, 2 * np.eye(1))),
        },
    ),
}


# --- the same density by scipy ----------------------------------------------------------------------------------------
def _column(name: str) -> np.ndarray:
    return np.ones(len(DATA)) if name == "(Intercept)" else DATA[name].to_numpy()


def _labels(group: str) -> np.ndarray:
    parts = [DATA[name] for name in group.split(":")]
    return sum((p + "/" for p in parts[1:]), parts[0]).to_numpy()


class Twin:
    """The definition of a model, evaluated at natural parameters."""

    def __init__(self, case: Case, model: jmix.Model) -> None:
        self.case, self.spec = case, model.spec
        self.x = (
            np.stack([_column(n) for n in model.design.x_names], axis=1)
            if case.coefficients
            else np.zeros((len(DATA), 0))
        )
        self.terms = [case.terms[label] for label in model.spec.labels]

    def log_likelihood(self, beta: np.ndarray, chols: list[np.ndarray], sigma: float) -> float:
        options = self.case.options
        weights = DATA[options["weights"]].to_numpy() if "weights" in options else np.ones(len(DATA))
        offset = DATA[options["offset"]].to_numpy() if "offset" in options else np.zeros(len(DATA))
        v = np.diag(sigma**2 / weights)
        for term, chol in zip(self.spec.terms, chols, strict=True):
            z, level = np.stack([_column(n) for n in term.names], axis=1), _labels(term.group)
            v += (z @ chol @ chol.T @ z.T) * (level[:, None] == level[None])
        return float(stats.multivariate_normal(self.x @ beta + offset, v).logpdf(DATA.y))

    def variables(self, beta: np.ndarray, chols: list[np.ndarray], sigma: float, natural: bool = False) -> np.ndarray:
        """What the priors are densities of; or coefficients, SDs, correlations and sigma."""
        out = [*beta] if natural else [*self._centred(beta)]
        for term, chol in zip(self.terms, chols, strict=True):
            sd, correlation, omega = _decomposed(chol)
            if term.law is not None and not natural:
                out += [*_power(omega, term.power)[np.tril_indices(len(sd))]]
                continue
            powers = [1] * len(sd) if natural else [own.power for own in term.sds]
            out += [s**p for s, p in zip(sd, powers, strict=True)]
            out += [*correlation[np.tril_indices(len(sd), -1)]]
        return np.array([*out, sigma ** (1 if natural else self.case.sigma.power)])

    def _centred(self, beta: np.ndarray) -> np.ndarray:
        if self.case.centred is None:
            return beta
        return np.concatenate([[self.x.mean(axis=0) @ beta], beta[1:]])

    def log_prior(self, beta: np.ndarray, chols: list[np.ndarray], sigma: float) -> float:
        value = self.case.sigma.law.logpdf(sigma**self.case.sigma.power)
        value += 0.0 if self.case.centred is None else self.case.centred.logpdf(self._centred(beta)[0])
        value += sum(_scalar_logpdf(law, b) for law, b in zip(self.case.coefficients, beta, strict=True))
        for term, chol in zip(self.terms, chols, strict=True):
            sd, correlation, omega = _decomposed(chol)
            if term.law is not None:
                value += term.law.logpdf(_power(omega, term.power))
                continue
            value += sum(own.law.logpdf(s**own.power) for own, s in zip(term.sds, sd, strict=True))
            value += (term.eta - 1.0) * np.linalg.slogdet(correlation)[1]
        return float(value)


def _scalar_logpdf(law: Any, b: float) -> float:
    if law is None:
        return 0.0
    if law == "mixture":
        return float(np.log(0.3 * stats.norm(-1, 0.5).pdf(b) + 0.7 * stats.norm(1, 2.0).pdf(b)))
    return float(law.logpdf(b))


def _decomposed(chol: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    omega = chol @ chol.T
    sd = np.sqrt(np.diag(omega))
    return sd, omega / np.outer(sd, sd), omega


def _power(omega: np.ndarray, power: int) -> np.ndarray:
    return omega if power == 1 else np.linalg.inv(omega)


# --- jmix's -----------------------------------------------------------------------------------------------------------
def _evaluate(zs: Any, data: Any, plan: Any) -> Any:
    def value(z: Any) -> Any:
        at = parameters(z, data, plan)
        without = log_likelihood(at, data, plan.layout) + at.log_prior
        return without + at.log_jacobian, (without, at)

    return jax.vmap(jax.value_and_grad(value, has_aux=True))(zs)


_EVALUATE = runtime.Program(_evaluate, static=("plan",))


@dataclass(frozen=True)
class Evaluated:
    """Random points, each followed by its neighbours for central differences, and what jmix gives there."""

    twin: Twin
    zs: np.ndarray
    value: np.ndarray
    gradient: np.ndarray
    density: np.ndarray
    likelihood: np.ndarray
    natural: list[tuple[np.ndarray, list[np.ndarray], float]]
    back: np.ndarray

    def slope(self, values: np.ndarray) -> np.ndarray:
        """(POINTS, d, ...) central differences."""
        return (values[:, 1::2] - values[:, 2::2]) / (2.0 * STEP)

    def by_point(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(POINTS, -1, *values.shape[1:])


@pytest.fixture(scope="module", params=CASES)
def evaluated(request: pytest.FixtureRequest) -> Evaluated:
    case = CASES[request.param]
    model = jmix.model(case.formula, DATA, priors=case.given, **case.options)
    objective, priors = model.objective, model.priors
    plan, data = make_plan(objective, priors), runtime.put(density_data(objective, priors))
    rng = np.random.default_rng(8)
    centres = rng.normal(0.0, 0.7, (POINTS, plan.dim))
    steps = np.concatenate([np.zeros((1, plan.dim)), *([[e], [-e]] for e in STEP * np.eye(plan.dim))], axis=None)
    zs = (centres[:, None] + steps.reshape(-1, plan.dim)[None]).reshape(-1, plan.dim)
    (value, (density, at)), gradient = _EVALUATE(zs, data, plan=plan)
    natural = [
        (np.asarray(at.beta[i]), [np.asarray(c[i]) for c in at.chols], float(at.sigma[i])) for i in range(len(zs))
    ]
    back = np.stack([coordinates(priors, plan, objective, *natural[i]) for i in range(0, len(zs), 2 * plan.dim + 1)])
    numbers = [np.asarray(own) for own in (value, gradient, density, density - at.log_prior)]
    return Evaluated(Twin(case, model), zs, *numbers, natural, back)


def _log_det(evaluated: Evaluated, natural: bool) -> np.ndarray:
    """(POINTS,) log absolute determinant of the map from z to the variables."""
    at = np.stack([evaluated.twin.variables(*p, natural=natural) for p in evaluated.natural])
    return np.linalg.slogdet(evaluated.slope(evaluated.by_point(at)))[1]


def _expected(evaluated: Evaluated) -> np.ndarray:
    """(POINTS,) log likelihood plus log prior of the variables."""
    points = evaluated.natural[:: len(evaluated.natural) // POINTS]
    return np.array([evaluated.twin.log_likelihood(*p) + evaluated.twin.log_prior(*p) for p in points])


def _same_up_to_a_constant(a: np.ndarray, b: np.ndarray) -> None:
    assert np.ptp(a) > 1.0, "the points are too close to tell two densities apart"
    np.testing.assert_allclose(a - a[0], b - b[0], atol=2e-7, rtol=1e-8)


def test_the_density_of_the_coordinates_is_the_textbook_one(evaluated: Evaluated) -> None:
    ours = evaluated.by_point(evaluated.value)[:, 0]
    _same_up_to_a_constant(ours, _expected(evaluated) + _log_det(evaluated, natural=False))


def test_without_the_jacobian_it_is_the_density_of_the_natural_parameters(evaluated: Evaluated) -> None:
    ours = evaluated.by_point(evaluated.density)[:, 0]
    change = _log_det(evaluated, natural=False) - _log_det(evaluated, natural=True)
    _same_up_to_a_constant(ours, _expected(evaluated) + change)


def test_the_likelihood_has_its_constants(evaluated: Evaluated) -> None:
    """Leave-one-out comparisons and Bayes factors need them."""
    points = evaluated.natural[:: len(evaluated.natural) // POINTS]
    expected = [evaluated.twin.log_likelihood(*p) for p in points]
    np.testing.assert_allclose(evaluated.by_point(evaluated.likelihood)[:, 0], expected, rtol=1e-9)


def test_the_gradient_is_that_of_the_value(evaluated: Evaluated) -> None:
    ours = evaluated.by_point(evaluated.gradient)[:, 0]
    slopes = evaluated.slope(evaluated.by_point(evaluated.value))
    np.testing.assert_allclose(ours, slopes, rtol=1e-5, atol=1e-5 * np.abs(ours).max())


def test_coordinates_invert_the_map(evaluated: Evaluated) -> None:
    np.testing.assert_allclose(evaluated.back, evaluated.by_point(evaluated.zs)[:, 0], rtol=1e-7, atol=1e-7)


def _parts(z: Any, data: Any, plan: Any) -> Any:
    at = parameters(z, data, plan)
    both = log_density(z, data, plan), log_density(z, data, plan, jacobian=False)
    return both, log_likelihood(at, data, plan.layout) + at.log_prior, at.log_jacobian


def test_log_density_is_the_sum_of_its_parts() -> None:
    """The function that samplers and MAP call, with and without the Jacobian, is what the tests above add up."""
    model = jmix.model("y ~ 1 + (1 | g)", DATA, priors=ALONE)
    plan = make_plan(model.objective, model.priors)
    data = density_data(model.objective, model.priors)
    (full, density), expected, jacobian = runtime.Program(_parts, static=("plan",))(np.full(3, 0.3), data, plan=plan)
    assert float(density) == pytest.approx(float(expected), rel=1e-13)
    assert float(full) == pytest.approx(float(expected + jacobian), rel=1e-13)
    assert abs(float(jacobian)) > 0.1
