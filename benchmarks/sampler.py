"""The process in which a Python contestant samples one model: as a user's script, from start to summary, or warm.

``python -m benchmarks.sampler job``: the draws go to a file, seconds by stage to standard output as a ``@@`` line.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def report(**values: Any) -> None:
    """One result line for the parent."""
    print("@@" + json.dumps(values), flush=True)


def read(job: dict[str, Any]) -> Any:
    """The data as a user reads them."""
    import pandas as pd

    return pd.read_csv(Path(job["folder"]) / "frame.csv", dtype={job["group"]: str})


def jmix_script(job: dict[str, Any]) -> None:
    """Import, read, sample, print; each part timed."""
    times = {}
    start = time.perf_counter()
    import jmix

    times["import jmix"] = time.perf_counter() - start
    start = time.perf_counter()
    import jax
    import numpyro.infer
    import pandas

    _ = jax, numpyro, pandas
    times["import jax, numpyro, pandas"] = time.perf_counter() - start
    data = read(job)
    start = time.perf_counter()
    post = jmix.model(job["formula"], data, priors=job["priors"], **job["options"]).sample(
        draws=job["draws"], chains=job["chains"], seed=job["seed"], progress=False
    )
    times["model and sample"] = time.perf_counter() - start
    start = time.perf_counter()
    if job["summary"]:
        print(post)
    else:
        for name, values in post.parameters.items():
            print(f"{name:40} {values.mean():12.5g} {values.std():12.5g}")
    times["print"] = time.perf_counter() - start
    finish(job, post, times)


def finish(job: dict[str, Any], post: Any, times: dict[str, float]) -> None:
    """Hand over draws and seconds; the time of this is taken off."""
    start = time.perf_counter()
    from benchmarks.posteriors import save_draws

    save_draws(Path(job["keep"]), post.parameters)
    stages = {name: float(value) for name, value in post.settings.seconds.items()}
    report(parts=times, stages=stages, **course(post), writing=time.perf_counter() - start)


def course(post: Any) -> dict[str, Any]:
    """What the sampler did after warm-up; counted as if chains advanced together, each draw as long as its longest."""
    stats = post.draws.stats
    return {"steps": int(stats.n_steps.max(axis=0).sum()), "diverging": int(stats.diverging.sum())}


def jmix_warm(job: dict[str, Any]) -> None:
    """A first run compiles; the second, with another seed, is timed, and is as long as the given seconds allow."""
    import jmix

    data = read(job)
    model = jmix.model(job["formula"], data, priors=job["priors"], **job["options"])
    trial = model.sample(draws=500, chains=job["chains"], seed=job["seed"] + 1, progress=False)
    draws = max(500, int(500 * job["seconds"] / trial.settings.seconds["sample"]))
    post = model.sample(draws=min(draws, job["most"]), chains=job["chains"], seed=job["seed"], progress=False)
    finish(job, post, {"first compile": trial.settings.seconds["compile"]})


def numpyro_script(job: dict[str, Any]) -> None:
    """A plain NumPyro program, from import to its own summary."""
    from benchmarks import numpyro_model

    frame = read(job)
    mcmc = numpyro_model.sampler(job["draws"], job["chains"], job["chain_method"])
    numpyro_model.run(mcmc, frame, job["seed"])
    numpyro_model.population(mcmc)
    start = time.perf_counter()
    numpyro_model.keep(mcmc.get_samples(group_by_chain=True), Path(job["keep"]))
    report(parts={}, stages={}, writing=time.perf_counter() - start)


def numpyro_warm(job: dict[str, Any]) -> None:
    """Draws after warm-up, without what compilation takes."""
    from benchmarks import numpyro_model

    frame = read(job)
    mcmc = numpyro_model.sampler(job["draws"], job["chains"], job["chain_method"])
    stages, diverging = numpyro_model.timed(mcmc, frame, job["seed"], Path(job["keep"]))
    report(parts={}, stages=stages, diverging=diverging, writing=0.0)


def jmix_scaling(job: dict[str, Any]) -> None:
    """One run on simulated data, from data frame to draws."""
    from benchmarks.data import random_slopes

    data = random_slopes(job["rows"], job["groups"], shuffled=True)
    import jmix

    start = time.perf_counter()
    post = jmix.model("y ~ x + (x | g)", data).sample(
        chain_method="vectorized",
        draws=job["draws"],
        tune=job["tune"],
        chains=job["chains"],
        seed=job["seed"],
        progress=False,
    )
    finish(job, post, {"whole": time.perf_counter() - start})


TASKS = {
    "jmix script": jmix_script,
    "jmix warm": jmix_warm,
    "numpyro script": numpyro_script,
    "numpyro warm": numpyro_warm,
    "jmix scaling": jmix_scaling,
}


def main() -> None:
    """Read the job from its file and do it."""
    job = json.loads(Path(sys.argv[1]).read_text())
    TASKS[job["task"]](job)


if __name__ == "__main__":
    main()
