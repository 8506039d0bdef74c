"""Separation: found exactly where no finite estimate exists, and named by column and level."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmix.design_response import build_glmm_design
from jmix.errors import ConvergenceWarning
from jmix.estimate.glmm_fit import fit_glmm
from jmix.estimate.glmm_objective import build_glmm_objective
from jmix.estimate.glmm_solution import GlmmSolution
from jmix.estimate.separation import (
    Wording,
    binary_conditions,
    describe,
    find_recession,
    ordinal_conditions,
)
from jmix.families import resolve_family
from jmix.spec.covariance import CovarianceSpec, Term

ZERO_ONE = Wording("0", "1")


def _fit(formula: str, data: pd.DataFrame, family: str, zero: str = "", **sides: Any) -> tuple[list[str], GlmmSolution]:
    design = build_glmm_design(formula, data, resolve_family(family, None, zero), **sides)
    spec = CovarianceSpec(tuple(Term(t.group, tuple(t.names)) for t in design.terms))
    objective = build_glmm_objective(design, spec, design.terms)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return objective.names, fit_glmm(objective)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n = 120
    data = pd.DataFrame(
        {
            "g": np.repeat([f"g{i:02d}" for i in range(12)], 10),
            "batch": ["b1", "b2", "b3", "b4"] * 30,
            "x": rng.normal(size=n),
        }
    )
    data["y"] = (rng.random(n) < 1 / (1 + np.exp(-data["x"]))).astype(int)
    data["count"] = rng.poisson(2.0, n)
    data["rank"] = rng.integers(0, 3, n)
    return data


def _climbs(X: np.ndarray, y: np.ndarray) -> bool:
    """Whether ridge-free logistic regression has no maximum: the likelihood at huge coefficients, by brute force."""
    beta = np.zeros(X.shape[1])
    for _ in range(60):
        p = 1 / (1 + np.exp(-np.clip(X @ beta, -40, 40)))
        information = (X * (p * (1 - p))[:, None]).T @ X
        step = np.linalg.lstsq(information, X.T @ (y - p), rcond=1e-14)[0]
        beta = beta + step
        if np.abs(X @ beta).max() > 25:
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_direction_is_found_exactly_where_newton_runs_off(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(6, 16))
    X = np.column_stack([np.ones(n), rng.integers(-2, 3, (n, 2))]).astype(float)
    if np.linalg.matrix_rank(X) < 3:
        return
    y = (rng.random(n) < 1 / (1 + np.exp(-2 * X[:, 1]))).astype(float)
    found = find_recession(binary_conditions(X, y == 0, y == 1))
    assert (found is not None) == _climbs(X, y)
    if found is not None:
        rise = np.where(y == 1, 1, -1) * (X @ found.direction)
        assert rise.min() > -1e-9 and rise.max() > 1e-6


def test_rows_with_both_outcomes_hold_a_direction_down() -> None:
    X = np.column_stack([np.ones(4), [0.0, 1.0, 2.0, 3.0]])
    low, high = np.array([True, False, False, False]), np.array([False, False, False, True])
    # two rows between with both successes and failures leave no direction
    assert find_recession(binary_conditions(X, low, high)) is None
    low[1], high[2] = True, True
    assert find_recession(binary_conditions(X, low, high)) is not None


def test_a_given_direction_serves_where_the_programme_would_be_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(50), rng.normal(size=50)])
    y = X[:, 1] > 0.1
    conditions = binary_conditions(X, ~y, y)
    monkeypatch.setattr("jmix.estimate.separation.LARGEST", 10)
    assert find_recession(conditions) is None
    found = find_recession(conditions, np.array([-0.1, 1.0]) * 3.0)
    assert found is not None
    assert find_recession(conditions, np.array([1.0, 0.0])) is None


def test_an_ordinal_direction_moves_thresholds_too() -> None:
    # the middle category sits alone at x = 1: both thresholds run towards it
    X = np.array([[0.0], [0.0], [1.0], [1.0], [2.0], [2.0]])
    codes = np.array([0, 0, 1, 1, 2, 2])
    found = find_recession(ordinal_conditions(X, codes, 3))
    assert found is not None
    assert 0 in found.support and found.support.size > 1
    assert find_recession(ordinal_conditions(X, np.array([0, 1, 1, 0, 2, 1]), 3)) is None


def test_a_cell_and_a_combination_are_described() -> None:
    a, b = np.array([0, 0, 0, 0, 1, 1, 1, 1.0]), np.array([0, 0, 1, 1, 0, 0, 1, 1.0])
    X = np.column_stack([np.ones(8), a, b, a * b])
    y = np.array([0, 1, 0, 1, 0, 1, 1, 1])
    found = find_recession(binary_conditions(X, y == 0, y == 1))
    assert found is not None
    texts = describe(found, X, ["(Intercept)", "a", "b", "a:b"], y == 0, y == 1, ZERO_ONE)
    assert texts == ["a:b: all 2 responses of this cell are 1; its estimate is unbounded"]
    w = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
    X = np.column_stack([np.ones(8), w, (w - 4.5) ** 2])
    y = np.abs(w - 4.5) > 2
    found = find_recession(binary_conditions(X, ~y, y))
    assert found is not None
    (text,) = describe(found, X, ["(Intercept)", "w", "w2"], ~y, y, ZERO_ONE)
    assert "w2: every one of the responses up to 2.25 is 0 and every one from 6.25 on is 1" in text


@pytest.mark.parametrize("random", ["", " + (1 | g)"])
def test_a_level_without_successes_is_named_and_has_no_standard_error(frame: pd.DataFrame, random: str) -> None:
    data = frame.assign(y=frame["y"].where(frame["batch"] != "b2", 0))
    names, solution = _fit("y ~ batch + x" + random, data, "binomial")
    assert not solution.status.converged
    (text,) = [m for m in solution.status.messages if "separation" in m]
    assert "batchb2: all 30 responses of this level are 0; its estimate is unbounded" in text
    assert "priors=" in text
    at = names.index("batchb2")
    assert np.isnan(solution.se[at]) and solution.unbounded[at] and solution.beta[at] < -15
    # the others are those of a fit without these rows
    rest = data[data["batch"] != "b2"]
    kept, other = _fit("y ~ batch + x" + random, rest, "binomial")
    for name in ("(Intercept)", "batchb3", "x"):
        i, j = names.index(name), kept.index(name)
        np.testing.assert_allclose([solution.x[i], solution.se[i]], [other.x[j], other.se[j]], rtol=1e-4, atol=1e-6)


def test_the_reference_level_is_named(frame: pd.DataFrame) -> None:
    data = frame.assign(y=frame["y"].where(frame["batch"] != "b1", 1))
    names, solution = _fit("y ~ batch + x", data, "binomial")
    (text,) = solution.status.messages
    assert "batch: all 30 responses of its reference level b1 are 1" in text
    assert "(Intercept), batchb2, batchb3, batchb4 are unbounded" in text
    assert np.array_equal(np.isnan(solution.se), [name != "x" for name in names])


def test_a_cut_along_a_number_is_named(frame: pd.DataFrame) -> None:
    data = frame.assign(y=(frame["x"] > 0.25).astype(int))
    _, solution = _fit("y ~ x", data, "binomial")
    assert "x: every one of the responses up to" in solution.status.messages[0]
    assert not solution.status.converged and np.all(np.isnan(solution.se))


def test_the_labels_of_the_response_are_used(frame: pd.DataFrame) -> None:
    words = pd.Categorical(np.where((frame["y"] == 1) & (frame["batch"] != "b3"), "yes", "no"), ["no", "yes"])
    _, solution = _fit("y ~ batch + x", frame.assign(y=words), "binomial")
    assert "all 30 responses of this level are 'no'" in solution.status.messages[0]


def test_counts_that_are_all_zero_in_a_level(frame: pd.DataFrame) -> None:
    data = frame.assign(count=frame["count"].where(frame["batch"] != "b4", 0))
    for family in ("poisson", "nbinom2"):
        names, solution = _fit("count ~ batch + x", data, family)
        assert any("batchb4: all 30 counts of this level are 0" in m for m in solution.status.messages)
        assert np.isnan(solution.se[names.index("batchb4")])


def test_ordinal_responses_in_an_extreme_category(frame: pd.DataFrame) -> None:
    rank = frame["rank"].where(frame["batch"] != "b2", 2)
    labels = pd.Categorical.from_codes(rank, ["low", "mid", "high"], ordered=True)
    names, solution = _fit("rank ~ batch + x", frame.assign(rank=labels), "cumulative")
    assert "batchb2: all 30 responses of this level are 'high'" in solution.status.messages[0]
    assert np.isnan(solution.se[names.index("batchb2")]) and np.isfinite(solution.se[names.index("tau1")])


def test_the_zeros_of_a_hurdle(frame: pd.DataFrame) -> None:
    count = (frame["count"] + 1).where((frame["batch"] != "b1") & (frame["x"] > -0.5), 0)
    names, solution = _fit("count ~ x", frame.assign(count=count), "poisson", "hurdle", zi="~ batch + x")
    assert any("separation: zi:" in m for m in solution.status.messages)
    assert np.isnan(solution.se[names.index("zi_batchb2")])
    assert np.isfinite(solution.se[names.index("(Intercept)")])


def test_no_false_alarm_on_extreme_but_overlapping_data() -> None:
    x = np.linspace(-30, 30, 400)
    y = (x > 0).astype(int)
    y[190], y[210] = 1, 0
    _, solution = _fit("y ~ x", pd.DataFrame({"x": x, "y": y}), "binomial")
    assert solution.status.converged and not solution.status.messages
    assert np.all(np.isfinite(solution.se))


def test_responses_constant_within_groups_leave_the_variance_open(frame: pd.DataFrame) -> None:
    odd = frame["g"].str[1:].astype(int) % 2
    names, solution = _fit("y ~ x + (1 | g)", frame.assign(y=odd), "binomial")
    assert not solution.status.converged
    assert "the standard deviation of (Intercept) by g has no upper limit" in solution.status.messages[0]
    assert np.isnan(solution.se[names.index("g.(Intercept)")])
