"""Containment degrees of freedom: those of the stratum in which an effect varies (Pinheiro & Bates 2000, p. 91)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results.inference.fixed.df_rules import RuledTests
from jmix.results.inference.fixed.terms import term_columns

if TYPE_CHECKING:
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class ContainmentTests(RuledTests):
    """Degrees of freedom by counting, as in nlme's ``lme``.

    Attributes:
        by_coefficient: (p,) of each coefficient. by_term: of each term, its innermost stratum.
    """

    by_coefficient: FloatArray
    by_term: dict[str, float]

    def df(self, L: FloatArray) -> FloatArray:
        """(m,) the smallest among the coefficients that a row involves."""
        L = np.atleast_2d(np.asarray(L, dtype=np.float64))
        return np.array([self.denominator(row[None]) for row in L])

    def denominator(self, rows: FloatArray) -> float:
        """The smallest among the coefficients involved."""
        size = np.abs(rows).max(axis=0, initial=0.0)
        involved = size > 1e-8 * size.max(initial=0.0)
        return float(self.by_coefficient[involved].min()) if involved.any() else float("nan")


def containment(fit: Fit) -> ContainmentTests:
    """Count the degrees of freedom of each stratum: its groups, less those of the stratum above, less its coefficients.

    Raises:
        ModelError: grouping factors that are crossed, which have no strata, or more coefficients than groups.
    """
    levels = _outer_to_inner(fit)
    X = fit.design.X
    strata = np.array([_stratum(X[:, j], levels) for j in range(X.shape[1])], dtype=np.intp)
    constant = np.array([bool(np.all(X[:, j] == X[0, j])) for j in range(X.shape[1])])
    sizes = [int(codes.max()) + 1 for codes in levels]
    groups = np.array([*sizes, fit.nobs], dtype=float) - np.array([0, *sizes], dtype=float)
    columns = term_columns(fit)
    by_coefficient = _count(groups, strata, constant, [[j] for j in range(X.shape[1])])
    by_term = _count(groups, strata, constant, [c for c in columns.values() if c])
    labels = [label for label, c in columns.items() if c]
    if by_coefficient.size and by_coefficient.min() < 1:
        raise ModelError(
            "df='containment': some stratum has no more groups than coefficients that vary between them; use "
            "df='satterthwaite'"
        )
    terms = dict(zip(labels, by_term.tolist(), strict=True))
    return ContainmentTests(
        "containment", tuple(fit.x_names), fit.beta, fit.fixed_covariance, by_coefficient=by_coefficient, by_term=terms
    )


def _count(groups: FloatArray, strata: IntArray, constant: FloatArray, sets: Sequence[Sequence[int]]) -> FloatArray:
    """Degrees of freedom of each set of columns, the sets that are constant in that of the largest stratum."""
    left = groups.copy()
    varying = [not all(constant[j] for j in columns) for columns in sets]
    place = [int(max(strata[j] for j in columns)) for columns in sets]
    for columns, varies, stratum in zip(sets, varying, place, strict=True):
        left[stratum] -= len(columns) if varies else 0
    if all(varying):
        left[1:] += 1
    else:
        left[0] -= 1
    return np.array([left[s] if varies else left.max() for s, varies in zip(place, varying, strict=True)])


def _stratum(column: FloatArray, levels: Sequence[IntArray]) -> int:
    """0 where a column varies between the outermost groups only; the number of factors where within the innermost."""
    found = 0
    for k, codes in enumerate(levels):
        first = np.zeros(int(codes.max()) + 1)
        first[codes] = column
        if np.any(first[codes] != column):
            found = k + 1
    return found


def _outer_to_inner(fit: Fit) -> list[IntArray]:
    """(n,) consecutive codes of each grouping factor, the coarsest first."""
    assert fit.objective is not None
    elimination = fit.objective.reduced.elimination
    if elimination.tail:
        names = ", ".join(factor.group for factor in elimination.factors)
        raise ModelError(
            f"df='containment' needs grouping factors that are nested in each other; among {names} some are crossed, "
            "so a coefficient belongs to no stratum; use df='satterthwaite' or 'kenward-roger'"
        )
    return [np.unique(factor.codes, return_inverse=True)[1] for factor in reversed(elimination.chain)]
