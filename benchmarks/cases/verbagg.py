"""VerbAgg: 316 persons crossed with 24 items, Laplace's approximation."""

from __future__ import annotations

from benchmarks.compare import fit_table
from benchmarks.data import hand_over
from benchmarks.general import General, run_general
from benchmarks.general_data import verbal_aggression
from benchmarks.session import Session
from benchmarks.tables import Table

MODEL = General("Anger + Gender + btype + situ", (("id", "1"), ("item", "1")))
CONTESTANTS = ("jmix", "lme4", "glmmTMB", "glmm", "gpboost", "statsmodels (variational)")
NOTE = (
    "Default settings of each. GPBoost's log likelihood and gradient are stochastic where it solves iteratively. "
    "`statsmodels (variational)` is BinomialBayesMixedGLM's mean-field approximation to a posterior: it has no "
    "likelihood, and its coefficients are not estimates of the same kind. glmm includes likelihood-ratio tables only "
    "for Poisson models, so none here."
)


def run(session: Session) -> list[Table]:
    """All peers; under ``--quick`` the first 60 persons."""
    frame = verbal_aggression()
    if session.quick:
        frame = frame[frame["id"].astype(str).astype(int) <= 60].reset_index(drop=True)
        frame["id"] = frame["id"].cat.remove_unused_categories()
    folder = hand_over(frame, session.scratch / "verbagg")
    found = [run_general(session, name, "fit", folder, MODEL) for name in session.peers(*CONTESTANTS)]
    table = fit_table(f"VerbAgg, {len(frame):,} rows: `{MODEL.formula}`, Laplace", found)
    table.notes.append(NOTE)
    return [table]
