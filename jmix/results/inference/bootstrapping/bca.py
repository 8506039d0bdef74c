"""Confidence limits from draws of an estimate: percentile, basic, normal, studentized, and BCa.

Efron 1987, J. Am. Stat. Assoc. 82(397), 171-185; DiCiccio & Efron 1996, Stat. Sci. 11(3), 189-228; quantiles of the
draws by interpolation on the normal scale (Davison & Hinkley 1997, Bootstrap Methods and their Application, equation
5.8), as in R's ``boot``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Limits(NamedTuple):
    """Limits of a confidence interval, and whether the least or greatest draw had to serve as one of them."""

    lower: float
    upper: float
    extreme: bool = False


NONE = Limits(float("nan"), float("nan"))


def quantiles(draws: FloatArray, probabilities: FloatArray) -> tuple[FloatArray, bool]:
    """Quantiles of (n,) draws, and whether some lie beyond the least or greatest of them.

    Between the order statistics k and k + 1, k = floor((n + 1) p), it is interpolated on the scale of normal
    quantiles.
    """
    from scipy.special import ndtri

    ordered, n = np.sort(draws), draws.size
    place = (n + 1) * np.asarray(probabilities, dtype=np.float64)
    k = np.floor(place + 1e-12).astype(np.int64)
    beyond = (k < 1) | (k > n) | ((k == n) & (place > n))
    inner = np.clip(k, 1, max(n - 1, 1))
    low, high = ndtri(inner / (n + 1)), ndtri((inner + 1) / (n + 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.clip((ndtri(np.clip(place / (n + 1), 0.0, 1.0)) - low) / (high - low), 0.0, 1.0)
    left, right = ordered[inner - 1], ordered[np.minimum(inner, n - 1)]
    return left + share * (right - left), bool(beyond.any())


def tails(level: float) -> FloatArray:
    """The two probabilities between which a central share ``level`` lies."""
    return np.array([0.5 - 0.5 * level, 0.5 + 0.5 * level])


def percentile(draws: FloatArray, level: float) -> Limits:
    """The quantiles of the draws themselves."""
    values, extreme = quantiles(draws, tails(level))
    return Limits(float(values[0]), float(values[1]), extreme)


def basic(draws: FloatArray, observed: float, level: float) -> Limits:
    """The quantiles reflected in the estimate: ``2 t - t*``."""
    lower, upper, extreme = percentile(draws, level)
    return Limits(2.0 * observed - upper, 2.0 * observed - lower, extreme)


def normal(draws: FloatArray, observed: float, level: float) -> Limits:
    """Estimate less bias, plus and minus normal quantiles of the draws' standard deviation."""
    from scipy.special import ndtri

    centre = 2.0 * observed - float(np.mean(draws))
    half = float(ndtri(0.5 + 0.5 * level)) * float(np.std(draws, ddof=1))
    return Limits(centre - half, centre + half)


def studentized(draws: FloatArray, errors: FloatArray, observed: float, error: float, level: float) -> Limits:
    """``t - se q`` with q the quantiles of ``(t* - t) / se*``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (draws - observed) / errors
    z = z[np.isfinite(z)]
    if z.size < 2:
        return NONE
    values, extreme = quantiles(z, tails(level))
    return Limits(observed - error * float(values[1]), observed - error * float(values[0]), extreme)


def bias_correction(draws: FloatArray, observed: float) -> float:
    """z0, the normal quantile of the share of draws below the estimate; draws equal to it count half.

    A standard deviation that is often estimated as zero has many such ties. Infinite where all draws lie on one side.
    """
    from scipy.special import ndtri

    tie = 1e-10 * max(abs(observed), float(np.max(np.abs(draws), initial=0.0)))
    below = np.mean(draws < observed - tie)
    equal = np.mean(np.abs(draws - observed) <= tie)
    return float(ndtri(below + 0.5 * equal))


def bca(draws: FloatArray, observed: float, acceleration: float, level: float) -> Limits:
    """Bias-corrected and accelerated limits: the draws' quantiles at ``Phi(z0 + (z0 + z) / (1 - a (z0 + z)))``.

    Efron 1987, equation 2.3. NaN where all draws lie on one side of the estimate, or without an acceleration.
    """
    from scipy.special import ndtr, ndtri

    z0 = bias_correction(draws, observed)
    if not np.isfinite(z0) or not np.isfinite(acceleration):
        return NONE
    moved = z0 + ndtri(tails(level))
    values, extreme = quantiles(draws, ndtr(z0 + moved / (1.0 - acceleration * moved)))
    return Limits(float(values[0]), float(values[1]), extreme)
