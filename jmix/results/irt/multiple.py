"""P-values of many tests at once, and the root mean square error of approximation."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError

FloatArray = npt.NDArray[np.float64]
Adjust = Literal["none", "holm", "BH", "bonferroni"]


def adjusted(p: Any, method: str | None = "holm") -> FloatArray:
    """P-values adjusted for their number, as R's ``p.adjust``; NaN stay and do not count.

    Args:
        p: (m,) p-values. method: "holm" (Holm 1979, Scand. J. Statist. 6: error of any), "BH" (Benjamini & Hochberg
            1995, JRSS B 57: share of false findings), "bonferroni", or "none".

    Raises:
        ModelError: another method.
    """
    values = np.asarray(p, dtype=np.float64)
    out = np.full(values.shape, np.nan)
    some = np.isfinite(values)
    out[some] = _adjust(values[some], "none" if method is None else method)
    return out


def _adjust(p: FloatArray, method: str) -> FloatArray:
    m = p.size
    order = np.argsort(p, kind="stable")
    rank = np.arange(m)
    if method == "none":
        return p
    if method == "bonferroni":
        return np.minimum(1.0, m * p)
    if method == "holm":
        steps = np.maximum.accumulate((m - rank) * p[order])
    elif method in ("BH", "bh", "fdr"):
        steps = np.minimum.accumulate((m / (rank + 1) * p[order])[::-1])[::-1]
    else:
        raise ModelError(f"p_adjust='{method}': there are 'none', 'holm', 'BH' and 'bonferroni'")
    out = np.empty(m)
    out[order] = np.minimum(1.0, steps)
    return out


def chi_squared_p(statistic: Any, df: Any) -> FloatArray:
    """Upper tail of the chi-squared distribution; NaN without degrees of freedom."""
    from scipy.special import chdtrc

    d = np.asarray(df, dtype=np.float64)
    x = np.asarray(statistic, dtype=np.float64)
    return np.where(d > 0, chdtrc(np.where(d > 0, d, 1.0), x), np.nan)


def rmsea(statistic: Any, df: Any, n: float) -> FloatArray:
    """Root mean square error of approximation, ``sqrt(max(X2 / df - 1, 0) / (n - 1))`` (Browne & Cudeck 1993).

    NaN without degrees of freedom.
    """
    d = np.asarray(df, dtype=np.float64)
    x = np.asarray(statistic, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(d > 0, np.sqrt(np.maximum(x / d - 1, 0.0) / (n - 1)), np.nan)


def rmsea_interval(statistic: float, df: int, n: float, level: float = 0.90) -> tuple[float, float]:
    """Confidence interval of the RMSEA by the noncentral chi-squared distribution (Browne & Cudeck 1993)."""
    if df <= 0:
        return np.nan, np.nan
    tail = (1 - level) / 2
    scale = df * (n - 1)
    return (
        float(np.sqrt(_noncentrality(statistic, df, 1 - tail) / scale)),
        float(np.sqrt(_noncentrality(statistic, df, tail) / scale)),
    )


def _noncentrality(statistic: float, df: int, probability: float) -> float:
    """Noncentrality at which the statistic has that lower tail, 0 where even none is too much."""
    from scipy.optimize import brentq
    from scipy.special import chdtr, chndtr

    def excess(noncentrality: float) -> float:
        return float(chndtr(statistic, df, noncentrality)) - probability

    if float(chdtr(df, statistic)) <= probability:
        return 0.0
    upper = max(statistic, 1.0)
    while excess(upper) > 0:
        upper *= 2
    return float(brentq(excess, 1e-12, upper, xtol=1e-12, rtol=1e-13))
