"""Fits on a likelihood by brute force: maxima, covariances, certificates, and what is said of odd data."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from jmix.errors import ConvergenceWarning
from jmix.estimate.irt.canonical import orientation, signs
from jmix.estimate.irt.fit import FitOptions, fit_irt
from jmix.estimate.irt.notes import estimate_notes, runaway, weak_notes
from jmix.estimate.irt.sample import take_sample
from jmix.estimate.irt.start import start_values
from jmix.estimate.irt.uncertainty import covariance, inverse_information, standard_error_type
from jmix.likelihood.irt.marginal import Integration

Make = Callable[..., tuple[Any, Any, Any]]
NODES = Integration(nodes=31)


@pytest.fixture(scope="module")
def two(make: Make, simulate: Any, brute: Any) -> Any:
    """A 2PL of five items by brute force."""
    spec, read, _ = make(simulate(300, 5), "2PL")
    sample = take_sample(read)
    return brute(spec, read, NODES), sample, start_values(spec, sample)


@pytest.mark.slow
def test_the_maximum_is_that_of_another_optimiser(two: Any) -> None:
    marginal, sample, start = two
    solution, _ = fit_irt(marginal, sample, start)

    def negative(x: Any) -> Any:
        value, gradient = marginal.value_and_grad(x)
        return -value, -gradient

    other = minimize(negative, np.ones(start.size), jac=True, method="BFGS", options={"gtol": 1e-6})
    assert solution.status.converged and solution.status.max_gradient < 1e-5
    assert solution.loglik == pytest.approx(-other.fun, abs=1e-8)
    np.testing.assert_allclose(solution.x, other.x, atol=1e-4)
    assert solution.n_evaluations < 20


def test_covariances_of_every_type(two: Any) -> None:
    marginal, sample, start = two
    x = fit_irt(marginal, sample, start, FitOptions(se="none"))[0].x
    bread = np.linalg.inv(-marginal.hessian(x))
    meat = marginal.cross_product(x)
    wanted = {"hessian": bread, "crossprod": np.linalg.inv(meat), "sandwich": bread @ meat @ bread}
    for kind, matrix in wanted.items():
        found = fit_irt(marginal, sample, start, FitOptions(se=kind))[0]
        # the last exact Hessian is taken up to 1.4e-4 standard errors from the maximum
        np.testing.assert_allclose(found.vcov, matrix, rtol=2e-5, atol=1e-6)
        assert found.se_type == kind
    by_item = fit_irt(marginal, sample, start, FitOptions(se="item"))[0].vcov
    names = list(marginal.spec.table.free_names)
    at = [names.index("a1[i2]"), names.index("d[i2]")]
    own = np.linalg.inv(-marginal.hessian(x)[np.ix_(at, at)])
    np.testing.assert_allclose(by_item.toarray()[np.ix_(at, at)], own, rtol=2e-5)
    assert by_item[[0], [9]][0] == 0.0


def test_start_and_scale_do_not_matter(two: Any) -> None:
    marginal, sample, start = two
    reference = fit_irt(marginal, sample, start)[0]
    for other in (0.3 * start + 0.2, np.where(start > 0, 2.0, -2.0)):
        found = fit_irt(marginal, sample, other)[0]
        np.testing.assert_allclose(found.x, reference.x, atol=1e-6)


def test_nodes_are_doubled_until_the_error_is_small(make: Make, simulate: Any, brute: Any) -> None:
    spec, read, _ = make(simulate(100, 3, seed=3), "Rasch")
    sample = take_sample(read)
    start = start_values(spec, sample)
    coarse = brute(spec, read, Integration(nodes=6))
    solution, marginal = fit_irt(coarse, sample, start)
    assert marginal.integration.nodes > 6 and solution.integration.nodes == marginal.integration.nodes
    assert abs(solution.quadrature_error) < 1e-5
    with pytest.warns(ConvergenceWarning, match="nodes"):
        fixed, same = fit_irt(coarse, sample, start, FitOptions(refine=False))
    assert same.integration.nodes == 6 and abs(fixed.quadrature_error) > 1e-3
    assert any("twice the nodes" in note for note in fixed.notes)


def test_an_interrupt_keeps_the_best_so_far(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    marginal, sample, start = two
    monkeypatch.setattr("jmix.estimate.glmm_search.PATIENCE", 0.0)
    calls = 0
    own = type(marginal).value_and_grad

    def stopping(self: Any, x: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return own(self, x)

    monkeypatch.setattr(type(marginal), "value_and_grad", stopping)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        solution, _ = fit_irt(marginal, sample, start, FitOptions(se="none"))
    assert solution.status.interrupted and not solution.status.converged
    assert solution.loglik > own(marginal, start)[0]


def test_nothing_free_is_an_evaluation(make: Make, simulate: Any, brute: Any) -> None:
    spec, read, _ = make(simulate(50, 3), "2PL", fixed={"a1": 1.0, "d": 0.0})
    solution, _ = fit_irt(brute(spec, read, NODES), take_sample(read), np.zeros(0))
    assert solution.status.converged and solution.x.size == 0 and solution.vcov.shape == (0, 0)


# --- uncertainty ------------------------------------------------------------------------------------------------------
def test_directions_without_information_have_infinite_variances() -> None:
    a = np.array([[4.0, 1.0, 0.0, 0.0], [1.0, 3.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    inverse, lost, least = inverse_information(a)
    assert lost.tolist() == [False, False, True, True] and least < 1e-10
    np.testing.assert_allclose(inverse[:2, :2], np.linalg.inv(a[:2, :2]), rtol=1e-10)
    assert np.all(np.isinf(np.diag(inverse)[2:])) and not np.isnan(inverse).any()
    nothing, lost, _ = inverse_information(np.full((2, 2), np.nan))
    assert lost.all() and np.all(np.isinf(np.diag(nothing)))


def test_inverse_does_not_depend_on_units() -> None:
    rng = np.random.default_rng(1)
    root = rng.standard_normal((6, 6))
    a, units = root @ root.T + np.eye(6), 10.0 ** rng.uniform(-6, 6, 6)
    inverse, lost, _ = inverse_information(a / np.outer(units, units))
    np.testing.assert_allclose(inverse / np.outer(units, units), np.linalg.inv(a), rtol=1e-6)
    assert not lost.any()


def test_sandwich_of_a_part() -> None:
    a = np.diag([2.0, 4.0, 0.0])
    b = np.array([[1.0, 0.5, 0.0], [0.5, 2.0, 0.0], [0.0, 0.0, 0.0]])
    out, lost, _ = covariance("sandwich", a, b)
    np.testing.assert_allclose(out[:2, :2], np.diag([0.5, 0.25]) @ b[:2, :2] @ np.diag([0.5, 0.25]))
    assert lost.tolist() == [False, False, True]


def test_types_by_name() -> None:
    from jmix.errors import ModelError

    assert standard_error_type("Oakes") == "hessian" and standard_error_type(False) == "none"
    with pytest.raises(ModelError, match="crossprod"):
        standard_error_type("wald")


# --- notes ------------------------------------------------------------------------------------------------------------
def _notes(spec: Any, changes: dict[str, float]) -> tuple[str, ...]:
    x = spec.table.values[spec.table.free].copy()
    for name, value in changes.items():
        x[spec.table.free_names.index(name)] = value
    return estimate_notes(spec, x, np.zeros(x.size, dtype=bool))


@pytest.mark.parametrize(
    ("itemtype", "changes", "words"),
    [
        ("2PL", {"a1[i3]": -0.7}, ("negative discrimination", "i3", "reverse")),
        ("2PL", {"a1[i2]": 40.0}, ("Heywood", "i2", "priors")),
        ("3PL", {"logit(c)[i4]": -9.0}, ("lower asymptote", "i4", "beta")),
        ("4PL", {"logit(u)[i1]": 12.0}, ("upper asymptote", "i1", "3PL")),
        ("2PL", {"d[i5]": -31.0}, ("difficulties without bound", "i5")),
        ("Rasch", {"sd[F1]": 1e-6}, ("standard deviation of F1 is zero",)),
    ],
)
def test_each_oddity_is_named_with_its_remedy(
    itemtype: str, changes: dict[str, float], words: tuple[str, ...], make: Make, simulate: Any
) -> None:
    spec, _, _ = make(simulate(), itemtype)
    notes = _notes(spec, changes)
    assert len(notes) == 1
    assert all(word in notes[0] for word in words), notes


def test_ordinary_estimates_need_no_note(make: Make, simulate: Any) -> None:
    for itemtype, categories in (("2PL", 2), ("graded", 3), ("gpcm", 3), ("nominal", 3)):
        spec, read, _ = make(simulate(400, 5, categories=categories), itemtype)
        x = start_values(spec, take_sample(read))
        assert estimate_notes(spec, x, np.zeros(x.size, dtype=bool)) == ()


def test_runaway_asymptotes(make: Make, simulate: Any) -> None:
    spec, _, _ = make(simulate(), "3PL")
    x = spec.table.values[spec.table.free].copy()
    x[spec.table.free_names.index("logit(c)[i2]")] = -8.0
    assert [spec.table.free_names[i] for i in np.flatnonzero(runaway(spec, x))] == ["logit(c)[i2]"]


# --- signs ------------------------------------------------------------------------------------------------------------
def test_standard_deviations_become_positive(make: Make, simulate: Any, brute: Any) -> None:
    model = "F1 = 1-2\nF2 = 3-4\nCOV = F1*F2, F1*F1, F2*F2"
    spec, read, _ = make(simulate(60, 4), "Rasch", model=model)
    names = list(spec.table.free_names)
    x = start_values(spec, take_sample(read))
    x[names.index("sd[F1]")], x[names.index("corr[F1,F2]")] = -0.9, 0.4
    flip = signs(spec, x)
    assert flip[names.index("sd[F1]")] == -1 and flip[names.index("corr[F1,F2]")] == -1
    own = brute(spec, read, Integration(nodes=21))
    assert own.value_and_grad(x)[0] == pytest.approx(own.value_and_grad(x * flip)[0], abs=1e-9)


def test_a_factor_that_points_down_is_turned_round(two: Any) -> None:
    marginal, sample, start = two
    names = marginal.spec.table.free_names
    slopes = np.array([name.startswith("a1") for name in names])
    up = fit_irt(marginal, sample, start)[0]
    down = fit_irt(marginal, sample, np.where(slopes, -start, start))[0]
    np.testing.assert_allclose(down.x, up.x, atol=1e-6)
    np.testing.assert_allclose(down.vcov, up.vcov, atol=1e-5)
    assert np.array_equal(orientation(marginal.spec, np.where(slopes, -up.x, up.x)), np.where(slopes, -1.0, 1.0))


def test_fixed_slopes_keep_their_direction(make: Make, simulate: Any) -> None:
    spec, _, _ = make(simulate(), "2PL", fixed={"a1[i1]": -1.0})
    assert np.all(orientation(spec, np.full(spec.n_free, -1.0)) == 1.0)
    spec, _, _ = make(simulate(), "2PL", priors={"a": "normal(-1, 1)"})
    assert np.all(orientation(spec, np.full(spec.n_free, -1.0)) == 1.0)


def test_standard_errors_beyond_use_are_named(make: Make, simulate: Any) -> None:
    spec, _, _ = make(simulate(), "2PL")
    vcov = np.eye(spec.n_free)
    vcov[2, 2] = 900.0
    (note,) = weak_notes(spec, np.ones(spec.n_free), vcov)
    assert spec.table.free_names[2] in note and "weakly identified" in note
    assert weak_notes(spec, np.ones(spec.n_free), np.eye(spec.n_free)) == ()


def test_a_fit_is_silent_when_all_is_well(two: Any) -> None:
    marginal, sample, start = two
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_irt(marginal, sample, start)
