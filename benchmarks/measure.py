"""Run one job of one contestant in a process of its own and collect what it reports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from time import perf_counter
from typing import Any

from benchmarks import ours
from benchmarks.machine import reference_blas
from benchmarks.peers import R_PACKAGES
from benchmarks.session import Session

HERE = Path(__file__).parent


@dataclass
class Measurement:
    """What a contestant reported. ``seconds`` holds one entry a repeat, in order; ``values`` all other fields."""

    contestant: str
    seconds: list[float] = field(default_factory=list)
    growth: list[int] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def first(self) -> float | None:
        """Seconds of the first full fit (with jmix this includes the compilation for these shapes)."""
        return self.seconds[0] if self.seconds else None

    @property
    def warm(self) -> float | None:
        """Median seconds of the repeats after the first, or of the only one."""
        return median(self.seconds[1:] or self.seconds) if self.seconds else None


def run_job(
    session: Session,
    contestant: str,
    task: str,
    folder: Path,
    formula: str,
    *,
    reml: bool = True,
    repeats: int = 7,
    count: int = 0,
) -> Measurement:
    """Start the contestant's process, wait for it at most ``session.limit`` seconds, and read its lines."""
    if contestant in R_PACKAGES:
        words = [task, str(folder), formula, str(reml).lower(), str(repeats), str(session.budget), str(count)]
        command = ["Rscript", str(HERE / "lme4.R"), *words]
    else:
        job = {
            "task": task, "contestant": contestant, "folder": str(folder), "formula": formula,
            "reml": reml, "repeats": repeats, "budget": session.budget, "count": count,
        }  # fmt: skip
        command = [sys.executable, "-m", "benchmarks.worker", json.dumps(job)]
    environment = ours.cache_environment(Path(mkdtemp(dir=session.scratch)))
    if "reference BLAS" in contestant:
        environment["LD_PRELOAD"] = reference_blas()
    output, problem = run_command(command, session.limit, environment)
    return collect(contestant, output, problem)


def run_command(command: list[str], limit: float, env: Mapping[str, str] | None = None) -> tuple[str, str]:
    """Standard output of a command, and what went wrong ("" when nothing did)."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit, cwd=HERE.parent, env=env, check=False)
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(), f"stopped after {limit:g} s"
    errors = done.stderr.decode(errors="replace").strip().splitlines()
    problem = "" if done.returncode == 0 else (errors[-1] if errors else f"exit code {done.returncode}")
    return done.stdout.decode(errors="replace"), problem


def collect(contestant: str, output: str, problem: str) -> Measurement:
    """Gather the ``@@`` lines of a worker."""
    found = Measurement(contestant, problem=problem)
    for line in output.splitlines():
        if not line.startswith("@@"):
            continue
        values = json.loads(line[2:])
        if "seconds" in values:
            found.seconds.append(values.pop("seconds"))
        if "growth_bytes" in values:
            found.growth.append(values.pop("growth_bytes"))
        found.values.update(values)
    return found


def wall_times(command: list[str], repeats: int, env: Mapping[str, str] | None = None) -> Measurement:
    """Wall time of whole processes, from start to exit."""
    found = Measurement(command[0])
    for _ in range(repeats):
        start = perf_counter()
        output, problem = run_command(command, 120.0, env)
        found.seconds.append(perf_counter() - start)
        found.problem = problem
        for line in output.splitlines():
            if line.startswith("@@"):
                found.values = json.loads(line[2:])
    return found
