"""Simulation-based calibration of a Poisson mixed model (Talts, Betancourt, Simpson, Vehtari & Gelman 2018).

Parameters come from the priors, data from the parameters, and the ranks of the parameters among draws of the posterior
are uniform. The ranks of one random effect among its draws check those too.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jmix.design_response import build_glmm_design
from jmix.families import resolve_family
from jmix.models_glmm import GlmmModel

REPLICATIONS, GROUPS, EACH, KEPT, BINS = 200, 8, 5, 99, 10
PRIORS = {"b": "normal(0, 0.5)", "b_(Intercept)": "normal(0, 0.5)", "sd": "half_normal(0.8)"}
NAMES = ["(Intercept)", "x", "sd_g__Intercept", "effect"]


def _ranks(replication: int, x: np.ndarray) -> list[int]:
    """Of the intercept, the slope, the standard deviation and the first random effect."""
    rng = np.random.default_rng([41, replication])
    truth = [*rng.normal(0.0, 0.5, 2), abs(rng.normal(0.0, 0.8))]
    g = np.repeat(np.arange(GROUPS), EACH)
    u = truth[2] * rng.normal(size=GROUPS)
    y = rng.poisson(np.exp(truth[0] + truth[1] * x + u[g]))
    design = build_glmm_design("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g}), resolve_family("poisson"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few draws, which the status notes
        post = GlmmModel(design, given_priors=PRIORS).sample(
            draws=KEPT, tune=300, chains=1, thin=5, seed=replication, n_agq=11, progress=False
        )
    draws = [post[name][0] for name in NAMES[:3]] + [post.effects()["g"][0, :, 0, 0]]
    return [int(np.sum(own < value)) for own, value in zip(draws, [*truth, u[0]], strict=True)]


@pytest.fixture(scope="module")
def ranks() -> np.ndarray:
    """(replications, 4); the predictor is the same in all, so that one program serves them."""
    x = np.random.default_rng(40).normal(size=GROUPS * EACH)
    return np.array([_ranks(i, x) for i in range(REPLICATIONS)])


def _p_value(ranks: np.ndarray) -> float:
    counts = np.bincount(ranks * BINS // (KEPT + 1), minlength=BINS)
    return float(stats.chisquare(counts).pvalue)


@pytest.mark.slow
def test_ranks_are_uniform(ranks: np.ndarray) -> None:
    p_values = {name: _p_value(ranks[:, i]) for i, name in enumerate(NAMES)}
    assert min(p_values.values()) > 0.01 / len(NAMES), p_values


@pytest.mark.slow
def test_ranks_of_draws_that_are_too_narrow_would_show(ranks: np.ndarray) -> None:
    """Ranks pushed from the middle, as if the posterior had three quarters of its spread."""
    centred = (ranks - 0.5 * KEPT) / 0.75
    narrow = np.clip(np.round(centred + 0.5 * KEPT), 0, KEPT).astype(int)
    assert min(_p_value(narrow[:, i]) for i in range(len(NAMES))) < 1e-4
