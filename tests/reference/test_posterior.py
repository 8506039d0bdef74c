"""Posteriors against JAGS's in ``shared/reference/posterior.json``, with the sources' own priors.

Means, standard deviations and quantiles agree within ``BOUND`` combined Monte Carlo standard errors: ours by
``arviz_stats``, JAGS's the same for its own effective sample size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
from arviz_stats.base import array_stats

import jmix

BOUND = 4.5
DRAWS = 5000
Draws = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A model of the reference file: where it stands, its data, and our parameters under JAGS's names."""

    entry: tuple[str, str]
    data: str | None
    formula: str
    names: dict[str, str]
    derived: Callable[[Draws], Draws] = lambda draws: {}

    def priors(self, data: pd.DataFrame) -> dict[str, Any] | None:
        """Normal coefficients with 100 times the variance of the response, uniform standard deviations."""
        if self.data is None:
            return None
        wide = f"normal(0, {10 * float(data[self.formula.split()[0]].std())})"
        fixed = {"b_(Intercept)": wide} | ({} if "~ 1 +" in self.formula else {"b": wide})
        if self.entry[1] == "nels_model3":
            rate = jmix.prior(dist.Wishart(2.1, rate_matrix=np.eye(2) / 2.1), on="precision")
            return fixed | {"cov_school": rate, "sigma": "gamma(0.01, 0.01) on precision"}
        out = fixed | {"sigma": "uniform(0.0001, 2000)", "sd": "uniform(0.0001, 200)"}
        if self.entry[1] == "anorexia_model5":
            out["sd_girl__Intercept"] = "gamma(0.001, 0.001) on precision"
        return out


def _covariances(draws: Draws) -> Draws:
    sd0, sd1, rho = draws["sd0"], draws["sd1"], draws["rho"]
    return {"Tau[1,1]": sd0**2, "Tau[2,1]": rho * sd0 * sd1, "Tau[2,2]": sd1**2}


SCHOOL = {"sd0": "sd_school__Intercept", "sd1": "sd_school__homew", "rho": "cor_school__Intercept__homew"}
SUBJECT = {"sd0": "sd_Subject__Intercept", "sd1": "sd_Subject__Days", "rho": "cor_Subject__Intercept__Days"}
G = {"g0": "(Intercept)", "sigma": "sigma"}
CASES = [
    pytest.param(
        Case(
            ("sleepstudy_brms_priors", "brms_prior_model"),
            None,
            "Reaction ~ Days + (Days | Subject)",
            {"b0": "(Intercept)", "b1": "Days", "sigma": "sigma", **SUBJECT},
        ),
        id="sleepstudy",
    ),
    pytest.param(
        Case(
            ("nels", "nels_model3"),
            "nels23",
            "math ~ homew + (homew | school)",
            {"mu[1]": "(Intercept)", "mu[2]": "homew", "sigma": "sigma", **SCHOOL},
            _covariances,
        ),
        id="nels_3",
    ),
    pytest.param(
        Case(
            ("anorexia", "anorexia_model5"),
            "anorexia_long",
            "weight ~ time + Rx1 + Rx3 + (1 | girl) + (0 + time | girl)",
            G | {"g1": "time", "g2": "Rx1", "g3": "Rx3", "tau0": "sd_girl__Intercept", "tau1": "sd_girl__time"},
        ),
        id="anorexia_5",
    ),
    pytest.param(
        Case(
            ("anorexia", "anorexia_model0"),
            "anorexia_long",
            "weight ~ 1 + (1 | girl)",
            G | {"tau": "sd_girl__Intercept"},
        ),
        id="anorexia_0",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        Case(
            ("anorexia", "anorexia_model1"),
            "anorexia_long",
            "weight ~ time + (1 | girl)",
            G | {"g1": "time", "tau": "sd_girl__Intercept"},
        ),
        id="anorexia_1",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        Case(
            ("nels", "nels_model1"),
            "nels23",
            "math ~ homew + (1 | school)",
            G | {"g1": "homew", "tau": "sd_school__Intercept"},
        ),
        id="nels_1",
        marks=pytest.mark.slow,
    ),
]


@dataclass(frozen=True)
class Compared:
    """Draws under JAGS's names, and JAGS's statistics."""

    draws: Draws
    stats: dict[str, dict[str, float]]


@pytest.fixture(scope="module", params=CASES)
def compared(request: pytest.FixtureRequest, shared_dir: Path, reference: Callable[[str], Any]) -> Compared:
    case: Case = request.param
    data = pd.read_csv(shared_dir / "data" / f"{case.data}.csv") if case.data else jmix.load_data("sleepstudy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # NumPyro's, on the precision of the Wishart's numbers
        model = jmix.model(case.formula, data, priors=case.priors(data))
        post = model.sample(draws=DRAWS, seed=11, progress=False)
    draws = {theirs: np.asarray(post[ours]) for theirs, ours in case.names.items()}
    file, entry = case.entry
    return Compared(draws | case.derived(draws), reference("posterior")[file][entry]["stats"])


STATISTICS = {
    "mean": (np.mean, "mean", "mean", None),
    "sd": (np.std, "sd", "sd", None),
    "q025": (lambda x: np.quantile(x, 0.025), "quantile", "quantile", 0.025),
    "median": (np.median, "quantile", "quantile", 0.5),
    "q975": (lambda x: np.quantile(x, 0.975), "quantile", "quantile", 0.975),
}


def _scores(compared: Compared, **stretched: float) -> dict[str, float]:
    """Differences in combined Monte Carlo standard errors; ``stretched`` multiplies JAGS's statistics, by name."""
    out = {}
    for name, draws in compared.draws.items():
        theirs = compared.stats[name]
        for statistic, (value, error, size, prob) in STATISTICS.items():
            mcse = float(array_stats.mcse(draws, method=error, prob=prob))
            ess = float(array_stats.ess(draws, method=size, prob=prob))
            combined = mcse * np.sqrt(1.0 + ess / theirs["ess"])
            wanted = theirs[statistic] * stretched.get(statistic, 1.0)
            out[f"{name} {statistic}"] = (float(value(draws)) - wanted) / combined
    return out


def test_the_chains_agree(compared: Compared) -> None:
    for name, draws in compared.draws.items():
        assert float(array_stats.rhat(draws)) < 1.01, name
        assert float(array_stats.ess(draws, method="bulk")) > 0.1 * draws.size, name


def test_every_statistic_is_that_of_jags(compared: Compared) -> None:
    far = {name: round(score, 2) for name, score in _scores(compared).items() if abs(score) > BOUND}
    assert not far


def test_an_error_of_five_percent_would_show(compared: Compared) -> None:
    assert _scores(compared, sd=1.05)["sigma sd"] < -BOUND
