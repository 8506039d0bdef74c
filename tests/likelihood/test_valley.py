"""A response whose optimum lies at the end of a curved valley: plain Newton steps took 141 evaluations."""

from __future__ import annotations

import numpy as np
import pytest

import jmix
from jmix.estimate.retraction import retract
from jmix.likelihood.structure import FactorLayout

SLOW_ONE = 193


@pytest.fixture(scope="module")
def sleep() -> tuple[jmix.results.fit.Fit, np.ndarray]:
    data = jmix.load_data("sleepstudy")
    rng = np.random.default_rng(3)
    subject, days = data["Subject"].cat.codes.to_numpy(), data["Days"].to_numpy()[:, None]
    first, second = rng.normal(size=(2, 18, 1000))
    slope = 0.066 * first + np.sqrt(1 - 0.066**2) * second
    mean = 251.4 + 24.74 * first[subject] + (10.47 + 5.92 * slope[subject]) * days
    responses = mean + 25.59 * rng.normal(size=mean.shape)
    return jmix.lmm("Reaction ~ Days + (Days | Subject)", data, reml=False), responses


def test_the_search_follows_the_valley(sleep: tuple[jmix.results.fit.Fit, np.ndarray]) -> None:
    fit, responses = sleep
    slow = fit.refit(responses[:, SLOW_ONE])
    assert slow.converged and slow.singular
    assert slow.status.n_evaluations < 60


def test_a_batch_finishes_its_stragglers(sleep: tuple[jmix.results.fit.Fit, np.ndarray]) -> None:
    fit, responses = sleep
    chosen = responses[:, SLOW_ONE - 31 : SLOW_ONE + 1]
    batch = fit.refit(chosen)
    assert batch.converged.all()
    singles = [fit.refit(y) for y in chosen.T]
    np.testing.assert_allclose(batch.loglik, [one.loglik for one in singles], rtol=0, atol=1e-6)
    assert [bool(s) for s in batch.singular] == [one.singular for one in singles]


def test_a_retraction_is_the_step_to_first_order() -> None:
    rng = np.random.default_rng(0)
    layout = (FactorLayout(2, (0, 1, 2), (0, 1, 1), (0, 0, 1)), FactorLayout(1, (3,), (0,), (0,)))
    theta, step = np.array([0.9, -0.4, 0.7, 0.5]), rng.normal(size=4)
    errors = [np.linalg.norm(retract(np, theta, h * step, layout) - theta - h * step) for h in (1e-2, 1e-3)]
    assert errors[0] > 0
    assert errors[1] / errors[0] == pytest.approx(1e-2, rel=0.2)


def test_a_retraction_beyond_the_boundary_is_the_plain_step() -> None:
    layout = (FactorLayout(2, (0, 1, 2), (0, 1, 1), (0, 0, 1)),)
    theta, step = np.array([0.5, 0.2, 0.3]), np.array([-0.6, 0.0, 0.0])
    np.testing.assert_array_equal(retract(np, theta, step, layout), theta + step)
