"""The studentized range: the range of normal variables over an independent estimate of their standard deviation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

REACH, STEP = 10.0, 0.1
"""Reach and step of the integral over the largest variable, in standard deviations."""

NEARLY_NORMAL = 1e7
"""Degrees of freedom from which the standard deviation counts as known."""

TINY = 40.0
"""Integrands are followed down to exp(-40) of their height."""


def normal_range_sf(width: FloatArray, means: float) -> FloatArray:
    """(k,) upper tail of the range of ``means`` independent standard normal variables.

    ``k int phi(z) (Phi(z)^(k-1) - (Phi(z) - Phi(z - w))^(k-1)) dz``, z the largest variable, by the trapezoidal rule
    about w / 2; the difference is formed without cancellation, so that small tails have small relative errors.
    """
    from scipy.special import log_ndtr

    t = np.arange(-REACH, REACH + STEP / 2, STEP)
    z = 0.5 * width[:, None] + t
    below = log_ndtr(z)
    lost = log_ndtr(z - width[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        share = -np.expm1((means - 1.0) * np.log1p(-np.exp(np.minimum(lost - below, 0.0))))
    density = np.exp(-0.5 * z**2 + (means - 1.0) * below) / np.sqrt(2.0 * np.pi)
    return np.minimum(1.0, means * STEP * np.sum(density * share, axis=1))


@lru_cache(maxsize=4096)
def range_sf(q: float, means: float, df: float) -> float:
    """P(range / s > q) of ``means`` means, s on ``df`` degrees of freedom.

    Over ``u = log s``, whose density is proportional to ``exp(df (u - exp(2 u) / 2))``, by the trapezoidal rule.
    """
    from scipy.special import gammaln

    if np.isnan(q) or np.isnan(df):
        return float("nan")
    if q <= 0.0:
        return 1.0
    if df > NEARLY_NORMAL:
        return float(normal_range_sf(np.array([q]), means)[0])
    normal = 9.0 / np.sqrt(2.0 * df)
    low, high = -max(TINY / df + 0.5, normal), max(0.5 * np.log1p(2.0 * TINY / df) + 0.1, normal)
    step = min(0.05, 0.25 / np.sqrt(2.0 * df))
    u = np.arange(low, high + step, step)
    constant = np.log(2.0) + 0.5 * df * np.log(0.5 * df) - gammaln(0.5 * df)
    density = np.exp(constant + df * (u - 0.5 * np.exp(2.0 * u)))
    return float(min(1.0, step * np.sum(density * normal_range_sf(q * np.exp(u), means))))


@lru_cache(maxsize=4096)
def range_ppf(level: float, means: float, df: float) -> float:
    """The q of ``P(range / s > q) = 1 - level``."""
    return upper_quantile(lambda q: range_sf(q, means, df), level) if not np.isnan(df) else float("nan")


def upper_quantile(tail: object, level: float) -> float:
    """Where a decreasing upper tail is 1 - level."""
    from scipy.optimize import brentq

    assert callable(tail)
    high = 4.0
    while tail(high) > 1.0 - level:
        high *= 2.0
    return float(brentq(lambda q: np.log(tail(q) / (1.0 - level)), 1e-6, high, xtol=1e-9))
