"""The same posteriors by JAGS: effective draws a second, and seconds from process start to 4,000 effective draws."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from benchmarks.bayes import MODELS, BayesModel, Jags, reference_of
from benchmarks.posteriors import mean_off, sd_off
from benchmarks.sampling import CHAINS, Sampling, jmix_environment, prepare, run_jags, run_python
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

TARGET = 4_000
MARGIN = 1.15
"""By how much the planned draws exceed what the trial run suggests, so that the target is met."""

TOO_LONG = 45.0
"""Seconds of sampling beyond which a whole process is not run: the table gives what its pace says."""

NOTE_WARM = (
    "`ess / s` is the bulk effective sample size (`arviz_stats`, on all unthinned draws of four chains) of the slowest "
    "population parameter, over the seconds of sampling; compilation, adaptation and warm-up are apart. `× jmix` is "
    "how many times as many jmix makes. `jags` has the fastest formulation and modules that we found, "
    "`jags (2 processes)` the same with two chains on each core, `jags (published)` the sources' formulation without "
    "the glm module. `mean off` and `sd off`: largest distance from the reference in Monte Carlo standard errors of "
    "the difference, over all parameters (up to about 3 is chance); the reference is the published run or, for NELS "
    "model 2, that of `jags`."
)
NOTE_START = (
    "Wall time of a whole process (`Rscript`, `python`): imports, reading, compilation, warm-up, and the number of "
    f"draws that the table above suggests for {TARGET:,} effective draws of every parameter, with {MARGIN - 1:.0%} to "
    "spare; `ess reached` verifies it. jmix with an empty and with a filled compilation cache. Median of up to three "
    "processes; in brackets, where a process was not run, what its pace says."
)


def run(session: Session) -> list[Table]:
    """All four models; under ``--quick`` shorter runs."""
    warm, start, parts = [], [], []
    for model in MODELS.values():
        folder = prepare(session, model)
        if folder is None:
            continue
        found = warm_runs(session, model, folder)
        warm += warm_rows(model, found)
        whole = whole_runs(session, model, folder, found)
        start += [start_row(model, one, repeats) for one, repeats in whole]
        parts += [part_row(model, one) for one, _ in whole if one.contestant.startswith("jmix")]
    return [
        Table("Effective draws a second, warm", warm, [NOTE_WARM]),
        Table(f"From process start to {TARGET:,} effective draws of every parameter", start, [NOTE_START]),
        Table("Where jmix's time goes in these processes", parts),
    ]


def warm_runs(session: Session, model: BayesModel, folder: Path) -> list[Sampling]:
    """Each contestant samples for some seconds."""
    seconds = float(session.size(8, 2))
    found = []
    for name in session.peers("jmix", "jags", "jags (2 processes)", "jags (published)"):
        if name == "jmix":
            cache = jmix_environment(Path(mkdtemp(dir=session.scratch)))
            job: dict[str, Any] = {"seed": 1, "seconds": seconds / 2, "most": 20_000}
            found.append(run_python(name, "jmix warm", folder, cache, session.limit, model, **job))
        else:
            form, processes = jags_form(model, name)
            found.append(run_jags(name, folder, model, form, session.limit, processes=processes, seconds=seconds))
    return found


def jags_form(model: BayesModel, name: str) -> tuple[Jags, int]:
    """Formulation and number of processes."""
    return (model.published if "published" in name else model.best), (2 if "processes" in name else 1)


def warm_rows(model: BayesModel, found: list[Sampling]) -> list[dict[str, Cell]]:
    """One row a contestant."""
    reference: Mapping[str, Mapping[str, float]] | None = reference_of(model)
    if reference is None:
        jags = next((one.draws for one in found if one.contestant == "jags" and one.draws), None)
        reference = jags.stats if jags else None
    ours = next((one.rate for one in found if one.contestant == "jmix"), None)
    return [warm_row(model, one, reference, ours) for one in found]


def warm_row(
    model: BayesModel, one: Sampling, reference: Mapping[str, Mapping[str, float]] | None, ours: float | None
) -> dict[str, Cell]:
    """Rates of one contestant and how near it came to the reference."""
    cells: dict[str, Cell] = {"model": model.title, "contestant": one.contestant, "ess / s": one.rate}
    if one.draws is not None and one.rate is not None:
        cells |= {
            "× jmix": ours / one.rate if ours else None,
            "slowest": one.draws.slowest,
            "draws": f"{one.draws.total:,}",
            "ess / draw": one.draws.ess / one.draws.total,
            "compile, s": one.values["parts"]["first compile"] if "parts" in one.values else one.stages["compile"],
            "warm-up, s": one.stages["tune"],
            "sampling, s": one.stages["sample"],
        }
        own = reference is not None and reference is not one.draws.stats
        if reference is not None and own:
            cells |= {"mean off": mean_off(one.draws, reference), "sd off": sd_off(one.draws, reference)}
        diverging = one.values.get("diverging", 0)
        cells["remark"] = f"{diverging:,} divergent" if diverging else ""
    else:
        cells["remark"] = one.problem
    return cells


def whole_runs(session: Session, model: BayesModel, folder: Path, found: list[Sampling]) -> list[tuple[Sampling, int]]:
    """Whole processes with as many draws as the warm runs suggest."""
    out = []
    for trial in found:
        if trial.draws is None:
            continue
        needed = ceil(MARGIN * TARGET * trial.draws.total / trial.draws.ess / CHAINS)
        if trial.contestant == "jmix":
            out += jmix_processes(session, model, folder, needed)
            continue
        pace = trial.stages["sample"] * needed * CHAINS / trial.draws.total
        if pace > TOO_LONG:
            out.append(
                (Sampling(f"[{trial.contestant}]", pace + sum(trial.stages.values()) - trial.stages["sample"]), 0)
            )
            continue
        form, processes = jags_form(model, trial.contestant)
        job = {"processes": processes, "iterations": needed}
        repeats = 1 if pace > 5 or session.quick else 3
        runs = [
            run_jags(trial.contestant, folder, model, form, session.limit, seed=11 + i, **job) for i in range(repeats)
        ]
        out.append((middle(runs), repeats))
    return out


def jmix_processes(session: Session, model: BayesModel, folder: Path, draws: int) -> list[tuple[Sampling, int]]:
    """Once with an empty compilation cache, then with what that left."""
    environment = jmix_environment(Path(mkdtemp(dir=session.scratch)))
    repeats = session.size(3, 1)
    out = []
    for label, times in (("jmix, cache empty", 1), ("jmix, cache filled", repeats)):
        runs = [
            run_python(
                label, "jmix script", folder, environment, session.limit, model, draws=draws, seed=11 + i, summary=False
            )
            for i in range(times)
        ]
        out.append((middle(runs), times))
    return out


def middle(runs: list[Sampling]) -> Sampling:
    """The run of median duration; the one that failed, if one did."""
    failed = [one for one in runs if one.problem]
    return failed[0] if failed else sorted(runs, key=lambda one: one.seconds)[len(runs) // 2]


def start_row(model: BayesModel, one: Sampling, repeats: int) -> dict[str, Cell]:
    """One contestant's process."""
    estimated = one.contestant.startswith("[")
    cells: dict[str, Cell] = {
        "model": model.title,
        "contestant": one.contestant.strip("[]"),
        "process, s": f"[{one.seconds:.3g}]" if estimated else one.seconds if not one.problem else None,
        "processes": repeats,
    }
    if one.draws is not None:
        cells |= {"draws": f"{one.draws.total:,}", "ess reached": round(one.draws.ess), "slowest": one.draws.slowest}
    return cells | {"remark": one.problem}


def part_row(model: BayesModel, one: Sampling) -> dict[str, Cell]:
    """Seconds by stage; the rest is the interpreter's start, reading, building the model, and exit."""
    cells: dict[str, Cell] = {"model": model.title, "cache": one.contestant.split()[-1]}
    if one.problem:
        return cells | {"remark": one.problem}
    parts, stages = one.values["parts"], one.stages
    shown = {
        "import jmix": parts["import jmix"],
        "import jax, numpyro, pandas": parts["import jax, numpyro, pandas"],
        "compile": stages["compile"],
        "warm start": stages["warm start"],
        "tune": stages["tune"],
        "sample": stages["sample"],
        "print": parts["print"],
    }
    cells |= {f"{name}, s": value for name, value in shown.items()}
    cells["rest, s"] = one.seconds - sum(shown.values())
    return cells | {"whole, s": one.seconds}
