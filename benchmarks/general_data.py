"""Simulated and shared data of the benchmarks of generalized models; every response is a 0/1 or counted number."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.bayes import SHARED

WORDS = "abcdefghij"


def vocabulary() -> pd.DataFrame | None:
    """Ten words of 1,155 people, long: y, dummies A to E of the first five, id; None where the file is not here."""
    source = SHARED / "data" / "gss2004_vocab.csv"
    if not source.exists():
        return None
    wide = pd.read_csv(source)[[f"word{c}" for c in WORDS]].to_numpy(float)
    people, words = wide.shape
    word = np.tile(np.arange(words), people)
    dummies = {c: (word == k).astype(float) for k, c in enumerate("ABCDE")}
    person = pd.Series(np.repeat(np.arange(1, people + 1), words).astype(str))
    return pd.DataFrame({"y": wide.reshape(-1), **dummies, "id": person.astype("category")})


def verbal_aggression() -> pd.DataFrame:
    """lme4's VerbAgg with the response as a number."""
    import jmix

    frame = jmix.load_data("VerbAgg")
    names = ["Anger", "Gender", "btype", "situ", "id", "item"]
    kept = frame[names].assign(Anger=frame["Anger"].astype(float))
    return kept.assign(y=(frame["r2"].astype(str) == "Y").astype(float))


def crossed_binary(rows: int, larger: int, smaller: int, seed: int = 21) -> pd.DataFrame:
    """``y ~ x + (1 | a) + (1 | b)``, Bernoulli: levels paired at random."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, larger, rows), rng.integers(0, smaller, rows)
    x = rng.normal(size=rows)
    eta = -0.3 + 0.5 * x + rng.normal(size=larger)[a] + 0.7 * rng.normal(size=smaller)[b]
    return pd.DataFrame({"y": bernoulli(rng, eta), "x": x, "a": a, "b": b})


def grouped_binary(groups: int, each: int, seed: int = 22) -> pd.DataFrame:
    """``y ~ x + (1 + x | g)``, Bernoulli: equal groups, intercepts and slopes correlated."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), each)
    x = rng.normal(size=g.size)
    first, second = rng.normal(size=(2, groups))
    slope = 0.8 + 0.6 * (0.4 * first + np.sqrt(1 - 0.4**2) * second)
    return pd.DataFrame({"y": bernoulli(rng, -0.4 + first[g] + slope[g] * x), "x": x, "g": g})


def bernoulli(rng: np.random.Generator, eta: np.ndarray) -> np.ndarray:
    """0/1 numbers with logits ``eta``."""
    return (rng.uniform(size=eta.size) < 1.0 / (1.0 + np.exp(-eta))).astype(float)
