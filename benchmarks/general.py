"""Fits of generalized models: what is fitted, and the process of each contestant.

Peers that cannot share an environment with jmix live in another one: ``JMIX_PEERS=/path/to/python`` names its
interpreter; a contestant that is in neither is missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from benchmarks import ours
from benchmarks.measure import HERE, Measurement, collect, run_command
from benchmarks.session import Session

MODULES = {"jmix": "jmix", "glmm": "glmm", "gpboost": "gpboost", "statsmodels (variational)": "statsmodels"}
R = {"lme4": "lme4", "glmmTMB": "glmmTMB"}


@dataclass(frozen=True)
class General:
    """A Bernoulli model with a logit link.

    Attributes:
        fixed: right-hand side of the fixed effects. random: random terms by group, e.g. ``{"id": "1"}``.
        n_agq: quadrature nodes per random effect.
    """

    fixed: str
    random: tuple[tuple[str, str], ...]
    n_agq: int = 1

    @property
    def formula(self) -> str:
        """As lme4 writes it."""
        return " + ".join([f"y ~ {self.fixed}", *(f"({columns} | {group})" for group, columns in self.random)])


@cache
def interpreter(contestant: str) -> str | None:
    """The Python that has the contestant: this one, or that of JMIX_PEERS."""
    for python in (sys.executable, os.environ.get("JMIX_PEERS", "")):
        if python and Path(python).exists():
            code = f"import importlib.util as u, sys; sys.exit(u.find_spec({MODULES[contestant]!r}) is None)"
            if subprocess.run([python, "-c", code], cwd=HERE.parent, capture_output=True, check=False).returncode == 0:
                return python
    return None


def absent(contestant: str) -> bool:
    """Whether the contestant is not installed."""
    if contestant in R:
        from benchmarks.machine import r_version

        return r_version(R[contestant]) is None
    return interpreter(contestant) is None


def run_general(
    session: Session,
    contestant: str,
    task: str,
    folder: Path,
    model: General,
    *,
    repeats: int = 7,
    limit: float | None = None,
) -> Measurement:
    """One contestant's process; a contestant that is not here gets a row that says so."""
    if absent(contestant):
        return Measurement(contestant, problem="not installed here")
    job = asdict(model) | {
        "formula": model.formula, "task": task, "contestant": contestant, "folder": str(folder), "repeats": repeats,
        "budget": session.budget,
    }  # fmt: skip
    if contestant in R:
        words = [contestant, str(folder), model.formula, str(model.n_agq), str(repeats), str(session.budget), task]
        command = ["Rscript", str(HERE / "general.R"), *words]
    else:
        command = [str(interpreter(contestant)), "-m", "benchmarks.general_worker", json.dumps(job)]
    environment = ours.cache_environment(Path(mkdtemp(dir=session.scratch)))
    inherited = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), *([inherited] if inherited else [])])
    return collect(contestant, *run_command(command, limit or session.limit, environment))
