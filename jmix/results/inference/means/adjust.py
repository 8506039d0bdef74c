"""Adjustment of p values and intervals for several tests in a family."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results.inference.means.maximum import maximum_p, maximum_quantile
from jmix.results.inference.means.studentized import range_ppf, range_sf, upper_quantile

FloatArray = npt.NDArray[np.float64]

STEPWISE = ("holm", "hochberg", "hommel", "bonferroni", "fdr", "bh", "by")
METHODS = ("none", "tukey", "sidak", "scheffe", "dunnettx", "mvt", *STEPWISE)
FOR_INTERVALS = ("none", "tukey", "sidak", "scheffe", "dunnettx", "mvt", "bonferroni")


def check_method(method: str, *, pairs: bool) -> str:
    """The method in force: Tukey's is for all pairs of one set of means, and Sidak's takes its place elsewhere.

    Raises:
        ModelError: another name.
    """
    if not isinstance(method, str) or method.lower() not in METHODS:
        raise ModelError(f"adjust={method!r}: choose {', '.join(map(repr, METHODS))}")
    method = method.lower()
    return "sidak" if method == "tukey" and not pairs else method


def adjusted_p(
    statistic: FloatArray, df: FloatArray, method: str, means: int, correlation: FloatArray, sides: int = 2
) -> FloatArray:
    """(k,) adjusted p values of one family of tests.

    Args:
        statistic, df: (k,) of Student's tests. means: number of means in the family, for Tukey's range.
        correlation: (k, k) of the estimates. sides: 2, or 1 for the upper, -1 for the lower tail.
    """
    from scipy.special import stdtr

    k = statistic.size
    plain = 2.0 * stdtr(df, -np.abs(statistic)) if sides == 2 else stdtr(df, -sides * statistic)
    if method == "none" or (k == 1 and method != "scheffe"):
        return np.asarray(plain)
    if method in STEPWISE:
        return stepwise(np.asarray(plain), method)
    if method == "sidak":
        return np.asarray(-np.expm1(k * np.log1p(-plain)))
    if sides != 2:
        raise ModelError(f"adjust={method!r} is for two-sided tests; choose 'sidak' or 'holm'")
    size = np.abs(statistic)
    if method == "tukey":
        return np.array([range_sf(np.sqrt(2.0) * t, means, v) for t, v in zip(size, df, strict=True)])
    if method == "scheffe":
        return scheffe_sf(size, rank_of(correlation), df)
    if method == "dunnettx":
        return np.array([dunnett_sf(t, k, v) for t, v in zip(size, df, strict=True)])
    return maximum_p(size, df, correlation)


def critical_values(
    level: float, df: FloatArray, method: str, means: int, correlation: FloatArray, sides: int = 2
) -> FloatArray:
    """(k,) standard errors from the estimate to its simultaneous limits; stepwise methods have Bonferroni's."""
    k = df.size
    tail = 0.5 if sides == 2 else 1.0
    method = method if method in FOR_INTERVALS else "bonferroni"
    if method == "none" or (k == 1 and method != "scheffe"):
        return _t(1.0 - tail * (1.0 - level), df)
    if method == "sidak":
        return _t(1.0 - tail * (1.0 - level ** (1.0 / k)), df)
    if method == "bonferroni":
        return _t(1.0 - tail * (1.0 - level) / k, df)
    if sides != 2:
        raise ModelError(f"adjust={method!r} is for two-sided intervals; choose 'sidak' or 'bonferroni'")
    if method == "tukey":
        return np.array([range_ppf(level, means, v) / np.sqrt(2.0) for v in df])
    if method == "scheffe":
        rank = rank_of(correlation)
        return np.array([_scheffe(level, rank, v) for v in df])
    if method == "dunnettx":
        return np.array([dunnett_ppf(level, k, v) for v in df])
    return maximum_quantile(level, df, correlation)


def _t(probability: float, df: FloatArray) -> FloatArray:
    from scipy.special import ndtri, stdtrit

    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(df), ndtri(probability), stdtrit(np.where(np.isinf(df), 1.0, df), probability))


def stepwise(p: FloatArray, method: str) -> FloatArray:
    """R's ``p.adjust``; p values that are missing do not count."""
    out = np.full(p.size, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    q, m = p[known], known.size
    if m == 0:
        return out
    order = np.argsort(q, kind="stable")
    ranked, rank = q[order], np.arange(1, m + 1)
    if method == "bonferroni":
        found = np.minimum(1.0, m * ranked)
    elif method == "holm":
        found = np.minimum(1.0, np.maximum.accumulate((m - rank + 1) * ranked))
    elif method == "hommel":
        found = _hommel(ranked)
    else:
        harmonic = float(np.sum(1.0 / rank)) if method == "by" else 1.0
        factor = m - rank + 1.0 if method == "hochberg" else harmonic * m / rank
        found = np.minimum(1.0, np.minimum.accumulate((factor * ranked)[::-1])[::-1])
    out[known[order]] = found
    return out


def _hommel(p: FloatArray) -> FloatArray:
    """Hommel (1988, Biometrika 75) by the algorithm of Wright (1992, Biometrics 48) for sorted p values."""
    m = p.size
    rank = np.arange(1, m + 1)
    smallest = float(np.min(m * p / rank))
    q, adjusted = np.full(m, smallest), np.full(m, smallest)
    for j in range(m - 1, 1, -1):
        first, last = np.arange(m - j + 1), np.arange(m - j + 1, m)
        least = float(np.min(j * p[last] / np.arange(2, j + 1)))
        q[first] = np.minimum(j * p[first], least)
        q[last] = q[m - j]
        adjusted = np.maximum(adjusted, q)
    return np.maximum(adjusted, p)


# --- distributions --------------------------------------------------------------------------------------------------
def dunnett_sf(t: float, k: int, df: float) -> float:
    """Upper tail of emmeans's approximation to the largest of k |t| against one control.

    A mixture of Tukey's and Sidak's distributions; ``adjust="mvt"`` is exact.
    """
    from scipy.special import stdtr

    share = (k - 1.0) / k
    size = 0.5 * (1.0 + np.sqrt(1.0 + 8.0 * k))
    sidak = -np.expm1(k * np.log1p(-2.0 * stdtr(df, -t)))
    return float(share * range_sf(float(np.sqrt(2.0) * t), float(size), float(df)) + (1.0 - share) * sidak)


def dunnett_ppf(level: float, k: int, df: float) -> float:
    """Quantile of the same approximation."""
    return float("nan") if np.isnan(df) else upper_quantile(lambda t: dunnett_sf(t, k, df), level)


def scheffe_sf(t: FloatArray, rank: int, df: FloatArray) -> FloatArray:
    """Upper tail of the largest of all contrasts of a rank."""
    from scipy.special import chdtrc, fdtrc

    finite = np.where(np.isinf(df), 1.0, df)
    return np.where(np.isinf(df), chdtrc(rank, t**2), fdtrc(rank, finite, t**2 / rank))


def _scheffe(level: float, rank: int, df: float) -> float:
    from scipy.special import chdtri, fdtri

    if np.isinf(df):
        return float(np.sqrt(chdtri(rank, 1.0 - level)))
    return float(np.sqrt(rank * fdtri(rank, df, level)))


def rank_of(correlation: FloatArray) -> int:
    """Rank of a correlation matrix."""
    known = correlation[np.ix_(*(~np.isnan(np.diag(correlation)),) * 2)]
    return max(1, int(np.linalg.matrix_rank(known, tol=1e-8 * max(len(known), 1), hermitian=True)))
