"""The process in which one contestant fits an item model; ``@@`` and JSON lines for the parent."""

from __future__ import annotations

import json
import sys
import time
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import CLEAR, peak_growth, settle

Job = dict[str, Any]


def report(**values: Any) -> None:
    """One result line for the parent."""
    print("@@" + json.dumps(values), flush=True)


def fit_jmix(job: Job, responses: Any) -> dict[str, Any]:
    """jmix at the nodes of the job."""
    from benchmarks import ours

    return ours.fit_items(job, responses)


def fit_mirt(job: Job, responses: Any) -> dict[str, Any]:
    """The Python package mirt, EM; without standard errors where the job asks for none."""
    import mirt

    names = {"Rasch": "1PL", "graded": "GRM", "gpcm": "GPCM"}
    kind = names.get(job["itemtype"], job["itemtype"])
    options = {"n_quadpts": job["nodes"], "max_iter": job.get("iterations", 2000), "tol": job.get("tol", 1e-6)}
    result = mirt.fit_mirt(
        np.asarray(responses), kind, n_factors=job["factors"], compute_standard_errors=job["se"], **options
    )
    return {"loglik": float(result.log_likelihood), "iterations": int(result.n_iterations)}


def fit_girth(job: Job, responses: Any) -> dict[str, Any]:
    """girth's marginal maximum likelihood; items by persons, no log likelihood, no standard errors."""
    import girth

    data = np.ascontiguousarray(np.asarray(responses).T).astype(int)
    options = {"quadrature_n": job["nodes"], "quadrature_bounds": (-6, 6)}
    calls = {"2PL": girth.twopl_mml, "Rasch": girth.rasch_mml, "1PL": girth.onepl_mml, "graded": girth.grm_mml}
    found = calls[job["itemtype"]](data, options=options)
    return {"slope": float(np.mean(found["Discrimination"]))}


FITS = {"jmix": fit_jmix, "mirt (Python)": fit_mirt, "girth": fit_girth}


def load(job: Job) -> Any:
    """The responses: an array, or the long list as three columns."""
    return np.load(job["file"])


def small(job: Job) -> Any:
    """Responses of the warm-up fit: 200 persons, 4 items, as many categories."""
    rng = np.random.default_rng(1)
    rows = rng.integers(0, job["categories"], (200, 4)).astype(np.int8)
    if not job.get("long"):
        return rows
    person, item = np.indices(rows.shape)
    return np.column_stack([person.ravel(), item.ravel(), rows.ravel()]).astype(np.int32)


def fit(job: Job) -> None:
    """A small fit of another size, then the fits that are timed: two at least, as the first may compile."""
    run = FITS[job["contestant"]]
    responses = load(job)
    if job.get("warm_up", True):
        run(job | {"factors": 1}, small(job))
    measure = peak_growth if CLEAR.exists() else nullcontext
    begin, result = time.perf_counter(), {}
    for done in range(job["repeats"]):
        if done > 1 and time.perf_counter() - begin > job["budget"]:
            break
        settle()
        with measure() as growth:
            start = time.perf_counter()
            result = run(job, responses)
            seconds = time.perf_counter() - start
        report(seconds=seconds, **({"growth_bytes": growth.bytes} if growth else {}))
    report(data_bytes=int(responses.nbytes), **result)


def evaluate(job: Job) -> None:
    """One value and gradient, one Hessian of jmix's marginal likelihood."""
    from benchmarks import ours

    first, second, x = ours.item_objective(job, load(job))
    for name, call in (("evaluation", first), ("hessian", second)):
        times = []
        for _ in range(job["repeats"] + 1):
            start = time.perf_counter()
            call(x)
            times.append(time.perf_counter() - start)
        report(**{f"{name} compile": times[0] - float(np.median(times[1:])), name: float(np.median(times[1:]))})


TASKS = {"fit": fit, "evaluate": evaluate}


def main() -> None:
    """Read the job from the command line and do it."""
    warnings.simplefilter("ignore")
    job = json.loads(sys.argv[1])
    job["file"] = str(Path(job["file"]))
    TASKS[job["task"]](job)


if __name__ == "__main__":
    main()
