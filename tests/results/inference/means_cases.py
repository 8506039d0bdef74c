"""The data of means.R."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import jmix


def cells() -> pd.DataFrame:
    """14 groups of 4 to 17 rows; unbalanced factors, one cell of f and k empty; class within treat."""
    rng = np.random.RandomState(22)
    g = np.repeat(np.arange(14), 4 + np.arange(14))
    n = g.size
    f, h = rng.choice(3, n, p=[0.5, 0.3, 0.2]), rng.choice(2, n, p=[0.65, 0.35])
    k = np.where((f == 2) | (rng.uniform(size=n) < 0.6), 0, 1)
    x = rng.standard_normal(n) + 0.5 * f
    y = 10.0 + f - 0.8 * h + 0.7 * f * h + 0.5 * x + rng.standard_normal(14)[g] + 0.5 * rng.standard_normal(14)[g] * x
    c = rng.randint(0, 5, n)
    return pd.DataFrame(
        {
            "y": y + rng.standard_normal(n),
            "x": x,
            "z": np.exp(0.6 * rng.standard_normal(n) + 0.2 * f),
            "w": rng.uniform(0.3, 2.5, n),
            "two": rng.choice([1.0, 3.0], n, p=[0.7, 0.3]),
            "g": [f"g{v:02d}" for v in g],
            "f": [f"f{v}" for v in f],
            "h": [f"h{v}" for v in h],
            "k": [f"k{v}" for v in k],
            "class": [f"c{v}" for v in c],
            "treat": [f"t{int(v > 1)}" for v in c],
        }
    )


def oats() -> pd.DataFrame:
    """A split plot: 6 blocks of 3 varieties (plots) of 4 nitrogen levels, two rows lost."""
    rng = np.random.RandomState(21)
    plot, nitro = np.repeat(np.arange(18), 4), np.tile(np.arange(4), 18)
    block, variety = plot // 3, plot % 3
    y = 80.0 + np.array([0.0, 5.0, -3.0])[variety] + np.array([0.0, 18.0, 30.0, 34.0])[nitro]
    y = y + 14.0 * rng.standard_normal(6)[block] + 10.0 * rng.standard_normal(18)[plot] + 13.0 * rng.standard_normal(72)
    names = {"Variety": [f"v{v}" for v in variety], "Block": [f"b{v}" for v in block]}
    return pd.DataFrame({"yield": y, "nitro": [f"{0.2 * v:g}" for v in nitro], **names}).drop(index=[5, 40])


def seizures() -> pd.DataFrame:
    """Counts of epileptics with a time at risk."""
    data = jmix.load_data("epil")
    time = 1.0 + np.random.RandomState(5).randint(0, 4, len(data))
    names = {"trt": data["trt"].astype(str), "subject": [f"s{int(v):02d}" for v in data["subject"]], "time": time}
    return data[["y", "lbase", "lage"]].assign(**names)


def frames() -> dict[str, pd.DataFrame]:
    """Every data set by name; factors as text."""
    cbpp = jmix.load_data("cbpp").assign(period=lambda d: d["period"].astype(str))
    use, wine = jmix.load_data("Contraception"), jmix.load_data("wine")
    texts = ("district", "urban", "livch", "use")
    return {
        "cells": cells(),
        "oats": oats(),
        "cbpp": cbpp.assign(herd=cbpp["herd"].astype(str)),
        "contraception": use.assign(age=use["age"] / 10, **{c: use[c].astype(str) for c in texts if c in use}),
        "seizures": seizures(),
        "wine": wine.assign(**{c: wine[c].astype(str) for c in ("temp", "contact", "judge")}),
    }


def write(folder: Path) -> None:
    """The data for R."""
    for name, data in frames().items():
        data.to_csv(folder / f"{name}.csv", index=False)
