"""The rows of a table of fits: times, ratios to jmix, and how far each contestant's estimates are from the best."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measure import Measurement
from benchmarks.tables import Cell, Table

AGREEMENT = (
    "`below best` is the best log likelihood among the contestants minus this one's (0 is the best; a REML log "
    "likelihood after REML), `beta off` the largest difference of a coefficient from the best's, relative to its size."
)


def fit_table(title: str, found: Sequence[Measurement]) -> Table:
    """Compare contestants that fitted the same model to the same data."""
    ours = next((m.warm for m in found if m.contestant == "jmix"), None)
    finished = [m for m in found if "loglik" in m.values]
    best = max(finished, key=lambda m: m.values["loglik"], default=None)
    rows = [row(m, best, ours) for m in found]
    return Table(title, rows, [AGREEMENT])


def row(one: Measurement, best: Measurement | None, ours: float | None) -> dict[str, Cell]:
    """One contestant."""
    cells: dict[str, Cell] = {
        "contestant": one.contestant,
        "warm fit, s": one.warm,
        "first fit, s": one.first,
        "repeats": len(one.seconds),
        "× jmix": one.warm / ours if one.warm and ours else None,
    }
    if best is not None and "loglik" in one.values:
        cells["log likelihood"] = f"{one.values['loglik']:.6f}"
        cells["below best"] = best.values["loglik"] - one.values["loglik"]
        cells["beta off"] = beta_difference(one.values["beta"], best.values["beta"])
    cells["remark"] = one.problem
    return cells


def beta_difference(beta: Sequence[float], reference: Sequence[float]) -> float:
    """The largest relative difference of a coefficient; infinite where the numbers of coefficients differ."""
    if len(beta) != len(reference):
        return float("inf")
    return max(abs(a - b) / max(abs(b), 1e-8) for a, b in zip(beta, reference, strict=True))
