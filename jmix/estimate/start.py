"""Moment-based starting values for ``theta``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.likelihood.structure import GaussianStats, Layout
from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]

LOWEST, HIGHEST = 0.1, 30.0
"""Range of starting values; a start at exactly zero would be a stationary point."""


AWAY_FROM_ZERO = 0.3
"""Where a variance that a given start has at zero begins."""


def interior(spec: CovarianceSpec, phi: FloatArray) -> FloatArray:
    """A given start (k,) moved off the boundary, where the gradient vanishes."""
    lams = spec.split(phi)
    return spec.join([lam + np.diag(np.where(np.abs(np.diag(lam)) < 1e-2, AWAY_FROM_ZERO, 0.0)) for lam in lams])


def moment_start(stats: GaussianStats, layout: Layout, n_theta: int) -> FloatArray:
    """Diagonal start from the sums of squares of Z'e, column by column.

    For column k of a factor with ``a_j = Z_jk'Z_jk`` and residuals e of the fixed part, ``E sum_j (Z_jk'e)^2 = s2 sum
    a_j + t2 sum a_j^2`` and ``E e'e = n s2 + t2 sum a_j``: two equations for s2 and t2.
    """
    theta = np.zeros(n_theta)
    diagonals, sums = _columns(stats)
    total = float(stats.gram[-1, -1])
    n = total
    for f, factor in enumerate(layout):
        for index, row, col in zip(factor.index, factor.rows, factor.cols, strict=True):
            if row == col:
                theta[index] = _relative_sd(diagonals[f][row], sums[f][row], total, n)
    return theta


def _columns(stats: GaussianStats) -> tuple[list[FloatArray], list[FloatArray]]:
    """Per factor: (q, J) diagonals of Z'Z and (q, J) entries of Z'e."""
    diagonals = [np.einsum("aaj->aj", np.asarray(b.a)) for b in stats.blocks]
    sums = [np.asarray(b.w)[:, -1] for b in stats.blocks]
    start = 0
    for q, j in stats.tail_sizes:
        stop = start + q * j
        diagonals.append(np.diagonal(stats.tail_a)[start:stop].reshape(j, q).T)
        sums.append(np.asarray(stats.tail_w)[start:stop, -1].reshape(j, q).T)
        start = stop
    return diagonals, sums


def _relative_sd(a: FloatArray, s: FloatArray, total: float, n: float) -> float:
    m2, a1, a2 = float(np.sum(s * s)), float(np.sum(a)), float(np.sum(a * a))
    t2, s2 = np.linalg.lstsq(np.array([[a2, a1], [a1, n]]), np.array([m2, total]), rcond=None)[0]
    if s2 <= 0:
        return HIGHEST
    return float(np.sqrt(np.clip(t2 / s2, LOWEST**2, HIGHEST**2)))


def expected_hessian(stats: GaussianStats, layout: Layout, theta: FloatArray) -> FloatArray:
    """(k, k) expected information in theta as if the factors did not overlap: a start for quasi-Newton updates.

    For directions D, D' of one factor's Omega it is ``sum_j tr(B_j D B_j D')`` with ``B_j = (A_j^{-1} + Omega)^{-1}``.
    """
    out = np.eye(theta.size) * 1e-8
    for factor, a in zip(layout, _diagonal_blocks(stats), strict=True):
        lam = np.zeros((factor.q, factor.q))
        lam[list(factor.rows), list(factor.cols)] = theta[list(factor.index)]
        b = np.linalg.solve(np.eye(factor.q) + a @ (lam @ lam.T), a)
        half = np.eye(factor.q)[list(factor.rows)][:, :, None] * lam.T[list(factor.cols)][:, None, :]
        directions = half + np.swapaxes(half, 1, 2)
        bd = np.einsum("jab,kbc->jkac", b, directions)
        out[np.ix_(factor.index, factor.index)] += np.einsum("jkac,jlca->kl", bd, bd)
    return out


def _diagonal_blocks(stats: GaussianStats) -> list[FloatArray]:
    """(J, q, q) blocks of Z'Z of each factor."""
    blocks = [np.moveaxis(np.asarray(b.a), -1, 0) for b in stats.blocks]
    start = 0
    for q, j in stats.tail_sizes:
        stop = start + q * j
        blocks.append(np.einsum("jajb->jab", np.asarray(stats.tail_a)[start:stop, start:stop].reshape(j, q, j, q)))
        start = stop
    return blocks
