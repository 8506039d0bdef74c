"""A million rows in 50,000 groups with a correlated random slope: time from data frame to result, and peak memory."""

from __future__ import annotations

from pathlib import Path

from benchmarks.compare import fit_table
from benchmarks.data import hand_over, random_slopes
from benchmarks.measure import Measurement, run_job
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

FORMULA = "y ~ x + (x | g)"
TIMED = ("jmix", "jmix (+ fitted)", "lme4", "glmm", "glmm (no df)", "mixedlm", "statsmodels")
WEIGHED = ("jmix", "lme4", "glmm", "mixedlm")


def run(session: Session) -> list[Table]:
    """Rows sorted by group, rows in random order, and memory."""
    rows, groups = session.size(1_000_000, 20_000), session.size(50_000, 1_000)
    tables = []
    for order in ("sorted", "shuffled"):
        frame = random_slopes(rows, groups, shuffled=order == "shuffled")
        folder = hand_over(frame, session.scratch / f"million_{order}")
        found = [run_job(session, name, "fit", folder, FORMULA) for name in session.peers(*TIMED)]
        title = f"{rows:,} rows, {groups:,} groups, rows {order}: `{FORMULA}`, REML"
        tables.append(fit_table(title, found))
    return [*tables, memory_table(session, folder)]


def memory_table(session: Session, folder: Path) -> Table:
    """Growth of peak resident memory, in sizes of the data frame, rows in random order."""
    found = [run_job(session, name, "memory", folder, FORMULA) for name in session.peers(*WEIGHED)]
    note = (
        "Growth of the process's peak resident memory during a fit, over a process that holds the data frame and has "
        "made a small fit; `first` includes what compilation takes. R's frame holds g as 4-byte integers."
    )
    return Table("Peak memory of the same fit, rows shuffled", [memory_row(one) for one in found], [note])


def memory_row(one: Measurement) -> dict[str, Cell]:
    """One contestant's growth in MB and in sizes of its data."""
    data = one.values.get("data_bytes")
    cells: dict[str, Cell] = {"contestant": one.contestant, "data, MB": data / 1e6 if data else None}
    for label, grown in zip(("first", "second"), one.growth, strict=False):
        cells[f"{label} fit, MB"] = grown / 1e6
        cells[f"{label} fit, × data"] = grown / data if data else None
    cells["remark"] = one.problem
    return cells
