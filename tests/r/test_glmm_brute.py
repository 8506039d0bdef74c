"""Fits by quadrature that no R program of Debian's makes, against brute-force integration.

At jmix's estimates the brute-force log likelihood is the same, its gradient vanishes, and its curvature gives the same
standard errors.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import brute
import glmm_data

import jmix


class Case(NamedTuple):
    """A model for both sides: the density and columns for brute force, formula and options for jmix."""

    formula: str
    data: str
    family: str
    nodes: int
    density: brute.Density
    y: str
    fixed: str = "x"
    slopes: str = ""
    group: str = "g"
    options: dict[str, Any] = {}
    disp: str | None = None
    zi: str | None = None
    diagonal: bool = False
    n_tau: int = 0


CASES = {
    "bernoulli, slope": Case("y ~ x + (1 + x | g)", "binary", "bernoulli", 15, brute.bernoulli, "y", slopes="x"),
    "bernoulli, slope apart": Case(
        "y ~ x + (x || g)", "binary", "bernoulli", 15, brute.bernoulli, "y", slopes="x", diagonal=True
    ),
    "cloglog": Case(
        "rare ~ x + (1 | g)", "binary", "bernoulli", 25, brute.cloglog, "rare", options={"link": "cloglog"}
    ),
    "poisson, slope": Case(
        "poisson ~ x + (1 + x | g)", "counts", "poisson", 9, brute.poisson, "poisson", slopes="x"
    ),
    "nbinom2, slope": Case("nb2 ~ x + (1 + x | g)", "counts", "nbinom2", 9, brute.nbinom2, "nb2", slopes="x", disp=""),
    "nbinom1": Case("nb1 ~ x + (1 | g)", "counts", "nbinom1", 15, brute.nbinom1, "nb1", disp=""),
    "zero-inflated": Case(
        "zip ~ x + (1 | g)", "counts", "poisson", 15, brute.inflated(brute.poisson), "zip", zi="z",
        options={"zi": "~ z"},
    ),
    "hurdle": Case(
        "hurdle ~ x + (1 | g)", "counts", "nbinom2", 15, brute.hurdle(brute.nbinom2), "hurdle", disp="", zi="",
        options={"hurdle": "~ 1"},
    ),
    "gamma, slope": Case(
        "gamma ~ x + (1 + x | g)", "positive", "gamma", 9, brute.gamma, "gamma", slopes="x", disp="",
        options={"link": "log"},
    ),
    "inverse gaussian": Case(
        "wald ~ x + (1 | g)", "positive", "inverse_gaussian", 40, brute.inverse_gaussian, "wald", disp="z",
        options={"link": "log", "disp": "~ z"},
    ),
    "beta": Case("beta_disp ~ x + (1 | g)", "positive", "beta", 15, brute.beta, "beta_disp", disp="z",
                 options={"disp": "~ z"}),
    "student": Case("heavy ~ x + (1 | g)", "positive", "student", 25, brute.student, "heavy", disp=""),
    "gaussian, slope": Case(
        "real ~ x + (1 + x | g)", "positive", "gaussian", 1, brute.gaussian, "real", slopes="x", disp="z",
        options={"disp": "~ z"},
    ),
    "ordinal, slope": Case(
        "grade ~ x + (1 + x | a)", "crossed", "cumulative", 11, brute.cumulative, "grade", slopes="x", group="a",
        n_tau=3,
    ),
}  # fmt: skip
QUICK = {"bernoulli, slope", "zero-inflated", "inverse gaussian", "ordinal, slope"}
"""Run by default; the others with ``-m slow`` or ``-m ""``."""

NAMES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]


@cache
def twin(name: str) -> brute.Brute:
    case = CASES[name]
    frame = glmm_data.data(case.data)

    def columns(names: str, intercept: bool = True) -> Any:
        return np.column_stack([*([np.ones(len(frame))] if intercept else []), *(frame[c] for c in names.split())])

    y = frame[case.y].cat.codes if case.n_tau else frame[case.y]
    return brute.Brute(
        case.density,
        y.to_numpy(float),
        columns(case.fixed, intercept=not case.n_tau),
        columns(case.slopes),
        np.unique(frame[case.group], return_inverse=True)[1],
        *(None if names is None else columns(names) for names in (case.disp, case.zi)),
        diagonal=case.diagonal,
        n_tau=case.n_tau,
        shape=case.family == "student",
        reach=7.0 if not case.slopes else 6.0,
        points=81 if case.slopes else 301,
    )


@cache
def fit(name: str) -> Any:
    case = CASES[name]
    return jmix.glmm(case.formula, glmm_data.data(case.data), family=case.family, n_agq=case.nodes, **case.options)


@pytest.mark.parametrize("name", NAMES)
def test_log_likelihood(name: str) -> None:
    """To the error of the quadrature: some 1e-7 with fifteen nodes for the binary data."""
    found = fit(name)
    assert found.converged and not found.singular
    np.testing.assert_allclose(found.loglik, twin(name).loglik(found.solution.x), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_estimates_and_standard_errors(name: str) -> None:
    found = fit(name)
    x, se = found.solution.x, found.solution.se
    gradient, hessian = twin(name).derivatives(x, se)
    exact = np.linalg.inv(-hessian)
    off = np.abs(exact @ gradient) / se
    assert off.max() < 1e-4, off
    np.testing.assert_allclose(se, np.sqrt(np.diag(exact)), rtol=1e-3)


def test_three_random_effects_at_given_parameters() -> None:
    """A grid in three dimensions is too slow for derivatives."""
    frame = glmm_data.data("binary")
    X = np.column_stack([np.ones(len(frame)), frame["x"], frame["z"]])
    g = np.unique(frame["g"], return_inverse=True)[1]
    dense = brute.Brute(brute.bernoulli, frame["y"].to_numpy(), X, X, g, reach=6.5, points=41)
    beta, theta = [0.3, 0.8, -0.2], [1.0, 0.4, 0.1, 0.7, -0.2, 0.5]
    model = jmix.model("y ~ x + z + (1 + x + z | g)", frame, family="bernoulli")
    expected = dense.loglik(np.array([*beta, *theta]))
    found = [model.log_marginal({"beta": beta, "theta": theta}, n_agq=nodes) for nodes in (1, 11)]
    assert abs(found[0] - expected) > 1e-3
    np.testing.assert_allclose(found[1], expected, rtol=1e-7)
