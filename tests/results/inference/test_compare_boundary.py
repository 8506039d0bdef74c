"""Nestedness of random terms, and the mixtures of chi-squared distributions on the boundary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jmix
from jmix.design import Design, RandomTerm, build_design
from jmix.results.fit import Fit
from jmix.results.inference.comparing.boundary import NullLaw, null_law
from jmix.results.inference.comparing.boundary_cone import cone_weights, orthant_weights
from jmix.results.inference.comparing.boundary_information import cone_information
from jmix.results.inference.comparing.compare_checks import nesting_of
from jmix.results.inference.comparing.lrt_nested import random_nested
from jmix.spec.covariance import CovarianceSpec, Term


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(12), 8)
    frame = pd.DataFrame({"g": g.astype(str), "h": (g // 3).astype(str), "x": rng.normal(size=96) + 1.0})
    frame["f"] = np.tile(["a", "b", "c", "a"], 24)
    b = rng.normal(size=(12, 2))
    return frame.assign(y=frame["x"] + b[g, 0] + 0.3 * b[g, 1] * frame["x"] + rng.normal(size=96))


def random(data: pd.DataFrame, text: str) -> tuple[RandomTerm, ...]:
    return build_design(f"y ~ x + {text}", data).terms


@pytest.mark.parametrize(
    ("small", "big", "gone"),
    [
        ("(1 | g)", "(x | g)", [1]),
        ("(0 + x | g)", "(x | g)", [1]),
        ("(x || g)", "(x | g)", [0]),
        ("(I(2 * x - 3) | g)", "(x | g)", [0]),
        ("(1 | g)", "(x + f | g)", [3]),
        ("(1 | g)", "(1 | g) + (1 | h)", [0, 1]),
        ("(1 | h/g)", "(1 | g) + (1 | h)", [0, 0]),
        ("(1 | g) + (1 | g:f)", "(0 + f | g)", [0]),
        ("(1 | g)", "(f | g)", [2]),
        ("(x | g)", "(x || g)", None),
        ("(1 | g)", "(1 | h)", None),
        ("(0 + x | g)", "(1 | g)", None),
        ("(1 | g:f)", "(0 + x | g)", None),
    ],
)
def test_nesting_of_random_terms(data: pd.DataFrame, small: str, big: str, gone: list[int] | None) -> None:
    cases = random_nested(random(data, small), random(data, big))
    assert (None if cases is None else sorted(case.n_gone for case in cases)) == gone


def test_weights_of_orthants() -> None:
    np.testing.assert_allclose(orthant_weights(np.eye(3)), [1 / 8, 3 / 8, 3 / 8, 1 / 8])
    np.testing.assert_allclose(orthant_weights(np.array([[4.0, 3.0], [3.0, 9.0]])), [1 / 3, 1 / 2, 1 / 6], atol=1e-12)
    rho = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, -0.3], [0.2, -0.3, 1.0]])
    covariance = np.linalg.inv(rho)
    # the share of the whole cone and of its polar are orthant probabilities, known in closed form for three dimensions
    whole = _positive_orthant(covariance)
    polar = _positive_orthant(rho)
    weights = orthant_weights(rho)
    assert weights[3] == pytest.approx(whole, abs=0.004) and weights[0] == pytest.approx(polar, abs=0.004)
    assert weights[0] + weights[2] == pytest.approx(0.5, abs=0.006)


def _positive_orthant(covariance: np.ndarray) -> float:
    sd = np.sqrt(np.diag(covariance))
    r = covariance / np.outer(sd, sd)
    return float(1 / 8 + (np.arcsin(r[0, 1]) + np.arcsin(r[0, 2]) + np.arcsin(r[1, 2])) / (4 * np.pi))


def test_weights_of_two_by_two_matrices() -> None:
    """Positive semidefinite (2, 2) matrices are a circular cone of 45 degrees: weights 2 - r, r, r, 2 - r, over 4."""
    root = np.sqrt(2.0)
    weights = cone_weights(np.diag([1.0, 2.0, 1.0]), [2])
    np.testing.assert_allclose(weights, np.array([2 - root, root, root, 2 - root]) / 4, atol=0.015)
    both = np.convolve([2 - root, root, root, 2 - root], [0.5, 0.5]) / 4
    np.testing.assert_allclose(cone_weights(np.diag([1.0, 2.0, 1.0, 3.0]), [2, 1]), both, atol=0.015)


def test_the_mixture_of_one_variance() -> None:
    law = NullLaw(1, np.array([0.5, 0.5]))
    assert law.p_value(3.0) == pytest.approx(0.5 * stats.chi2.sf(3.0, 1) + 0.5 * stats.chi2.sf(3.0, 2), rel=1e-12)
    assert NullLaw(0, np.array([0.5, 0.5])).p_value(0.0) == 1.0
    assert np.isnan(NullLaw(1, np.ones(1)).p_value(float("nan")))


def test_information_against_dense_matrices(data: pd.DataFrame) -> None:
    """``tr(P V_i P V_j)`` from n x n matrices, the other parameters taken out by a Schur complement."""
    weighted = data.assign(w=np.linspace(0.5, 2.0, 96))
    small = jmix.lmm("y ~ x + (1 | h)", weighted, weights="w")
    big = _larger(small, build_design("y ~ x + (x | g) + (1 | h)", weighted, weights="w"))
    nesting = nesting_of(small, big)
    assert nesting is not None and not isinstance(nesting, str)
    got = cone_information(small, big, nesting.cases)
    W, X = np.diag(1 / weighted["w"].to_numpy()), small.design.X
    g, h = (np.equal.outer(weighted[c].to_numpy(), weighted[c].unique()).astype(float) for c in "gh")
    x = weighted["x"].to_numpy()
    slope = g * x[:, None]
    V = W + small.theta_values[0] ** 2 * h @ h.T
    inverse = np.linalg.inv(V)
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    gone = [g @ g.T, g @ slope.T + slope @ g.T, slope @ slope.T]
    parts = [P @ v for v in [*gone, W, h @ h.T]]
    full = np.array([[np.sum(a * b.T) for b in parts] for a in parts])
    want = full[:3, :3] - full[:3, 3:] @ np.linalg.solve(full[3:, 3:], full[3:, :3])
    # the basis of the vanished directions is orthonormal, not the user's: compare what does not depend on it
    turn = nesting.cases[[t.group for t in big.terms].index("g")].gone
    pairs = [(0, 0), (1, 0), (1, 1)]
    units = [turn[:, [a]] @ turn[:, [b]].T for a, b in pairs]
    change = np.array([[(u + u.T)[i, j] * (0.5 if a == b else 1.0) for i, j in [(0, 0), (1, 0), (1, 1)]]
                       for u, (a, b) in zip(units, pairs, strict=True)])  # fmt: skip
    np.testing.assert_allclose(got, change @ want @ change.T, rtol=1e-8)


def _larger(small: Fit, design: Design) -> Fit:
    """A fit in name only: the larger model's terms are all that its information needs."""
    spec = CovarianceSpec(tuple(Term(t.group, tuple(t.names)) for t in design.terms))
    return replace(small, design=design, terms=design.terms, spec=spec)


@pytest.mark.slow
@pytest.mark.parametrize(("small", "big"), [("", "(x | g)"), ("", "(1 | h/g)"), ("(1 | g)", "(x | g)")])
def test_p_values_are_uniform_under_the_null_hypothesis(small: str, big: str) -> None:
    """Two thousand data sets: the mixture's p-values reject as often as they say, the naive ones too seldom."""
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(150), 6)
    frame = pd.DataFrame({"g": g.astype(str), "h": (g // 5).astype(str), "x": rng.normal(size=900) + 0.8})
    Y = rng.normal(size=(900, 2000)) + (rng.normal(size=(150, 2000))[g] if small else 0.0)
    frame["y"] = Y[:, 0]
    fit = jmix.lmm(f"y ~ x + {big}", frame)
    null = jmix.lmm(f"y ~ x + {small}", frame) if small else jmix.model("y ~ x", frame).fit("reml")
    nesting = nesting_of(null, fit)
    assert nesting is not None and not isinstance(nesting, str)
    law = null_law(null, fit, nesting)
    less = null.refit(Y).loglik.to_numpy() if small else np.array([null.refit(y).loglik for y in Y.T])
    statistic = 2 * (fit.refit(Y).loglik.to_numpy() - less)
    p = np.array([law.p_value(max(t, 0.0)) for t in statistic])
    naive = stats.chi2.sf(np.maximum(statistic, 0.0), fit.npar - null.npar)
    for level in (0.1, 0.05):
        assert abs(np.mean(p <= level) - level) < 3.5 * np.sqrt(level * (1 - level) / 2000)
        assert np.mean(naive <= level) < level - 2 * np.sqrt(level * (1 - level) / 2000)
