"""One value and gradient, and one exact Hessian, of the 2PL: linear in persons, items and nodes."""

from __future__ import annotations

from benchmarks.item_data import binary_test, save_table
from benchmarks.items import Items, run_items
from benchmarks.machine import accelerator
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

NOTE = "Compiled, median of seven. `ps a cell`: picoseconds of an evaluation per person and (item + node)."
BASE = (100_000, 50, 61)


def run(session: Session) -> list[Table]:
    """On the processor."""
    return [table(session, "processor")] if accelerator() is None else []


def run_gpu(session: Session) -> list[Table]:
    """Where jax has an accelerator."""
    device = accelerator()
    if device is None:
        print("irt_scaling_gpu: skipped, jax has no GPU here")
        return []
    return [table(session, device)]


def sizes(session: Session) -> list[tuple[int, int, int]]:
    """Persons, items, nodes."""
    if session.quick:
        return [(1_000, 10, 31), (2_000, 10, 31)]
    n, j, q = BASE
    return [
        *((persons, j, q) for persons in (10_000, 100_000, 1_000_000)),
        *((n, items, q) for items in (25, 100, 200)),
        *((n, j, nodes) for nodes in (31, 121, 241)),
    ]


def table(session: Session, device: str) -> Table:
    """All sizes, in both precisions."""
    rows = [row(session, size, precision) for size in sizes(session) for precision in ("float64", "float32")]
    return Table(f"2PL: one evaluation, {device}", rows, [NOTE])


def row(session: Session, size: tuple[int, int, int], precision: str) -> dict[str, Cell]:
    """One size."""
    n, items, nodes = size
    file = save_table(session.scratch / f"scaling_{n}_{items}.npy", binary_test(items), n)
    one = run_items(session, "jmix", file, Items("2PL", nodes=nodes), task="evaluate", repeats=7, precision=precision)
    seconds = one.values.get("evaluation")
    return {
        "persons": f"{n:,}",
        "items": items,
        "nodes": nodes,
        "per person": precision,
        "value and gradient, ms": 1e3 * seconds if seconds else None,
        "ps a cell": 1e12 * seconds / (n * (items + nodes)) if seconds else None,
        "exact Hessian, ms": 1e3 * one.values["hessian"] if "hessian" in one.values else None,
        "compile, s": one.values.get("evaluation compile"),
        "remark": one.problem,
    }
