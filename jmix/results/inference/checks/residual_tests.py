"""Tests of scaled residuals; the p-value is the rank of the observed statistic among those of the simulations.

A statistic is a function of the columns of a matrix whose column 0 is what was observed. Simulated data of the same
design go through the same computation, so that dependence between the rows of a group is accounted for. What was
estimated counts as known, as in DHARMa, but for beta and sigma of linear models (``residual_standard``): tests of
generalized models, and of sums of groups, are conservative.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BINS, LEAST = 10, 8
"""Bins of the predictions at most, and rows of each at least."""

QUANTILES = (0.25, 0.5, 0.75)


class Test(NamedTuple):
    """A statistic and its p-value; ``above`` says on which side of the simulations it lies."""

    statistic: float
    p_value: float
    above: bool = True


def upper(statistics: FloatArray) -> Test:
    """The statistic of column 0 against the others, large values being extreme."""
    own, others = float(statistics[0]), statistics[1:]
    return Test(own, float((1 + np.sum(others >= own)) / (others.size + 1)))


def two_sided(statistics: FloatArray) -> Test:
    """The same, twice the smaller tail; the statistic is the ratio to the mean of the simulations."""
    own, others = float(statistics[0]), statistics[1:]
    tails = [(1 + np.sum(others >= own)) / (others.size + 1), (1 + np.sum(others <= own)) / (others.size + 1)]
    mean = float(np.mean(others))
    ratio = own / mean if mean else float("nan" if own == 0 else "inf")
    return Test(ratio, min(1.0, 2.0 * float(min(tails))), own > mean)


def uniformity(scaled: FloatArray) -> Test:
    """Kolmogorov and Smirnov's distance from the uniform distribution."""
    return upper(ks_distance(scaled))


def ks_distance(scaled: FloatArray) -> FloatArray:
    """(columns,) largest distance of each column's distribution function from the uniform one."""
    m = scaled.shape[0]
    ordered = np.sort(scaled, axis=0)
    steps = np.arange(1, m + 1)[:, None] / m
    return np.maximum((steps - ordered).max(axis=0), (ordered - steps + 1.0 / m).max(axis=0))


def dispersion(values: FloatArray, weights: FloatArray | None) -> Test:
    """Variance about the mean of the simulations over that of simulated data, DHARMa's ``testDispersion``."""
    centre = values.mean(axis=1, keepdims=True)
    squares = np.square(values - centre)
    return two_sided(squares.mean(axis=0) if weights is None else weights @ squares / weights.sum())


def outliers(values: FloatArray) -> Test:
    """Number of responses outside the range of all simulations."""
    low, high = np.partition(values, 1, axis=1)[:, :2], np.partition(values, -2, axis=1)[:, -2:]
    below = (values < low[:, 1:2]) & (values == low[:, :1]) & (low[:, :1] < low[:, 1:2])
    above = (values > high[:, :1]) & (values == high[:, 1:2]) & (high[:, :1] < high[:, 1:2])
    return upper((below | above).sum(axis=0).astype(np.float64))


def zeros(values: FloatArray) -> Test:
    """Number of zeros over that of the simulations."""
    return two_sided((values == 0.0).sum(axis=0).astype(np.float64))


def bins_of(eta: FloatArray) -> IntArray | None:
    """(m,) bins of about equally many rows by rank, equal predictions together; None where there is one only."""
    count = min(BINS, eta.size // LEAST)
    if count < 2:
        return None
    from scipy.stats import rankdata

    rank = rankdata(np.round(eta, 10), method="min") - 1
    _, codes = np.unique((rank * count / eta.size).astype(np.int64), return_inverse=True)
    return np.asarray(codes, dtype=np.int64) if codes.max() > 0 else None


def quantiles(scaled: FloatArray, codes: IntArray) -> Test:
    """Shares of each bin below the quartiles, against 1/4, 1/2 and 3/4: a sum of squared standardised differences.

    In place of DHARMa's quantile regressions on the predictions, whose curves the bins make steps.
    """
    total = np.zeros(scaled.shape[1])
    n = np.bincount(codes)[:, None]
    for tau in QUANTILES:
        below = _by_bin(scaled < tau, codes)
        total += np.sum((below - n * tau) ** 2 / (n * tau * (1.0 - tau)), axis=0)
    return upper(total)


def spread(scaled: FloatArray, codes: IntArray) -> Test:
    """Levene's statistic of normal scores across bins, about the bins' medians (Brown & Forsythe 1974)."""
    from scipy.special import ndtri

    scores = ndtri(scaled)
    for g in range(int(codes.max()) + 1):
        own = codes == g
        scores[own] -= np.median(scores[own], axis=0)
    return upper(_anova(np.abs(scores), codes))


def location(scaled: FloatArray, codes: IntArray) -> Test:
    """F statistic of the means of the groups."""
    return upper(_anova(scaled, codes))


def by_group(scaled: FloatArray, codes: IntArray) -> Test:
    """Counts of each group in the quarters of (0, 1), against equal ones: Pearson's chi-squared."""
    n = np.bincount(codes)[:, None] / 4.0
    total = np.zeros(scaled.shape[1])
    for k in range(4):
        inside = (scaled >= k / 4.0) & (scaled < (k + 1) / 4.0)
        total += np.sum((_by_bin(inside, codes) - n) ** 2 / n, axis=0)
    return upper(total)


def durbin_watson(scaled: FloatArray, time: FloatArray) -> Test:
    """Sum of squared differences of neighbours in time over the sum of squares; 2 without correlation.

    Rows of equal time are averaged, as residuals at one time have no order.
    """
    _, codes = np.unique(time, return_inverse=True)
    means = _by_bin(scaled, codes) / np.bincount(codes)[:, None]
    centred = means - means.mean(axis=0)
    statistic = np.sum(np.diff(means, axis=0) ** 2, axis=0) / np.sum(centred**2, axis=0)
    found = two_sided(statistic)
    return Test(float(statistic[0]), found.p_value, found.above)


def _by_bin(values: npt.NDArray[np.generic], codes: IntArray) -> FloatArray:
    """(bins, columns) sums of values (m, columns)."""
    from scipy.sparse import csr_array

    indicator = csr_array(
        (np.ones(codes.size), (codes, np.arange(codes.size))), shape=(int(codes.max()) + 1, codes.size)
    )
    return np.asarray(indicator @ values.astype(np.float64))


def _anova(values: FloatArray, codes: IntArray) -> FloatArray:
    """(columns,) F statistics of one-way layouts."""
    n = np.bincount(codes)[:, None]
    sums = _by_bin(values, codes)
    between = np.sum(sums**2 / n, axis=0) - values.sum(axis=0) ** 2 / values.shape[0]
    within = np.sum(values**2, axis=0) - np.sum(sums**2 / n, axis=0)
    df = n.size - 1, values.shape[0] - n.size
    return np.asarray((between / df[0]) / np.maximum(within / max(df[1], 1), 1e-300))
