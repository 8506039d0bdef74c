"""A crossed design with 20,000 levels in its smaller factor: a dense factorisation of that size, for a GPU."""

from __future__ import annotations

from benchmarks.compare import fit_table
from benchmarks.data import crossed, hand_over
from benchmarks.machine import accelerator
from benchmarks.measure import run_job
from benchmarks.session import Session
from benchmarks.tables import Table

FORMULA = "y ~ x + (1 | a) + (1 | b)"
CONTESTANTS = ("jmix", "lme4", "glmm (no df)")


def run(session: Session) -> list[Table]:
    """Only where jax has an accelerator; peers that need longer than the limit say so."""
    if accelerator() is None:
        print("crossed_gpu: skipped, jax has no GPU here")
        return []
    rows, larger, smaller = session.size(4_000_000, 100_000), session.size(100_000, 4_000), session.size(20_000, 1_000)
    folder = hand_over(crossed(rows, larger, smaller), session.scratch / "crossed")
    found = [run_job(session, name, "fit", folder, FORMULA, repeats=3) for name in session.peers(*CONTESTANTS)]
    return [fit_table(f"{rows:,} rows, {larger:,} × {smaller:,} levels crossed: `{FORMULA}`, REML", found)]
