"""``Model.sample``: seeds, chains one after another or side by side, starting points, options, interruption."""

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

import jmix
from jmix.errors import ModelError
from jmix.estimate import nuts

# so few draws rightly call for a warning
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


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


@pytest.mark.parametrize("method", ["sequential", "vectorized"])
def test_in_whatever_way_the_chains_draw_the_same(model: jmix.Model, posterior: Any, method: str) -> None:
    """To rounding, which the first draws have not yet amplified; and whatever the number of chains."""
    assert posterior.settings.chain_method == "threads"
    other = model.sample(seed=7, chain_method=method, **SMALL | {"chains": 3})
    assert other.settings.chain_method == method and other["sigma"].shape == (3, 60)
    for name, draws in posterior.parameters.items():
        np.testing.assert_allclose(other[name][:2], draws, rtol=1e-6, err_msg=name)


def test_an_interrupt_of_a_later_chain_keeps_the_earlier_ones(
    model: jmix.Model, posterior: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = nuts._Driver.go

    def second_is_stopped(self: Any, count: int, thin: int, keep: bool) -> None:
        if keep and self.number == 1:
            raise KeyboardInterrupt
        go(self, count, thin, keep)

    monkeypatch.setattr(nuts._Driver, "go", second_is_stopped)
    kept = model.sample(seed=7, chain_method="sequential", **SMALL)
    assert kept.settings.interrupted and kept["sigma"].shape == (1, 60)
    np.testing.assert_allclose(kept["sigma"][0], posterior["sigma"][0], rtol=1e-6)


def test_an_interrupt_stops_all_threads(model: jmix.Model, posterior: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains are cut to the shortest of those that have draws."""
    go = nuts._Driver.go

    def first_is_stopped(self: Any, count: int, thin: int, keep: bool) -> None:
        go(self, 20 if keep and self.number == 0 else count, thin, keep)
        if keep and self.number == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(nuts._Driver, "go", first_is_stopped)
    kept = model.sample(seed=7, chain_method="threads", **SMALL)
    assert kept.settings.interrupted and kept["sigma"].shape[1] <= 20
    np.testing.assert_allclose(kept["sigma"][0], posterior["sigma"][0, : kept["sigma"].shape[1]], rtol=1e-6)


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
        ({"chain_method": "gpu"}, "choose one of auto, vectorized, parallel, threads, sequential"),
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
