"""InstEval: 73,421 ratings, students and lecturers crossed, departments beside them."""

from __future__ import annotations

from benchmarks.compare import fit_table
from benchmarks.data import hand_over, insteval
from benchmarks.measure import run_job
from benchmarks.session import Session
from benchmarks.tables import Table

FORMULA = "y ~ service + (1 | s) + (1 | d) + (1 | dept)"
CONTESTANTS = (
    *("jmix", "jmix (+ fitted)", "jmix (+ df)", "lme4", "lme4 (reference BLAS)", "glmm", "glmm (no df)", "mixedlm"),
)


def run(session: Session) -> list[Table]:
    """Maximum likelihood; under ``--quick`` the students with a number up to 300."""
    frame = insteval(session.scratch)
    if session.quick:
        frame = frame[frame["s"].astype(str).astype(int) <= 300].reset_index(drop=True)
        for name in ("s", "d", "dept"):
            frame[name] = frame[name].cat.remove_unused_categories()
    folder = hand_over(frame, session.scratch / "insteval")
    found = [run_job(session, name, "fit", folder, FORMULA, reml=False) for name in session.peers(*CONTESTANTS)]
    return [fit_table(f"InstEval, {len(frame):,} rows: `{FORMULA}`, ML", found)]
