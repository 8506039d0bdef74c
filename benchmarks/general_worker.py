"""The process in which one Python contestant fits a generalized model; ``@@`` and JSON lines for the parent."""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Job = dict[str, Any]


def report(**values: Any) -> None:
    """One result line for the parent."""
    print("@@" + json.dumps(values), flush=True)


def fit_jmix(job: Job, data: pd.DataFrame) -> Any:
    from benchmarks import ours

    return ours.fit_general(job["formula"], data, job["n_agq"])


def fit_glmm(job: Job, data: pd.DataFrame) -> Any:
    """The Rust package, as its users call it."""
    import glmm

    return glmm.fit(data, job["formula"], family="binomial", nagq=job["n_agq"])


def fit_gpboost(job: Job, data: pd.DataFrame) -> Any:
    """GPBoost's GPModel: it takes matrices; a random slope is one more column of a group."""
    import gpboost

    X = fixed_columns(job["fixed"], data)
    groups = np.column_stack([data[group].astype(str) for group, _ in job["random"]])
    slopes = [(column, at) for at, (_, columns) in enumerate(job["random"], 1) for column in named(columns)]
    extra = {}
    if slopes:
        extra = {
            "group_rand_coef_data": np.column_stack([data[column] for column, _ in slopes]),
            "ind_effect_group_rand_coef": [at for _, at in slopes],
        }
    model = gpboost.GPModel(group_data=groups, likelihood="bernoulli_logit", **extra)
    model.fit(y=data["y"].to_numpy(), X=X)
    return model


def fit_variational(job: Job, data: pd.DataFrame) -> Any:
    """statsmodels has no maximum likelihood here: mean-field variational Bayes, a posterior mean."""
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

    if any(columns != "1" for _, columns in job["random"]):
        raise ValueError("BinomialBayesMixedGLM has no correlated slopes")
    terms = {group: f"0 + C({group})" for group, _ in job["random"]}
    return BinomialBayesMixedGLM.from_formula(f"y ~ {job['fixed']}", terms, data).fit_vb()


def fixed_columns(fixed: str, data: pd.DataFrame) -> np.ndarray:
    """The matrix of the fixed effects, treatment contrasts; an intercept unless the formula starts with 0."""
    words = [word.strip() for word in fixed.split("+")]
    names = [word for word in words if word not in ("0", "1")]
    columns = pd.get_dummies(data[names], drop_first=True, dtype=float).to_numpy(float)
    return columns if words[0] == "0" else np.column_stack([np.ones(len(data)), columns])


def named(columns: str) -> list[str]:
    """The slopes among the columns of a random term."""
    return [word.strip() for word in columns.split("+") if word.strip() not in ("0", "1")]


def numbers(contestant: str, result: Any) -> dict[str, Any]:
    """What is compared."""
    if contestant == "gpboost":
        coefficients = np.asarray(result.get_coef()).reshape(-1)
        return {"loglik": -float(result.get_current_neg_log_likelihood()), "beta": coefficients.tolist()}
    if contestant.startswith("statsmodels"):
        return {"beta": np.asarray(result.fe_mean, float).tolist(), "sd": np.exp(result.vcp_mean).tolist()}
    beta = result.fixef() if contestant == "jmix" else result.beta
    return {"loglik": float(result.loglik), "beta": [float(b) for b in beta]}


FITS = {"jmix": fit_jmix, "glmm": fit_glmm, "gpboost": fit_gpboost, "statsmodels (variational)": fit_variational}


def small() -> pd.DataFrame:
    """Data of the warm-up fit, y ~ x + (1 | g): 20 groups of 10."""
    rng = np.random.default_rng(1)
    group, x = np.repeat(np.arange(20), 10), rng.normal(size=200)
    eta = rng.normal(size=20)[group] + x
    return pd.DataFrame({"y": (rng.uniform(size=200) < 1 / (1 + np.exp(-eta))).astype(float), "x": x, "g": group})


def time_fits(job: Job, data: pd.DataFrame) -> None:
    """A small fit of another size, then the fits that are timed: two at least, as the first may compile."""
    fit, name = FITS[job["contestant"]], job["contestant"]
    fit(job | {"formula": "y ~ x + (1 | g)", "fixed": "x", "random": [["g", "1"]], "n_agq": 1}, small())
    begin, result = time.perf_counter(), None
    for done in range(job["repeats"]):
        if done > 1 and time.perf_counter() - begin > job["budget"]:
            break
        start = time.perf_counter()
        result = fit(job, data)
        report(seconds=time.perf_counter() - start)
    report(**numbers(name, result))


def time_evaluations(job: Job, data: pd.DataFrame) -> None:
    """One value and gradient of jmix's marginal likelihood, modes searched anew from the last ones."""
    from benchmarks import ours

    start = time.perf_counter()
    evaluate = ours.general_objective(job["formula"], data, job["n_agq"])
    report(build=time.perf_counter() - start)
    start = time.perf_counter()
    value = evaluate(0)
    report(value=value, compile=time.perf_counter() - start)
    begin = time.perf_counter()
    for done in range(1, job["repeats"] + 1):
        if done > 1 and time.perf_counter() - begin > job["budget"]:
            break
        start = time.perf_counter()
        evaluate(done)
        report(seconds=time.perf_counter() - start)


TASKS = {"fit": time_fits, "evaluate": time_evaluations}


def main() -> None:
    """Read the job from the command line and do it."""
    warnings.simplefilter("ignore")
    job = json.loads(sys.argv[1])
    TASKS[job["task"]](job, pd.read_parquet(Path(job["folder"]) / "frame.parquet"))


if __name__ == "__main__":
    main()
