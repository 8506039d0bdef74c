"""Parametric bootstrap of sleepstudy and cbpp: simulate, refit and collect the fixed effects, beside ``bootMer``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from benchmarks import ours
from benchmarks.measure import HERE, Measurement, collect, run_command
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

MODELS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "cbpp": "cbind(incidence, size - incidence) ~ period + (1 | herd)",
}


def run(session: Session) -> list[Table]:
    """jmix draws all replicates; bootMer a tenth, scaled."""
    return [one_model(session, name) for name in MODELS]


def one_model(session: Session, model: str) -> Table:
    """The contestants on one data set."""
    full, sample = session.size(1_000, 100), session.size(100, 20)
    found = [(full if name == "jmix" else sample, measure(session, name, model, full, sample))
             for name in session.peers("jmix", "lme4")]  # fmt: skip
    jmix = next((one.warm for _, one in found if one.contestant == "jmix"), None)
    rows = [row(one, count, full, jmix) for count, one in found]
    note = (
        f"Simulation, refits and collection of the fixed effects together. lme4 drew {sample} replicates by "
        f"`bootMer(fit, fixef)`, its time is scaled to {full:,}; jmix by `fit.bootstrap({full})`. `first call` "
        "includes the compilation, the cache being empty. Means and standard deviations of the replicates stand beside "
        "the times: they agree within Monte Carlo error."
    )
    return Table(f"Bootstrap of {model}, {full:,} replicates: `{MODELS[model]}`", rows, [note])


def measure(session: Session, name: str, model: str, full: int, sample: int) -> Measurement:
    """One contestant in a process of its own."""
    if name == "lme4":
        command = ["Rscript", str(HERE / "bootstrap.R"), model, str(sample), "3", str(session.budget)]
    else:
        job = {"model": model, "formula": MODELS[model], "count": full, "repeats": 6, "budget": session.budget}
        command = [sys.executable, "-m", "benchmarks.bootstrap_worker", json.dumps(job)]
    environment = ours.cache_environment(Path(mkdtemp(dir=session.scratch)))
    output, problem = run_command(command, session.limit, environment)
    return collect(name, output, problem)


def row(one: Measurement, count: int, full: int, jmix: float | None) -> dict[str, Cell]:
    """One contestant."""
    time = one.warm * full / count if one.warm else None
    cells: dict[str, Cell] = {
        "contestant": one.contestant,
        f"{full:,} replicates, s": time,
        "× jmix": time / jmix if time and jmix else None,
        "replicates drawn": count,
        "first call, s": one.first,
    }
    for name in ("mean", "sd"):
        if name in one.values:
            cells[f"{name}s of the fixed effects"] = ", ".join(f"{v:.3g}" for v in np.atleast_1d(one.values[name]))
    cells["remark"] = one.problem
    return cells
