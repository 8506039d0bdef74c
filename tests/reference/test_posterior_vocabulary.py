"""1,155 people and ten vocabulary words: the published table, whose JAGS took 59.7 minutes, and our own JAGS run.

The model of the table has effects of the first five words only; normal(0, variance 1000) on them and gamma(0.01, 0.01)
on the precision of the people. Agreement is within ``BOUND`` combined Monte Carlo standard errors.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats

import jmix

BOUND = 4.5
PUBLISHED_ESS = 1.1 * 59.7 * 60
"""Effective draws of the published run: 1.1 a second of tau for 59.7 minutes, and the least of all parameters."""

WORDS = "ABCDE"


@pytest.fixture(scope="module")
def post(shared_dir: Path) -> Any:
    data = pd.read_csv(shared_dir / "data" / "gss2004_vocab.csv")
    words = [name for name in data if name.startswith("word")]
    long = data.melt("id", words, "word", "y")
    for label, word in zip(WORDS, words, strict=False):
        long[label] = (long.word == word).astype(float)
    priors = {"b": f"normal(0, {np.sqrt(1000)})", "sd": "gamma(0.01, 0.01) on precision"}
    model: Any = jmix.model("y ~ 0 + A + B + C + D + E + (1 | id)", long, family="binomial", priors=priors)
    return model.sample(draws=2500, seed=1, progress=False)


def _ours(post: Any) -> dict[str, np.ndarray]:
    return {f"b{w.lower()}": post[w] for w in WORDS} | {"tau": post["sd_id__Intercept"]}


def test_the_people_collapse_to_their_sum_scores(post: Any) -> None:
    assert post.integration == "AGQ" and post.objective.restore.merged == 11
    assert post.status.converged and post.ngrps() == {"id": 1155}


def _scores(draws: np.ndarray, mean: float, sd: float, ess: float) -> dict[str, float]:
    """Differences of mean and standard deviation in combined Monte Carlo standard errors."""
    out = {}
    for method, value, wanted in (("mean", draws.mean(), mean), ("sd", draws.std(), sd)):
        mcse = float(array_stats.mcse(draws, method=method))
        own = float(array_stats.ess(draws, method=method))
        out[method] = float(value - wanted) / (mcse * np.sqrt(1.0 + own / ess))
    return out


def test_it_is_the_posterior_of_our_jags_run(post: Any, reference: Callable[[str], Any]) -> None:
    theirs = reference("posterior")["vocabulary"]["posterior_published_model"]
    for name, draws in _ours(post).items():
        own = theirs[name]
        scores = _scores(draws, own["mean"], own["sd"], own["ess"])
        assert all(abs(v) < BOUND for v in scores.values()), (name, scores)
        ends = array_stats.hdi(draws.reshape(-1), prob=0.95)
        np.testing.assert_allclose(ends, [own["lower95"], own["upper95"]], atol=0.15 * own["sd"])


def test_it_is_the_published_table(post: Any, reference: Callable[[str], Any]) -> None:
    for name, (mean, sd) in reference("posterior")["vocabulary"]["published"].items():
        scores = _scores(_ours(post)[name], mean, sd, PUBLISHED_ESS)
        assert all(abs(v) < BOUND for v in scores.values()), (name, scores)


def test_an_error_of_a_tenth_of_a_standard_deviation_would_show(post: Any, reference: Callable[[str], Any]) -> None:
    own = reference("posterior")["vocabulary"]["posterior_published_model"]["tau"]
    assert _scores(_ours(post)["tau"], own["mean"] + 0.1 * own["sd"], own["sd"], own["ess"])["mean"] < -BOUND


def test_many_effective_draws_a_second(post: Any) -> None:
    ess = float(array_stats.ess(post["sd_id__Intercept"], method="bulk"))
    seconds = post.settings.seconds
    assert ess > 0.5 * post.n_draws and ess / (seconds["tune"] + seconds["sample"]) > 20 * 1.1
