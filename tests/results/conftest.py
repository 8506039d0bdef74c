"""Posteriors with made-up draws, for tests of what is computed from draws; fits that tests share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.estimate.draws import Draws, SamplerSettings, SamplerStats
from jmix.results.glmm_fit import GlmmFit
from jmix.results.posterior import Posterior

MakePosterior = Callable[..., Posterior]


def _autoregressive(rng: np.random.Generator, shape: tuple[int, ...], rho: float = 0.3) -> np.ndarray:
    """(C, D, ...) standard normal draws, each chain autoregressive along its second axis."""
    noise = rng.normal(size=shape)
    for i in range(1, shape[1]):
        noise[:, i] = rho * noise[:, i - 1] + np.sqrt(1 - rho**2) * noise[:, i]
    return noise


def _make(
    formula: str, data: Any, *, chains: int = 4, draws: int = 250, seed: int = 0, nu: bool = False, **settings: Any
) -> Posterior:
    model = jmix.model(formula, data)
    fit, rng, shape = model.fit(), np.random.default_rng(seed), (chains, draws)
    root = np.linalg.cholesky(fit.vcov().to_numpy())
    beta = fit.beta + _autoregressive(rng, (*shape, len(fit.beta))) @ root.T
    chol = []
    for lam in model.spec.split(fit.solution.theta):
        q = len(lam)
        factor = fit.sigma * (lam + 0.1 * np.eye(q))
        wobble = np.exp(0.2 * _autoregressive(rng, (*shape, q)))
        chol.append(wobble[..., None] * factor * (1 + 0.2 * np.tril(_autoregressive(rng, (*shape, q, q)), -1)))
    stats = SamplerStats(
        diverging=np.zeros(shape, bool),
        n_steps=np.full(shape, 7),
        accept_prob=np.full(shape, 0.8),
        energy=rng.normal(size=shape),
        step_size=np.full(chains, 0.5),
        saturated=np.zeros(shape, bool),
    )
    seconds = {"warm start": 0.25, "compile": 2.0, "tune": 0.5, "sample": 1.0}
    kept = Draws(
        beta=beta,
        chol=tuple(chol),
        sigma=fit.sigma * np.exp(0.06 * _autoregressive(rng, shape)),
        log_density=rng.normal(size=shape),
        stats=stats,
        settings=replace(SamplerSettings(draws, 500, chains, seed, seconds=seconds), **settings),
        nu=np.exp(1.5 + 0.5 * _autoregressive(rng, shape)) if nu else None,
    )
    family = "student" if nu else "gaussian"
    return Posterior(model.design, model.spec, model.terms, model.objective, None, kept, family)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def make_posterior() -> MakePosterior:
    """Plausible, not exact, draws: ``make_posterior(formula, data, chains=, draws=, seed=, nu=, **settings)``."""
    return _make


@pytest.fixture(scope="session")
def fake_posterior() -> Posterior:
    """Four chains of 250 made-up draws of sleepstudy's correlated slopes."""
    return _make("Reaction ~ Days + (Days | Subject)", jmix.load_data("sleepstudy"))


# --- generalized linear mixed models: those of glmm.R ----------------------------------------------------------------
def glmm_data(name: str) -> pd.DataFrame:
    """The data sets of glmm.R with its made-up columns."""
    data = jmix.load_data(name)
    if name == "Penicillin":
        return data.assign(area=(data["diameter"] - 17) ** 2)
    if name != "sleepstudy":
        return data
    i = np.arange(180)
    counts = np.floor((i * 104729) % 11 * np.exp((i // 10) % 4 / 3))
    return data.assign(
        x=data["Days"] / 10,
        count=np.where((i * 7919) % 5 == 0, 0.0, counts),
        rounded=data["Reaction"].round(),
        grade=pd.cut(data["Reaction"], [0, 250, 300, 350, 1000], labels=list("ABCD")),
    )


INCIDENCE = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
GLMMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "cbpp": (INCIDENCE, "cbpp", {"family": "binomial"}),
    "cbpp9": (INCIDENCE, "cbpp", {"family": "binomial", "n_agq": 9}),
    "poisson": ("rounded ~ x + (x | Subject)", "sleepstudy", {"family": "poisson"}),
    "crossed": ("area ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", {"family": "poisson"}),
    "gamma": ("Reaction ~ x + (1 | Subject)", "sleepstudy", {"family": "gamma", "link": "log"}),
    "zinb": ("count ~ x + (1 | Subject)", "sleepstudy", {"family": "nbinom2", "zi": "~ x"}),
    "hurdle": ("count ~ x + (1 | Subject)", "sleepstudy", {"family": "nbinom2", "hurdle": "~ x"}),
    "disp": ("Reaction ~ x + (x | Subject)", "sleepstudy", {"family": "gaussian", "disp": "~ x"}),
    "ordinal": ("grade ~ x + (1 | Subject)", "sleepstudy", {"family": "cumulative"}),
    "plain": ("cbind(incidence, size - incidence) ~ period", "cbpp", {"family": "binomial"}),
}


@functools.cache
def _glmm(name: str) -> GlmmFit:
    formula, data, options = GLMMS[name]
    return jmix.glmm(formula, glmm_data(data), **options)


@pytest.fixture(scope="session")
def glmm_fit() -> Callable[[str], GlmmFit]:
    """The fit of a model of glmm.R, once a process: ``glmm_fit("cbpp")``."""
    return _glmm
