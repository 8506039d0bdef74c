"""Sampling many rows: a leapfrog step costs one evaluation of the density, which touches groups and no rows."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from benchmarks.machine import accelerator
from benchmarks.sampling import Sampling, jmix_environment, run_python
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

LIMIT = 400.0
NOTE = (
    "`y ~ x + (x | g)`, simulated, rows in random order, default priors, four chains advanced together; compilation "
    "cache empty. `whole` is from the data frame to the draws. `steps` are leapfrog steps after warm-up, counted as "
    "they are made, for all chains at once: a draw takes as many as its longest trajectory. `ess` of the slowest "
    "parameter."
)


def run(session: Session) -> list[Table]:
    """Many rows to the end, a million of them on an accelerator; then rows against time at equal groups."""
    if not session.peers("jmix"):
        return []
    rows, groups = session.size(100_000, 10_000), session.size(5_000, 500)
    draws = session.size(1_000, 200)
    sizes = [(rows, groups, draws, 1_000)]
    if accelerator() is None:
        print("bayes_scaling: a million rows in 50,000 groups skipped, jax has no accelerator here")
    else:
        sizes.append((session.size(1_000_000, 20_000), session.size(50_000, 1_000), draws, 1_000))
    whole = [size_row(session, *size) for size in sizes]
    short = session.size(200, 50)
    equal = [size_row(session, factor * rows, groups, short, 300) for factor in (1, 10)]
    return [
        Table(f"4 × {draws:,} draws", whole, [NOTE]),
        Table("Time of a leapfrog step at equal groups", equal, [f"4 × {short} draws after 300 warm-up iterations."]),
    ]


def size_row(session: Session, rows: int, groups: int, draws: int, tune: int) -> dict[str, Cell]:
    """One run."""
    environment = jmix_environment(Path(mkdtemp(dir=session.scratch)))
    folder = Path(mkdtemp(dir=session.scratch))
    job: dict[str, Any] = {"rows": rows, "groups": groups, "draws": draws, "tune": tune, "seed": 1}
    one = run_python("jmix", "jmix scaling", folder, environment, max(session.limit, LIMIT), **job)
    cells: dict[str, Cell] = {"rows": f"{rows:,}", "groups": f"{groups:,}"}
    return cells | (numbers(one) if not one.problem else {"remark": one.problem})


def numbers(one: Sampling) -> dict[str, Cell]:
    """Seconds by stage and by step."""
    steps, ess = one.values["steps"], one.draws.ess if one.draws else None
    return {
        "whole, s": one.values["parts"]["whole"],
        **{f"{stage}, s": one.stages[stage] for stage in ("warm start", "compile", "tune", "sample")},
        "steps": f"{steps:,}",
        "ms / step": 1e3 * one.stages["sample"] / steps,
        "ess": None if ess is None else round(ess),
        "ess / s": one.rate,
        "divergent": one.values["diverging"],
    }
