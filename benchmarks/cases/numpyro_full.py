"""sleepstudy beside a plain NumPyro program that samples all random effects."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from benchmarks.bayes import MODELS, reference_of
from benchmarks.cases.jags import middle
from benchmarks.posteriors import mean_off, sd_off
from benchmarks.sampling import Sampling, jmix_environment, numpyro_environment, prepare, run_python
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

METHODS = ("vectorized", "sequential", "parallel")
NOTE = (
    "brms's default priors on both sides, four chains, 1,000 warm-up iterations. NumPyro: non-centred effects, NUTS at "
    "its default settings and precision (float32, a diagonal mass matrix), by each of its chain methods; `parallel` "
    "has a host device a chain. Effective draws as in the case jags; compilation and warm-up are apart. `mean off` and "
    "`sd off` as there."
)
NOTE_START = (
    "Wall time of a whole process, 4 × 1,000 draws: imports, reading, compilation, warm-up, sampling, and the printed "
    "summary (jmix: all columns of `print(post)`; NumPyro: its summary of the same six parameters). A compilation "
    "cache is jmix's default; NumPyro was given one by JAX's environment variables."
)


def run(session: Session) -> list[Table]:
    """Warm rates, then whole processes of jmix and of NumPyro's fastest chain method."""
    model = MODELS["sleepstudy"]
    folder = prepare(session, model)
    assert folder is not None
    found = []
    for name in session.peers("jmix", "numpyro"):
        for method in METHODS if name == "numpyro" else ("",):
            found.append(warm_run(session, folder, name, method))
    rows = [warm_row(one, found) for one in found]
    fastest = max((one for one in found if one.contestant != "jmix" and one.rate), key=rate, default=None)
    whole = []
    for name in session.peers("jmix", "numpyro"):
        method = fastest.contestant.split()[-1] if fastest else METHODS[0]
        whole += process_rows(session, folder, name, method)
    return [
        Table("sleepstudy, default priors: effective draws a second, warm", rows, [NOTE]),
        Table("sleepstudy, default priors: from process start to the printed summary", whole, [NOTE_START]),
    ]


def rate(one: Sampling) -> float:
    """Its rate, 0 where it has none."""
    return one.rate or 0.0


def warm_run(session: Session, folder: Path, name: str, method: str) -> Sampling:
    """The second run in a process."""
    model, scratch = MODELS["sleepstudy"], Path(mkdtemp(dir=session.scratch))
    if name == "jmix":
        length: dict[str, Any] = {"seconds": session.size(4, 1), "most": 20_000}
        return run_python(
            "jmix", "jmix warm", folder, jmix_environment(scratch), session.limit, model, seed=1, **length
        )
    length = {"draws": session.size(1_000, 200), "chain_method": method}
    label, environment = f"numpyro, {method}", numpyro_environment(scratch)
    return run_python(label, "numpyro warm", folder, environment, session.limit, model, seed=1, **length)


def warm_row(one: Sampling, found: list[Sampling]) -> dict[str, Cell]:
    """One contestant."""
    ours = next((other.rate for other in found if other.contestant == "jmix"), None)
    cells: dict[str, Cell] = {"contestant": one.contestant, "ess / s": one.rate}
    if one.draws is None or one.rate is None:
        return cells | {"remark": one.problem}
    cells |= {
        "× jmix": ours / one.rate if ours else None,
        "slowest": one.draws.slowest,
        "draws": f"{one.draws.total:,}",
        "ess / draw": one.draws.ess / one.draws.total,
        "warm-up, s": one.stages["tune"],
        "sampling, s": one.stages["sample"],
    }
    reference = reference_of(MODELS["sleepstudy"])
    if reference is not None:
        cells |= {"mean off": mean_off(one.draws, reference), "sd off": sd_off(one.draws, reference)}
    diverging = one.values.get("diverging", 0)
    return cells | {"remark": f"{diverging:,} divergent" if diverging else ""}


def process_rows(session: Session, folder: Path, name: str, method: str) -> list[dict[str, Cell]]:
    """Whole processes with an empty and with a filled compilation cache."""
    scratch = Path(mkdtemp(dir=session.scratch))
    environment = jmix_environment(scratch) if name == "jmix" else numpyro_environment(scratch)
    job: dict[str, Any] = {"draws": 1_000, "summary": True, "chain_method": method, "seed": 11}
    rows: list[dict[str, Cell]] = []
    for cache, repeats in (("empty", 1), ("filled", session.size(3, 1))):
        runs = [
            run_python(name, f"{name} script", folder, environment, session.limit, MODELS["sleepstudy"], **job)
            for _ in range(repeats)
        ]
        one = middle(runs)
        label = name if name == "jmix" else f"{name}, {method}"
        cells: dict[str, Cell] = {"contestant": label, "cache": cache, "process, s": one.seconds, "processes": repeats}
        if one.draws is not None:
            cells |= {"ess": round(one.draws.ess), "slowest": one.draws.slowest}
        rows.append(cells | {"remark": one.problem})
    return rows
