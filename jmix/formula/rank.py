"""Which columns of a model matrix are linear combinations of earlier ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.formula.values import FloatArray

TOLERANCE = 1e-7
_CLEAR = 1e-9
_CHUNK = 65_536


def independent_columns(X: FloatArray) -> npt.NDArray[np.bool_]:
    """Mark the columns that R keeps: those whose part outside the span of the earlier kept columns is larger than
    1e-7 of their own length (LINPACK's rule in ``lm`` and in lme4's rank check).

    Args:
        X: (n, p) finite matrix.

    Returns:
        (p,) bool. The scaled cross-product settles clear cases; only doubtful ones cost a QR decomposition.
    """
    n, p = X.shape
    if p == 0:
        return np.ones(0, dtype=np.bool_)
    scale = np.maximum(X.max(axis=0), -X.min(axis=0))
    if n >= p and scale.min() > 0 and _clearly_independent(X, scale):
        return np.ones(p, dtype=np.bool_)
    return _sequential(_triangle(X, np.where(scale > 0, scale, 1.0)))


def dependencies(X: FloatArray, independent: npt.NDArray[np.bool_]) -> FloatArray:
    """How the columns that are left out follow from those that R keeps.

    Args:
        X: (n, p) finite matrix. independent: (p,) which columns are kept, from ``independent_columns``.

    Returns:
        (kept, left out) coefficients: ``X[:, ~independent] = X[:, independent] @ coefficients``.
    """
    scale = np.maximum(X.max(axis=0), -X.min(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    triangle = _triangle(X, scale)
    found = np.asarray(np.linalg.lstsq(triangle[:, independent], triangle[:, ~independent], rcond=None)[0])
    found[np.abs(found) < _CLEAR * np.max(np.abs(found), axis=0, initial=0.0)] = 0.0
    size = np.linalg.norm(triangle, axis=0)
    found[:, size[~independent] == 0.0] = 0.0
    return found * scale[~independent] / scale[independent][:, None]


def _clearly_independent(X: FloatArray, scale: FloatArray) -> bool:
    within = scale.max() < 1e100 and scale.min() > 1e-100
    if not within:
        return False
    gram = X.T @ X
    length = np.sqrt(np.diag(gram))
    gram /= np.outer(length, length)
    try:
        factor = np.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        return False
    return bool(np.diag(factor).min() ** 2 > _CLEAR)


def _triangle(X: FloatArray, scale: FloatArray) -> FloatArray:
    """R of the QR decomposition of X / scale, gathered over chunks of rows."""
    triangle = np.empty((0, X.shape[1]))
    for start in range(0, X.shape[0], _CHUNK):
        stacked = np.vstack([triangle, X[start : start + _CHUNK] / scale])
        triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
    return triangle


def _sequential(columns: FloatArray) -> npt.NDArray[np.bool_]:
    height, p = columns.shape
    kept = np.zeros(p, dtype=np.bool_)
    basis = np.empty((height, min(height, p)))
    rank = 0
    for j in range(p):
        rest = columns[:, j].copy()
        length = np.linalg.norm(rest)
        for _ in range(2):
            rest -= basis[:, :rank] @ (basis[:, :rank].T @ rest)
        size = np.linalg.norm(rest)
        if rank < height and length > 0 and size > TOLERANCE * length:
            basis[:, rank] = rest / size
            rank, kept[j] = rank + 1, True
    return kept
