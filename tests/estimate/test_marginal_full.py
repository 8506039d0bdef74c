"""Integrating the random effects out and drawing them afterwards gives the posterior of sampling everything.

The plain models below are NumPyro programs of their own: non-centred, all random effects sampled, nothing of jmix in
them. Means, standard deviations and quantiles of every parameter and every random effect agree within ``BOUND``
combined Monte Carlo standard errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from numpyro.infer import MCMC, NUTS

import jmix

BOUND, DRAWS = 4.5, 1500
Sites = dict[str, Any]


def _rows(groups: int, each: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, h = np.repeat(np.arange(groups), each), np.tile(np.arange(each), groups)
    x = rng.normal(0.7, 1.0, g.size)
    y = 2 + 0.5 * x + 1.2 * rng.normal(size=groups)[g] + 0.8 * rng.normal(size=each)[h] + rng.normal(size=g.size)
    return pd.DataFrame({"g": g, "h": h, "x": x, "y": y})


# --- plain models -----------------------------------------------------------------------------------------------------
def _intercept(rows: Sites) -> None:
    """Priors of brms for these data: Student-t(3, median, 2.5) on the intercept at the mean of x, flat slope."""
    alpha = numpyro.sample("alpha", dist.StudentT(3, rows["location"], rows["scale"]))
    slope = numpyro.sample("x", dist.ImproperUniform(dist.constraints.real, (), ()))
    half_t = dist.FoldedDistribution(dist.StudentT(3, 0.0, rows["scale"]))
    sd, sigma = numpyro.sample("sd_g__Intercept", half_t), numpyro.sample("sigma", half_t)
    u = numpyro.deterministic("g[0]", sd * numpyro.sample("z", dist.Normal().expand([8])))
    numpyro.deterministic("(Intercept)", alpha - slope * rows["x"].mean())
    mean = alpha + slope * (rows["x"] - rows["x"].mean()) + u[rows["g"]]
    numpyro.sample("y", dist.Normal(mean, sigma), obs=rows["y"])


def _slopes(rows: Sites) -> None:
    intercept, slope = numpyro.sample("(Intercept)", dist.Normal(0, 5)), numpyro.sample("x", dist.Normal(0, 5))
    sds = jnp.stack([numpyro.sample(f"sd_g__{c}", dist.HalfNormal(1.5)) for c in ("Intercept", "x")])
    chol = numpyro.sample("L", dist.LKJCholesky(2, 2.0))
    precision = numpyro.sample("precision", dist.Gamma(2.0, 1.0))
    sigma = numpyro.deterministic("sigma", precision**-0.5)
    numpyro.deterministic("cor_g__Intercept__x", chol[1, 0])
    z = numpyro.sample("z", dist.Normal().expand([6, 2]).to_event(2))
    u = z @ (sds[:, None] * chol).T
    numpyro.deterministic("g[0]", u[:, 0])
    numpyro.deterministic("g[1]", u[:, 1])
    mean = intercept + slope * rows["x"] + u[rows["g"], 0] + u[rows["g"], 1] * rows["x"]
    numpyro.sample("y", dist.Normal(mean, sigma), obs=rows["y"])


def _crossed(rows: Sites) -> None:
    intercept = numpyro.sample("(Intercept)", dist.Normal(0, 5))
    first, second = numpyro.sample("sd_g__Intercept", dist.Exponential(1.0)), numpyro.sample("v", dist.Uniform(0, 9))
    sd = numpyro.deterministic("sd_h__Intercept", second**0.5)
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.0))
    u = numpyro.deterministic("g[0]", first * numpyro.sample("z", dist.Normal().expand([6])))
    v = numpyro.deterministic("h[0]", sd * numpyro.sample("w", dist.Normal().expand([5])))
    numpyro.sample("y", dist.Normal(intercept + u[rows["g"]] + v[rows["h"]], sigma), obs=rows["y"])


@dataclass(frozen=True)
class Case:
    """The same model twice."""

    formula: str
    priors: dict[str, str] | None
    plain: Callable[[Sites], None]
    rows: pd.DataFrame


CASES = [
    pytest.param(Case("y ~ x + (1 | g)", None, _intercept, _rows(8, 5, 1)), id="intercept", marks=pytest.mark.slow),
    pytest.param(
        Case(
            "y ~ x + (x | g)",
            {"b": "normal(0, 5)", "(Intercept)": "normal(0, 5)", "sd": "half_normal(1.5)", "cor": "lkj(2)"}
            | {"sigma": "gamma(2, 1) on precision"},
            _slopes,
            _rows(6, 5, 2),
        ),
        id="correlated slopes",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        Case(
            "y ~ 1 + (1 | g) + (1 | h)",
            {"(Intercept)": "normal(0, 5)", "sd_g": "exponential(1)", "sd_h": "uniform(0, 9) on variance"}
            | {"sigma": "half_cauchy(2)"},
            _crossed,
            _rows(6, 5, 3),
        ),
        id="crossed",
        marks=pytest.mark.slow,
    ),
]


@dataclass(frozen=True)
class Both:
    """(C, D) draws of every parameter and random effect: jmix's and the plain model's."""

    ours: dict[str, np.ndarray]
    plain: dict[str, np.ndarray]


@pytest.fixture(scope="module", params=CASES)
def both(request: pytest.FixtureRequest) -> Both:
    case: Case = request.param
    post = jmix.model(case.formula, case.rows, priors=case.priors).sample(
        draws=DRAWS, seed=5, target_accept=0.95, progress=False
    )
    ours = dict(post.parameters)
    for group, effects in post.effects().items():
        ours |= {
            f"{group}[{c}][{j}]": effects[:, :, j, c] for j in range(effects.shape[2]) for c in range(effects.shape[3])
        }
    return Both(ours, _plain(case, set(ours)))


def _plain(case: Case, wanted: set[str]) -> dict[str, np.ndarray]:
    rows: Sites = {name: case.rows[name].to_numpy() for name in case.rows}
    rows["location"] = np.round(np.median(rows["y"]), 1)
    rows["scale"] = max(2.5, np.round(1.4826 * np.median(np.abs(rows["y"] - np.median(rows["y"]))), 1))
    kernel = NUTS(case.plain, target_accept_prob=0.9)
    with jax.enable_x64(True):
        mcmc = MCMC(
            kernel, num_warmup=800, num_samples=DRAWS, num_chains=4, chain_method="vectorized", progress_bar=False
        )
        mcmc.run(jax.random.PRNGKey(9), rows)
        sites = {name: np.asarray(v) for name, v in mcmc.get_samples(group_by_chain=True).items()}
    out = {name: v for name, v in sites.items() if v.ndim == 2}
    out |= {f"{name}[{j}]": v[:, :, j] for name, v in sites.items() if v.ndim == 3 for j in range(v.shape[2])}
    missing = wanted - set(out)
    assert not missing, f"the plain model lacks {missing}"
    return {name: out[name] for name in wanted}


STATISTICS = {
    "mean": (np.mean, {"method": "mean"}),
    "sd": (np.std, {"method": "sd"}),
    **{
        f"{100 * p:g}%": (lambda x, p=p: np.quantile(x, p), {"method": "quantile", "prob": p})
        for p in (0.025, 0.25, 0.5, 0.75, 0.975)
    },
}


def _scores(both: Both, shift: float = 0.0) -> dict[str, float]:
    """Differences in combined Monte Carlo standard errors, the plain draws moved by ``shift`` SDs."""
    out = {}
    for name, ours in both.ours.items():
        plain = both.plain[name] + shift * both.plain[name].std()
        for label, (statistic, how) in STATISTICS.items():
            error = np.hypot(array_stats.mcse(ours, **how), array_stats.mcse(plain, **how))
            out[f"{name} {label}"] = float((statistic(ours) - statistic(plain)) / error)
    return out


def test_the_plain_model_is_well_sampled(both: Both) -> None:
    for name in both.plain:
        assert array_stats.rhat(both.plain[name]) < 1.01, name
        assert array_stats.rhat(both.ours[name]) < 1.01, name


def test_parameters_and_random_effects_have_the_same_posterior(both: Both) -> None:
    scores = _scores(both)
    assert len(scores) >= 7 * 12
    assert not {name: round(score, 2) for name, score in scores.items() if abs(score) > BOUND}


def test_a_shift_of_a_fifth_of_an_sd_would_show(both: Both) -> None:
    scores = _scores(both, shift=0.2)
    assert all(score < -BOUND for name, score in scores.items() if name.startswith("g[") and name.endswith("mean"))
