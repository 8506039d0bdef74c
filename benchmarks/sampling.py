"""Start the process of a contestant that samples, and collect its draws and seconds."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import bayes, ours
from benchmarks.bayes import BayesModel, Jags
from benchmarks.data import hand_over
from benchmarks.measure import HERE, run_command
from benchmarks.posteriors import Account, account, load_draws
from benchmarks.session import Session

CHAINS = 4


@dataclass(frozen=True)
class Sampling:
    """One run.

    Attributes:
        seconds: of the whole process, less the writing of the draws. stages: seconds inside it; "sample" is what the
            draws took, after compilation and warm-up. values: whatever else was reported.
    """

    contestant: str
    seconds: float = float("nan")
    stages: Mapping[str, float] = field(default_factory=dict)
    draws: Account | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def rate(self) -> float | None:
        """Effective draws of the slowest parameter a second, warm-up and compilation excluded."""
        return self.draws.ess / self.stages["sample"] if self.draws else None


def prepare(session: Session, model: BayesModel) -> Path | None:
    """The model's data for all contestants in a folder; None, with a line that says so, where they are not here."""
    frame = bayes.frame_of(model)
    if frame is None:
        print(f"{model.title}: skipped, {bayes.SHARED / 'data' / model.data}.csv is not here")
        return None
    folder = hand_over(frame, session.scratch / model.name)
    frame.to_csv(folder / "frame.csv", index=False)
    numbers = bayes.constants_of(model, frame)
    (folder / "constants.dcf").write_text("".join(f"{name}: {value:.17g}\n" for name, value in numbers.items()))
    return folder


def run_python(
    contestant: str,
    task: str,
    folder: Path,
    environment: Mapping[str, str],
    limit: float,
    model: BayesModel | None = None,
    **job: Any,
) -> Sampling:
    """A Python contestant does ``task`` of sampler.py."""
    keep, file = folder / f"{contestant}.npz", folder / f"{contestant}.json"
    keep.unlink(missing_ok=True)
    job |= {"task": task, "folder": str(folder), "keep": str(keep), "chains": CHAINS}
    if model is not None:
        response = pd.read_csv(folder / "frame.csv", usecols=[model.columns[0]])[model.columns[0]]
        job |= {"formula": model.formula, "group": model.group, "priors": model.priors_for(response)}
        job["options"] = {"family": model.family} if model.family else {}
    file.write_text(json.dumps(job))
    start = perf_counter()
    output, problem = run_command([sys.executable, "-m", "benchmarks.sampler", str(file)], limit, environment)
    wall = perf_counter() - start
    values = last_report(output)
    if values is None or problem:
        return Sampling(contestant, problem=problem or "no result")
    names = None if model is None else list(model.names)
    draws = load_draws(keep)
    chosen = account(draws if names is None else {name: draws[name] for name in names})
    return Sampling(contestant, wall - values["writing"], values["stages"], chosen, values)


def run_jags(
    contestant: str,
    folder: Path,
    model: BayesModel,
    form: Jags,
    limit: float,
    *,
    processes: int = 1,
    iterations: int = 0,
    seconds: float = 0.0,
    seed: int = 1,
    warmup: int = 1000,
) -> Sampling:
    """JAGS draws so many iterations a chain or, where these are 0, for so many seconds, after twice ``warmup``."""
    keep = folder / "jags.bin"
    job = {
        "folder": folder, "columns": ", ".join(model.columns), "constants": folder / "constants.dcf",
        "model": form.path, "glm": str(form.glm).lower(), "monitor": ", ".join(model.monitor), "draws": keep,
        "chains": CHAINS, "processes": processes, "adapt": warmup, "burnin": warmup, "iterations": iterations,
        "seconds": seconds, "seed": seed,
    }  # fmt: skip
    file = folder / "jags.dcf"
    file.write_text("".join(f"{name}: {value}\n" for name, value in job.items()))
    start = perf_counter()
    output, problem = run_command(["Rscript", str(HERE / "jags.R"), str(file)], limit)
    wall = perf_counter() - start
    values = last_report(output)
    if values is None or problem:
        return Sampling(contestant, problem=problem or "no result")
    array = np.fromfile(keep).reshape([int(size) for size in values["shape"]])
    at = {name: array[:, :, i] for i, name in enumerate(values["names"])}
    chosen = account({own: at[theirs] for own, theirs in model.names.items()})
    stages = {name: values[name] for name in ("compile", "tune", "sample")}
    return Sampling(contestant, wall - values["writing"], stages, chosen, values)


def last_report(output: str) -> dict[str, Any] | None:
    """The last ``@@`` line of a process, if it came to one."""
    lines = [line for line in output.splitlines() if line.startswith("@@")]
    return json.loads(lines[-1][2:]) if lines else None


def jmix_environment(folder: Path) -> dict[str, str]:
    """The environment of a process whose compilation cache lies in ``folder``."""
    return ours.cache_environment(folder)


def numpyro_environment(folder: Path) -> dict[str, str]:
    """The same for plain JAX, which has no cache unless it is told one."""
    told = {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return ours.cache_environment(folder) | told
