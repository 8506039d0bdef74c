"""Integrating the random effects out by quadrature gives the posterior of sampling everything, and of plain NumPyro.

The plain models below are NumPyro programs of their own, nothing of jmix in them. Means, standard deviations and
quantiles of every parameter and of some random effects agree within ``BOUND`` combined Monte Carlo standard errors.
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

from jmix.design_response import build_glmm_design
from jmix.families import resolve_family
from jmix.models_glmm import GlmmModel

BOUND, DRAWS, GROUPS, EACH = 4.5, 1000, 8, 6
Sites = dict[str, Any]


def _rows() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(GROUPS), EACH)
    x = rng.normal(0.5, 1.0, g.size)
    eta = 0.2 + 0.6 * x + 0.9 * rng.normal(size=GROUPS)[g]
    data = pd.DataFrame(
        {"g": g, "x": x, "yes": rng.binomial(1, 1 / (1 + np.exp(-eta))), "count": rng.poisson(np.exp(eta))}
    )
    data["over"] = rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(eta)))
    data["grade"] = np.digitize(eta + rng.logistic(size=g.size), [-0.5, 1.0])
    return data


DATA = _rows()
FIXED = {"b": "normal(0, 2)", "b_(Intercept)": "normal(0, 2)", "sd": "half_normal(1.5)"}


def _linear(rows: Sites, *, level: bool = True) -> Any:
    slope = numpyro.sample("x", dist.Normal(0, 2))
    start = numpyro.sample("(Intercept)", dist.Normal(0, 2)) if level else 0.0
    sd = numpyro.sample("sd_g__Intercept", dist.HalfNormal(1.5))
    u = numpyro.deterministic("g", sd * numpyro.sample("z", dist.Normal().expand([GROUPS])))
    return start + slope * rows["x"] + u[rows["g"]], slope


def _bernoulli(rows: Sites) -> None:
    numpyro.sample("y", dist.Bernoulli(logits=_linear(rows)[0]), obs=rows["yes"])


def _poisson(rows: Sites) -> None:
    numpyro.sample("y", dist.Poisson(jnp.exp(_linear(rows)[0])), obs=rows["count"])


def _negative_binomial(rows: Sites) -> None:
    shape = numpyro.sample("shape", dist.Gamma(2.0, 0.5))
    numpyro.sample("y", dist.NegativeBinomial2(jnp.exp(_linear(rows)[0]), shape), obs=rows["over"])


def _ordinal(rows: Sites) -> None:
    """Thresholds at the mean of x have Student-t priors, independent but for their order."""
    eta, slope = _linear(rows, level=False)
    first = numpyro.sample("first", dist.StudentT(3, 0.0, 2.5))
    gap = numpyro.sample("gap", dist.ImproperUniform(dist.constraints.positive, (), ()))
    numpyro.factor("second", dist.StudentT(3, 0.0, 2.5).log_prob(first + gap))
    centred = jnp.stack([first, first + gap])
    tau = centred + rows["x"].mean() * slope
    numpyro.deterministic("Intercept[1]", tau[0])
    numpyro.deterministic("Intercept[2]", tau[1])
    numpyro.sample("y", dist.OrderedLogistic(eta, tau), obs=rows["grade"])


@dataclass(frozen=True)
class Case:
    """The same model twice."""

    formula: str
    family: str
    priors: dict[str, str]
    plain: Callable[[Sites], None]


ORDINAL = {"b": "normal(0, 2)", "sd": "half_normal(1.5)"}
CASES = [
    pytest.param(Case("yes ~ x + (1 | g)", "bernoulli", FIXED, _bernoulli), id="bernoulli"),
    pytest.param(Case("count ~ x + (1 | g)", "poisson", FIXED, _poisson), id="poisson", marks=pytest.mark.slow),
    pytest.param(
        Case("over ~ x + (1 | g)", "nbinom2", FIXED | {"shape": "gamma(2, 0.5)"}, _negative_binomial),
        id="nbinom2",
        marks=pytest.mark.slow,
    ),
    pytest.param(Case("grade ~ x + (1 | g)", "cumulative", ORDINAL, _ordinal), id="cumulative", marks=pytest.mark.slow),
]


@dataclass(frozen=True)
class Three:
    """(C, D) draws of every parameter and random effect: marginal, full, and of the plain model."""

    marginal: dict[str, np.ndarray]
    full: dict[str, np.ndarray]
    plain: dict[str, np.ndarray]


def _named(post: Any) -> dict[str, np.ndarray]:
    effects = post.effects()["g"]
    return dict(post.parameters) | {f"g[{j}]": effects[:, :, j, 0] for j in range(GROUPS)}


@pytest.fixture(scope="module", params=CASES)
def three(request: pytest.FixtureRequest) -> Three:
    case: Case = request.param
    model = GlmmModel(build_glmm_design(case.formula, DATA, resolve_family(case.family)), given_priors=case.priors)
    marginal = model.sample(draws=DRAWS, seed=5, target_accept=0.9, n_agq=15, progress=False)
    full = model.sample(draws=DRAWS, seed=6, target_accept=0.95, marginal=False, progress=False)
    return Three(_named(marginal), _named(full), _plain(case))


def _plain(case: Case) -> dict[str, np.ndarray]:
    rows: Sites = {name: DATA[name].to_numpy() for name in DATA}
    with jax.enable_x64(True):
        mcmc = MCMC(
            NUTS(case.plain, target_accept_prob=0.95),
            num_warmup=800, num_samples=DRAWS, num_chains=4, chain_method="vectorized", progress_bar=False,
        )  # fmt: skip
        mcmc.run(jax.random.PRNGKey(9), rows)
        sites = {name: np.asarray(v) for name, v in mcmc.get_samples(group_by_chain=True).items()}
    effects = {f"g[{j}]": sites["g"][:, :, j] for j in range(GROUPS)}
    return {name: v for name, v in sites.items() if v.ndim == 2} | effects


STATISTICS = {
    "mean": (np.mean, {"method": "mean"}),
    "sd": (np.std, {"method": "sd"}),
    **{
        f"{100 * p:g}%": (lambda x, p=p: np.quantile(x, p), {"method": "quantile", "prob": p})
        for p in (0.05, 0.5, 0.95)
    },
}


def _far(one: dict[str, np.ndarray], other: dict[str, np.ndarray], shift: float = 0.0) -> dict[str, float]:
    """Differences beyond the bound, in combined Monte Carlo standard errors."""
    out = {}
    for name, ours in one.items():
        plain = other[name] + shift * other[name].std()
        for label, (statistic, how) in STATISTICS.items():
            error = np.hypot(array_stats.mcse(ours, **how), array_stats.mcse(plain, **how))
            out[f"{name} {label}"] = float((statistic(ours) - statistic(plain)) / error)
    assert len(out) >= 5 * (GROUPS + 3)
    return {name: round(score, 2) for name, score in out.items() if abs(score) > BOUND}


def test_the_chains_agree(three: Three) -> None:
    for draws in (three.marginal, three.full):
        assert all(array_stats.rhat(v) < 1.015 for v in draws.values())


def test_quadrature_and_the_plain_model_agree(three: Three) -> None:
    assert not _far(three.marginal, three.plain)


def test_the_full_model_and_the_plain_model_agree(three: Three) -> None:
    assert not _far(three.full, three.plain)


def test_a_shift_of_a_fifth_of_an_sd_would_show(three: Three) -> None:
    assert sum(name.endswith("mean") for name in _far(three.marginal, three.plain, shift=0.2)) >= GROUPS
