"""The grid likelihood against the textbook's, person by person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from jmix.likelihood.irt.build import build_marginal
from jmix.likelihood.irt.marginal import Integration
from jmix.likelihood.irt.nodes import grid_rule
from jmix.spec.irt.spec import Linear, Table

from .textbook import Case, derivative, textbook

CASES: dict[str, dict[str, Any]] = {
    "2PL": {"kinds": [("logistic", 2, 4)], "groups": 2, "weights": True},
    "mixed, missing": {
        "kinds": [("logistic", 2, 2), ("logistic4", 2, 2), ("graded", 3, 2), ("nominal", 4, 1)],
        "columns": [3, 0, 4, 1, 5, 2, 6],
        "missing": 0.2,
        "weights": True,
        "groups": 2,
        "no_upper": True,
    },
    "missing by pattern": {"kinds": [("logistic", 2, 4)], "missing": "pattern", "groups": 2, "n": 300},
}
SLOW: dict[str, dict[str, Any]] = {
    "two factors, regression": {"kinds": [("gpcm", 3, 3)], "d": 2, "covariates": 1},
    "graded": {"kinds": [("graded", 4, 3)], "groups": 2},
    "regression": {"kinds": [("logistic", 2, 4)], "covariates": 2, "groups": 2, "weights": True},
    "regression, 3PL, missing": {"kinds": [("logistic4", 2, 4)], "covariates": 1, "missing": 0.2},
    "two factors": {"kinds": [("logistic", 2, 3), ("graded", 3, 2)], "d": 2, "groups": 2},
    "three factors": {"kinds": [("logistic", 2, 4)], "d": 3, "n": 20},
    "missing at random": {"kinds": [("logistic", 2, 4), ("gpcm", 3, 2)], "missing": 0.3, "groups": 2},
}


@pytest.fixture(scope="module", params=[*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(**{**CASES, **SLOW}[request.param])


def _grid(case: Case) -> Integration:
    """With covariates the nodes lie elsewhere than the textbook's: both must then be exact."""
    if case.W is not None:
        return Integration(nodes=81 if case.spec.n_factors == 1 else 53, limit=8.0, chunk=16)
    return Integration(nodes=21 if case.spec.n_factors < 3 else 11, limit=6.0, chunk=16)


def _textbook(case: Case, x: Any) -> Any:
    rule = grid_rule(_grid(case), case.spec.n_factors)
    return textbook(case.spec, case.responses, x, rule.nodes, rule.log_weights, case.W)


def test_likelihood_and_moments(case: Case) -> None:
    m = build_marginal(case.spec, case.responses, _grid(case), case.W)
    loglik, mean, covariance = _textbook(case, case.x)
    np.testing.assert_allclose(m.by_person(case.x), loglik, rtol=1e-10, atol=1e-10)
    value, grad = m.value_and_grad(case.x)
    assert value == pytest.approx(case.weights @ loglik, rel=1e-10)
    moments = m.moments(case.x)
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(moments.covariance, covariance, rtol=1e-7, atol=1e-9)
    numeric = derivative(lambda x: case.weights @ _textbook(case, x)[0], case.x)
    np.testing.assert_allclose(grad, numeric, rtol=1e-8, atol=1e-8 * np.abs(numeric).max())


def test_second_derivatives(case: Case) -> None:
    m = build_marginal(case.spec, case.responses, _grid(case), case.W)
    numeric = derivative(lambda x: m.value_and_grad(x)[1], case.x)
    np.testing.assert_allclose(m.hessian(case.x), numeric, rtol=1e-7, atol=1e-8 * np.abs(numeric).max())
    by_person = derivative(lambda x: m.by_person(x), case.x)
    cross = (by_person * case.weights) @ by_person.T
    np.testing.assert_allclose(m.cross_product(case.x), cross, rtol=1e-7, atol=1e-8 * np.abs(cross).max())


def test_numbers_that_are_linear_in_others() -> None:
    """LLTM: intercepts from two basic parameters, then a third by way of these."""
    case = Case([("logistic", 2, 4)], groups=2)
    table, own = case.spec.table, case.spec.blocks[0].own[0, :, 0]
    m = table.values.size
    matrix = np.array([[1.0, 0.5], [0.0, 2.0], [-1.0, 1.0]])
    linear = (
        Linear(own[:3], matrix, np.array([m, m + 1], dtype=np.int32)),
        Linear(own[3:], np.array([[0.5, -0.3]]), own[:2]),
    )
    free = np.setdiff1d(np.arange(m + 2), own).astype(np.int32)
    values = np.concatenate([table.values, [0.4, -0.2]])
    spec = replace(case.spec, table=Table((*table.names, "e1", "e2"), values, free), linear=linear)
    x, grid = values[free], Integration(nodes=21)
    rule = grid_rule(grid, 1)

    def textbooks(x: Any) -> Any:
        return textbook(spec, case.responses, x, rule.nodes, rule.log_weights)[0].sum()

    value, grad = build_marginal(spec, case.responses, grid).value_and_grad(x)
    assert value == pytest.approx(textbooks(x), rel=1e-11)
    np.testing.assert_allclose(grad, derivative(textbooks, x), rtol=1e-8, atol=1e-8)


def test_log_marginal_is_pure_jax() -> None:
    """Several parameter vectors at once, as chains need."""
    import jax

    case = Case([("logistic", 2, 4)], groups=2, weights=True)
    m = build_marginal(case.spec, case.responses, Integration(nodes=21))
    x = np.stack([case.x, case.x + 0.1])
    with jax.enable_x64(True):
        values, grads = jax.jit(jax.vmap(jax.value_and_grad(lambda x: m.log_marginal(x, m.data))))(x)
    for i in range(2):
        value, grad = m.value_and_grad(x[i])
        assert float(values[i]) == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(grads[i], grad, rtol=1e-9, atol=1e-10)
