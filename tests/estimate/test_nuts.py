"""The driver of the sampler on toy densities whose answer is known."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import stats

from jmix.estimate import nuts
from jmix.estimate.nuts_program import Kernel
from jmix.estimate.sampling import chain_keys

# so few draws rightly call for a warning
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

MEAN, SD, RHO = np.array([3.0, -1.0]), np.array([2.0, 0.1]), 0.9
COVARIANCE = np.outer(SD, SD) * np.array([[1.0, RHO], [RHO, 1.0]])


def _gaussian(z: Any, data: Any, plan: Any) -> Any:
    return -0.5 * (z - data["mean"]) @ data["precision"] @ (z - data["mean"])


def _funnel(z: Any, data: Any, plan: Any) -> Any:
    """Neal's: v ~ N(0, 3), x ~ N(0, exp(v / 2))."""
    return -0.5 * (z[0] / 3.0) ** 2 - 0.5 * z[0] - 0.5 * z[1] ** 2 * jnp.exp(-z[0])


def _output(z: Any, data: Any, plan: Any) -> Any:
    return {"z": z}


DATA = {"mean": MEAN, "precision": np.linalg.inv(COVARIANCE)}
TOY = Kernel(_gaussian, _output, None, tune=300, target_accept=0.8, max_tree_depth=10)


def _sample(kernel: Kernel, chains: int = 4, seed: int = 3, draws: int = 1000, thin: int = 1, **how: Any) -> nuts.Run:
    place = {"mode": np.array([1.0, 0.0]), "half": np.array([[1.0, 0.0], [0.3, 0.5]])}
    u = np.random.default_rng(seed).normal(size=(chains, 2))
    points = nuts.evaluate(kernel, DATA, place, u)
    monitor = how.get("monitor", nuts.Monitor())
    return nuts.sample(kernel, DATA, place, points, chain_keys(seed, chains), draws=draws, thin=thin, monitor=monitor)


@pytest.fixture(scope="module")
def toy() -> nuts.Run:
    return _sample(TOY)


# --- what it draws ----------------------------------------------------------------------------------------------------
def test_a_gaussian_has_its_moments_and_quantiles(toy: nuts.Run) -> None:
    for i, (mean, sd) in enumerate(zip(MEAN, SD, strict=True)):
        x = toy.z[:, :, i]
        assert array_stats.rhat(x) < 1.01
        assert abs(x.mean() - mean) < 4.5 * array_stats.mcse(x, method="mean")
        assert abs(x.std() - sd) < 4.5 * array_stats.mcse(x, method="sd")
        for prob in (0.025, 0.25, 0.75, 0.975):
            error = np.quantile(x, prob) - stats.norm(mean, sd).ppf(prob)
            assert abs(error) < 4.5 * array_stats.mcse(x, method="quantile", prob=prob)
    cross = (toy.z[:, :, 0] - MEAN[0]) * (toy.z[:, :, 1] - MEAN[1]) / SD.prod()
    assert abs(cross.mean() - RHO) < 4.5 * array_stats.mcse(cross, method="mean")


def test_statistics_go_with_the_draws(toy: nuts.Run) -> None:
    centred = toy.z - MEAN
    density = -0.5 * np.einsum("cdi,ij,cdj->cd", centred, DATA["precision"], centred)
    np.testing.assert_allclose(toy.log_density, density, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(toy.output["z"], toy.z)
    assert not toy.diverging.any() and not toy.saturated.any() and not toy.interrupted
    assert toy.n_steps.min() >= 1 and toy.step_size.shape == (4,)
    assert 0.7 < toy.accept_prob.mean() < 0.95
    # the kinetic energy of two momenta is chi-square with two degrees of freedom, halved
    kinetic = toy.energy + toy.log_density
    assert np.all(kinetic >= 0) and abs(kinetic.mean() - 1.0) < 0.1


def test_a_funnel_diverges_and_the_monitor_counts_it() -> None:
    told: list[tuple[int, bool, int]] = []

    class Listener(nuts.Monitor):
        def update(self, done: int, tuning: bool, diverging: int, steps: float) -> None:
            told.append((done, tuning, diverging))
            assert steps >= 1.0

    kernel = Kernel(_funnel, _output, None, tune=300, target_accept=0.6, max_tree_depth=3)
    run = _sample(kernel, draws=500, monitor=Listener())
    assert run.diverging.sum() > 0
    assert told[-1] == (800, False, int(run.diverging.sum()))
    assert [done for done, *_ in told] == sorted(done for done, *_ in told)
    assert all(tuning == (done <= 300) for done, tuning, _ in told)
    assert all(diverging == 0 for _, tuning, diverging in told if tuning)
    np.testing.assert_array_equal(run.saturated, run.n_steps >= 7)
    assert 0.01 < run.saturated.mean() < 1.0 and run.n_steps.max() == 7


def test_a_thinned_run_keeps_every_third_draw(toy: nuts.Run) -> None:
    thinned = _sample(TOY, draws=200, thin=3)
    np.testing.assert_array_equal(thinned.z, toy.z[:, 2:600:3])
    np.testing.assert_array_equal(thinned.n_steps, toy.n_steps[:, :600].reshape(4, 200, 3).sum(axis=2))


def test_no_warm_up_leaves_the_step_size_alone() -> None:
    run = _sample(Kernel(_gaussian, _output, None, tune=0, target_accept=0.8, max_tree_depth=10), draws=20)
    assert np.isfinite(run.z).all() and run.step_size == pytest.approx(0.5)


# --- interruption -----------------------------------------------------------------------------------------------------
class Stop(nuts.Monitor):
    """A user who presses Ctrl-C when so many iterations are done."""

    def __init__(self, after: int) -> None:
        self.after = after

    def update(self, done: int, tuning: bool, diverging: int, steps: float) -> None:
        if done >= self.after:
            raise KeyboardInterrupt


def test_an_interrupt_keeps_the_draws_so_far(toy: nuts.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nuts, "PATIENCE", 0.0)
    run = _sample(TOY, monitor=Stop(320))
    assert run.interrupted
    kept = run.z.shape[1]
    assert 20 <= kept < 40
    np.testing.assert_array_equal(run.z, toy.z[:, :kept])


def test_an_interrupt_of_the_tuning_is_passed_on() -> None:
    with pytest.raises(KeyboardInterrupt):
        _sample(TOY, monitor=Stop(1))


def test_an_interrupt_before_the_first_draw_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    go = nuts._Driver.go

    def stopped(self: Any, count: int, thin: int, keep: bool) -> None:
        if keep:
            raise KeyboardInterrupt
        go(self, count, thin, keep)

    monkeypatch.setattr(nuts._Driver, "go", stopped)
    with pytest.raises(KeyboardInterrupt):
        _sample(TOY)
