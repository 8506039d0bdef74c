"""One evaluation of the objective: its cost must depend on the groups, not on the rows."""

from __future__ import annotations

from benchmarks.data import hand_over, random_slopes
from benchmarks.measure import run_job
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

FORMULA = "y ~ x + (x | g)"


def run(session: Session) -> list[Table]:
    """Value and gradient at 10⁵, 10⁶ and 10⁷ rows in 10,000 groups; lme4's value alone beside it, to 10⁶."""
    groups = session.size(10_000, 500)
    sizes = [10_000, 100_000] if session.quick else [100_000, 1_000_000, 10_000_000]
    rows = [evaluation_row(session, size, groups) for size in sizes]
    note = (
        "Both at theta = (0.9, 0.1, 0.8). jmix: value and gradient with respect to theta, compiled, median of 50; "
        "`model` is the pass over the rows and the compilation of the criterion, once a model. lme4: the value alone "
        "(it has no gradient), by the function that `lmer(devFunOnly = TRUE)` returns; left out at 10⁷ rows."
    )
    return [Table(f"One evaluation of the objective, {groups:,} groups: `{FORMULA}`, REML", rows, [note])]


def evaluation_row(session: Session, size: int, groups: int) -> dict[str, Cell]:
    """All contestants at one size."""
    folder = hand_over(random_slopes(size, groups, shuffled=True), session.scratch / f"evaluation_{size}")
    cells: dict[str, Cell] = {"rows": f"{size:,}"}
    remarks = []
    for name in session.peers("jmix", "lme4"):
        if name == "lme4" and size > 1_000_000:
            continue
        found = run_job(session, name, "evaluate", folder, FORMULA, repeats=51 if name == "jmix" else 11)
        cells[f"{name}, ms"] = 1e3 * found.warm if found.warm is not None else None
        cells[f"{name}, criterion"] = f"{found.values['value']:.6f}" if "value" in found.values else None
        if name == "jmix":
            cells["jmix, model, s"] = found.values.get("build")
        remarks += [f"{name}: {found.problem}"] if found.problem else []
    cells["remark"] = "; ".join(remarks)
    return cells
