"""Sufficient statistics of responses: equal patterns with a weight, sum scores, patterns of missing responses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.responses.data import Codes, FloatArray, IntArray

SAMPLE = 4096
"""Rows by which it is judged whether patterns repeat."""

WORTHWHILE = 0.7
"""Largest share of different patterns among the rows at which merging them pays."""

Hash = npt.NDArray[np.uint64]


class Patterns(NamedTuple):
    """Different rows of a table.

    Attributes:
        table: (U, J). weights: (U,) how often each occurs, or the sum of its weights. inverse: (N,) row in ``table`` of
            each person; ``arange(N)`` where nothing was merged.
    """

    table: Codes
    weights: FloatArray
    inverse: IntArray

    @property
    def first(self) -> npt.NDArray[np.intp]:
        """(U,) the first person with each pattern; of a stratum, for example, take it there."""
        return first_rows(self.inverse, self.table.shape[0])


def merge_patterns(
    table: Codes, weights: FloatArray | None = None, strata: npt.NDArray[Any] | None = None, *, always: bool = False
) -> Patterns:
    """Merge equal rows of the same stratum, in the order of their first occurrence.

    A sample is looked at first: where few rows repeat the table is given back as it is.

    Args:
        table: (N, J) codes. weights: (N,). strata: (N,) codes that must be equal too, such as groups.
        always: merge however few rows repeat.
    """
    n = table.shape[0]
    if not always and not _promising(table, strata):
        return _unmerged(table, weights)
    inverse, first = unique_rows(table, strata)
    if not always and first.size > WORTHWHILE * n:
        return _unmerged(table, weights)
    return Patterns(table[first], _summed(inverse, weights, first.size), inverse)


def unique_rows(table: Codes, strata: npt.NDArray[Any] | None = None) -> tuple[IntArray, npt.NDArray[np.intp]]:
    """(N,) place of each row among the different ones, in the order of occurrence, and (U,) their first rows."""
    key = _hash(table, strata)
    codes = pd.factorize(key)[0].astype(np.int32)
    first = first_rows(codes, int(codes.max(initial=-1)) + 1)
    if (table.shape[1] <= 8 and strata is None) or _verified(table, strata, first[codes]):
        return codes, first
    wide = table if strata is None else np.column_stack([table.astype(np.int64), strata])
    _, first, inverse = np.unique(wide, axis=0, return_index=True, return_inverse=True)  # two keys collided
    rank = np.argsort(np.argsort(first))
    return rank[inverse.ravel()].astype(np.int32), np.sort(first)


def sum_scores(table: Codes, scores: npt.NDArray[Any] | None = None) -> npt.NDArray[np.int32]:
    """(N,) sums of what each response is worth; missing ones count nothing.

    Args:
        scores: (J, K) integers, what category k of item j is worth; by default the codes.
    """
    n, j = table.shape
    out = np.empty(n, dtype=np.int32)
    step = max(1, (1 << 22) // max(j, 1))
    worth = None if scores is None else np.concatenate([scores, np.zeros((j, 1), int)], axis=1).astype(np.int32)
    base = None if worth is None else np.arange(j) * worth.shape[1]
    for start in range(0, n, step):
        part = table[start : start + step]
        if worth is None:
            out[start : start + step] = _row_sums(np.maximum(part, 0))
        else:
            index = np.where(part < 0, worth.shape[1] - 1, part) + base
            out[start : start + step] = worth.ravel()[index].sum(axis=1)
    return out


def missing_patterns(table: Codes) -> tuple[npt.NDArray[np.bool_], IntArray]:
    """(M, J) different sets of answered items, and (N,) which of them each person has."""
    n, j = table.shape
    answered = table >= 0
    if answered.all():
        return np.ones((1, j), dtype=bool), np.zeros(n, dtype=np.int32)
    codes, first = unique_rows(answered.view(np.int8))
    return answered[first], codes


def first_rows(codes: npt.NDArray[Any], n: int) -> npt.NDArray[np.intp]:
    """(n,) the first place of each code."""
    first = np.empty(n, dtype=np.intp)
    first[codes[::-1]] = np.arange(codes.size - 1, -1, -1)
    return first


def _row_sums(part: Codes) -> npt.NDArray[Any]:
    """Sums of rows of small numbers: exact in float32 up to 16 million."""
    ones = np.ones(part.shape[1], dtype=np.float32)
    return np.rint(part.astype(np.float32) @ ones)


def _summed(inverse: IntArray, weights: FloatArray | None, n: int) -> FloatArray:
    return np.bincount(inverse, weights=weights, minlength=n).astype(np.float64)


def _unmerged(table: Codes, weights: FloatArray | None) -> Patterns:
    n = table.shape[0]
    return Patterns(table, np.ones(n) if weights is None else weights, np.arange(n, dtype=np.int32))


def _promising(table: Codes, strata: npt.NDArray[Any] | None) -> bool:
    """Whether merging would leave few enough rows, judged by the coincidences in a sample.

    m rows drawn from S equally frequent patterns have about m^2 / 2S coincidences; N rows then have about
    S (1 - exp(-N / S)) different ones. Unequal frequencies make this an underestimate, never a wrong result.
    """
    n = table.shape[0]
    if n <= SAMPLE:
        return True
    rows = np.linspace(0, n - 1, SAMPLE).astype(np.intp)
    key = _hash(table[rows], None if strata is None else strata[rows])
    coincidences = SAMPLE - np.unique(key).size
    if coincidences < 4:
        return False
    size = SAMPLE**2 / (2.0 * coincidences)
    return float(size * -np.expm1(-n / size)) <= WORTHWHILE * n


def _verified(table: Codes, strata: npt.NDArray[Any] | None, owner: npt.NDArray[np.intp]) -> bool:
    if strata is not None and not np.array_equal(strata, strata[owner]):
        return False
    step = 1 << 16
    return all(
        np.array_equal(table[at : at + step], table[owner[at : at + step]]) for at in range(0, table.shape[0], step)
    )


def _hash(table: Codes, strata: npt.NDArray[Any] | None) -> Hash:
    """One 64-bit number a row: the row itself where it has at most eight bytes."""
    n, j = table.shape
    width = -(-j // 8) * 8
    out = np.zeros(n, dtype=np.uint64)
    step = max(1, (1 << 22) // max(width, 1))
    for start in range(0, n, step):
        part = table[start : start + step]
        padded = np.zeros((part.shape[0], width), dtype=np.int8)
        padded[:, :j] = part
        words = padded.view(np.uint64)
        own = words[:, 0].copy() if width else np.zeros(part.shape[0], np.uint64)
        for k in range(1, words.shape[1]):
            own = _mix(own) + words[:, k]
        out[start : start + step] = own
    return out if strata is None else _mix(out) + strata.astype(np.int64).astype(np.uint64)


def _mix(h: Hash) -> Hash:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014)."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))
