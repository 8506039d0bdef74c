"""Shapes that other programs do not take: sparse long data, more items than persons, a file beyond the memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks import ours
from benchmarks.item_data import binary_test, save_parquet, save_sparse, save_table
from benchmarks.items import MIB, Items, items_table, run_items
from benchmarks.measure import HERE, collect, run_command
from benchmarks.session import Session
from benchmarks.tables import Table

SPARSE = (
    "Long list in random order, twenty random items a person. A table of persons × items would have a thousand million "
    "cells. `peak beyond the data` against {size:.0f} MiB of the list."
)
WIDE = (
    "More items than persons: 24,000 parameters. R's mirt fails here (the issue). Probabilities of persons × nodes for "
    "all items at once underflow, so that sums stay on the log scale."
)
STREAM = (
    "Read in chunks from a Parquet file of 4 GB under a limit of what the process may allocate (RLIMIT_DATA); then, "
    "without a limit, from memory. Both from process start, compilation included; the peak is of the whole process."
)


def sparse(session: Session) -> list[Table]:
    """200,000 persons, 5,000 items, 20 responses each."""
    n, items = session.size(200_000, 2_000), session.size(5_000, 200)
    file = save_sparse(session.scratch / "sparse.npy", n, items, 20)
    model = Items("2PL", long=True, nodes=31)
    one = run_items(session, "jmix", file, model, repeats=2, limit=5 * session.limit)
    note = SPARSE.format(size=file.stat().st_size / MIB)
    return [items_table(f"2PL, sparse, {n:,} persons × {items:,} items × 20 responses", [one], [note])]


def wide(session: Session) -> list[Table]:
    """2,000 × 12,000."""
    n, items = session.size(2_000, 200), session.size(12_000, 400)
    file = save_table(session.scratch / "wide.npy", binary_test(items), n)
    found = [
        run_items(session, name, file, Items("2PL", nodes=801), repeats=2, warm_up=name == "jmix", iterations=50)
        for name in ("jmix", "mirt (Python)")
    ]
    return [items_table(f"2PL, {n:,} × {items:,}", found, [WIDE])]


def stream(session: Session) -> list[Table]:
    """10,000,000 × 100 from Parquet."""
    n, items = session.size(10_000_000, 200_000), 100
    limit = session.size(3_000, 3_000)
    file = save_parquet(session.scratch / "stream.parquet", binary_test(items), n)
    found = []
    for name, megabytes in ((f"jmix, stream, {limit} MB of data memory", limit), ("jmix, in memory", 0)):
        job = {"file": str(file), "megabytes": megabytes}
        command = [sys.executable, "-m", "benchmarks.item_stream", json.dumps(job)]
        environment = ours.cache_environment(Path(session.scratch / f"cache{megabytes}"))
        environment["PYTHONPATH"] = str(HERE.parent)
        found.append(collect(name, *run_command(command, 20 * session.limit, environment)))
    return [items_table(f"2PL, {n:,} × {items} from a Parquet file", found, [STREAM])]
