"""Random-effects terms gathered by grouping factor, in a well-conditioned basis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.design import RandomTerm
from jmix.likelihood.fixed import chunks
from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

PASSES = 4
"""Most passes of the Cholesky-QR; columns that are not orthonormal after them are collinear."""

SHIFT = 1e-13
"""Least eigenvalue of the correlation matrix that a Cholesky factorisation is given."""

WELL_CONDITIONED = 1e-6
"""Least eigenvalue of the correlation matrix from which one pass leaves nothing to correct."""


@dataclass(frozen=True)
class Factor:
    """One grouping factor with all its columns.

    Attributes:
        group: its name. codes: (n,) int32. n_levels: J. columns: q arrays (n,).
        basis: (q, q) lower-triangular T with ``Z~ = Z T``; b = T b~ and ``Lambda = T Lambda~``.
    """

    group: str
    codes: IntArray
    n_levels: int
    columns: tuple[FloatArray, ...]
    basis: FloatArray

    @property
    def q(self) -> int:
        """Number of columns."""
        return len(self.columns)

    def transformed(self, rows: slice) -> FloatArray:
        """(q, rows) columns of ``Z T``, transposed."""
        return self.basis.T @ np.stack([c[rows] for c in self.columns])


def gather_factors(terms: Sequence[RandomTerm], spec: CovarianceSpec, weights: FloatArray | None) -> dict[str, Factor]:
    """The grouping factors of a specification; ``terms`` in the order of ``spec.terms``."""
    out: dict[str, Factor] = {}
    for group in spec.groups:
        members = [terms[i] for i in spec.members(group)]
        q = sum(len(t.columns) for t in members)
        basis, start = np.zeros((q, q)), 0
        for term in members:
            stop = start + len(term.columns)
            basis[start:stop, start:stop] = term_basis(term.columns, weights)
            start = stop
        columns = tuple(c for t in members for c in t.columns)
        out[group] = Factor(group, members[0].codes, len(members[0].levels), columns, basis)
    return out


def term_basis(columns: tuple[FloatArray, ...], weights: FloatArray | None) -> FloatArray:
    """Lower-triangular T such that ``T'Z'W Z T = n I``, or a diagonal one when the columns are collinear.

    An unstructured covariance is equivariant under T, so the optimum is the same; the optimiser sees columns without
    common origin or scale. Nearly collinear columns (a year and its square) take more than one pass of a shifted
    Cholesky-QR (Fukaya et al. 2020, SIAM J. Sci. Comput. 42(1)).
    """
    cross = _cross(columns, weights, np.eye(len(columns)))
    diagonal = np.diag(1.0 / np.sqrt(np.where(np.diag(cross) > 0, np.diag(cross), 1.0)))
    if len(columns) == 1:
        return diagonal
    basis, cross = diagonal, diagonal @ cross @ diagonal
    for _ in range(PASSES):
        smallest = float(np.linalg.eigvalsh(cross)[0])
        basis = basis @ np.linalg.inv(_reverse_cholesky(cross + max(0.0, SHIFT - smallest) * np.eye(len(columns))))
        if smallest > WELL_CONDITIONED:
            return np.asarray(basis)
        cross = _cross(columns, weights, basis)
    return diagonal


def _cross(columns: tuple[FloatArray, ...], weights: FloatArray | None, basis: FloatArray) -> FloatArray:
    """(q, q) mean cross-product of ``Z basis``."""
    n, q = columns[0].shape[0], len(columns)
    total = np.zeros((q, q))
    for rows in chunks(n):
        z = basis.T @ np.stack([c[rows] for c in columns])
        total += z @ (z if weights is None else z * weights[rows]).T
    return total / n


def _reverse_cholesky(s: FloatArray) -> FloatArray:
    """Lower-triangular L with ``s = L'L``."""
    return np.asarray(np.linalg.cholesky(s[::-1, ::-1])[::-1, ::-1].T)
