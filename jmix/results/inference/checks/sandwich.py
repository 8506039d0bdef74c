"""Cluster contributions to the sandwich covariance of the fixed effects of a linear mixed model.

With ``V = W^{-1} + Z Lambda Lambda' Z'`` (over sigma^2) block diagonal over the clusters, ``M = (X'V^{-1}X)^{-1}`` and
``e = y - X beta``, the estimator is ``M (sum_g s_g s_g') M`` with ``s_g = E_g'e_g`` and ``E_g = A_g'V_g^{-1}X_g``.
``A_g`` is the identity (CR0 and its multiples), or (CR2; Bell & McCaffrey 2002, Survey Methodology 28; Pustejovsky &
Tipton 2018, J. Bus. Econ. Stat. 36, equation 8), with ``D_g'D_g = V_g``,

    A_g = D_g' (D_g (V_g - X_g M X_g') D_g')^{+1/2} D_g,

which makes the estimator unbiased where the model holds. Whatever follows needs only ``s_g``, ``E_g'V_g E_g`` and
``X_g'E_g``, p x p for each cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results.rows import Rows, make_rows, prior_covariances

if TYPE_CHECKING:
    from jmix.results.fit import Fit
    from jmix.results.inference.checks.check_groups import RowGroups

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SMALL = 128
"""Rows of a cluster up to which its covariance is a dense matrix without further thought."""

LARGEST = 6000
"""Rows, or columns of its random effects, of the largest cluster whose adjustment CR2 can form."""

CELLS = 1 << 22
"""Numbers in a stack of clusters of one size."""

ZERO = 1e-10
"""Share of the largest eigenvalue below which one counts as zero in the generalised inverse."""


@dataclass(frozen=True)
class Clusters:
    """What each of G clusters contributes; X in a basis with ``basis`` (p, p): coefficients are ``basis @ gamma``.

    Attributes:
        scores: (G, p) s_g. spread: (G, p, p) E_g'V_g E_g. cross: (G, p, p) X_g'E_g. bread: (p, p) M.
    """

    scores: FloatArray
    spread: FloatArray
    cross: FloatArray
    bread: FloatArray
    basis: FloatArray


def clusters(fit: Fit, groups: RowGroups, *, adjusted: bool) -> Clusters:
    """The contributions of all clusters; every grouping factor of the model must be nested in them.

    Args:
        adjusted: CR2's adjustment in place of the identity.

    Raises:
        ModelError: a cluster too large for the adjustment.
    """
    x, weighted, basis = working(fit)
    residual = fit.design.y - fit.linear_parts[0]
    own = groups.sums(x[:, :, None] * weighted[:, None, :])
    own = 0.5 * (own + np.swapaxes(own, 1, 2))
    bread = np.linalg.inv(own.sum(axis=0))
    if not adjusted:
        return Clusters(groups.sums(weighted * residual[:, None]), own, own, bread, basis)
    scores = np.empty((groups.n_groups, x.shape[1]))
    spread, cross = np.empty_like(own), np.empty_like(own)
    source = Source(fit, groups, x, weighted, residual, bread)
    for which, adjusted_x, left, score in source.adjusted():
        spread[which], cross[which], scores[which] = adjusted_x, left, score
    return Clusters(scores, spread, cross, bread, basis)


def working(fit: Fit) -> tuple[FloatArray, FloatArray, FloatArray]:
    """X and ``V^{-1}X`` (n, p) in a well-conditioned basis, and that basis (p, p)."""
    weights = fit.design.weights
    if fit.objective is None or fit.filtered is None:
        scale = np.linalg.qr(fit.design.X, mode="r")
        basis = np.linalg.inv(scale)
        x = fit.design.X @ basis
        return x, x if weights is None else x * weights[:, None], basis
    basis = fit.objective.reduced.fixed.inverse
    x = fit.design.X @ basis
    left, modes = x.copy(), fit.filtered.fixed_modes()
    rows = make_rows(fit.design.X, None, fit.terms)
    for group, columns in rows.columns.items():
        for i, column in enumerate(columns):
            left -= column[:, None] * modes[group][rows.codes[group], i]
    return x, left if weights is None else left * weights[:, None], basis


@dataclass(frozen=True)
class Source:
    """The rows from which CR2's adjustments are formed, cluster by cluster."""

    fit: Fit
    groups: RowGroups
    x: FloatArray
    weighted: FloatArray
    residual: FloatArray
    bread: FloatArray

    def adjusted(self) -> Iterator[tuple[IntArray, FloatArray, FloatArray, FloatArray]]:
        """Numbers of clusters, and of each E'VE (m, p, p), X'E (m, p, p) and E'e (m, p)."""
        rows, prior = make_rows(self.fit.design.X, None, self.fit.terms), prior_covariances(self.fit)
        counts, order = self.groups.counts, np.argsort(self.groups.codes, kind="stable")
        starts = np.cumsum(counts) - counts
        for size in np.unique(counts):
            which = np.flatnonzero(counts == size)
            step = max(1, CELLS // int(size) ** 2)
            for first in range(0, which.size, step):
                part = which[first : first + step]
                at = order[starts[part][:, None] + np.arange(size)]
                yield (part, *self._stack(rows, prior, at))

    def _stack(
        self, rows: Rows, prior: dict[str, FloatArray], at: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The three of clusters of one size, whose rows are at (m, size)."""
        size = at.shape[1]
        weights = self.fit.design.weights
        if size > SMALL and (weights is None or all(np.ptp(weights[own]) == 0.0 for own in at)):
            each = [self._reduced(rows, prior, own) for own in at]
            return tuple(np.stack(parts) for parts in zip(*each, strict=True))  # type: ignore[return-value]
        if size > LARGEST:
            raise ModelError(
                f"a cluster of {size} rows with different weights is too large for CR2, which needs its covariance "
                "matrix; choose type='CR1S'"
            )
        v = covariance(rows, prior, at, weights)
        left = adjustment(v, self.x[at], self.bread) @ self.weighted[at]
        return finish(left, v, self.x[at], self.residual[at])

    def _reduced(
        self, rows: Rows, prior: dict[str, FloatArray], at: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The three of one large cluster of equal weights, in the space of its columns [Z X].

        On its orthogonal complement V is a multiple of the identity, the hat matrix vanishes and so A is the identity.
        """
        z, omega = expanded(rows, prior, at)
        if z.shape[1] + self.x.shape[1] >= at.size:
            q = np.eye(at.size)
        else:
            q = np.linalg.qr(np.concatenate([z, self.x[at]], axis=1))[0]
        if q.shape[1] > LARGEST:
            raise ModelError(
                f"a cluster of {at.size} rows and {q.shape[1]} columns of random effects is too large for CR2; choose "
                "type='CR1S'"
            )
        weights = self.fit.design.weights
        unit = np.eye(q.shape[1]) / (1.0 if weights is None else float(weights[at[0]]))
        half = q.T @ z
        v = unit + half @ omega @ half.T
        x, weighted = q.T @ self.x[at], q.T @ self.weighted[at]
        left = adjustment(v[None], x[None], self.bread) @ weighted[None]
        spread, cross, score = finish(left, v[None], x[None], (q.T @ self.residual[at])[None])
        return spread[0], cross[0], score[0]


def covariance(rows: Rows, prior: dict[str, FloatArray], at: IntArray, weights: FloatArray | None) -> FloatArray:
    """(m, size, size) V of the rows at (m, size)."""
    diagonal = np.ones(at.shape) if weights is None else 1.0 / weights[at]
    v = np.eye(at.shape[1]) * diagonal[:, :, None]
    for group, columns in rows.columns.items():
        z = np.stack([c[at] for c in columns], axis=2)
        codes = rows.codes[group][at]
        v += (codes[:, :, None] == codes[:, None, :]) * (z @ prior[group] @ np.swapaxes(z, 1, 2))
    return v


def expanded(rows: Rows, prior: dict[str, FloatArray], at: IntArray) -> tuple[FloatArray, FloatArray]:
    """Z (size, r) of one cluster over the levels it touches, and their covariance (r, r) over sigma^2."""
    from scipy.linalg import block_diag

    parts, blocks = [], []
    for group, columns in rows.columns.items():
        levels, place = np.unique(rows.codes[group][at], return_inverse=True)
        q = len(columns)
        z = np.zeros((at.size, levels.size * q))
        for i, column in enumerate(columns):
            z[np.arange(at.size), place * q + i] = column[at]
        parts.append(z)
        blocks += [prior[group]] * levels.size
    if not parts:
        return np.zeros((at.size, 0)), np.zeros((0, 0))
    return np.concatenate(parts, axis=1), np.asarray(block_diag(*blocks))


def adjustment(v: FloatArray, x: FloatArray, bread: FloatArray) -> FloatArray:
    """(m, size, size) symmetric A of clusters with covariances v (m, size, size) and columns x (m, size, p)."""
    d = np.swapaxes(np.linalg.cholesky(v), 1, 2)
    inner = d @ (v - x @ bread @ np.swapaxes(x, 1, 2)) @ np.swapaxes(d, 1, 2)
    values, vectors = np.linalg.eigh(0.5 * (inner + np.swapaxes(inner, 1, 2)))
    top = np.max(values, axis=1, keepdims=True)
    kept = values > ZERO * top
    root = np.where(kept, np.where(kept, values, 1.0) ** -0.25, 0.0)
    half = (vectors * root[:, None, :]).swapaxes(1, 2) @ d
    return np.asarray(half.swapaxes(1, 2) @ half)


def finish(
    left: FloatArray, v: FloatArray, x: FloatArray, residual: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """``E'VE``, ``X'E`` and ``E'e`` of stacks of E (m, size, p)."""
    transposed = np.swapaxes(left, 1, 2)
    return transposed @ v @ left, np.swapaxes(x, 1, 2) @ left, (transposed @ residual[:, :, None])[:, :, 0]
