"""Diagnostics of draws and their location against NumPy, ArviZ and NumPyro, and what is said of bad draws."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import jmix
from jmix.results.diagnostics import autocorrelation, diagnose, rhat
from jmix.results.posterior import Posterior
from jmix.results.posterior_table import bounds, mode

SLEEP = jmix.load_data("sleepstudy")
MakePosterior = Callable[..., Posterior]


def chains_of(seed: int, shape: tuple[int, ...] = (4, 200), rho: float = 0.6) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    for i in range(1, shape[-1]):
        noise[..., i] += rho * noise[..., i - 1]
    return noise


def with_draws(post: Posterior, **changes: Any) -> Posterior:
    return replace(post, draws=replace(post.draws, **changes))


def with_stats(post: Posterior, **changes: Any) -> Posterior:
    return with_draws(post, stats=replace(post.draws.stats, **changes))


# --- diagnostics ----------------------------------------------------------------------------------------------------
def test_diagnostics_are_arvizs() -> None:
    az = pytest.importorskip("arviz")
    draws = np.stack([chains_of(1), np.exp(chains_of(2)), chains_of(3) + np.arange(4)[:, None]])
    ours = diagnose(draws)
    np.testing.assert_allclose(ours["rhat"], [az.rhat(d) for d in draws], rtol=1e-12)
    np.testing.assert_allclose(ours["ess_bulk"], [az.ess(d, method="bulk") for d in draws], rtol=1e-9)
    tails = [min(az.ess(d, method="quantile", prob=q) for q in (0.05, 0.95)) for d in draws]
    np.testing.assert_allclose(ours["ess_tail"], tails, rtol=1e-9)
    np.testing.assert_allclose(ours["mcse_mean"], [az.mcse(d, method="mean") for d in draws], rtol=1e-9)


def test_effective_size_agrees_with_numpyro_and_theory() -> None:
    from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

    draws = chains_of(4, (4, 5000))
    ours = diagnose(draws[None])
    np.testing.assert_allclose(ours["ess_bulk"], effective_sample_size(draws), rtol=0.05)
    np.testing.assert_allclose(ours["ess_bulk"], draws.size * (1 - 0.6) / (1 + 0.6), rtol=0.1)
    np.testing.assert_allclose(ours["rhat"], split_gelman_rubin(draws), atol=2e-3)
    assert ours["mcse_mean"][0] == pytest.approx(draws.std() / np.sqrt(draws.size / 4), rel=0.05)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_diagnostics_do_not_depend_on_the_scale(scale: float) -> None:
    draws = chains_of(5)[None]
    ours, scaled = diagnose(draws), diagnose(scale * (draws + 3))
    for name in ("rhat", "ess_bulk", "ess_tail"):
        np.testing.assert_allclose(scaled[name], ours[name], rtol=1e-6)
    for name in ("mcse_mean", "mcse_sd"):
        np.testing.assert_allclose(scaled[name], scale * ours[name], rtol=1e-6)


def test_one_chain_compares_its_halves() -> None:
    drift = np.linspace(0, 3, 200) + chains_of(6, (1, 200), 0.0)
    assert rhat(drift) > 1.3
    assert rhat(chains_of(7, (1, 2000), 0.0)) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("draws", [np.ones((2, 50)), np.full((2, 50), np.nan), chains_of(8, (4, 3)), np.zeros((1, 1))])
def test_what_cannot_be_computed_is_nan_in_silence(draws: np.ndarray) -> None:
    both = np.stack([draws, np.zeros_like(draws)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(np.isnan(v).all() and v.shape == (2,) for v in diagnose(both).values())
        assert np.isnan(autocorrelation(both, 1)).all()


def test_a_constant_draw_does_not_spoil_the_others() -> None:
    draws = np.stack([chains_of(1), np.ones((4, 200))])
    ours, alone = diagnose(draws), diagnose(draws[:1])
    for name, values in ours.items():
        np.testing.assert_array_equal(values, [alone[name][0], np.nan])


def test_chains_that_stick_at_different_values_have_no_r_hat_near_one() -> None:
    stuck = np.repeat(np.arange(4.0)[:, None], 100, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not diagnose(stuck[None])["rhat"][0] < 1.5


def test_autocorrelation_is_the_mean_over_chains() -> None:
    draws = chains_of(9, (3, 400))
    centred = draws - draws.mean(axis=1, keepdims=True)
    expected = np.mean([np.sum(c[10:] * c[:-10]) / np.sum(c * c) for c in centred])
    assert autocorrelation(draws, 10) == pytest.approx(expected, rel=1e-12)
    assert autocorrelation(chains_of(9, (4, 20_000)), 1) == pytest.approx(0.6, abs=0.02)
    assert np.isnan(autocorrelation(draws, 400))


# --- location -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("draw", "expected", "tolerance"),
    [
        (lambda rng: rng.normal(3, 2, 20_000), 3.0, 0.3),
        (lambda rng: rng.gamma(3, 1, 20_000), 2.0, 0.3),
        (lambda rng: np.abs(rng.standard_t(2, 20_000)), 0.0, 0.1),
        (lambda rng: 1e-9 * np.abs(rng.normal(size=20_000)), 0.0, 0.2e-9),
        (lambda rng: 1 - 0.1 * rng.exponential(size=20_000), 1.0, 0.01),
    ],
)
def test_mode(draw: Callable[[np.random.Generator], np.ndarray], expected: float, tolerance: float) -> None:
    draws = draw(np.random.default_rng(10))
    found = mode(draws)
    assert abs(found - expected) < tolerance
    assert draws.min() <= found <= draws.max()


@pytest.mark.parametrize("draws", [np.full(10, 2.5), np.r_[np.full(99, 2.5), 7.0]])
def test_mode_of_constant_draws(draws: np.ndarray) -> None:
    assert mode(draws) == 2.5


def test_intervals() -> None:
    draws = np.random.default_rng(11).exponential(size=(2, 20_000))
    np.testing.assert_allclose(np.transpose(bounds(draws, 0.9)), np.quantile(draws, [0.05, 0.95], axis=1).T)
    lower, upper = bounds(draws, 0.9, "hdi")
    np.testing.assert_allclose(lower, 0, atol=1e-3)
    np.testing.assert_allclose(upper, -np.log(0.1), rtol=0.03)


# --- status ---------------------------------------------------------------------------------------------------------
def test_good_draws_have_nothing_to_report(make_posterior: MakePosterior) -> None:
    status = make_posterior("Reaction ~ Days + (1 | Subject)", SLEEP, draws=1500).status
    assert status.messages == ()
    assert status.converged
    assert status.max_rhat <= 1.01
    assert min(status.min_ess_bulk, status.min_ess_tail) >= 400


def test_trajectories_are_counted(fake_posterior: Posterior) -> None:
    marked = np.arange(1000).reshape(4, 250)
    status = with_stats(fake_posterior, diverging=marked < 7, saturated=marked < 12).status
    assert (status.divergences, status.saturated, status.converged) == (7, 12, False)
    text = " ".join(status.messages)
    assert "7 of 1000 draws diverged" in text
    assert "raise target_accept from 0.9 to 0.95" in text
    assert "12 of 1000 draws reached max_tree_depth=10" in text
    assert "max_tree_depth=12" in text


def test_chains_apart_are_named_with_their_r_hat(fake_posterior: Posterior) -> None:
    beta = fake_posterior.draws.beta.copy()
    beta[0, :, 1] += 5.0
    status = with_draws(fake_posterior, beta=beta).status
    table = with_draws(fake_posterior, beta=beta).diagnostics
    message = next(m for m in status.messages if m.startswith("R-hat above 1.01: "))
    assert f"Days ({table.loc['Days', 'rhat']:.2f})" in message
    assert "draws=500, tune=1000" in message
    assert "sigma" not in message
    assert status.max_rhat == table["rhat"].max()
    assert not status.converged


def test_slow_mixing_names_the_worst_and_the_draws_it_needs(fake_posterior: Posterior) -> None:
    slow = np.exp(0.01 * chains_of(12, (4, 250), 0.97))
    post = with_draws(fake_posterior, sigma=slow)
    ess = post.diagnostics.loc["sigma", "ess_bulk"]
    message = next(m for m in post.status.messages if m.startswith("bulk effective"))
    assert f"below 400 (100 a chain): sigma ({ess:.0f})" in message
    asked = int(message.rsplit("draws=", 1)[1])
    assert asked % 500 == 0
    assert 0 <= asked - 250 * 400 / ess < 500


def test_one_chain_interruption_and_draws_that_do_not_move(make_posterior: MakePosterior) -> None:
    post = make_posterior("Reaction ~ Days + (1 | Subject)", SLEEP, chains=1, draws=40, interrupted=True)
    post = with_draws(post, settings=replace(post.settings, draws=1000), sigma=np.full((1, 40), 3.0))
    text = "\n".join(post.status.messages)
    assert "interrupted after 40 of 1000 draws a chain" in text
    assert "one chain only" in text
    assert "every draw is the same: sigma" in text
    assert not post.status.converged
    broken = post.draws.sigma.copy()
    broken[0, :3] = np.nan
    bad = with_draws(post, sigma=broken).status
    assert any("not finite: sigma (3 of 40 draws)" in m for m in bad.messages)
    assert np.isnan(bad.max_rhat)
