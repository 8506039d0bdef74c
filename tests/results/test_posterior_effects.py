"""Draws of the random effects and their tables, as a user asks for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.errors import ModelError
from jmix.estimate import effects as conditional
from jmix.results import posterior_effects
from jmix.results.posterior import Posterior

PENICILLIN = "diameter ~ 1 + (1 | plate) + (1 | sample)"


@pytest.fixture(scope="module")
def crossed(make_posterior: Any) -> Posterior:
    return make_posterior(PENICILLIN, jmix.load_data("Penicillin"), chains=2, draws=40)


def test_draws_vary_about_their_conditional_means_as_they_should(fake_posterior: Posterior) -> None:
    post = fake_posterior
    drawn = post.effects()["Subject"]
    assert drawn.shape == (4, 250, 18, 2)
    given = conditional.given(post.objective, post.draws, np.arange(1000))
    means = np.concatenate([b["Subject"] for _, b in conditional.mean_effects(post.objective, given)])
    rest = drawn.reshape(1000, 18, 2) - means
    scaled = np.empty_like(rest)
    for d in range(1000):
        covariances = post.objective.covariances(given.phi[d])["Subject"] * given.sigma[d] ** 2
        scaled[d] = np.linalg.solve(np.linalg.cholesky(covariances), rest[d, :, :, None])[..., 0]
    z = scaled.reshape(-1, 2)
    assert np.abs(z.mean(axis=0)).max() < 4.5 / np.sqrt(len(z))
    assert np.abs(z.T @ z / len(z) - np.eye(2)).max() < 4.5 * np.sqrt(2 / len(z))
    lagged = np.mean(scaled[1:] * scaled[:-1])
    assert abs(lagged) < 4.5 / np.sqrt(scaled[1:].size)


def test_the_same_seed_gives_the_same_draws_however_many_at_a_time(crossed: Posterior) -> None:
    whole, other = crossed.effects(seed=1), crossed.effects(seed=2)
    part = crossed.effects("sample", thin=3, seed=1)
    assert list(whole) == ["plate", "sample"]
    assert list(part) == ["sample"]
    np.testing.assert_array_equal(part["sample"], whole["sample"][:, ::3])
    assert np.abs(whole["plate"] - other["plate"]).min() > 0
    given = conditional.given(crossed.objective, crossed.draws, np.arange(80))
    for rows, chunk in conditional.draw_effects(crossed.objective, given, 1, 33):
        flat = whole["plate"].reshape(80, -1, 1)
        np.testing.assert_allclose(chunk["plate"], flat[rows], rtol=0, atol=1e-10 * np.abs(flat).max())


def test_large_draws_are_streamed_and_the_largest_refused(crossed: Posterior, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = crossed.effects(seed=3)
    fresh = replace(crossed)
    monkeypatch.setattr(posterior_effects, "CACHED", 100)
    streamed = fresh.effects(seed=3)
    assert "effects" not in fresh.memory
    np.testing.assert_allclose(streamed["plate"], kept["plate"], rtol=0, atol=1e-10)
    monkeypatch.setattr(posterior_effects, "LARGEST", 8 * 80 * 6)
    assert fresh.effects("sample")["sample"].shape == (2, 40, 6, 1)
    with pytest.raises(ModelError, match=r"GiB.*thin= keeps fewer"):
        fresh.effects()
    assert fresh.effects(thin=5)["plate"].shape == (2, 8, 24, 1)


def _modes(post: Posterior, number: int) -> Any:
    """Conditional means at one draw, as after a fit."""
    at = conditional.given(post.objective, post.draws, np.array([number]))
    return post.objective.modes(at.phi[0], at.contrast[0])["Subject"]


def test_tables_of_random_effects(fake_posterior: Posterior) -> None:
    post = fake_posterior
    mean, sd, drawn = post.ranef()["Subject"], post.ranef_sd()["Subject"], post.effects("Subject")["Subject"]
    assert mean.index.name == "Subject"
    assert list(mean.columns) == ["(Intercept)", "Days"]
    flat = drawn.reshape(1000, 18, 2)
    assert (np.abs(flat.mean(axis=0) - mean) < 4.5 * sd / np.sqrt(1000)).all(axis=None)
    assert (np.abs(flat.std(axis=0) / sd - 1) < 4.5 / np.sqrt(2000)).all(axis=None)
    fresh = replace(post)
    np.testing.assert_allclose(fresh.ranef_sd()["Subject"], sd, rtol=1e-12)
    np.testing.assert_allclose(fresh.ranef()["Subject"], mean, rtol=1e-9, atol=1e-9)
    part = replace(post, draws=post.draws).ranef(thin=250)["Subject"]
    np.testing.assert_allclose(part, np.mean([_modes(post, d) for d in (0, 250, 500, 750)], axis=0), atol=1e-9)
    coef = post.coef()["Subject"]
    np.testing.assert_allclose(coef, mean + post.fixef(), rtol=1e-12)
    table = post.ranef_table(0.8)
    assert list(table.columns) == ["group", "level", "term", "estimate", "est_error", "lower", "upper"]
    tidy = post.tidy(effects="ran_vals")
    np.testing.assert_allclose(tidy["estimate"], flat.mean(axis=0).ravel(order="F"))
    row = table[(table["level"] == "309") & (table["term"] == "Days")].iloc[0]
    assert row["estimate"] == mean.loc["309", "Days"]
    assert row["est_error"] == sd.loc["309", "Days"]
    np.testing.assert_allclose(row[["lower", "upper"]].astype(float), np.quantile(flat[:, 1, 1], [0.1, 0.9]))


def test_effects_that_the_sampler_drew_are_taken_as_they_are(fake_posterior: Posterior) -> None:
    rng = np.random.default_rng(0)
    drawn = {"Subject": rng.normal(size=(4, 250, 18, 2))}
    kept = replace(fake_posterior.draws, effects=drawn, nu=np.full((4, 250), 5.0))
    post = replace(fake_posterior, draws=kept, family="student")
    np.testing.assert_array_equal(post.effects(thin=10)["Subject"], drawn["Subject"][:, ::10])
    np.testing.assert_allclose(post.ranef()["Subject"], drawn["Subject"].mean(axis=(0, 1)))
    np.testing.assert_allclose(post.ranef_sd()["Subject"], drawn["Subject"].std(axis=(0, 1), ddof=1))


def test_refusals(crossed: Posterior) -> None:
    with pytest.raises(ModelError, match="no grouping factor 'plat'; there are: plate, sample"):
        crossed.effects("plat")
    for wrong in (0, 1.5, True):
        with pytest.raises(ModelError, match="thin="):
            crossed.effects(thin=wrong)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="seed=-1"):
        crossed.effects(seed=-1)
    settings = replace(crossed.settings, chain_method="prior")
    prior = replace(crossed, draws=replace(crossed.draws, settings=settings))
    for ask in (prior.effects, prior.ranef, prior.predict, prior.fitted, prior.log_likelihood):
        with pytest.raises(ModelError, match="draws of the prior"):
            ask()
    assert prior.simulate(3).shape == (144, 3)
    assert isinstance(prior.predict(conditional=False), pd.DataFrame)
