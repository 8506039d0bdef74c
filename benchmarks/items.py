"""Item models: what is fitted, and the process of each contestant.

R's mirt is in neither registry of this machine: its seconds stand in the tables as measured elsewhere on a machine like
this, marked so. Peers from PyPI may live in another environment, ``JMIX_PEERS``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from benchmarks import ours
from benchmarks.measure import HERE, Measurement, collect, run_command
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

MODULES = {"jmix": "jmix", "mirt (Python)": "mirt", "girth": "girth"}
MIB = 2.0**20


@dataclass(frozen=True)
class Items:
    """An item model for the responses of a file.

    Attributes:
        factors: dimensions, exploratory where there are several. se: whether standard errors are part of the fit.
        nodes: per dimension. long: the file is a list of person, item, response.
    """

    itemtype: str
    factors: int = 1
    nodes: int = 61
    categories: int = 2
    se: bool = False
    long: bool = False


@cache
def interpreter(contestant: str) -> str | None:
    """The Python that has the contestant: this one, or that of JMIX_PEERS."""
    for python in (sys.executable, os.environ.get("JMIX_PEERS", "")):
        if python and Path(python).exists():
            code = f"import importlib.util as u, sys; sys.exit(u.find_spec({MODULES[contestant]!r}) is None)"
            if subprocess.run([python, "-c", code], cwd=HERE.parent, capture_output=True, check=False).returncode == 0:
                return python
    return None


def run_items(
    session: Session,
    contestant: str,
    file: Path,
    model: Items,
    *,
    task: str = "fit",
    repeats: int = 5,
    limit: float | None = None,
    cache_folder: Path | None = None,
    **more: object,
) -> Measurement:
    """One contestant's process; a contestant that is not here gets a row that says so."""
    python = interpreter(contestant)
    if python is None:
        return Measurement(contestant, problem="not installed here")
    job = asdict(model) | {
        "task": task, "contestant": contestant, "file": str(file), "repeats": repeats, "budget": session.budget, **more,
    }  # fmt: skip
    environment = ours.cache_environment(cache_folder or Path(mkdtemp(dir=session.scratch)))
    inherited = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), *([inherited] if inherited else [])])
    command = [python, "-m", "benchmarks.item_worker", json.dumps(job)]
    return collect(contestant, *run_command(command, limit or session.limit, environment))


def with_errors(model: Items) -> Items:
    """The same with standard errors."""
    return replace(model, se=True)


def elsewhere(contestant: str, seconds: float, remark: str = "") -> Measurement:
    """A time that was measured elsewhere, not in this run."""
    text = "not this run: the issue's figure, of a machine like this" + (f"; {remark}" if remark else "")
    return Measurement(contestant, [seconds], problem=text)


def items_table(title: str, found: Sequence[Measurement], notes: Sequence[str] = ()) -> Table:
    """Contestants that fitted the same model to the same responses."""
    base = next((one.warm for one in found if one.contestant.startswith("jmix")), None)
    best = max((one.values["loglik"] for one in found if "loglik" in one.values), default=None)
    return Table(title, [_row(one, base, best) for one in found], list(notes))


def _row(one: Measurement, base: float | None, best: float | None) -> dict[str, Cell]:
    cells: dict[str, Cell] = {
        "contestant": one.contestant,
        "warm fit, s": one.warm,
        "first fit, s": one.first,
        "× jmix": one.warm / base if one.warm and base else None,
    }
    if best is not None and "loglik" in one.values:
        cells["log likelihood"] = f"{one.values['loglik']:.4f}"
        cells["below best"] = best - one.values["loglik"]
    if one.growth:
        cells["peak beyond the data, MiB"] = round(max(one.growth) / MIB)
    for name in ("evaluations", "iterations", "hessians", "quadrature error"):
        if name in one.values:
            cells[name] = one.values[name]
    return cells | {"remark": one.problem}
