"""Adaptive quadrature and quasi-Monte Carlo against the textbook's formula on a fine grid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from scipy.optimize import minimize

from jmix.errors import ModelError
from jmix.likelihood.irt import persons
from jmix.likelihood.irt.adaptive import AdaptiveMarginal, build_adaptive
from jmix.likelihood.irt.marginal import Integration
from jmix.likelihood.irt.nodes import grid_rule
from jmix.likelihood.irt.quasi import quasi_rule
from jmix.responses.data import Long
from jmix.runtime import float64

from .textbook import Case, derivative, probabilities, textbook

CASES: dict[str, dict[str, Any]] = {
    "2PL, weights, groups": {"kinds": [("logistic", 2, 5)], "groups": 2, "weights": True, "missing": 0.1},
    "mixed": {
        "kinds": [("logistic", 2, 1), ("graded", 3, 2), ("nominal", 4, 1)],
        "columns": [3, 0, 1, 2],
        "missing": 0.1,
        "weights": True,
    },
    "asymptotes": {"kinds": [("logistic4", 2, 5)], "n": 25},
    "two factors, regression": {"kinds": [("gpcm", 3, 3)], "d": 2, "covariates": 1, "groups": 2, "n": 20},
}
NODES = {1: 41, 2: 21}


def _param(name: str) -> Any:
    """Compiling takes seconds for each case: one runs always, the others with -m slow."""
    return pytest.param(name, marks=() if name == "2PL, weights, groups" else pytest.mark.slow)


@pytest.fixture(scope="module", params=map(_param, CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(**CASES[request.param])


@pytest.fixture(scope="module")
def marginal(case: Case) -> AdaptiveMarginal:
    built = build_adaptive(case.spec, case.responses, Integration("adaptive", nodes=NODES[case.spec.n_factors]), case.W)
    assert isinstance(built, AdaptiveMarginal)
    return built


def truth(case: Case, n: int = 61, limit: float = 8.0) -> Any:
    rule = grid_rule(Integration(nodes=n, limit=limit), case.spec.n_factors)
    return textbook(case.spec, case.responses, case.x, rule.nodes, rule.log_weights, case.W)


def test_likelihood_and_moments(case: Case, marginal: AdaptiveMarginal) -> None:
    loglik, mean, covariance = truth(case)
    np.testing.assert_allclose(marginal.by_person(case.x), loglik, atol=2e-7)
    assert marginal.value_and_grad(case.x)[0] == pytest.approx(case.weights @ loglik, abs=1e-5)
    moments = marginal.moments(case.x)
    np.testing.assert_allclose(moments.mean, mean, atol=1e-6)
    np.testing.assert_allclose(moments.covariance, covariance, atol=5e-6)


def test_gradient_is_that_of_the_value_computed(case: Case) -> None:
    """With so few nodes that the quadrature errs: the movement of the modes and of the curvature is accounted for."""
    marginal = build_adaptive(case.spec, case.responses, Integration("adaptive", nodes=4), case.W)
    value, grad = marginal.value_and_grad(case.x)
    assert abs(value - case.weights @ truth(case)[0]) > 1e-5
    numeric = derivative(lambda x: marginal.value_and_grad(x)[0], case.x)
    np.testing.assert_allclose(grad, numeric, atol=1e-8 * max(1.0, np.abs(grad).max()))


def test_hessian_and_cross_product(case: Case, marginal: AdaptiveMarginal) -> None:
    """By Louis's formula: exact but for the quadrature, which at these nodes errs in the sixth digit."""
    hessian = marginal.hessian(case.x)
    numeric = derivative(lambda x: marginal.value_and_grad(x)[1], case.x)
    np.testing.assert_allclose(hessian, numeric, atol=3e-6 * np.abs(numeric).max())
    by_person = derivative(marginal.by_person, case.x)
    np.testing.assert_allclose(
        marginal.cross_product(case.x), (by_person * case.weights) @ by_person.T, atol=1e-6 * np.abs(numeric).max()
    )


@pytest.mark.slow
def test_parts_and_the_start_of_the_search_do_not_matter(case: Case, marginal: AdaptiveMarginal) -> None:
    value, grad = marginal.value_and_grad(case.x)
    marginal.value_and_grad(case.x + 0.7)
    again, grad_again = marginal.value_and_grad(case.x)
    assert again == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(grad_again, grad, atol=1e-9)
    other = build_adaptive(case.spec, case.responses, replace(marginal.integration, chunk=7), case.W)
    assert other.value_and_grad(case.x)[0] == pytest.approx(value, rel=1e-12)


def test_list_of_responses_is_the_same(case: Case, marginal: AdaptiveMarginal, monkeypatch: pytest.MonkeyPatch) -> None:
    table = case.responses.table
    assert table is not None
    person, item = np.nonzero(table >= 0)
    start = np.searchsorted(person, np.arange(len(table) + 1))
    listed = Long(item.astype(np.int32), table[person, item], start.astype(np.int64))
    responses = replace(case.responses, table=None, long=listed)
    other = build_adaptive(case.spec, responses, marginal.integration, case.W)
    assert other.value_and_grad(case.x)[0] == pytest.approx(marginal.value_and_grad(case.x)[0], rel=1e-13)
    monkeypatch.setattr(persons, "LARGEST_TABLE", 10)
    with pytest.raises(ModelError, match="too many cells"):
        build_adaptive(case.spec, responses, marginal.integration, case.W)


@pytest.mark.slow
def test_traceable_density_has_the_same_derivative(case: Case, marginal: AdaptiveMarginal) -> None:
    with float64():
        value, grad = jax.value_and_grad(marginal.log_marginal)(jax.numpy.asarray(case.x), marginal.data)
    expected, expected_grad = marginal.value_and_grad(case.x)
    assert float(value) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(grad, expected_grad, atol=1e-10)


def test_one_node_is_laplace() -> None:
    """``log L = h(z^) - log |M| / 2`` with the mode and the curvature found by SciPy and differences."""
    case = Case([("logistic", 2, 4), ("graded", 3, 2)], n=6)
    own = build_adaptive(case.spec, case.responses, Integration("adaptive", nodes=1)).by_person(case.x)
    table = case.responses.table
    assert table is not None
    v = case.x[np.concatenate([block.slopes[0, :, 0] for block in case.spec.blocks])]
    rows = [case.x[place] for block in case.spec.blocks for place in block.own[0]]
    mean, sd = case.x[case.spec.mean[0, 0]], case.x[case.spec.sd[0, 0]]
    kinds = ["logistic"] * 4 + ["graded"] * 2
    for i, codes in enumerate(table):

        def h(z: float, codes: Any = codes) -> float:
            theta = mean + sd * z
            terms = [
                np.log(probabilities(kind, np.array([a * theta]), row, len(row) + 1)[x, 0])
                for kind, a, row, x in zip(kinds, v, rows, codes, strict=True)
            ]
            return float(sum(terms) - 0.5 * z**2)

        mode = float(minimize(lambda z: -h(float(z[0])), [0.0], tol=1e-12).x[0])
        e = 1e-3
        curvature = -(h(mode + e) - 2 * h(mode) + h(mode - e)) / e**2
        assert own[i] == pytest.approx(h(mode) - 0.5 * np.log(curvature), abs=1e-6)


@pytest.mark.slow
def test_long_test_with_few_nodes() -> None:
    """Three hundred items: a posterior thirty times narrower than the trait, five nodes at the mode of each person."""
    case = Case([("logistic", 2, 300)], n=10, weights=True)
    loglik, mean, _ = truth(case, 4001)
    five = build_adaptive(case.spec, case.responses, Integration("adaptive", nodes=5))
    np.testing.assert_allclose(five.by_person(case.x), loglik, atol=1e-6)
    np.testing.assert_allclose(five.moments(case.x).mean, mean, atol=1e-7)


@pytest.mark.slow
def test_more_nodes_err_less() -> None:
    case = Case([("logistic", 2, 8)], d=3, n=15)
    exact = truth(case, 31, 6.0)[0]
    few = build_adaptive(case.spec, case.responses, Integration("adaptive", nodes=3))
    errors = [abs(m.value_and_grad(case.x)[0] - exact.sum()) for m in (few, few.finer())]
    assert errors[1] < 0.2 * errors[0] < 0.2


@pytest.mark.slow
def test_adaptive_points_of_quasi_monte_carlo() -> None:
    case = Case([("logistic", 2, 10)], d=3, n=20, weights=True)
    exact = truth(case, 31, 6.0)[0]
    points = build_adaptive(case.spec, case.responses, Integration("adaptive-qmc", nodes=1024, seed=3))
    np.testing.assert_allclose(points.by_person(case.x), exact, atol=3e-3)
    grad = points.value_and_grad(case.x)[1]
    e = np.zeros_like(case.x)
    e[0] = 1e-5
    slope = (points.value_and_grad(case.x + e)[0] - points.value_and_grad(case.x - e)[0]) / 2e-5
    assert grad[0] == pytest.approx(slope, abs=1e-6)


def test_shared_points_of_quasi_monte_carlo() -> None:
    case = Case([("logistic", 2, 4)], d=2, n=20, covariates=1, weights=True)
    exact = truth(case)[0]
    points = build_adaptive(case.spec, case.responses, Integration("qmc", nodes=4096), case.W)
    np.testing.assert_allclose(points.by_person(case.x), exact, atol=0.02)
    finer = points.finer()
    assert finer.data.z.shape[0] == 8192
    np.testing.assert_allclose(finer.by_person(case.x), exact, atol=0.01)


def test_rule_of_shared_points_has_the_moments_of_the_normal() -> None:
    rule = quasi_rule(Integration("qmc", nodes=500, seed=1), 5)
    assert rule.nodes.shape == (512, 5)
    np.testing.assert_allclose(rule.nodes.mean(axis=0), 0.0, atol=1e-14)
    np.testing.assert_allclose(rule.nodes.T @ rule.nodes / 512, np.eye(5), atol=1e-12)


def test_what_is_impossible_is_said() -> None:
    case = Case([("logistic", 2, 4)], d=4, n=5)
    with pytest.raises(ModelError, match="adaptive-qmc"):
        build_adaptive(case.spec, case.responses, Integration("adaptive", nodes=31))
    with pytest.raises(ModelError, match="nodes=0"):
        build_adaptive(case.spec, case.responses, Integration("adaptive", nodes=0))
    with pytest.raises(ModelError, match="points"):
        build_adaptive(case.spec, case.responses, Integration("qmc", nodes=3))
    with pytest.raises(ModelError, match="covariates"):
        build_adaptive(case.spec, case.responses, Integration("adaptive", nodes=3), np.zeros((5, 1)))
    with pytest.raises(ModelError, match="groups"):
        build_adaptive(case.spec, replace(case.responses, groups=("a", "b")), Integration("adaptive", nodes=3))
