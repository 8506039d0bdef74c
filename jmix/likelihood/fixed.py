"""Orthonormal basis of the fixed effects, so that cross-products lose no digits to the user's scales and origins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

CHUNK = 1 << 14

ROUNDING = 8.0 * float(np.finfo(np.float64).eps)
"""Size of residuals, relative to what they are the difference of, at which they are rounding errors."""


@dataclass(frozen=True)
class FixedBasis:
    """``X = X~ R`` with ``X~'W X~ = n I``, and ``y = X beta_ols + y_scale e`` with ``e'W e = n``.

    Attributes:
        inverse: (p, p) upper-triangular inverse of R. log_det: ``log|det R|``.
        beta_ols: (p,) weighted least-squares coefficients. y_scale: root mean square of the residuals.
    """

    inverse: FloatArray
    log_det: float
    beta_ols: FloatArray
    y_scale: float


def chunks(n: int) -> Iterator[slice]:
    """Row ranges small enough that temporaries stay in cache."""
    for start in range(0, n, CHUNK):
        yield slice(start, min(start + CHUNK, n))


def fixed_basis(x: FloatArray, y: FloatArray, weights: FloatArray | None) -> FixedBasis:
    """Cholesky-QR of X and least squares of y on it, each in two passes so that neither loses digits to scale or
    origin.

    Args:
        x: (n, p) model matrix of full column rank. y: (n,) response. weights: (n,) or None.
    """
    n, p = x.shape
    inverse, beta = np.diag(1.0 / _column_scale(x)), np.zeros(p)
    for _ in range(2):
        cross = _cross(x, y, weights, inverse, beta) / n
        step = np.linalg.inv(np.linalg.cholesky(cross[:p, :p]).T) if p else np.zeros((0, 0))
        inverse = inverse @ step
        gamma = step.T @ cross[:p, p]
        beta = beta + inverse @ gamma
        mean_square = cross[p, p] - float(np.sum(gamma * gamma))
    log_det = -float(np.sum(np.log(np.diag(inverse))))
    return FixedBasis(inverse, log_det, beta, float(np.sqrt(max(mean_square, 0.0))))


def _column_scale(x: FloatArray) -> FloatArray:
    tiny = np.finfo(np.float64).tiny
    return np.array([max(float(x[:, j].max()), -float(x[:, j].min()), tiny) for j in range(x.shape[1])])


def _cross(
    x: FloatArray, y: FloatArray, weights: FloatArray | None, inverse: FloatArray, beta: FloatArray
) -> FloatArray:
    """(p + 1, p + 1) weighted cross-product of ``[X inverse, y - X beta]``."""
    p = x.shape[1]
    total = np.zeros((p + 1, p + 1))
    transform = np.column_stack([inverse, -beta])
    for rows in chunks(x.shape[0]):
        part = transform.T @ x[rows].T
        part = np.concatenate([part[:p], part[p:] + y[rows]])
        total += part @ (part if weights is None else part * weights[rows]).T
    return total


@dataclass(frozen=True)
class Rows:
    """Rows of ``[X~ e]``, times the square root of the weights, a chunk at a time."""

    x: FloatArray
    y: FloatArray
    weights: FloatArray | None
    fixed: FixedBasis

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.y.shape[0])

    def root(self, rows: slice) -> FloatArray | float:
        """(rows,) square root of the weights."""
        return 1.0 if self.weights is None else np.sqrt(self.weights[rows])

    def root_column(self, rows: slice) -> FloatArray | float:
        """(rows, 1) square root of the weights."""
        return 1.0 if self.weights is None else np.sqrt(self.weights[rows])[:, None]

    def basis(self, rows: slice) -> FloatArray:
        """(p, rows) orthonormal columns of the fixed effects."""
        return np.asarray((self.fixed.inverse.T @ self.x[rows].T) * self.root(rows))

    def __call__(self, rows: slice) -> FloatArray:
        """(p + 1, rows)."""
        residual = (self.y[rows] - self.x[rows] @ self.fixed.beta_ols) / self.fixed.y_scale
        return np.concatenate([self.basis(rows), (residual * self.root(rows))[None]])
