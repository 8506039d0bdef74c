"""sleepstudy: the second fit in a process, and the first one of a new process."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from tempfile import mkdtemp

from benchmarks import ours
from benchmarks.compare import fit_table
from benchmarks.data import hand_over, shipped
from benchmarks.measure import Measurement, run_job, wall_times
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

FORMULA = "Reaction ~ Days + (Days | Subject)"
CONTESTANTS = ("jmix", "jmix (+ fitted)", "lme4", "glmm", "glmm (no df)", "mixedlm", "statsmodels")
READ = "import pandas; d = pandas.read_parquet({path!r}); "
PROCESSES = {
    "glmm": READ + "import glmm; print(glmm.fit(d, {formula!r}).loglik)",
    "mixedlm": READ + "import mixedlm; print(mixedlm.lmer({formula!r}, d).logLik())",
    "statsmodels": READ
    + "import statsmodels.formula.api as s; "
    + "print(s.mixedlm('Reaction ~ Days', d, groups='Subject', re_formula='~Days').fit().llf)",
}


def run(session: Session) -> list[Table]:
    """Three tables: warm fits, whole processes, and where jmix's time goes."""
    frame = shipped("sleepstudy", session.scratch)[["Reaction", "Days", "Subject"]]
    folder = hand_over(frame, session.scratch / "sleepstudy")
    repeats = session.size(101, 11)
    found = [run_job(session, name, "fit", folder, FORMULA, repeats=repeats) for name in session.peers(*CONTESTANTS)]
    tables = [fit_table(f"sleepstudy, fits after the first in one process: `{FORMULA}`, REML", found)]
    return [*tables, *new_processes(session, folder)]


def new_processes(session: Session, folder: Path) -> list[Table]:
    """Whole wall time of processes that import, fit and print."""
    repeats = session.size(7, 3)
    cache = Path(mkdtemp(dir=session.scratch))
    rows: list[dict[str, Cell]] = []
    steps: list[Table] = []
    if session.peers("jmix"):
        steps.append(step_table(session, cache))
        command = [sys.executable, "-c", ours.WHOLE_PROCESS]
        rows.append(process_row("jmix", wall_times(command, repeats, ours.cache_environment(cache))))
    if session.peers("lme4"):
        code = f"library(lme4); print(logLik(lmer({FORMULA}, sleepstudy)))"
        rows.append(process_row("lme4", wall_times(["Rscript", "-e", code], repeats)))
    for name in session.peers(*PROCESSES):
        code = PROCESSES[name].format(path=str(folder / "frame.parquet"), formula=FORMULA)
        rows.append(process_row(name, wall_times([sys.executable, "-c", code], repeats)))
    note = "From process start to exit, compilation cache and file cache warm; the Python peers read a parquet file."
    return [Table("sleepstudy, first fit in a new process: whole process", rows, [note]), *steps]


def process_row(name: str, found: Measurement) -> dict[str, Cell]:
    """Median wall time of one contestant's processes."""
    return {
        "contestant": name,
        "process, s": median(found.seconds),
        "repeats": len(found.seconds),
        "remark": found.problem,
    }


def step_table(session: Session, cache: Path) -> Table:
    """jmix's import, first fit with an empty and with a filled compilation cache, and second fit."""
    command = [sys.executable, "-c", ours.FIRST_FIT]
    cold = wall_times(command, 1, ours.cache_environment(cache))
    warm = [wall_times(command, 1, ours.cache_environment(cache)) for _ in range(session.size(5, 2))]
    problem = next((one.problem for one in [cold, *warm] if one.problem), "")
    if problem:
        return Table("sleepstudy, where jmix's time goes", [], [problem])
    middle = {
        key: median([one.values[key] for one in warm]) for key in ("import", "imported", "load", "first", "second")
    }
    row: dict[str, Cell] = {
        "import jmix, s": middle["import"],
        "import jax, pandas, s": middle["imported"],
        "load_data, s": middle["load"],
        "first fit, cold cache, s": cold.values["first"],
        "first fit, warm cache, s": middle["first"],
        "second fit, s": middle["second"],
    }
    note = "`import jmix` is lazy; a fit imports jax and pandas, which are imported here by hand to see their share."
    return Table("sleepstudy, where jmix's time goes", [row], [note])
