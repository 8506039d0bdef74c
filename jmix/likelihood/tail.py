"""Cross-products of the dense tail, and its sparse coupling with the chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.likelihood.fixed import chunks
from jmix.likelihood.random import Factor
from jmix.likelihood.structure import DenseTail, SparseTail

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
Coupling = SparseTail | DenseTail | None

PAIR_COST = 400.0
"""Time of one pair of the sparse Schur complement, in multiply-adds of the dense product. On InstEval and 2 cores 1.8
million pairs took 14 ms, the 3.9 thousand million multiply-adds of the dense product 75 ms.
"""

PAIR_BYTES = 20
"""Memory of one pair: three int32 numbers and the value."""

MEMORY_MAX = 16 * 2**30
"""Largest coupling of a chain with the tail, in bytes."""

TABLE_MAX = 50_000_000
"""Cells of the tail's matrix up to which the distinct ones are found by a table instead of a sort."""

TAIL_MAX = 46_000
"""Largest tail: beyond it the matrix alone exceeds 16 GiB and int32 cell numbers overflow."""


def couple_chain(
    chain: tuple[Factor, ...],
    codes: list[IntArray],
    parents: tuple[tuple[IntArray, ...], ...],
    tail: tuple[Factor, ...],
    weights: FloatArray | None,
) -> list[Coupling]:
    """The coupling of every chain factor with the tail, sparse or dense, whichever costs less to eliminate."""
    z_tail = sparse_columns(tail, [f.codes for f in tail], weights)
    crosses = [(sparse_columns((f,), [c], weights).T @ z_tail).tocsr() for f, c in zip(chain, codes, strict=True)]
    entries = [_entries(cross, f) for cross, f in zip(crosses, chain, strict=True)]
    pairs = sum(float(np.sum(np.square(np.bincount(e[0]).astype(float)))) / 2 for e in entries)
    size = z_tail.shape[1]
    if _prefer_dense(pairs, sum(float(f.n_levels) * f.q for f in chain), float(size), chain, tail):
        return [DenseTail(_dense(e, f, size)) for e, f in zip(entries, chain, strict=True)]
    return [_sparse(entries, i, parents[i], size) for i in range(len(chain))]


def _prefer_dense(pairs: float, rows: float, size: float, chain: tuple[Factor, ...], tail: tuple[Factor, ...]) -> bool:
    """Whether the full array is the better coupling: it fits in memory, and costs less or alone fits.

    Raises:
        ModelError: neither fits.
    """
    dense_fits, sparse_fits = 8.0 * rows * size <= MEMORY_MAX, PAIR_BYTES * pairs <= MEMORY_MAX
    if not dense_fits and not sparse_fits:
        crossed = " and ".join(", ".join(f.group for f in part) for part in (chain, tail))
        raise ModelError(
            f"the crossing of {crossed} has {pairs:.3g} pairs of levels that occur together, more than fit in "
            f"{MEMORY_MAX / 2**30:.0f} GiB; drop a term, or use fewer levels"
        )
    return dense_fits and (not sparse_fits or pairs * PAIR_COST > rows * size**2)


def check_tail(tail: tuple[Factor, ...]) -> None:
    """Raise ModelError where the tail's dense matrix is too large."""
    size = sum(f.q * f.n_levels for f in tail)
    if size > TAIL_MAX:
        names = ", ".join(f"{f.group} ({f.n_levels} levels)" for f in tail)
        raise ModelError(
            f"the crossed grouping factors {names} need a dense {size} x {size} matrix, more than {TAIL_MAX} columns; "
            "drop one of these terms, or use fewer levels in the smaller factors"
        )


def tail_cross(
    tail: tuple[Factor, ...], weights: FloatArray | None, fixed_rows: Callable[[slice], FloatArray], k: int
) -> tuple[FloatArray, FloatArray]:
    """(Q2, Q2) and (Q2, k) cross-products of the tail with itself and with [X y]."""
    check_tail(tail)
    z = sparse_columns(tail, [f.codes for f in tail], weights)
    w = np.zeros((z.shape[1], k))
    for rows in chunks(z.shape[0]):
        w += z[rows].T @ fixed_rows(rows).T
    return np.asarray((z.T @ z).toarray()), w


def sparse_columns(factors: tuple[Factor, ...], codes: list[IntArray], weights: FloatArray | None) -> Any:
    """(n, sum q J) random-effects model matrix in CSR form, level-major within a factor."""
    from scipy.sparse import csr_array

    n = codes[0].shape[0]
    everything = slice(0, n)
    root = 1.0 if weights is None else np.sqrt(weights)
    indices, values, start = [], [], 0
    for factor, code in zip(factors, codes, strict=True):
        first = start + code.astype(np.int64) * factor.q
        indices += [first + c for c in range(factor.q)]
        values += list(factor.transformed(everything) * root)
        start += factor.q * factor.n_levels
    width = len(indices)
    return csr_array(
        (np.stack(values, axis=1).ravel(), np.stack(indices, axis=1).ravel(), np.arange(n + 1) * width),
        shape=(n, start),
    )


def _entries(cross: Any, factor: Factor) -> tuple[IntArray, IntArray, FloatArray]:
    """``(level, column, x)`` of every tail column that occurs with a level: (m,), (m,), (q, m)."""
    coo = cross.tocoo()
    level, component = np.divmod(coo.row, factor.q)
    key = level.astype(np.int64) * cross.shape[1] + coo.col
    unique, inverse = np.unique(key, return_inverse=True)
    x = np.zeros((factor.q, unique.size))
    x[component, inverse] = coo.data
    level, column = np.divmod(unique, cross.shape[1])
    return level.astype(np.int32), column.astype(np.int32), x


def _dense(entries: tuple[IntArray, IntArray, FloatArray], factor: Factor, size: int) -> FloatArray:
    level, column, x = entries
    out = np.zeros((factor.q, factor.n_levels, size))
    out[:, level, column] = x
    return out


def _sparse(
    entries: list[tuple[IntArray, IntArray, FloatArray]], i: int, parents: tuple[IntArray, ...], size: int
) -> SparseTail:
    level, column, x = entries[i]
    left, right = _pairs(level)
    key = column[left] * np.int64(size) + column[right]
    cells, cell = _compact(key, size)
    up = tuple(
        _locate(parent[level], column, later[0], later[1], size)
        for parent, later in zip(parents, entries[i + 1 :], strict=True)
    )
    return SparseTail(x, level, column, left, right, cell, *cells, up)


def _pairs(level: IntArray) -> tuple[IntArray, IntArray]:
    """All pairs ``left <= right`` of entries with the same level; ``level`` is sorted."""
    counts = np.bincount(level)
    position = np.arange(level.size, dtype=np.int32)
    partners = (np.cumsum(counts)[level] - position).astype(np.int32)
    left = np.repeat(position, partners)
    first = (np.cumsum(partners, dtype=np.int64) - partners).astype(np.int64)
    right = np.arange(left.size, dtype=np.int32) - np.repeat((first - position).astype(np.int32), partners)
    return left, right


def _compact(key: npt.NDArray[np.int64], size: int) -> tuple[tuple[IntArray, IntArray], IntArray]:
    """The distinct cells among ``key`` as (row, column), and the number of each pair's cell."""
    if size * size > TABLE_MAX:
        unique, inverse = np.unique(key, return_inverse=True)
        row, column = np.divmod(unique, size)
        return (row.astype(np.int32), column.astype(np.int32)), inverse.astype(np.int32)
    used = np.zeros(size * size, dtype=bool)
    used[key] = True
    unique = np.flatnonzero(used)
    number = np.zeros(size * size, dtype=np.int32)
    number[unique] = np.arange(unique.size, dtype=np.int32)
    row, column = np.divmod(unique, size)
    return (row.astype(np.int32), column.astype(np.int32)), number[key]


def _locate(level: IntArray, column: IntArray, in_level: IntArray, in_column: IntArray, size: int) -> IntArray:
    """Position of each (level, column) in a sorted list that contains it."""
    target = level.astype(np.int64) * size + column
    return np.searchsorted(in_level.astype(np.int64) * size + in_column, target).astype(np.int32)
