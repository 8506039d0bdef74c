"""Quadrature in two dimensions for 100,000 groups of ten Bernoulli rows."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.compare import fit_table
from benchmarks.data import hand_over
from benchmarks.general import General, run_general
from benchmarks.general_data import grouped_binary
from benchmarks.session import Session
from benchmarks.tables import Table

MODEL = General("x", (("g", "1 + x"),), n_agq=7)
LAPLACE = 150.0
"""Seconds that a Laplace fit of a peer may take."""

NOTE = (
    "lme4's quadrature takes scalar random effects only; its Laplace fit stands in the second table with jmix's own. "
    f"Peers are stopped after {LAPLACE:g} s there."
)


def run(session: Session) -> list[Table]:
    """Seven nodes a dimension by jmix and glmm, then Laplace by all."""
    groups = session.size(100_000, 2_000)
    folder = hand_over(grouped_binary(groups, 10), session.scratch / "many_groups")
    title = f"{groups:,} groups × 10 Bernoulli rows: `{MODEL.formula}`"
    quadrature = [
        run_general(session, name, "fit", folder, MODEL, repeats=3, limit=LAPLACE)
        for name in session.peers("jmix", "glmm")
    ]
    laplace = [
        run_general(session, name, "fit", folder, replace(MODEL, n_agq=1), repeats=2, limit=LAPLACE)
        for name in session.peers("jmix", "lme4", "glmm", "glmmTMB")
    ]
    tables = [fit_table(f"{title}, 7 nodes a dimension", quadrature), fit_table(f"{title}, Laplace", laplace)]
    tables[0].notes.append(NOTE)
    return tables
