"""The distribution of the largest of several correlated |t|, by conditional simulation with a fixed seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

POINTS = ((10, 1 << 13), (20, 1 << 12), (10_000, 1 << 10))
"""Up to so many estimates, so many quasi-random points for each."""

SEED = 20


def maximum_p(t: FloatArray, df: FloatArray, correlation: FloatArray) -> FloatArray:
    """(k,) probabilities that the largest of k |t| with a correlation matrix exceeds each of ``t``.

    ``P(max |T_j| > t) = sum_i P(|T_i| > t) E(1 / #{j: |T_j| > t} given |T_i| > t)``, each expectation over the
    conditional multivariate t distribution of the others, so that small probabilities have small relative errors
    (an exact union bound: Naiman & Priebe 2001, J. Comput. Graph. Stat. 10(2), 296-328).
    """
    known = np.flatnonzero(~np.isnan(t) & ~np.isnan(np.diag(correlation)))
    sampler = _Sampler(correlation[np.ix_(known, known)])
    out = np.full(t.size, np.nan)
    for i in known:
        out[i] = min(1.0, sampler.exceed(float(t[i]), float(df[i])))
    return out


def maximum_quantile(level: float, df: FloatArray, correlation: FloatArray) -> FloatArray:
    """(k,) values that the largest |t| exceeds with probability 1 - level, for each of the degrees of freedom.

    Of many different degrees of freedom three are solved, and the others interpolated quadratically in 1 / df.
    """
    known = np.flatnonzero(~np.isnan(df) & ~np.isnan(np.diag(correlation)))
    sampler = _Sampler(correlation[np.ix_(known, known)])
    inverse = np.where(np.isinf(df[known]), 0.0, 1.0 / df[known])
    points = np.unique(inverse)
    if points.size > 3:
        points = np.array([points[0], 0.5 * (points[0] + points[-1]), points[-1]])
    solved = np.array([_quantile(sampler, level, np.inf if x == 0.0 else 1.0 / x) for x in points])
    out = np.full(df.size, np.nan)
    out[known] = [
        sum(
            v * np.prod([(x - other) / (own - other) for other in points if other != own])
            for own, v in zip(points, solved, strict=True)
        )
        for x in inverse
    ]
    return out


def _quantile(sampler: _Sampler, level: float, df: float) -> float:
    from scipy.optimize import brentq

    high = 4.0
    while sampler.exceed(high, df) > 1.0 - level:
        high *= 2.0
    return float(brentq(lambda x: sampler.exceed(x, df) - (1.0 - level), 0.5, high, xtol=1e-6))


class _Sampler:
    """Conditional draws given each of the estimates in turn."""

    def __init__(self, correlation: FloatArray) -> None:
        from scipy.special import ndtri
        from scipy.stats import qmc

        self.correlation, self.k = correlation, len(correlation)
        n = next(points for most, points in POINTS if self.k <= most)
        self._chi: dict[float, FloatArray] = {}
        uniform = qmc.Sobol(self.k + 1, scramble=True, seed=SEED).random(n)
        uniform = np.clip(uniform, 1e-15, 1.0 - 1e-15)
        self.tail, self.chi, normal = uniform[:, 0], uniform[:, 1], ndtri(uniform[:, 2:])
        self.normal = np.hstack([normal, np.zeros((n, 1))]) if normal.shape[1] < self.k else normal
        self.noise = [self.normal @ self._root(i).T for i in range(self.k)]

    def _root(self, i: int) -> FloatArray:
        """Root of the covariance of all estimates given the i-th; its own row is zero."""
        r = self.correlation[:, i]
        rest = self.correlation - np.outer(r, r)
        values, vectors = np.linalg.eigh(rest)
        order = np.argsort(values)[::-1]
        return np.asarray(vectors[:, order] * np.sqrt(np.maximum(values[order], 0.0)))

    def exceed(self, t: float, df: float) -> float:
        """P(max |T| > t)."""
        from scipy.special import gammaincinv, ndtr, ndtri, stdtr, stdtrit

        normal = np.isinf(df)
        tail = float(ndtr(-t) if normal else stdtr(df, -t))
        if tail == 0.0:
            return 0.0
        own = -(ndtri(self.tail * tail) if normal else stdtrit(df, self.tail * tail))
        if normal:
            stretch = np.ones_like(own)
        else:
            if df not in self._chi:
                self._chi[df] = 2.0 * gammaincinv(0.5 * (df + 1.0), self.chi)
            stretch = np.sqrt((df + own**2) / self._chi[df])
        total = 0.0
        for i in range(self.k):
            others = own[:, None] * self.correlation[:, i] + stretch[:, None] * self.noise[i]
            above = np.abs(others) > t
            above[:, i] = True
            total += float(np.mean(1.0 / above.sum(axis=1)))
        return 2.0 * tail * total
