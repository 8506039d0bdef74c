"""The process in which one Python contestant does one job; results go to standard output as ``@@`` and JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import ours
from benchmarks.memory import peak_growth
from benchmarks.peers import PYTHON, quiet

WARM_UP = "y ~ x + (x | g)"
THETA = (0.9, 0.1, 0.8)
"""Where the objective is evaluated; lme4.R has the same."""


def report(**values: Any) -> None:
    """One result line for the parent."""
    print("@@" + json.dumps(values), flush=True)


def small_frame() -> pd.DataFrame:
    """Data of the warm-up fit: 20 groups of 10."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(20), 10)
    x = rng.normal(size=200)
    effects = rng.normal(size=(20, 2))
    return pd.DataFrame(
        {"y": effects[group, 0] + (1 + effects[group, 1]) * x + rng.normal(size=200), "x": x, "g": group}
    )


def repeat(work: Callable[[], Any], repeats: int, budget: float) -> Any:
    """Time ``work`` up to ``repeats`` times within ``budget`` seconds, at least once, and report each time."""
    begin = time.perf_counter()
    result = None
    for done in range(repeats):
        if done and time.perf_counter() - begin > budget:
            break
        start = time.perf_counter()
        result = work()
        report(seconds=time.perf_counter() - start)
    return result


def time_fits(job: dict[str, Any], data: pd.DataFrame) -> None:
    _, fit, estimates = PYTHON[job["contestant"]]
    fit(WARM_UP, small_frame(), True)
    result = repeat(lambda: fit(job["formula"], data, job["reml"]), job["repeats"], job["budget"])
    report(**estimates(result))


def measure_memory(job: dict[str, Any], data: pd.DataFrame) -> None:
    _, fit, _ = PYTHON[job["contestant"]]
    fit(WARM_UP, small_frame(), True)
    report(data_bytes=int(data.memory_usage(deep=True).sum()))
    for _ in range(2):
        with peak_growth() as growth:
            fit(job["formula"], data, job["reml"])
        report(growth_bytes=growth.bytes)


def time_refits(job: dict[str, Any], data: pd.DataFrame) -> None:
    """jmix: all responses in one call. Others: a loop, as their users must write it."""
    responses = np.load(Path(job["folder"]) / "responses.npy")[:, : job["count"]]
    name, fit, estimates = PYTHON[job["contestant"]]
    first = fit(job["formula"], data, job["reml"])
    if name == "jmix":
        all_estimates = repeat(lambda: ours.refit_many(first, responses), job["repeats"], job["budget"])
    else:
        again = REFITS[name](first, job, data)
        all_estimates = repeat(lambda: [estimates(again(y)) for y in responses.T], job["repeats"], job["budget"])
    report(logliks=[one["loglik"] for one in all_estimates], betas=[one["beta"] for one in all_estimates])


def refit_glmm(_: Any, job: dict[str, Any], data: pd.DataFrame) -> Callable[[np.ndarray], Any]:
    """glmm has no refit: a new fit from a dictionary of arrays, without the pass for degrees of freedom."""
    import glmm

    columns = {name: data[name].to_numpy() for name in data}
    response = job["formula"].split("~")[0].strip()
    return lambda y: glmm.fit(columns | {response: y}, job["formula"], reml=job["reml"], satterthwaite=False)


def refit_mixedlm(first: Any, _: dict[str, Any], __: pd.DataFrame) -> Callable[[np.ndarray], Any]:
    return lambda y: first.refit(y)


REFITS = {"glmm": refit_glmm, "mixedlm": refit_mixedlm}


def time_evaluation(job: dict[str, Any], data: pd.DataFrame) -> None:
    start = time.perf_counter()
    evaluate, value = ours.objective(job["formula"], data, THETA)
    report(build=time.perf_counter() - start, value=value)
    evaluate()
    repeat(evaluate, job["repeats"], job["budget"])


TASKS = {"fit": time_fits, "memory": measure_memory, "refit": time_refits, "evaluate": time_evaluation}


def main() -> None:
    """Read the job from the command line and do it."""
    quiet()
    job = json.loads(sys.argv[1])
    TASKS[job["task"]](job, pd.read_parquet(Path(job["folder"]) / "frame.parquet"))


if __name__ == "__main__":
    main()
