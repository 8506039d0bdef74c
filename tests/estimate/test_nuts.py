"""The driver of the sampler: on toy densities whose answer is known, then through ``Model.sample``."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from scipy import stats

import jmix
from jmix.errors import ModelError
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


# --- through Model.sample ---------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def model() -> jmix.Model:
    return jmix.model("y ~ 1 + (1 | g)", _data())


def _data() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(8), 4)
    return pd.DataFrame({"g": g, "y": 1 + rng.normal(size=8)[g] + rng.normal(size=32)})


SMALL = {"draws": 60, "tune": 100, "chains": 2, "progress": False}


def _same(a: Any, b: Any, **tolerance: float) -> None:
    for name, draws in a.parameters.items():
        np.testing.assert_allclose(draws, b.parameters[name], err_msg=name, **tolerance)


@pytest.fixture(scope="module")
def posterior(model: jmix.Model) -> Any:
    with warnings.catch_warnings(record=True):
        return model.sample(seed=7, **SMALL)


def test_the_same_seed_gives_the_same_draws_and_another_others(model: jmix.Model, posterior: Any) -> None:
    _same(posterior, model.sample(seed=7, **SMALL), rtol=0, atol=0)
    other = model.sample(seed=8, **SMALL)
    assert not np.isclose(other["sigma"], posterior["sigma"]).any()


def test_chains_differ_from_one_another(posterior: Any) -> None:
    assert not np.isclose(posterior["sigma"][0], posterior["sigma"][1]).any()


def test_one_after_another_the_chains_draw_the_same(model: jmix.Model, posterior: Any) -> None:
    """To rounding, which the first draws have not yet amplified; and whatever the number of chains."""
    sequential = model.sample(seed=7, chain_method="sequential", **SMALL | {"chains": 3})
    assert sequential.settings.chain_method == "sequential" and sequential["sigma"].shape == (3, 60)
    for name, draws in posterior.parameters.items():
        np.testing.assert_allclose(sequential[name][:2], draws, rtol=1e-6, err_msg=name)


def test_an_interrupt_of_a_later_chain_keeps_the_earlier_ones(
    model: jmix.Model, posterior: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = nuts.sample, []

    def second_is_stopped(*args: Any, **kwargs: Any) -> nuts.Run:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(nuts, "sample", second_is_stopped)
    kept = model.sample(seed=7, chain_method="sequential", **SMALL)
    assert kept.settings.interrupted and kept["sigma"].shape == (1, 60)
    np.testing.assert_allclose(kept["sigma"][0], posterior["sigma"][0], rtol=1e-6)


@pytest.mark.parametrize("init", ["random", {"sigma": 3.0, "sd_g__Intercept": 0.2, "(Intercept)": -4.0}])
def test_other_starting_points_lead_to_the_same_place(model: jmix.Model, posterior: Any, init: Any) -> None:
    other = model.sample(seed=7, init=init, **SMALL)
    assert not np.isclose(other["sigma"], posterior["sigma"]).any()
    assert other.settings.init == (init if isinstance(init, str) else "values")
    for name, draws in posterior.parameters.items():
        gap = abs(other[name].mean() - draws.mean())
        error = np.hypot(array_stats.mcse(other[name], method="mean"), array_stats.mcse(draws, method="mean"))
        assert gap < 5 * error, name


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"draws": 0}, "draws=0: give a whole number, 1 or more"),
        ({"draws": 10.5}, "draws=10.5"),
        ({"draws": True}, "draws=True"),
        ({"tune": -1}, "tune=-1"),
        ({"chains": 0}, "chains=0"),
        ({"thin": 0}, "thin=0"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**63}, "below 2"),
        ({"seed": None}, "seed=None"),
        ({"target_accept": 1.0}, "between 0 and 1"),
        ({"target_accept": float("nan")}, "between 0 and 1"),
        ({"target_accept": "high"}, "between 0 and 1"),
        ({"max_tree_depth": 16}, "15 is the greatest"),
        ({"chain_method": "threads"}, "choose one of auto, vectorized, parallel, sequential"),
        ({"init": "prior"}, "choose 'mode', 'random'"),
        ({"init": None}, "choose 'mode', 'random'"),
        ({"init": {"sgima": 1.0}}, "no parameter 'sgima'"),
        ({"init": {"sigma": -1.0}}, "must be positive"),
        ({"init": {"sigma": "wide"}}, "sigma"),
        ({"init": {"sigma": float("inf")}}, "sigma"),
    ],
)
def test_options_out_of_range_are_refused(model: jmix.Model, option: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        model.sample(**SMALL | option)


def test_nothing_is_printed_and_no_flag_is_changed(model: jmix.Model, capfd: pytest.CaptureFixture[str]) -> None:
    before = dict(jax.config.values)
    model.sample(seed=1, **{k: v for k, v in SMALL.items() if k != "progress"})
    assert capfd.readouterr() == ("", "")
    assert dict(jax.config.values) == before and not jax.config.jax_enable_x64
    assert jnp.zeros(1).dtype == jnp.float32


PARALLEL = """
import sys, numpy as np, pandas as pd, jax, jmix
assert len(jax.devices()) == 2
data = pd.read_csv(sys.argv[1])
post = jmix.model("y ~ 1 + (1 | g)", data).sample(seed=7, draws=60, tune=100, chains=2, chain_method="parallel")
assert post.settings.chain_method == "parallel"
np.save(sys.argv[2], post["sigma"])
"""


@pytest.mark.slow
def test_split_over_two_devices_the_chains_draw_the_same(
    posterior: Any, tmp_path: Any, run_python: Callable[..., None]
) -> None:
    _data().to_csv(tmp_path / "data.csv", index=False, float_format="%.17g")
    run_python(PARALLEL, tmp_path / "data.csv", tmp_path / "sigma.npy")
    np.testing.assert_allclose(np.load(tmp_path / "sigma.npy"), posterior["sigma"], rtol=1e-6)


INTERRUPTED = """
import os, signal, sys, threading, time, jmix
from jmix.estimate import nuts
class Killer(nuts.Monitor):
    def update(self, done, tuning, diverging, steps):
        if not tuning and done > 600:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1.0)
import contextlib
from jmix.estimate import sampling
sampling.progress_bar = lambda *args: contextlib.nullcontext(Killer())
model = jmix.model("Reaction ~ Days + (1 | Subject)", jmix.load_data("sleepstudy"))
post = model.sample(draws=10**6, tune=100, chains=2)
assert post.settings.interrupted and 500 <= post["sigma"].shape[1] < 10**6, post["sigma"].shape
print(post.summary())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_real_ctrl_c_keeps_the_draws(run_python: Callable[..., None]) -> None:
    run_python(INTERRUPTED)


@pytest.fixture
def run_python(repo: Any) -> Callable[..., None]:
    def run(code: str, *args: Any) -> None:
        flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
        env = os.environ | {"PYTHONPATH": str(repo)} | flags
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, args)], env=env, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr

    return run
