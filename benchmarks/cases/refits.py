"""1,000 refits of sleepstudy with new responses, as a parametric bootstrap makes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmarks.data import hand_over, shipped
from benchmarks.measure import Measurement, run_job
from benchmarks.session import Session
from benchmarks.tables import Cell, Table

FORMULA = "Reaction ~ Days + (Days | Subject)"
CONTESTANTS = ("jmix", "lme4", "glmm", "mixedlm")
BETA = (251.4, 10.47)
SD = (24.74, 5.92)
CORRELATION = 0.066
SIGMA = 25.59


def responses(frame: pd.DataFrame, count: int) -> np.ndarray:
    """Responses (n, count) simulated from the model at its REML estimates."""
    rng = np.random.default_rng(3)
    subject = pd.factorize(frame["Subject"])[0]
    days = frame["Days"].to_numpy(float)[:, None]
    first, second = rng.normal(size=(2, subject.max() + 1, count))
    slope = CORRELATION * first + np.sqrt(1 - CORRELATION**2) * second
    mean: np.ndarray = BETA[0] + SD[0] * first[subject] + (BETA[1] + SD[1] * slope[subject]) * days
    return mean + SIGMA * rng.normal(size=mean.shape)


def run(session: Session) -> list[Table]:
    """jmix makes all refits in one program; the peers make a tenth in a loop and are scaled."""
    frame = shipped("sleepstudy", session.scratch)[["Reaction", "Days", "Subject"]]
    full, sample = session.size(1_000, 100), session.size(100, 10)
    folder = hand_over(frame, session.scratch / "refits", responses(frame, full))
    found = []
    for name in session.peers(*CONTESTANTS):
        count = full if name == "jmix" else sample
        found.append((count, run_job(session, name, "refit", folder, FORMULA, reml=False, count=count, repeats=5)))
    best = best_logliks([one for _, one in found], sample)
    rows = [row(one, count, full, best) for count, one in found]
    note = (
        f"The peers made {sample} refits in a loop, their time is scaled to {full:,}; lme4 and mixedlm by their "
        "`refit`, glmm, which has none, by a new fit. `largest shortfall` is the most by which a log likelihood lies "
        f"below the best of the contestants' over the same {sample} responses. By ML, because `refit` of a REML fit in "
        "lme4 1.1-31 counts one fixed effect instead of p (`m@resp$REML` becomes 1) and so misses the REML optimum."
    )
    return [Table(f"{full:,} refits of sleepstudy: `{FORMULA}`, ML", rows, [note])]


def best_logliks(found: Sequence[Measurement], sample: int) -> np.ndarray | None:
    """The highest log likelihood that any contestant reached, response by response."""
    reached = [one.values["logliks"][:sample] for one in found if "logliks" in one.values]
    return np.max(reached, axis=0) if reached else None


def row(one: Measurement, count: int, full: int, best: np.ndarray | None) -> dict[str, Cell]:
    """One contestant."""
    cells: dict[str, Cell] = {
        "contestant": one.contestant,
        f"{full:,} refits, s": one.warm * full / count if one.warm else None,
        "refits made": count,
        "first call, s": one.first,
    }
    if best is not None and "logliks" in one.values:
        cells["largest shortfall"] = float(np.max(best - np.array(one.values["logliks"][: len(best)])))
        cells["mean slope"] = float(np.mean([beta[1] for beta in one.values["betas"][: len(best)]]))
    cells["remark"] = one.problem
    return cells
