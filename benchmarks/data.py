"""The data of the benchmarks, and how they reach the contestants: parquet for Python, raw columns for R."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

GROUP_SD = (1.0, 0.5)
GROUP_CORRELATION = 0.3
RESIDUAL_SD = 2.0


def random_slopes(rows: int, groups: int, *, shuffled: bool, seed: int = 7) -> pd.DataFrame:
    """``y ~ x + (x | g)``: unequal groups with integer labels, rows sorted by group or in random order."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, rows)
    if not shuffled:
        group.sort()
    x = rng.normal(size=rows)
    first, second = rng.normal(size=(2, groups))
    slope = GROUP_CORRELATION * first + np.sqrt(1 - GROUP_CORRELATION**2) * second
    mean = 10.0 + GROUP_SD[0] * first[group] + (2.0 + GROUP_SD[1] * slope[group]) * x
    return pd.DataFrame({"y": mean + rng.normal(scale=RESIDUAL_SD, size=rows), "x": x, "g": group})


def crossed(rows: int, larger: int, smaller: int, seed: int = 11) -> pd.DataFrame:
    """``y ~ x + (1 | a) + (1 | b)`` with ``larger`` levels of a and ``smaller`` of b, paired at random."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, larger, rows), rng.integers(0, smaller, rows)
    x = rng.normal(size=rows)
    effects = rng.normal(size=larger)[a] + 0.7 * rng.normal(size=smaller)[b]
    return pd.DataFrame({"y": 1.0 + 0.5 * x + effects + rng.normal(size=rows), "x": x, "a": a, "b": b})


def shipped(name: str, scratch: Path) -> pd.DataFrame:
    """A classic data set: jmix's copy, or lme4's own where jmix is not there."""
    import jmix

    if hasattr(jmix, "load_data"):
        return jmix.load_data(name)
    target = scratch / f"{name}.csv"
    code = f"d <- lme4::{name}; write.csv(d, '{target}', row.names = FALSE)"
    subprocess.run(["Rscript", "-e", code], check=True, capture_output=True)
    frame = pd.read_csv(target)
    for column in {"s", "d", "service", "dept", "Subject"} & set(frame.columns):
        frame[column] = frame[column].astype(str).astype("category")
    return frame


def insteval(scratch: Path) -> pd.DataFrame:
    """The four columns that the InstEval model uses."""
    return shipped("InstEval", scratch)[["y", "s", "d", "service", "dept"]]


def hand_over(frame: pd.DataFrame, folder: Path, responses: np.ndarray | None = None) -> Path:
    """Write a frame, and responses (n, R) if given, for all contestants."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder / "frame.parquet")
    lines = ["name kind rows"]
    for name in frame:
        kind = write_column(frame[name], folder / str(name))
        lines.append(f"{name} {kind} {len(frame)}")
    (folder / "columns.txt").write_text("\n".join(lines) + "\n")
    if responses is not None:
        np.save(folder / "responses.npy", responses)
        np.asfortranarray(responses).T.astype("<f8").tofile(folder / "responses.bin")
    return folder


def write_column(column: pd.Series, stem: Path) -> str:
    """One column as little-endian numbers; categories as codes with their levels beside them."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column.cat.codes.to_numpy("<i4").tofile(stem.with_suffix(".bin"))
        stem.with_suffix(".levels").write_text("\n".join(map(str, column.cat.categories)) + "\n")
        return "factor"
    if pd.api.types.is_integer_dtype(column.dtype):
        column.to_numpy("<i4").tofile(stem.with_suffix(".bin"))
        return "integer"
    column.to_numpy("<f8").tofile(stem.with_suffix(".bin"))
    return "double"
