"""Random-effects terms, their grouping factors, and the relative covariance parameters ``theta``.

``theta`` lists, term by term, the lower triangle of each term's Cholesky factor ``Lambda`` in column-major order,
relative to the residual
standard deviation (Bates et al. 2015, J. Stat. Softw. 67(1), section 2.2). Terms come in lme4's order: most levels
first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Term:
    """One ``(expr | group)`` term: its grouping factor and column names."""

    group: str
    names: tuple[str, ...]

    @property
    def q(self) -> int:
        """Number of random-effect columns."""
        return len(self.names)

    @property
    def n_theta(self) -> int:
        """Number of covariance parameters of the term."""
        return self.q * (self.q + 1) // 2


@dataclass(frozen=True)
class CovarianceSpec:
    """The layout of ``theta`` over terms, and of terms over grouping factors.

    Attributes:
        terms: all terms in lme4's order.
        groups: the distinct grouping factors in order of first appearance among ``terms``.
    """

    terms: tuple[Term, ...]

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The distinct grouping factors in order of first appearance."""
        return tuple(dict.fromkeys(t.group for t in self.terms))

    @cached_property
    def n_theta(self) -> int:
        """Number of covariance parameters, all terms together."""
        return sum(t.n_theta for t in self.terms)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Position of each term's first entry in ``theta``."""
        return tuple(np.cumsum([0, *(t.n_theta for t in self.terms)]).tolist()[:-1])

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Unique label of each term as in lme4: ``Subject``, ``Subject.1``, ..."""
        seen: dict[str, int] = {}
        out = []
        for term in self.terms:
            count = seen.get(term.group, 0)
            out.append(term.group if count == 0 else f"{term.group}.{count}")
            seen[term.group] = count + 1
        return tuple(out)

    def members(self, group: str) -> list[int]:
        """Indices of the terms that share a grouping factor."""
        return [i for i, t in enumerate(self.terms) if t.group == group]

    def group_q(self, group: str) -> int:
        """Number of random-effect columns of a grouping factor, all its terms together."""
        return sum(self.terms[i].q for i in self.members(group))

    def group_entries(self, group: str) -> tuple[list[int], list[int], list[int]]:
        """``(theta index, row, column)`` of every free entry of the factor's block-diagonal ``Lambda``."""
        index: list[int] = []
        rows: list[int] = []
        cols: list[int] = []
        start = 0
        for i in self.members(group):
            q = self.terms[i].q
            r, c = lower_column_major(q)
            index += range(self.offsets[i], self.offsets[i] + r.size)
            rows += (r + start).tolist()
            cols += (c + start).tolist()
            start += q
        return index, rows, cols

    def split(self, theta: FloatArray) -> list[FloatArray]:
        """The (q, q) lower-triangular factor of each term."""
        return [unpack_lower(theta[o : o + t.n_theta], t.q) for t, o in zip(self.terms, self.offsets, strict=True)]

    def join(self, lams: list[FloatArray]) -> FloatArray:
        """The inverse of ``split``."""
        return np.concatenate([pack_lower(lam) for lam in lams]) if lams else np.zeros(0)

    def theta_names(self) -> list[str]:
        """Labels as in lme4: ``Subject.(Intercept)``, ``Subject.Days.(Intercept)``, ..."""
        out: list[str] = []
        for t in self.terms:
            r, c = lower_column_major(t.q)
            out += [
                f"{t.group}.{t.names[i]}" if i == j else f"{t.group}.{t.names[i]}.{t.names[j]}"
                for i, j in zip(r, c, strict=True)
            ]
        return out


@cache
def lower_column_major(q: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of a lower triangle, column by column; read-only, since they are shared."""
    cols, rows = np.triu_indices(q)
    rows.flags.writeable = cols.flags.writeable = False
    return rows, cols


def unpack_lower(values: FloatArray, q: int) -> FloatArray:
    """(q (q + 1) / 2,) column-major lower triangle to a (q, q) matrix."""
    lam = np.zeros((q, q))
    lam[lower_column_major(q)] = values
    return lam


def pack_lower(lam: FloatArray) -> FloatArray:
    """(q, q) lower triangular matrix to its column-major lower triangle."""
    return np.asarray(lam[lower_column_major(lam.shape[0])], dtype=np.float64)


def semidefinite_cholesky(omega: FloatArray, tolerance: float = 1e-14) -> FloatArray:
    """Lower Cholesky factor with a nonnegative diagonal; a pivot below ``tolerance`` times its variance gives a zero
    column.
    """
    q = omega.shape[0]
    rest = np.array(omega, dtype=np.float64)
    lam = np.zeros((q, q))
    for k in range(q):
        if rest[k, k] > tolerance * omega[k, k]:
            lam[k:, k] = rest[k:, k] / np.sqrt(rest[k, k])
            rest[k:, k:] -= np.outer(lam[k:, k], lam[k:, k])
    return lam
