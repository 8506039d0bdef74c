"""Location, spread, intervals and diagnostics of draws, one row a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.diagnostics import FEWEST_DRAWS, array_stats, autocorrelation, diagnose
from jmix.results.frames import check_level

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior

FloatArray = npt.NDArray[np.float64]
Interval = Literal["eti", "hdi"]

CORE = 0.9
"""Part of the draws, the shortest interval that holds it, in which the mode is looked for."""

CELLS = 256
"""Cells of the histogram behind the mode."""


def stacked(post: Posterior) -> FloatArray:
    """(K, C, D) draws of all parameters, in the order of ``post.parameters``."""
    return np.stack(list(post.parameters.values()))


def diagnostics_table(post: Posterior) -> pd.DataFrame:
    """MCSE of mean and sd, bulk and tail ESS, and R-hat of every parameter."""
    return pd.DataFrame(diagnose(stacked(post)), index=pd.Index(list(post.parameters), name="parameter"))


def summary_table(post: Posterior, prob: float = 0.95, interval: Interval = "eti", lag: int = 10) -> pd.DataFrame:
    """The table behind ``Posterior.summary``; its columns are described there.

    Raises:
        ModelError: a probability outside (0, 1), another kind of interval, or a lag that is no positive integer.
    """
    if isinstance(lag, bool) or not isinstance(lag, int | np.integer) or lag < 1:
        raise ModelError(f"lag={lag!r}: choose a positive number of kept draws, such as 10")
    values = stacked(post)
    flat = values.reshape(len(values), -1)
    lower, upper = bounds(flat, prob, interval)
    location = {
        "mean": flat.mean(axis=1),
        "sd": spread(flat),
        "median": np.median(flat, axis=1),
        "mode": np.array([mode(v) for v in flat]),
        "lower": lower,
        "upper": upper,
    }
    table = pd.concat([pd.DataFrame(location, index=post.diagnostics.index), post.diagnostics], axis=1)
    return table.assign(autocorr=autocorrelation(values, int(lag)))


def spread(flat: FloatArray) -> FloatArray:
    """(...) standard deviation of (..., N) draws; NaN for a single one."""
    return np.asarray(flat.std(axis=-1, ddof=1) if flat.shape[-1] > 1 else np.full(flat.shape[:-1], np.nan))


def bounds(flat: FloatArray, prob: Any, interval: Any = "eti") -> tuple[FloatArray, FloatArray]:
    """Lower and upper ends, each (...), of the interval of probability ``prob`` of (..., N) draws.

    Args:
        interval: "eti" between quantiles with equal tails, "hdi" the shortest interval (highest posterior density).

    Raises:
        ModelError: a probability outside (0, 1), or another kind of interval.
    """
    if interval not in ("eti", "hdi"):
        raise ModelError(f"interval {interval!r}: choose 'eti' (equal tails) or 'hdi' (highest density)")
    prob = check_level(prob, "prob")
    if flat.shape[-1] < FEWEST_DRAWS or flat.size == 0:
        return np.full(flat.shape[:-1], np.nan), np.full(flat.shape[:-1], np.nan)
    if interval == "eti":
        ends = np.moveaxis(np.quantile(flat, [0.5 - 0.5 * prob, 0.5 + 0.5 * prob], axis=-1), 0, -1)
    else:
        finite = np.asarray(np.isfinite(flat).all(axis=-1))
        ends = np.where(finite[..., None], array_stats().hdi(flat, prob=prob, axis=-1), np.nan)
    return ends[..., 0], ends[..., 1]


def mode(draws: FloatArray) -> float:
    """The highest point of a kernel density estimate of (N,) draws.

    The estimate is made within the shortest interval that holds 90% of the draws and reflected at its ends, so that a
    long tail does not coarsen it and a mode at a bound, such as a standard deviation of zero, stays there. The
    bandwidth is the normal-reference one for the derivative of a density, which the mode is a zero of.
    """
    draws = draws.reshape(-1)
    if draws.size < FEWEST_DRAWS or not np.isfinite(draws).all():
        return float("nan")
    low, high = (float(end) for end in bounds(draws, CORE, "hdi"))
    step = (high - low) / CELLS
    if step == 0.0:
        return low
    quartiles = np.quantile(draws, [0.25, 0.75])
    scale = min(float(draws.std()), float(quartiles[1] - quartiles[0]) / 1.34)
    bandwidth = scale * (0.8 / draws.size) ** (1 / 7)
    counts = np.histogram(draws, CELLS, (low, high))[0].astype(np.float64)
    kernel = np.exp(-0.5 * (np.arange(-CELLS, CELLS + 1) * (step / bandwidth)) ** 2)
    density = np.convolve(np.concatenate([counts[::-1], counts, counts[::-1]]), kernel, "same")[CELLS : 2 * CELLS]
    return low + (int(np.argmax(density)) + 0.5) * step
