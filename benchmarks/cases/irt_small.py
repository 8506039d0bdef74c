"""A small test: the parts of a first fit in a new process, the second fit, and the posterior by NUTS."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import mkdtemp

from benchmarks import ours
from benchmarks.item_data import binary_test, save_table
from benchmarks.items import Items, items_table, run_items
from benchmarks.measure import wall_times
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

FIRST = (
    "Simulated, the size of the vocabulary items of the GSS. Standard errors included. New processes, the compilation "
    "cache empty and then filled; `whole process` starts with the interpreter."
)
NUTS = (
    "2PL, priors normal(0, 3) on the intercepts and lognormal(0, 0.5) on the slopes, 4 × 1,000 draws after as many to "
    "tune."
)


def run(session: Session) -> list[Table]:
    """Both."""
    file = save_table(session.scratch / "small.npy", binary_test(5), 1_155)
    return [first_fit(session, file), second_fit(session, file), posterior(session)]


def first_fit(session: Session, file: Path) -> Table:
    """Where the time of a new process goes."""
    environment = ours.cache_environment(Path(mkdtemp(dir=session.scratch)))
    rows: list[dict[str, Cell]] = []
    for label, repeats in (("empty", 1), ("filled", 3)):
        for _ in range(repeats):
            one = wall_times([sys.executable, "-c", ours.FIRST_ITEMS.format(file=str(file))], 1, environment)
            parts: dict[str, Cell] = {f"{name}, s": value for name, value in one.values.items()}
            rows.append({"cache": label, **parts, "whole process, s": one.first, "remark": one.problem})
    return Table("2PL, 1,155 × 5: a new process", rows, [FIRST])


def second_fit(session: Session, file: Path) -> Table:
    """Beside the peers, warm."""
    models = {"jmix": Items("2PL", se=True), "mirt (Python)": Items("2PL", se=True), "girth": Items("2PL")}
    found = [run_items(session, name, file, model, repeats=21) for name, model in models.items()]
    return items_table("2PL, 1,155 × 5, 61 nodes, with standard errors (girth: none)", found)


def posterior(session: Session) -> Table:
    """NUTS on the marginal likelihood."""
    file = save_table(session.scratch / "nuts.npy", binary_test(20), 1_000)
    environment = ours.cache_environment(Path(mkdtemp(dir=session.scratch)))
    draws = session.size(1_000, 50)
    rows: list[dict[str, Cell]] = []
    for label in ("empty", "filled"):
        code = ours.SAMPLE_ITEMS.format(file=str(file), draws=draws)
        one = wall_times([sys.executable, "-c", code], 1, environment)
        rows.append({"cache": label, **one.values, "whole process, s": one.first, "remark": one.problem})
    return Table("2PL, 1,000 × 20: NUTS, 4 chains", rows, [NUTS])
