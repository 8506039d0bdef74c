"""Profile-likelihood intervals of sleepstudy, Penicillin and cbpp beside lme4's ``confint(method="profile")``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import mkdtemp

from benchmarks import ours
from benchmarks.measure import HERE, Measurement, collect, run_command
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

MODELS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "Penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "cbpp": "cbind(incidence, size - incidence) ~ period + (1 | herd)",
}


def run(session: Session) -> list[Table]:
    """One table a data set."""
    return [one_model(session, name) for name in MODELS]


def one_model(session: Session, model: str) -> Table:
    """The contestants on one data set."""
    found = [measure(session, name, model) for name in session.peers("jmix", "lme4")]
    jmix = next((one.warm for one in found if one.contestant == "jmix"), None)
    note = (
        "95% intervals of all parameters from a fit; `first call` includes the compilation, the cache being empty. "
        "Nothing is kept from call to call but, after REML, the fit by maximum likelihood. lme4's limits are "
        "interpolated, and differ from jmix's in the fifth digit."
    )
    return Table(f"Profile intervals of {model}: `{MODELS[model]}`", [row(one, jmix) for one in found], [note])


def measure(session: Session, name: str, model: str) -> Measurement:
    """One contestant in a process of its own."""
    if name == "lme4":
        command = ["Rscript", str(HERE / "profile.R"), model, MODELS[model], "3", str(session.budget)]
    else:
        repeats = session.size(11, 3)
        job = {"model": model, "formula": MODELS[model], "repeats": repeats, "budget": session.budget}
        command = [sys.executable, "-m", "benchmarks.profile_worker", json.dumps(job)]
    environment = ours.cache_environment(Path(mkdtemp(dir=session.scratch)))
    output, problem = run_command(command, session.limit, environment)
    return collect(name, output, problem)


def row(one: Measurement, jmix: float | None) -> dict[str, Cell]:
    """One contestant."""
    cells: dict[str, Cell] = {
        "contestant": one.contestant,
        "second call, s": one.warm,
        "× jmix": one.warm / jmix if one.warm and jmix else None,
        "first call, s": one.first,
    }
    for key, title in (("first", "intercept"), ("sds", "standard deviations")):
        if key in one.values:
            cells[title] = ", ".join(f"{v:.6g}" for v in one.values[key])
    cells["remark"] = one.problem
    return cells
