"""The rules for degrees of freedom that share one F statistic: none, residual, Satterthwaite, containment."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.inference.satterthwaite import CovarianceCurve
from jmix.results.inference.fixed.fixed_tests import FixedTests, Joint

FloatArray = npt.NDArray[np.float64]

DEPENDENT = 1e-8
"""Share of the largest eigenvalue of the contrasts' correlations below which a contrast follows from the others."""

CONTRADICTION = 1e-6
"""Standard errors by which a contrast that follows from the others may differ from what they imply."""


class Independent(NamedTuple):
    """Uncorrelated contrasts that span the same hypothesis: squared t statistics (r,) and rows (r, p)."""

    squares: FloatArray
    rows: FloatArray


def independent_contrasts(
    L: FloatArray, beta: FloatArray, vcov: FloatArray, rhs: FloatArray | None = None
) -> Independent:
    """Rotate ``L beta = rhs`` to uncorrelated contrasts: the eigenvectors of ``L V L'`` (Fai & Cornelius 1996).

    Raises:
        ModelError: the right-hand sides of dependent rows contradict each other.
    """
    L = np.atleast_2d(np.asarray(L, dtype=np.float64))
    difference = L @ beta - (0.0 if rhs is None else np.asarray(rhs, dtype=np.float64))
    cov = L @ vcov @ L.T
    size = np.sqrt(np.maximum(np.diag(cov), 0.0))
    live = size > 0
    if np.any(np.abs(difference[~live]) > CONTRADICTION * (1.0 + np.abs(L[~live]) @ np.abs(beta))):
        raise ModelError("a hypothesis without any coefficient can only be 0 = 0; check its right-hand side")
    L, difference, cov, size = L[live], difference[live], cov[np.ix_(live, live)], size[live]
    if not L.shape[0]:
        return Independent(np.zeros(0), L)
    values, vectors = np.linalg.eigh(cov / np.outer(size, size))
    kept = values > DEPENDENT * values[-1]
    if np.any(np.abs(vectors[:, ~kept].T @ (difference / size)) > CONTRADICTION):
        raise ModelError(
            "the hypotheses contradict each other: rows that depend on the others need the value they imply"
        )
    plain, directions = np.linalg.eigh(cov)
    if np.array_equal(kept, plain > DEPENDENT * plain[-1]):  # the rotation that lmerTest uses
        values, vectors = plain, directions
    else:
        vectors = vectors / size[:, None]
    rows = vectors[:, kept].T @ L
    return Independent((vectors[:, kept].T @ difference) ** 2 / values[kept], rows)


def tail_probability(statistic: float, df1: int, df2: float) -> float:
    """Upper tail of F on ``df1`` and ``df2`` degrees of freedom; of chi-squared / df1 for infinite ``df2``."""
    from scipy.special import chdtrc, fdtrc

    if df1 == 0 or np.isnan(statistic) or np.isnan(df2):
        return float("nan")
    return float(chdtrc(df1, df1 * statistic) if np.isinf(df2) else fdtrc(df1, df2, statistic))


@dataclass(frozen=True, eq=False)
class RuledTests(FixedTests):
    """Wald tests: F is the mean of the squared t statistics of uncorrelated contrasts."""

    def joint(self, L: FloatArray, rhs: FloatArray | None = None) -> Joint:
        """The F test of ``L beta = rhs``; df1 is the rank of L."""
        found = independent_contrasts(L, self.beta, self.vcov, rhs)
        rank = len(found.squares)
        if rank == 0:
            return Joint(float("nan"), 0, float("nan"), float("nan"))
        statistic, df2 = float(np.mean(found.squares)), self.denominator(found.rows)
        return Joint(statistic, rank, df2, tail_probability(statistic, rank, df2))

    @abstractmethod
    def denominator(self, rows: FloatArray) -> float:
        """The denominator's degrees of freedom of the F test of uncorrelated contrasts (r, p)."""


@dataclass(frozen=True, eq=False)
class ConstantTests(RuledTests):
    """One number of degrees of freedom for everything: the residual's, or infinity.

    Attributes:
        value: the degrees of freedom.
    """

    value: float

    def df(self, L: FloatArray) -> FloatArray:
        """(m,) the same number for each row."""
        return np.full(np.atleast_2d(L).shape[0], self.value)

    def denominator(self, rows: FloatArray) -> float:
        """The same number."""
        return self.value


@dataclass(frozen=True, eq=False)
class SatterthwaiteTests(RuledTests):
    """Satterthwaite's approximation, as in lmerTest.

    Attributes:
        curve: the covariance of the fixed effects with its derivatives.
    """

    curve: CovarianceCurve

    def df(self, L: FloatArray) -> FloatArray:
        """(m,) degrees of freedom of each row."""
        return self.curve.df(np.atleast_2d(np.asarray(L, dtype=np.float64)))

    def denominator(self, rows: FloatArray) -> float:
        """Degrees of freedom that match the expectation of the F statistic."""
        return matched_denominator(self.df(rows))


EQUAL = 1e-8
"""Difference of degrees of freedom below which they are the same."""


def matched_denominator(df: FloatArray) -> float:
    """The denominator's degrees of freedom of a mean of r independent squared t statistics.

    ``E = sum df / (df - 2)`` is the expectation of r F; F on r and m degrees of freedom has it for ``m = 2 E / (E -
    r)`` (Fai & Cornelius 1996; Kuznetsova et al. 2017, section 2.4.2). 2 where an expectation is infinite.
    """
    if np.all(np.abs(np.diff(df)) < EQUAL) or np.all(np.isinf(df)):
        return float(np.mean(df))
    if np.any(df <= 2.0):
        return 2.0
    excess = float(np.sum(2.0 / (df - 2.0)))
    return 2.0 * (len(df) + excess) / excess
