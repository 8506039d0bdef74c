"""Posterior predictions, simulated responses, and statements about groups not yet seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, norm, t

import jmix
from jmix.errors import DataError, ModelError
from jmix.results import posterior_predict
from jmix.results.posterior import Posterior
from jmix.results.posterior_population import mixture_quantile

SLEEP = jmix.load_data("sleepstudy")
NEW = pd.DataFrame({"Days": [0.0, 9.0, 0.0, 9.0, 3.0], "Subject": ["308", "308", "new", "new", "other"]})


@pytest.fixture(scope="module")
def weighted(make_posterior: Any) -> Posterior:
    """Crossed factors with weights and an offset."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": rng.integers(0, 6, 90), "h": rng.integers(0, 5, 90), "x": rng.normal(size=90)})
    data["o"] = rng.normal(size=90)
    data["y"] = data["o"] + data["x"] + rng.normal(size=6)[data["g"]] + rng.normal(size=5)[data["h"]]
    data["y"] += rng.normal(size=90)
    post = make_posterior("y ~ x + offset(o) + (x | g) + (1 | h)", data, chains=2, draws=100)
    design = replace(post.design, weights=rng.uniform(0.5, 2.0, 90))
    return replace(post, design=design)  # the draws are made up either way


def _linear(post: Posterior) -> Any:
    """(N, n) X beta + offset + Z b, written out."""
    design, drawn = post.design, post.effects()
    eta = post.draws.beta.reshape(post.n_draws, -1) @ design.X.T
    eta = eta if design.offset is None else eta + design.offset
    start = dict.fromkeys(drawn, 0)
    for term in post.terms:
        for i, column in enumerate(term.columns):
            own = drawn[term.group].reshape(post.n_draws, len(term.levels), -1)[:, term.codes, start[term.group] + i]
            eta = eta + column * own
        start[term.group] += len(term.columns)
    return eta


# --- rows of the model ----------------------------------------------------------------------------------------------
def test_predictions_are_fixed_plus_random_part(weighted: Posterior, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _linear(weighted)
    drawn = weighted.predict(summary=False)
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    frame = weighted.predict(prob=0.5)
    assert isinstance(frame, pd.DataFrame)
    summaries = [expected.mean(axis=0), expected.std(axis=0, ddof=1), *np.quantile(expected, [0.25, 0.75], axis=0)]
    np.testing.assert_allclose(frame[["fit", "se", "lower", "upper"]], np.transpose(summaries), rtol=1e-10, atol=1e-12)
    monkeypatch.setattr(posterior_predict, "BLOCK_BYTES", 8 * 200 * 13)
    pd.testing.assert_frame_equal(weighted.predict(prob=0.5), frame)
    thinned = weighted.predict(summary=False, thin=10)
    np.testing.assert_array_equal(thinned, drawn.reshape(2, 100, 90)[:, ::10].reshape(20, 90))  # type: ignore[union-attr]


def test_population_predictions_have_no_random_effects(fake_posterior: Posterior) -> None:
    drawn = fake_posterior.predict(pd.DataFrame({"Days": [2.0]}), conditional=False, summary=False)
    beta = fake_posterior.draws.beta.reshape(-1, 2)
    np.testing.assert_allclose(drawn, beta @ [[1.0], [2.0]], rtol=1e-12)


@pytest.mark.parametrize("nu", [None, 5.0])
def test_responses_have_residuals_of_the_right_scale(weighted: Posterior, nu: float | None) -> None:
    post = weighted
    if nu is not None:
        kept = replace(weighted.draws, nu=np.full((2, 100), nu), effects=weighted.effects())
        post = replace(weighted, draws=kept, family="student")
    drawn = post.predict(kind="response", summary=False)
    np.testing.assert_array_equal(drawn, post.predict(kind="response", summary=False))
    sigma = post.draws.sigma.reshape(-1, 1) / np.sqrt(post.design.weights)  # type: ignore[arg-type]
    unit = (drawn - _linear(post)) / sigma
    assert kstest(unit.ravel(), norm.cdf if nu is None else t(nu).cdf).pvalue > 1e-4
    for axis in (0, 1):
        assert np.abs(np.sign(unit).mean(axis=axis)).max() < 5 / np.sqrt(unit.shape[axis])


def test_fitted_values_and_residuals_are_posterior_means(weighted: Posterior) -> None:
    expected, design = _linear(weighted), weighted.design
    mcse = expected.std(axis=0) / np.sqrt(weighted.n_draws)
    fitted = weighted.fitted()
    assert (np.abs(fitted - expected.mean(axis=0)) < 4.5 * mcse).all()
    raw = weighted.residuals()
    np.testing.assert_allclose(raw, design.y - fitted, atol=1e-12)
    root = np.sqrt(design.weights)  # type: ignore[arg-type]
    np.testing.assert_allclose(weighted.residuals("pearson"), raw * root, rtol=1e-12)
    np.testing.assert_allclose(weighted.residuals("scaled"), raw * root / weighted.sigma, rtol=1e-12)
    fixed = design.X @ weighted.beta + design.offset
    np.testing.assert_allclose(weighted.fitted(conditional=False), fixed, rtol=1e-12)


# --- new levels -----------------------------------------------------------------------------------------------------
def test_new_levels_are_refused_zero_or_drawn(fake_posterior: Posterior) -> None:
    post = fake_posterior
    with pytest.raises(DataError, match=r"'new', 'other'; .*'population'.*'sample'"):
        post.predict(NEW)
    plain = post.predict(NEW, new_levels="population", summary=False)
    drawn = post.predict(NEW, new_levels="sample", summary=False)
    beta = post.draws.beta.reshape(-1, 2)
    np.testing.assert_allclose(plain[:, 3], beta @ [1.0, 9.0], rtol=1e-12)  # type: ignore[index]
    np.testing.assert_array_equal(plain[:, :2], drawn[:, :2])  # type: ignore[index]
    effect = np.asarray(drawn)[:, 2:] - np.asarray(plain)[:, 2:]
    slope = (effect[:, 1] - effect[:, 0]) / 9.0  # one intercept and slope for both rows of a level
    chol = post.draws.chol[0].reshape(-1, 2, 2)
    unit = np.linalg.solve(chol, np.stack([effect[:, 0], slope], axis=1)[..., None])[..., 0]
    assert kstest(unit.ravel(), "norm").pvalue > 1e-4
    assert abs(np.mean(unit[:, 0] * unit[:, 1])) < 4.5 / np.sqrt(1000)
    variance = np.einsum("dab,a->db", chol, [1.0, 3.0])
    other = effect[:, 2] / np.sqrt(np.square(variance).sum(axis=1))
    assert kstest(other, "norm").pvalue > 1e-4
    assert abs(np.mean(other * unit[:, 0])) < 4.5 / np.sqrt(1000)


def test_new_cells_of_an_interaction_and_missing_levels(make_posterior: Any) -> None:
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"a": np.repeat(["p", "q", "r"], 12), "b": np.tile(np.repeat([1, 2, 3], 4), 3)})
    data["y"] = rng.normal(size=36) + 2 * (data["a"] == "q") + rng.normal(size=3)[data["b"] - 1]
    post = make_posterior("y ~ 1 + (1 | a/b)", data, chains=1, draws=400)
    new = pd.DataFrame({"a": ["q", "q", "s", "s", None, None], "b": [9, 9, 1, 2, 1, 1]})
    drawn = np.asarray(post.predict(new, new_levels="sample", summary=False))
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 1])
    correlation = np.corrcoef(drawn - post.draws.beta.reshape(-1, 1), rowvar=False)
    assert 0.3 < correlation[2, 3] < 0.999  # the same new a, another cell
    assert abs(correlation[4, 5]) < 4.5 / np.sqrt(400)  # nothing says that missing levels are the same
    frame = post.predict(new.iloc[4:])
    assert np.isnan(frame).all(axis=None)  # type: ignore[call-overload]


def test_responses_of_new_rows_need_their_weights(weighted: Posterior) -> None:
    rows = pd.DataFrame({"x": [0.0] * 400, "o": 0.0, "g": 1, "h": 2, "w": [1.0, 100.0] * 200})
    with pytest.raises(ModelError, match="give those of the new rows"):
        weighted.predict(rows, kind="response")
    drawn = np.asarray(weighted.predict(rows, kind="response", weights="w", summary=False))
    ratio = drawn[:, ::2].std(axis=1, ddof=1) / drawn[:, 1::2].std(axis=1, ddof=1)
    assert np.mean(ratio) == pytest.approx(10.0, rel=0.05)
    with pytest.raises(DataError, match="400 positive numbers"):
        weighted.predict(rows, kind="response", weights=[1.0])


# --- simulation -----------------------------------------------------------------------------------------------------
def test_simulated_responses_have_the_marginal_distribution(fake_posterior: Posterior) -> None:
    post, count = fake_posterior, 500
    frame = post.simulate(count, seed=4)
    pd.testing.assert_frame_equal(frame, post.simulate(count, seed=4))
    assert list(frame.columns[:2]) == ["sim_1", "sim_2"]
    numbers = np.arange(count) * 1000 // count
    chol, sigma = post.draws.chol[0].reshape(-1, 2, 2)[numbers], post.draws.sigma.reshape(-1)[numbers]
    z = post.design.X[:10] @ chol  # every subject has the same ten days
    v = z @ np.swapaxes(z, 1, 2) + sigma[:, None, None] ** 2 * np.eye(10)
    residual = frame.to_numpy().T - post.draws.beta.reshape(-1, 2)[numbers] @ post.design.X.T
    unit = np.linalg.solve(np.linalg.cholesky(v), np.swapaxes(residual.reshape(count, 18, 10), 1, 2))
    assert kstest(unit.ravel(), "norm").pvalue > 1e-4
    given = post.simulate(count, seed=4, conditional=True)
    mean = np.asarray(_linear(post))[numbers].mean(axis=0)
    spread = given.std(axis=1)
    assert (np.abs(given.mean(axis=1) - mean) < 4.5 * spread / np.sqrt(count)).all()
    with pytest.raises(ModelError, match="n=0"):
        post.simulate(0)


# --- populations ----------------------------------------------------------------------------------------------------
def test_population_statements(fake_posterior: Posterior) -> None:
    post = fake_posterior
    found = post.population(0.9)
    row = found.table.set_index("term").loc["Days"]
    mean, sd = post["Days"].ravel(), post["sd_Subject__Days"].ravel()
    for limit, p in (("lower", 0.05), ("upper", 0.95)):
        assert norm.cdf(row[limit], mean, sd).mean() == pytest.approx(p, abs=1e-10)
    low = mean + norm.ppf(0.05) * sd
    expected = [low.mean(), *np.quantile(low, [0.05, 0.95])]
    np.testing.assert_allclose(row[["from", "from_lower", "from_upper"]].astype(float), expected, rtol=1e-10)
    text = " ".join(str(found).split())
    assert f"90% of future levels of Subject have Days between {row['lower']:.4g} and {row['upper']:.4g}." in text
    assert mixture_quantile(np.array([1.0, 3.0]), np.zeros(2), 0.75) == 3.0


def test_probability_of_a_new_group(fake_posterior: Posterior) -> None:
    post = fake_posterior
    found = post.prob_new_group("Intercept + 9 * Days > 300", prob=0.9)
    chol, beta = post.draws.chol[0].reshape(-1, 2, 2), post.draws.beta.reshape(-1, 2)
    sd = np.linalg.norm(np.einsum("a,dab->db", [1.0, 9.0], chol), axis=1)
    share = norm.sf(300.0, beta @ [1.0, 9.0], sd)
    expected = [share.mean(), *np.quantile(share, [0.05, 0.95])]
    np.testing.assert_allclose(found[["probability", "lower", "upper"]], expected, rtol=1e-10)
    below = post.prob_new_group("Intercept + 9 * Days < 300")
    assert below["probability"] == pytest.approx(1 - share.mean())
    for wrong, message in [("Days = 0", "inequality"), ("Days * Days > 1", "not linear"), ("Day > 0", "no parameter")]:
        with pytest.raises(ModelError, match=message):
            post.prob_new_group(wrong)


def test_wrong_options(fake_posterior: Posterior) -> None:
    for options in ({"kind": "mean"}, {"new_levels": "zero"}, {"prob": 1.0}, {"seed": -1}, {"thin": 0}):
        with pytest.raises(ModelError, match=next(iter(options))):
            fake_posterior.predict(**options)  # type: ignore[arg-type]
