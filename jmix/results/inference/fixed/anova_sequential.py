"""Hypotheses of types I and II, and Wald tests of a term beside others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jmix.likelihood.fixed import fixed_basis
from jmix.results.inference.fixed.df_rules import independent_contrasts
from jmix.results.inference.fixed.terms import TermTable

FloatArray = npt.NDArray[np.float64]


def triangle(X: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """(p, p) upper-triangular R with ``X'WX = R'R``, X of full column rank."""
    n = X.shape[0]
    return np.asarray(np.linalg.inv(fixed_basis(X, np.zeros(n), weights).inverse) * np.sqrt(n))


def sequential_hypotheses(table: TermTable, R: FloatArray) -> dict[str, FloatArray]:
    """The rows (m, p) of each term's hypothesis of type I: adjusted for the terms before it.

    The unit upper triangle of ``X'X`` (Doolittle; Goodnight 1978, SAS Technical Report R-101).

    Args:
        R: (p, p) of ``triangle``.
    """
    unit = R / np.diag(R)[:, None]
    return {label: unit[table.columns[label]] for label in table.labels}


def marginality_hypotheses(table: TermTable, R: FloatArray) -> dict[str, FloatArray]:
    """The rows (m, p) of each term's hypothesis of type II: adjusted for all terms but those that contain it."""
    found = {}
    for label in table.labels:
        own = table.columns[label]
        if not table.containing(label):
            found[label] = np.eye(R.shape[0])[own]
            continue
        above = [i for other in table.containing(label) for i in table.columns[other]]
        later = {*own, *above}
        order = [i for i in range(R.shape[0]) if i not in later] + own + above
        permuted = np.asarray(np.linalg.qr(R[:, order], mode="r"))
        unit = permuted / np.diag(permuted)[:, None]
        start = R.shape[0] - len(later)
        rows = np.zeros((len(own), R.shape[0]))
        rows[:, order] = unit[start : start + len(own)]
        found[label] = rows
    return found


def beside(beta: FloatArray, vcov: FloatArray, own: Sequence[int], others: Sequence[int]) -> tuple[float, int]:
    """Wald's chi-squared of the coefficients ``own`` where the ``others`` are zero too, and its degrees of freedom.

    The chi-squared of both together less that of the others: how much worse the model without both is than the model
    without the others, to second order (R's ``car::Anova``, type II).
    """
    if not len(own):
        return float("nan"), 0
    both, rest = wald_chisq(beta, vcov, [*own, *others]), wald_chisq(beta, vcov, others)
    return (max(both[0] - rest[0], 0.0) if np.isfinite(both[0] - rest[0]) else float("nan")), both[1] - rest[1]


def wald_chisq(beta: FloatArray, vcov: FloatArray, columns: Sequence[int]) -> tuple[float, int]:
    """Wald's chi-squared of the test that some coefficients are zero, and its degrees of freedom."""
    if not len(columns):
        return 0.0, 0
    part = vcov[np.ix_(columns, columns)]
    if not np.all(np.isfinite(part)):
        return float("nan"), len(columns)
    squares = independent_contrasts(np.eye(len(columns)), beta[list(columns)], part).squares
    return float(squares.sum()), len(squares)
