"""Ten words of 1,155 people: the model that took JAGS an hour, as a point estimate and as a posterior."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from benchmarks import ours
from benchmarks.bayes import SHARED, VOCABULARY, reference_of
from benchmarks.cases.jags import middle, part_row
from benchmarks.compare import fit_table
from benchmarks.data import hand_over
from benchmarks.general import General, run_general
from benchmarks.general_data import vocabulary
from benchmarks.measure import wall_times
from benchmarks.posteriors import mean_off, sd_off
from benchmarks.sampling import Sampling, jmix_environment, prepare, run_jags, run_python
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

MODEL = General("0 + A + B + C + D + E", (("id", "1"),), n_agq=25)
TAU = "sd_id__Intercept"
PUBLISHED_SECONDS, PUBLISHED_DRAWS = 3582.0, 40_000

NOTE_BAYES = (
    "Priors of the source: gamma(0.01, 0.01) on the precision of the persons, normal(0, sd √1000) on the words. "
    "`ess / s of tau`: bulk effective draws of the persons' standard deviation over the seconds of sampling; warm-up "
    "and compilation are apart. `× jmix`: how many times as many jmix makes. JAGS runs for the stated seconds only: "
    "its rate does not depend on the length, but the estimate of its ESS is the noisier the shorter the run. "
    "`mean off`, `sd off`: largest distance, over all parameters, from the posterior of shared/reference in Monte "
    "Carlo standard errors."
)
NOTE_WHOLE = (
    "Wall time of a whole process, from the start of the interpreter to the printed summary: imports, reading, "
    "compilation, warm-up and 4 × 1,000 draws. The published run of JAGS took 59.7 minutes for 40,000 draws."
)


def run(session: Session) -> list[Table]:
    """Point estimate with 25 nodes, its first fit, the posterior's rates, whole processes."""
    frame = vocabulary()
    if frame is None:
        print(f"vocabulary: skipped, {SHARED / 'data' / 'gss2004_vocab.csv'} is not here")
        return []
    folder = hand_over(frame, session.scratch / "vocabulary_fit")
    found = [
        run_general(session, name, "fit", folder, MODEL, repeats=21 if name == "jmix" else 5)
        for name in session.peers("jmix", "lme4", "glmm")
    ]
    tables = [fit_table(f"{len(frame):,} rows, 1,155 people: `{MODEL.formula}`, 25 nodes", found)]
    tables.append(Table("Where jmix's first fit goes", first_rows(session, folder)))
    return [*tables, *posterior_tables(session)]


def first_rows(session: Session, folder: Path) -> list[dict[str, Cell]]:
    """New processes, with an empty and with a filled compilation cache."""
    environment = ours.cache_environment(Path(mkdtemp(dir=session.scratch)))
    code = ours.FIRST_GENERAL.format(file=str(folder / "frame.parquet"), formula=MODEL.formula, n_agq=MODEL.n_agq)
    rows: list[dict[str, Cell]] = []
    for label in ("empty", "filled"):
        one = wall_times([sys.executable, "-c", code], 1, environment)
        parts: dict[str, Cell] = {f"{name}, s": value for name, value in one.values.items()}
        rows.append({"cache": label, **parts, "whole process, s": one.first, "remark": one.problem})
    return rows


def posterior_tables(session: Session) -> list[Table]:
    """Rates of jmix and of JAGS in the same run, and jmix's whole processes."""
    folder = prepare(session, VOCABULARY)
    assert folder is not None
    found = [sample(session, name, folder) for name in session.peers("jmix", "jags", "jags (published)")]
    ours_rate = next((tau_rate(one) for one in found if one.contestant == "jmix"), None)
    whole, parts = [], []
    for one in jmix_processes(session, folder) if "jmix" in session.contestants else []:
        whole.append(whole_row(one))
        parts.append(part_row(VOCABULARY, one))
    return [
        Table("vocabulary: effective draws a second of tau", [rate_row(one, ours_rate) for one in found], [NOTE_BAYES]),
        Table("vocabulary: from process start to the printed summary", whole, [NOTE_WHOLE]),
        Table("vocabulary: where jmix's time goes in these processes", parts),
    ]


def sample(session: Session, name: str, folder: Path) -> Sampling:
    """One contestant, warm."""
    if name == "jmix":
        cache = jmix_environment(Path(mkdtemp(dir=session.scratch)))
        seconds = float(session.size(10, 2))
        job = {"seed": 1, "seconds": seconds, "most": 20_000}
        return run_python(name, "jmix warm", folder, cache, 4 * session.limit, VOCABULARY, **job)
    form = VOCABULARY.published if "published" in name else VOCABULARY.best
    length = {"seconds": float(session.size(60, 5)), "warmup": session.size(200, 50)}
    return run_jags(name, folder, VOCABULARY, form, 8 * session.limit, **length)


def tau_rate(one: Sampling) -> float | None:
    """Effective draws of tau a second of sampling."""
    return one.draws.stats[TAU]["ess"] / one.stages["sample"] if one.draws else None


def rate_row(one: Sampling, ours_rate: float | None) -> dict[str, Cell]:
    """One contestant."""
    rate = tau_rate(one)
    if one.draws is None or rate is None:
        return {"contestant": one.contestant, "remark": one.problem}
    cells: dict[str, Cell] = {
        "contestant": one.contestant,
        "ess / s of tau": rate,
        "× jmix": ours_rate / rate if ours_rate else None,
        "draws": f"{one.draws.total:,}",
        "ess of tau": round(one.draws.stats[TAU]["ess"]),
        "slowest": one.draws.slowest,
        "its ess / s": one.rate,
        "compile, s": one.values["parts"]["first compile"] if "parts" in one.values else one.stages["compile"],
        "warm-up, s": one.stages["tune"],
        "sampling, s": one.stages["sample"],
    }
    reference = reference_of(VOCABULARY)
    if reference is not None:
        cells |= {"mean off": mean_off(one.draws, reference), "sd off": sd_off(one.draws, reference)}
    return cells


def jmix_processes(session: Session, folder: Path) -> list[Sampling]:
    """4 × 1,000 draws with an empty compilation cache, then with what that left."""
    environment = jmix_environment(Path(mkdtemp(dir=session.scratch)))
    out = []
    for label, times in (("jmix, cache empty", 1), ("jmix, cache filled", session.size(3, 1))):
        job = {"draws": 1000, "summary": True}
        runs = [
            run_python(label, "jmix script", folder, environment, session.limit, VOCABULARY, seed=5 + i, **job)
            for i in range(times)
        ]
        out.append(replace(middle(runs), contestant=label))
    return out


def whole_row(one: Sampling) -> dict[str, Cell]:
    """One whole process."""
    cells: dict[str, Cell] = {"contestant": one.contestant, "process, s": None if one.problem else one.seconds}
    if one.draws is not None:
        ess = one.draws.stats[TAU]["ess"]
        per_second = ess / one.seconds
        cells |= {"draws": f"{one.draws.total:,}", "ess of tau": round(ess), "ess / s of the process": per_second}
        cells["× faster than the published run, per draw"] = (
            PUBLISHED_SECONDS / PUBLISHED_DRAWS / (one.seconds / one.draws.total)
        )
    return cells | {"remark": one.problem}
