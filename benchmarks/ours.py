"""Every call of the benchmarks into jmix, so that a change of its face is followed in one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FIRST_FIT = """
import time
t0 = time.perf_counter()
import jmix
t1 = time.perf_counter()
import jax, pandas
t2 = time.perf_counter()
data = jmix.load_data("sleepstudy")
t3 = time.perf_counter()
fit = jmix.lmm("Reaction ~ Days + (Days | Subject)", data)
t4 = time.perf_counter()
fit = jmix.lmm("Reaction ~ Days + (Days | Subject)", data)
t5 = time.perf_counter()
import json
times = {"import": t1 - t0, "imported": t2 - t1, "load": t3 - t2, "first": t4 - t3, "second": t5 - t4}
print("@@" + json.dumps(times))
"""

WHOLE_PROCESS = """
import jmix
print(jmix.lmm("Reaction ~ Days + (Days | Subject)", jmix.load_data("sleepstudy")).loglik)
"""

FIRST_GENERAL = """
import time
t0 = time.perf_counter()
import jmix
t1 = time.perf_counter()
import jax, pandas
t2 = time.perf_counter()
data = pandas.read_parquet({file!r})
t3 = time.perf_counter()
fit = jmix.glmm({formula!r}, data, family="bernoulli", n_agq={n_agq})
fit.vcov(), fit.modes
t4 = time.perf_counter()
fit = jmix.glmm({formula!r}, data, family="bernoulli", n_agq={n_agq})
fit.vcov(), fit.modes
t5 = time.perf_counter()
import json
times = {{"import": t1 - t0, "imported": t2 - t1, "read": t3 - t2, "first": t4 - t3, "second": t5 - t4}}
print("@@" + json.dumps(times))
"""


FIRST_ITEMS = """
import time
t0 = time.perf_counter()
import jmix
t1 = time.perf_counter()
import jax, pandas, numpy
t2 = time.perf_counter()
data = numpy.load({file!r})
fit = jmix.irt(data, itemtype="2PL")
fit.items()
t3 = time.perf_counter()
fit = jmix.irt(data, itemtype="2PL")
fit.items()
t4 = time.perf_counter()
import json
print("@@" + json.dumps({{"import": t1 - t0, "imported": t2 - t1, "first": t3 - t2, "second": t4 - t3}}))
"""

SAMPLE_ITEMS = """
import time
t0 = time.perf_counter()
import json
import numpy
import jmix
priors = {{"d": "normal(0, 3)", "a": "lognormal(0, 0.5)"}}
model = jmix.irt_model(numpy.load({file!r}), itemtype="2PL", priors=priors)
post = model.sample(draws={draws}, tune={draws}, seed=1)
t1 = time.perf_counter()
ess = float(post.summary().table["ess_bulk"].min())
print("@@" + json.dumps({{"to the posterior, s": t1 - t0, "smallest bulk ESS": ess}}))
"""


def fit(formula: str, data: pd.DataFrame, reml: bool) -> Any:
    """A fit through the public door, with what it computes on demand and every peer has at the end: SEs and modes."""
    import jmix

    result = jmix.lmm(formula, data, reml=reml)
    result.vcov()
    _ = result.modes
    return result


def fit_with_rows(formula: str, data: pd.DataFrame, reml: bool) -> Any:
    """The same and the fitted values, a pass over the rows that lme4 and glmm make in every fit."""
    result = fit(formula, data, reml)
    result.fitted()
    return result


def fit_with_df(formula: str, data: pd.DataFrame, reml: bool) -> Any:
    """The same and the table of coefficients with Satterthwaite's degrees of freedom, as glmm and lmerTest have it."""
    result = fit(formula, data, reml)
    _ = result.summary(df="satterthwaite").coefficients
    return result


def estimates(result: Any) -> dict[str, Any]:
    """The numbers that are compared between contestants."""
    return {
        "loglik": float(result.loglik),
        "beta": [float(value) for value in result.fixef()],
        "sigma": float(result.sigma),
    }


def refit_many(result: Any, responses: np.ndarray) -> list[dict[str, Any]]:
    """Refit one model to each column of ``responses`` (n, R) in one vmapped program."""
    fits = result.refit(responses)
    columns = zip(fits.loglik, fits.fixef().to_numpy().tolist(), fits.sigma, strict=True)
    return [{"loglik": loglik, "beta": beta, "sigma": sigma} for loglik, beta, sigma in columns]


def bootstrap_model(name: str, formula: str) -> Any:
    """A fit of a shipped data set: linear, or binomial for cbpp."""
    import jmix

    data = jmix.load_data(name)
    return jmix.glmm(formula, data, family="binomial") if name == "cbpp" else jmix.lmm(formula, data)


def bootstrap(fit: Any, count: int, seed: int) -> np.ndarray:
    """Fixed effects (count, p) of a parametric bootstrap through the public door."""
    return np.asarray(fit.bootstrap(count, seed=seed, progress=False).draws[fit.x_names])


def profile_limits(fit: Any) -> tuple[np.ndarray, np.ndarray]:
    """Profile-likelihood limits of all parameters: those of the intercept (2,) and of the SDs, one after another."""
    limits = fit.confint(method="profile", parameters="all", progress=False)
    sds = [name for name in limits.index if name.startswith("sd_")]
    return limits.loc["(Intercept)"].to_numpy(), limits.loc[sds].to_numpy().ravel()


def objective(formula: str, data: pd.DataFrame, theta: Sequence[float]) -> tuple[Callable[[], Any], float]:
    """A function that evaluates the REML criterion and its gradient once at ``theta``, and the criterion there."""
    import jmix

    of_data = jmix.model(formula, data).objective
    phi = of_data.to_phi @ np.asarray(theta)
    return lambda: of_data.first(phi, True), of_data.value(phi, True)


def fit_general(formula: str, data: pd.DataFrame, n_agq: int) -> Any:
    """A Bernoulli model through the public door, with what every peer has at the end: SEs and modes."""
    import jmix

    result = jmix.glmm(formula, data, family="bernoulli", n_agq=n_agq)
    result.vcov()
    _ = result.modes
    return result


def general_objective(formula: str, data: pd.DataFrame, n_agq: int) -> Callable[[int], float]:
    """A function of k: one value and gradient at a point that moves a little with k, so that the modes move too."""
    import jmix

    of_data = jmix.model(formula, data, family="bernoulli").objective(n_agq)
    k = len(of_data.spec.theta_names())
    x = np.concatenate([np.zeros(of_data.size - k), 0.8 * np.ones(k)])
    return lambda step: float(of_data.evaluate(x + 1e-3 * step)[0])


def cache_environment(folder: Path) -> dict[str, str]:
    """The environment of a process whose compilation cache lies in ``folder``."""
    inherited = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    return inherited | {"JMIX_CACHE_DIR": str(folder)}


def fit_items(job: dict[str, Any], responses: Any) -> dict[str, Any]:
    """An item model through the public door."""
    import jmix

    keys: dict[str, Any] = {"se": "hessian" if job["se"] else "none", "nodes": job["nodes"], "model": job["factors"]}
    if job.get("long"):
        import pandas as pd

        responses = pd.DataFrame(responses, columns=["person", "item", "response"])
        keys |= {"person": "person", "item": "item", "response": "response"}
    found = jmix.irt(responses, itemtype=job["itemtype"], **keys, **job.get("options", {}))
    solution = found.solution
    return {
        "loglik": float(found.loglik),
        "evaluations": int(solution.n_evaluations),
        "hessians": int(solution.n_hessians),
        "quadrature error": float(solution.quadrature_error),
    }


def item_objective(job: dict[str, Any], responses: Any) -> tuple[Callable[..., Any], Callable[..., Any], Any]:
    """Value and gradient, and Hessian, of the marginal log likelihood, and a point at which to take them."""
    from jmix.likelihood.irt.build import build_marginal
    from jmix.likelihood.irt.marginal import Integration
    from jmix.responses.read import read_responses
    from jmix.spec.irt.build import build_spec

    data = read_responses(responses)
    built = build_spec(data, job["itemtype"])
    spec = built[0] if isinstance(built, tuple) else built
    marginal = build_marginal(spec, data, Integration(nodes=job["nodes"], precision=job.get("precision", "float64")))
    x = np.asarray(spec.table.values)[spec.table.free]
    return marginal.value_and_grad, marginal.hessian, x
