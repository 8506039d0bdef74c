"""What is said about draws: effective sample size by one estimator for all, and distance from a reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot, sqrt
from pathlib import Path
from typing import Any

import numpy as np

Draws = Mapping[str, np.ndarray]
"""Parameter to (chains, draws)."""

AXES = {"chain_axis": 0, "draw_axis": 1}


@dataclass(frozen=True)
class Account:
    """What all draws of one contestant amount to.

    Attributes:
        slowest: the parameter with the fewest effective draws. ess: how many. total: draws of all chains.
        stats: by parameter ``mean sd mcse mcse_sd ess``.
    """

    slowest: str
    ess: float
    total: int
    stats: Mapping[str, Mapping[str, float]]


def account(draws: Draws) -> Account:
    """Bulk effective sample size and Monte Carlo errors of every parameter by arviz_stats."""
    from arviz_stats import base

    array_stats: Any = vars(base)["array_stats"]

    stats = {}
    for name, values in draws.items():
        stats[name] = {
            "mean": float(values.mean()),
            "sd": float(values.std()),
            "mcse": float(array_stats.mcse(values, method="mean", **AXES)),
            "mcse_sd": float(array_stats.mcse(values, method="sd", **AXES)),
            "ess": float(array_stats.ess(values, method="bulk", **AXES)),
        }
    slowest = min(stats, key=lambda name: stats[name]["ess"])
    total = int(np.prod(next(iter(draws.values())).shape))
    return Account(slowest, stats[slowest]["ess"], total, stats)


def mean_off(own: Account, reference: Mapping[str, Mapping[str, Any]]) -> float:
    """Largest difference of a posterior mean, in Monte Carlo standard errors of the difference."""
    return max(
        abs(one["mean"] - reference[name]["mean"]) / hypot(one["mcse"], reference[name]["mcse"])
        for name, one in own.stats.items()
    )


def sd_off(own: Account, reference: Mapping[str, Mapping[str, Any]]) -> float:
    """Largest difference of a posterior SD, likewise; a reference without an error of its SD gets ours, by its ESS."""
    found = []
    for name, one in own.stats.items():
        other = reference[name]
        error = other.get("mcse_sd", one["mcse_sd"] * sqrt(one["ess"] / other["ess"]))
        found.append(abs(one["sd"] - other["sd"]) / hypot(one["mcse_sd"], error))
    return max(found)


def save_draws(path: Path, draws: Draws) -> None:
    """Keep draws for the parent process."""
    np.savez(path, names=np.array(list(draws)), values=np.stack(list(draws.values())))


def load_draws(path: Path) -> dict[str, np.ndarray]:
    """What ``save_draws`` kept."""
    with np.load(path) as held:
        return dict(zip(held["names"].tolist(), held["values"], strict=True))
