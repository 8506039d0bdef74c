"""Crossed factors that leave a dense factorisation of 5,000 levels: 100,000 Bernoulli rows, 10,000 × 5,000."""

from __future__ import annotations

from benchmarks.compare import fit_table
from benchmarks.data import hand_over
from benchmarks.general import General, run_general
from benchmarks.general_data import crossed_binary
from benchmarks.session import Session
from benchmarks.tables import Table

MODEL = General("x", (("a", "1"), ("b", "1")))
CONTESTANTS = ("jmix", "gpboost", "glmm", "glmmTMB", "lme4")
LIMITS = {"jmix": 1200.0}
NOTE = (
    "jmix is given up to 1,200 s, so that the table says how long it needs; the others are stopped at the limit in "
    "the remark. GPBoost's iterative solver has a stochastic log likelihood: its `below best` is partly noise."
)


def run(session: Session) -> list[Table]:
    """The whole size, or under ``--quick`` a tenth in each direction."""
    rows, larger, smaller = session.size(100_000, 4_000), session.size(10_000, 400), session.size(5_000, 200)
    folder = hand_over(crossed_binary(rows, larger, smaller), session.scratch / "crossed_large")
    found = [
        run_general(session, name, "fit", folder, MODEL, repeats=2, limit=LIMITS.get(name))
        for name in session.peers(*CONTESTANTS)
    ]
    table = fit_table(f"{rows:,} Bernoulli rows, {larger:,} × {smaller:,} levels: `{MODEL.formula}`, Laplace", found)
    table.notes.append(NOTE)
    return [table]
