"""``import jmix`` stays light: heavy parts are imported when used."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

HEAVY = (
    "formulaic",
    "matplotlib",
    "numpyro",
    "optax",
    "jaxopt",
    "pyarrow",
    "polars",
    "scipy.stats",
    "statsmodels",
    "arviz",
)
BASE = "import jax; import pandas"


def run(program: str, folder: Path) -> str:
    """Run a program in a fresh process that finds the jmix under test, away from the repository."""
    spec = importlib.util.find_spec("jmix")
    assert spec is not None and spec.origin is not None
    environment = os.environ | {"PYTHONPATH": str(Path(spec.origin).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def seconds(statement: str, folder: Path) -> float:
    return float(run(f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)", folder))


def test_import_takes_under_one_and_a_half_times_jax_and_pandas(tmp_path: Path) -> None:
    ours, base = [], []
    for _ in range(5):
        base.append(seconds(BASE, tmp_path))
        ours.append(seconds("import jmix", tmp_path))
    assert min(ours) < 1.5 * min(base), f"import jmix took {min(ours):.3f} s; {BASE} took {min(base):.3f} s"


def test_import_leaves_heavy_packages_alone(tmp_path: Path) -> None:
    # pandas itself imports pyarrow where that is installed, so what the base imports does not count.
    loaded = f"sorted(m for m in {HEAVY!r} if m in sys.modules)"
    added = run(
        f"import sys; {BASE}; before = {loaded}; import jmix; print(sorted(set({loaded}) - set(before)))", tmp_path
    )
    assert added == "[]"


def test_import_leaves_jax_as_it_was(tmp_path: Path) -> None:
    """A guest changes no global setting: arrays of other code keep their precision."""
    assert run("import jax, jmix; print(jax.numpy.ones(1).dtype)", tmp_path) == "float32"


def test_every_public_name_resolves(tmp_path: Path) -> None:
    missing = "[n for n in jmix.__all__ if getattr(jmix, n, None) is None]"
    assert run(f"import jmix; print(len(jmix.__all__) > 3, {missing})", tmp_path) == "True []"
