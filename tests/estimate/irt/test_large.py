"""The search for many parameters, against Newton's method and by simulation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from jmix.errors import ConvergenceWarning, ModelError
from jmix.estimate.irt.fit import FitOptions, fit_irt
from jmix.estimate.irt.large_errors import block_inverse
from jmix.estimate.irt.large_fit import LargeOptions, fit_large
from jmix.estimate.irt.large_search import BlockRoot, line_search, minimise_large, orthonormal
from jmix.estimate.irt.sample import take_sample
from jmix.estimate.irt.start import start_values
from jmix.estimate.newton import Point
from jmix.likelihood.irt.build import build_marginal
from jmix.likelihood.irt.marginal import Integration
from jmix.responses.read import read_responses
from jmix.spec.irt.build import build_spec


def simulated(n, j, seed=0):
    rng = np.random.default_rng(seed)
    a, d, theta = rng.lognormal(0, 0.3, j), rng.normal(0, 1, j), rng.standard_normal(n)
    return (rng.random((n, j)) < 1 / (1 + np.exp(-(theta[:, None] * a + d)))).astype(np.int8), a, d


def problem(table, itemtype, **options):
    responses = read_responses(table)
    spec, _ = build_spec(responses, itemtype, **options)
    sample = take_sample(responses)
    return build_marginal(spec, responses, Integration(nodes=41)), sample, start_values(spec, sample)


@pytest.mark.parametrize("itemtype", ["2PL", pytest.param("1PL", marks=pytest.mark.slow)])
def test_the_same_maximum_as_newtons(itemtype):
    given = problem(simulated(800, 10)[0], itemtype)
    large, _ = fit_large(*given)
    newton, _ = fit_irt(*given, FitOptions(refine=False))
    assert large.status.converged
    assert large.loglik == pytest.approx(newton.loglik, abs=1e-7)
    se = np.sqrt(np.diag(newton.vcov))
    assert np.all(np.abs(large.x - newton.x) < 5e-4 * se)
    assert np.allclose(np.sqrt(np.diag(large.vcov)), se, rtol=1e-4)


def test_standard_errors_by_item_are_those_of_the_blocks():
    marginal, sample, start = problem(simulated(800, 10)[0], "2PL")
    found, _ = fit_large(marginal, sample, start, LargeOptions(se="item", refine=False))
    hessian = marginal.hessian(found.x)
    assert found.se_type == "item"
    for item in range(10):
        own = slice(2 * item, 2 * item + 2)
        assert found.spec.table.free_names[own] == (f"a1[Item.{item + 1}]", f"d[Item.{item + 1}]")
        # the expected information given theta exceeds the observed one, part of which is lost with theta unknown
        exact = np.sqrt(np.diag(np.linalg.inv(-hessian[own, own])))
        ours = np.sqrt(found.vcov.diagonal()[own])
        assert np.all((ours > 0.6 * exact) & (ours < 1.1 * exact))


def test_more_items_than_persons():
    """Identical columns and items that all answered correctly, under a prior."""
    table, _, d = simulated(60, 250, seed=3)
    table[:, 1] = table[:, 0]
    table[:, 2] = 1
    data = read_responses(table)
    spec, _ = build_spec(data, "2PL", priors={"a": "lognormal(0, 0.5)", "d": "normal(0, 3)"})
    sample = take_sample(data)
    marginal = build_marginal(spec, data, Integration(nodes=121))
    found, _ = fit_large(marginal, sample, start_values(spec, sample), LargeOptions(se="item", refine=False))
    assert found.status.converged
    assert np.all(np.isfinite(found.x)) and np.all(np.isfinite(found.vcov.diagonal()))
    x = found.x.reshape(-1, 2)
    assert np.allclose(x[0], x[1], atol=1e-3)
    assert x[2, 1] == x[:, 1].max()
    assert np.corrcoef(np.delete(x[:, 1], 2), np.delete(d, 2))[0, 1] > 0.9


def test_a_start_outside_the_support_is_moved_inside():
    marginal, sample, start = problem(simulated(200, 5)[0], "2PL", priors={"a": "lognormal(0, 0.5)"})
    plain, _ = fit_large(marginal, sample, start, LargeOptions(se="none"))
    start[0] = -1.0
    found, _ = fit_large(marginal, sample, start, LargeOptions(se="none"))
    assert np.allclose(found.x, plain.x, atol=1e-3)


def test_a_start_that_does_not_exist():
    marginal, sample, start = problem(simulated(200, 5)[0], "2PL")
    start[1] = 1e308
    with pytest.raises(ModelError, match="not finite at the starting values"):
        fit_large(marginal, sample, start)


def test_too_few_steps_are_said():
    marginal, sample, start = problem(simulated(200, 5)[0], "2PL")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning, match="raise max_iterations"):
            fit_large(marginal, sample, start, LargeOptions(se="none", max_iterations=1))


# --- the minimiser ----------------------------------------------------------------------------------------------------
def rosenbrock(z):
    x, y = z[::2], z[1::2]
    value = float(np.sum(100 * (y - x**2) ** 2 + (1 - x) ** 2))
    gradient = np.empty_like(z)
    gradient[::2] = -400 * x * (y - x**2) - 2 * (1 - x)
    gradient[1::2] = 200 * (y - x**2)
    return Point(value, gradient, None)


def test_a_curved_valley():
    found = minimise_large(rosenbrock, np.tile([-1.2, 1.0], 50), tolerance=1e-16)
    assert found.settled
    assert np.allclose(found.z, 1.0, atol=1e-6)


def test_soft_directions_are_found_at_once():
    """A Hessian that is the identity but for one direction, where it is a millionth."""
    rng = np.random.default_rng(0)
    v = rng.standard_normal(200)
    v /= np.linalg.norm(v)
    target = 3.0 * rng.standard_normal(200) + 1000.0 * v

    def first(z):
        apart = z - target
        gradient = apart - (1 - 1e-6) * v * (v @ apart)
        return Point(0.5 * float(apart @ gradient), gradient, None)

    found = minimise_large(first, np.zeros(200), soft=v[None])
    assert found.settled
    assert np.allclose(found.z, target, atol=1e-3)
    assert found.n_evaluations <= 8


def test_a_line_search_backs_off_from_where_the_objective_does_not_exist():
    def first(z):
        if z[0] >= 1.0:
            return Point(np.inf, np.full(1, np.nan), None)
        return Point(float((z[0] - 0.9) ** 2), 2 * (z - 0.9), None)

    search = minimise_large(first, np.zeros(1), max_iterations=0)
    assert line_search(search, np.array([40.0]), -72.0, 0.0)
    assert 0.0 < search.z[0] < 1.0
    assert search.at.value < 0.81


def test_an_interrupt_keeps_the_best_point(monkeypatch):
    monkeypatch.setattr("jmix.estimate.irt.large_search.PATIENCE", 0.0)
    calls = []

    def first(z):
        calls.append(z)
        if len(calls) > 25:
            raise KeyboardInterrupt
        return rosenbrock(z)

    found = minimise_large(first, np.tile([-1.2, 1.0], 5))
    assert found.interrupted and not found.settled
    assert found.at.value < rosenbrock(np.tile([-1.2, 1.0], 5)).value


def test_block_roots():
    rng = np.random.default_rng(1)
    places = np.array([[0, 2, -1], [4, 1, 3]])
    root = rng.standard_normal((2, 3, 3))
    root[0, 2] = root[0, :, 2] = 0.0
    root[0, 2, 2] = 1.0
    own = BlockRoot(places, root)
    dense = np.zeros((5, 5))
    dense[np.ix_([0, 2], [0, 2])] = root[0, :2, :2]
    dense[np.ix_([4, 1, 3], [4, 1, 3])] = root[1]
    z = rng.standard_normal(5)
    assert np.allclose(own.apply(z), dense @ z)
    assert np.allclose(own.transposed(z), dense.T @ z)
    assert np.allclose(own.solve(z), np.linalg.solve(dense, z))


def test_orthonormal_rows():
    rows = orthonormal(np.array([[1.0, 0, 0], [2.0, 0, 0], [1e-3, 1e-3, 0]]))
    assert rows.shape == (2, 3)
    assert np.allclose(rows @ rows.T, np.eye(2))


def test_inverse_of_blocks_points_out_what_is_not_identified():
    blocks = [
        (np.array([0, 2]), np.array([[4.0, 1.0], [1.0, 2.0]])),
        (np.array([1, 3]), np.array([[1.0, 1.0], [1.0, 1.0]])),
        (np.array([4]), np.zeros((1, 1))),
    ]
    vcov, lost, least = block_inverse(blocks, np.array([0.0, 0, 0, 0, 2.0]), 5)
    assert np.allclose(vcov.toarray()[np.ix_([0, 2], [0, 2])], np.linalg.inv(blocks[0][1]))
    assert lost.tolist() == [False, True, False, True, False]
    assert np.isinf(vcov[1, 1]) and vcov[4, 4] == pytest.approx(0.5)
    assert least == pytest.approx(0.0, abs=1e-12)
