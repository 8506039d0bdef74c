"""The criterion, its derivatives and the marginal likelihood at any theta against dense linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

VALUE, GRADIENT, HESSIAN = 1e-9, 1e-7, 1e-5

DIRECTIONS = 3
"""Of the Hessian, tried for every draw."""

seeds = st.integers(0, 2**32 - 1)
flags = st.booleans()


def _derivatives_agree(case: Any, twin: Any, near: Any, reml: bool) -> None:
    objective = case.model.objective
    at, back = objective.full(case.phi, reml), objective.to_theta
    near(at.value + objective.constant(reml), twin.criterion(case.model, case.theta, reml), VALUE)
    near(at.gradient, back.T @ twin.gradient(case.model, case.theta, reml), GRADIENT)
    directions = case.rng.normal(size=(case.theta.size, min(case.theta.size, DIRECTIONS)))
    expected = back.T @ twin.hessian_times(case.model, case.theta, reml, back @ directions)
    near(at.hessian @ directions, expected, HESSIAN)
    np.testing.assert_array_equal(at.hessian, at.hessian.T)


@given(seed=seeds, weighted=flags, offset=flags)
def test_reml_criterion_gradient_and_hessian(
    structure: str, twin: Any, case: Any, near: Any, seed: int, weighted: bool, offset: bool
) -> None:
    _derivatives_agree(case(structure, seed, weighted=weighted, offset=offset), twin, near, reml=True)


@given(seed=seeds, weighted=flags, structure=st.sampled_from(["slope", "nested", "crossed"]))
def test_ml_criterion_gradient_and_hessian(
    twin: Any, case: Any, near: Any, structure: str, seed: int, weighted: bool
) -> None:
    _derivatives_agree(case(structure, seed, weighted=weighted), twin, near, reml=False)


@given(seed=seeds, reml=flags, p=st.sampled_from([0, 1, 3]))
def test_other_numbers_of_fixed_effects(twin: Any, case: Any, near: Any, seed: int, reml: bool, p: int) -> None:
    _derivatives_agree(case("slope", seed, p=p), twin, near, reml)


@given(seed=seeds)
def test_no_fixed_effects_in_a_crossed_model(twin: Any, case: Any, near: Any, seed: int) -> None:
    _derivatives_agree(case("crossed", seed, p=0), twin, near, reml=True)


@given(seed=seeds, weighted=flags, offset=flags)
def test_marginal_likelihood(
    structure: str, twin: Any, case: Any, near: Any, seed: int, weighted: bool, offset: bool
) -> None:
    drawn = case(structure, seed, weighted=weighted, offset=offset)
    model, theta = drawn.model, drawn.theta
    at, n, p = twin.dense(model, theta), model.design.y.size, model.design.X.shape[1]
    beta = at.beta + drawn.rng.normal(size=p) * np.abs(at.beta)
    sigma = float(np.sqrt(at.rss / n) * drawn.rng.uniform(0.5, 2.0))

    def normal(beta: Any, variance: float) -> float:
        residual = at.y - model.design.X @ beta
        square = float(residual @ np.linalg.solve(at.v, residual)) / variance
        return -0.5 * (n * np.log(2 * np.pi * variance) + float(at.logdet) + square)

    def restricted(variance: float) -> float:
        extra = np.linalg.slogdet(at.xvx)[1]
        return -0.5 * ((n - p) * np.log(2 * np.pi * variance) + float(at.logdet) + extra + at.rss / variance)

    residual = at.y - model.design.X @ beta
    profiled = float(residual @ np.linalg.solve(at.v, residual)) / n
    near(model.log_marginal({"theta": theta}), -0.5 * twin.criterion(model, theta, False), VALUE)
    near(model.log_marginal({"theta": theta}, reml=True), -0.5 * twin.criterion(model, theta, True), VALUE)
    near(model.log_marginal({"theta": theta, "beta": beta, "sigma": sigma}), normal(beta, sigma**2), VALUE)
    near(model.log_marginal({"theta": theta, "beta": beta}), normal(beta, profiled), VALUE)
    near(model.log_marginal({"theta": theta, "sigma": sigma}), normal(at.beta, sigma**2), VALUE)
    near(model.log_marginal({"theta": theta, "sigma": sigma}, reml=True), restricted(sigma**2), VALUE)
