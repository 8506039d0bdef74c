"""One value and gradient of a generalized model's marginal likelihood: its cost must grow linearly with the rows."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.data import hand_over
from benchmarks.general import General, run_general
from benchmarks.general_data import grouped_binary
from benchmarks.machine import accelerator
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

EACH = 10
SCALAR = General("x", (("g", "1"),), n_agq=7)
VECTOR = General("x", (("g", "1 + x"),), n_agq=5)
NOTE = (
    "Value and exact gradient with respect to all parameters, the modes searched anew from those of the previous "
    "evaluation, whose parameters were a thousandth away; compiled, median. Ten rows a group. `model` is the pass over "
    "the data, `compile` the first evaluation."
)


def run(session: Session) -> list[Table]:
    """10⁴ to 10⁷ rows on the processor."""
    return tables(session, "processor") if accelerator() is None else []


def run_gpu(session: Session) -> list[Table]:
    """The same where jax has an accelerator."""
    device = accelerator()
    if device is None:
        print("glmm_scaling_gpu: skipped, jax has no GPU here")
        return []
    return tables(session, device)


def tables(session: Session, device: str) -> list[Table]:
    """Laplace and quadrature, scalar and vector random effects."""
    sizes = [1_000, 10_000] if session.quick else [10_000, 100_000, 1_000_000, 10_000_000]
    models = (replace(SCALAR, n_agq=1), SCALAR, VECTOR)
    rows = [row(session, model, size) for model in models for size in sizes]
    return [Table(f"One evaluation of value and gradient, {device}", rows, [NOTE])]


def row(session: Session, model: General, size: int) -> dict[str, Cell]:
    """One model at one size."""
    folder = session.scratch / f"glmm_scaling_{size}"
    if not folder.exists():
        hand_over(grouped_binary(size // EACH, EACH), folder)
    one = run_general(session, "jmix", "evaluate", folder, model, repeats=11, limit=5 * session.limit)
    return {
        "model": f"`{model.formula}`",
        "nodes": model.n_agq,
        "rows": f"{size:,}",
        "groups": f"{size // EACH:,}",
        "evaluation, ms": 1e3 * one.warm if one.warm is not None else None,
        "ns a row": 1e9 * one.warm / size if one.warm is not None else None,
        "model, s": one.values.get("build"),
        "compile, s": one.values.get("compile"),
        "log likelihood": f"{one.values['value']:.6f}" if "value" in one.values else None,
        "remark": one.problem,
    }
