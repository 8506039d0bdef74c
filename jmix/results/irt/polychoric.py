"""Tetrachoric and polychoric correlations of all pairs of items at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LIMIT = 0.999
"""Largest absolute correlation."""
FAR = 10.0
"""Stands for an infinite threshold."""
STEPS = 60
CELLS = 4_000_000
ROWS = 20_000
"""Persons counted at once."""


def polychoric(table: Any, n_categories: Any, weights: Any = None, *, correct: float = 0.5) -> FloatArray:
    """(J, J) correlations of the normal variables behind ordered categories, each pair by those who answered both.

    In two steps, thresholds from the margins of the pair and the correlation by maximum likelihood given them (Olsson
    1979, Psychometrika 44(4), sec. 5). The matrix need not be positive definite.

    Args:
        table: (N, J) codes from 0, negative where missing. n_categories: (J,). weights: (N,) frequencies.
        correct: added to the empty cells of a two-by-two table, the margins kept, as in R's psych; 0 for none.

    Returns:
        Correlations; 0 for a pair of which an item is constant.
    """
    codes = np.asarray(table)
    k = np.asarray(n_categories, dtype=np.int64)
    w = np.ones(codes.shape[0]) if weights is None else np.asarray(weights, dtype=np.float64)
    n_items = codes.shape[1]
    out = np.eye(n_items)
    whole, start = pair_counts(codes, k, w), np.cumsum(k) - k
    first, second = np.tril_indices(n_items, -1)
    for ki, kj in sorted({(int(k[i]), int(k[j])) for i, j in zip(first, second, strict=True)}):
        pairs = np.flatnonzero((k[first] == ki) & (k[second] == kj))
        rows = (start[first[pairs], None] + np.arange(ki))[:, :, None]
        counts = whole[rows, (start[second[pairs], None] + np.arange(kj))[:, None, :]]
        for begin in range(0, pairs.size, _chunk(ki, kj)):
            part = slice(begin, begin + _chunk(ki, kj))
            r = correlations_of_tables(counts[part], correct=correct)
            at = pairs[part]
            out[first[at], second[at]] = out[second[at], first[at]] = r
    return out


def pair_counts(table: Any, n_categories: Any, weights: FloatArray) -> FloatArray:
    """(S, S) frequencies of all pairs of categories, S the number of categories of all items, item by item.

    Args:
        table: (N, J) codes, negative where missing. n_categories: (J,). weights: (N,).
    """
    k = np.asarray(n_categories, dtype=np.int64)
    item = np.repeat(np.arange(k.size), k)
    category = np.arange(item.size) - np.repeat(np.cumsum(k) - k, k)
    out = np.zeros((item.size, item.size))
    for begin in range(0, table.shape[0], ROWS):
        rows = slice(begin, begin + ROWS)
        shown = (table[rows][:, item] == category).astype(np.float64)
        out += (shown * weights[rows][:, None]).T @ shown
    return out


def correlations_of_tables(counts: FloatArray, *, correct: float = 0.5) -> FloatArray:
    """(T,) correlations of two-way tables (T, K, L); see ``polychoric``."""
    n = _corrected(np.asarray(counts, dtype=np.float64), correct)
    row, column = _thresholds(n.sum(axis=2)), _thresholds(n.sum(axis=1))
    r = np.clip(_score_correlation(n), -0.9, 0.9)
    low, high = np.full(r.size, -LIMIT), np.full(r.size, LIMIT)
    for _ in range(STEPS):
        slope, information = _score(n, row, column, r)
        low, high = np.where(slope > 0, r, low), np.where(slope < 0, r, high)
        with np.errstate(invalid="ignore", divide="ignore"):
            step = r + slope / information
        inside = np.isfinite(step) & (step > low) & (step < high)
        new = np.where(inside, step, (low + high) / 2)
        new = np.where(slope == 0, r, new)
        done = np.abs(new - r) < 1e-10
        r = new
        if done.all():
            break
    constant = (n.sum(axis=2) > 0).sum(axis=1) < 2
    constant |= (n.sum(axis=1) > 0).sum(axis=1) < 2
    return np.where(constant, 0.0, r)


def bivariate_normal_cdf(h: Any, k: Any, r: Any) -> FloatArray:
    """P(X < h, Y < k) at correlation r, by Gauss and Legendre on the arc sine of r.

    ``Phi(h) Phi(k) + int_0^asin(r) exp(-(h^2 + k^2 - 2 h k sin t) / (2 cos^2 t)) dt / (2 pi)`` (Drezner & Wesolowsky
    1990, J. Stat. Comput. Simul. 35, eq. 3): to 1e-9 up to correlations of 0.95.
    """
    from scipy.special import ndtr

    h, k, r = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (h, k, r)))
    out = ndtr(h) * ndtr(k)
    angle = np.arcsin(r)
    for node, weight in zip(*np.polynomial.legendre.leggauss(24), strict=True):
        t = angle * (node + 1) / 2
        sine = np.sin(t)
        exponent = -(h * h + k * k - 2 * h * k * sine) / (2 * (1 - sine * sine))
        out = out + angle * weight / 2 * np.exp(exponent) / (2 * np.pi)
    return np.clip(out, 0.0, 1.0)


def _score(n: FloatArray, row: FloatArray, column: FloatArray, r: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First derivative of the log likelihood in the correlation, and its expected information."""
    h, k, rho = row[:, :, None], column[:, None, :], r[:, None, None]
    p = np.maximum(_differences(bivariate_normal_cdf(h, k, rho)), 1e-15)
    spread = 1 - rho * rho
    density = np.exp(-(h * h + k * k - 2 * rho * h * k) / (2 * spread)) / (2 * np.pi * np.sqrt(spread))
    slope = _differences(density)
    total = n.sum(axis=(1, 2))
    return (n * slope / p).sum(axis=(1, 2)), total * (slope * slope / p).sum(axis=(1, 2))


def _differences(at_thresholds: FloatArray) -> FloatArray:
    return np.diff(np.diff(at_thresholds, axis=1), axis=2)


def _thresholds(margin: FloatArray) -> FloatArray:
    """(T, K + 1) from minus to plus infinity."""
    from scipy.special import ndtri

    share = np.cumsum(margin, axis=1) / np.maximum(margin.sum(axis=1, keepdims=True), 1e-300)
    inner = ndtri(share[:, :-1])
    edge = np.full((margin.shape[0], 1), FAR)
    return np.clip(np.hstack([-edge, inner, edge]), -FAR, FAR)


def _corrected(n: FloatArray, correct: float) -> FloatArray:
    """Tables of two by two with an empty cell, ``correct`` moved there so that the margins stay."""
    if n.shape[1:] != (2, 2) or correct <= 0:
        return n
    out = n.copy()
    sign = np.array([[1.0, -1.0], [-1.0, 1.0]])
    diagonal = (n[:, 0, 0] == 0) | (n[:, 1, 1] == 0)
    other = (n[:, 0, 1] == 0) | (n[:, 1, 0] == 0)
    out[diagonal & ~other] += correct * sign
    out[other & ~diagonal] -= correct * sign
    return np.maximum(out, 0.0)


def _score_correlation(n: FloatArray) -> FloatArray:
    x, y = np.arange(n.shape[1]), np.arange(n.shape[2])
    p = n / np.maximum(n.sum(axis=(1, 2), keepdims=True), 1e-300)
    mx, my = p.sum(axis=2) @ x, p.sum(axis=1) @ y
    cross = np.einsum("tkl,k,l->t", p, x, y) - mx * my
    spread = (p.sum(axis=2) @ (x * x) - mx**2) * (p.sum(axis=1) @ (y * y) - my**2)
    return np.where(spread > 0, cross / np.sqrt(np.maximum(spread, 1e-300)), 0.0)


def _chunk(ki: int, kj: int) -> int:
    return max(1, CELLS // ((ki + 1) * (kj + 1)))
