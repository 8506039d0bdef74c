"""The models of the recovery study: sizes, options, and the true parameters by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """One model.

    Attributes:
        title, about: for the table. itemtype, options: as ``jmix.irt`` takes them. n: persons. items: number of them.
        categories: of every item. groups: number of groups, equal in size. covariates: whether persons have ``x``.
        nodes, rule: per dimension. latent: true values of what does not belong to an item. batch: data sets at once.
        rounds: exact Hessians before the last.
    """

    title: str
    about: str
    itemtype: str
    n: int
    items: int
    categories: int = 2
    options: Mapping[str, Any] = field(default_factory=dict)
    groups: int = 1
    covariates: bool = False
    nodes: int = 31
    rule: str = "rectangle"
    latent: Mapping[str, float] = field(default_factory=dict)
    batch: int = 50
    rounds: int = 1


DESIGNS = {
    "2PL": Design("2PL", "1,000 persons, 20 items", "2PL", 1000, 20),
    "3PL": Design(
        "3PL", "2,000 persons, 20 items, prior beta(5, 17) on c", "3PL", 2000, 20, batch=20, rounds=3,
        options={"priors": "default"},
    ),
    "graded": Design("graded", "1,000 persons, 10 items, 4 categories", "graded", 1000, 10, 4),
    "gpcm": Design("gpcm", "1,000 persons, 10 items, 4 categories", "gpcm", 1000, 10, 4),
    "M2PL": Design(
        "M2PL", "1,000 persons, two correlated factors, 10 items each", "2PL", 1000, 20, nodes=15, rule="gh",
        batch=10,
        options={"model": "F1 = 1-10\nF2 = 11-20\nCOV = F1*F2"}, latent={"corr[F1,F2]": 0.5},
    ),
    "bifactor": Design(
        "bifactor", "1,500 persons, general factor and 3 specific ones, 5 items each", "2PL", 1500, 15, nodes=13,
        rule="gh", batch=5,
        options={"bifactor": [0] * 5 + [1] * 5 + [2] * 5},
    ),
    "regression": Design(
        "latent regression", "1,000 persons, 15 items, theta ~ x", "2PL", 1000, 15, covariates=True,
        latent={"beta": 0.5}, batch=20, options={"formula": "~ x"},
    ),
    "groups": Design(
        "two groups", "2 × 750 persons, 15 items equal in both", "2PL", 1500, 15, groups=2, batch=20,
        latent={"mean": 0.5, "sd": 1.3},
    ),
}  # fmt: skip


def truth(design: Design, names: tuple[str, ...], seed: int) -> Floats:
    """True values of the free parameters, by their names: the same in every replicate."""
    rng = np.random.default_rng([seed, 99])
    out = np.empty(len(names))
    cut = 0.0
    for i, name in enumerate(names):
        kind = name.split("[")[0]
        if name in design.latent or kind in design.latent:
            out[i] = design.latent.get(name, design.latent.get(kind, 0.0))
        elif kind == "a1" or (kind.startswith("a") and kind[1:].isdigit()):
            out[i] = rng.uniform(0.8, 2.0) if design.title != "bifactor" or kind == "a1" else rng.uniform(0.6, 1.4)
        elif kind == "d":
            out[i] = rng.uniform(-1.5, 1.5)
        elif kind == "d1":
            cut = rng.uniform(1.0, 2.0)
            out[i] = cut
        elif kind.startswith("d"):
            step = rng.uniform(1.0, 1.8)
            cut = cut - step if design.itemtype == "graded" else cut + 0.6 - 0.5 * int(kind[1:])
            out[i] = cut
        elif kind == "logit(c)":
            out[i] = np.log(0.2 / 0.8)
        else:
            raise ValueError(f"no truth for {name}")
    return out


def persons(design: Design, rng: np.random.Generator) -> tuple[npt.NDArray[np.int32], pd.DataFrame | None]:
    """(n,) groups and the person data."""
    group = np.arange(design.n, dtype=np.int32) * design.groups // design.n
    return group.astype(np.int32), pd.DataFrame({"x": rng.normal(size=design.n)}) if design.covariates else None
