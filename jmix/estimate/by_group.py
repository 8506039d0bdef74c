"""One least-squares regression per group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[Any]

TOLERANCE = 1e-7
"""Share of a column's length that must remain after projection on the columns before it, as in R's ``lm``."""

CELLS = 1 << 22
"""Numbers held at a time in a stack of groups of one size."""


@dataclass(frozen=True)
class GroupRegressions:
    """Regressions of J groups on the same p columns; what a group cannot estimate is NaN.

    Attributes:
        beta: (J, p). unscaled: (J, p, p) covariance of beta over sigma^2. rss: (J,) residual sums of squares.
        rank: (J,) number of coefficients estimated. n: (J,) rows.
    """

    beta: FloatArray
    unscaled: FloatArray
    rss: FloatArray
    rank: IntArray
    n: IntArray


def regress_by_group(
    x: FloatArray, y: FloatArray, codes: IntArray, n_groups: int, weights: FloatArray | None
) -> GroupRegressions:
    """Regress y on x within each group, by QR of groups of equal size at once.

    Args:
        x: (n, p). y: (n,). codes: (n,) group of each row. weights: (n,) or None.
    """
    p = x.shape[1]
    table = np.column_stack([x, y])
    if weights is not None:
        table *= np.sqrt(weights)[:, None]
    table = table[np.argsort(codes, kind="stable")]
    counts = np.bincount(codes, minlength=n_groups)
    first = np.cumsum(counts) - counts
    out = GroupRegressions(
        beta=np.full((n_groups, p), np.nan),
        unscaled=np.full((n_groups, p, p), np.nan),
        rss=np.zeros(n_groups),
        rank=np.zeros(n_groups, dtype=np.intp),
        n=counts,
    )
    for groups in _equal_sizes(counts, p + 1):
        stack = table[first[groups][:, None] + np.arange(counts[groups[0]])]
        _regress_stack(stack, groups, out)
    return out


def _equal_sizes(counts: IntArray, width: int) -> Iterator[IntArray]:
    for size in np.unique(counts[counts > 0]):
        groups = np.flatnonzero(counts == size)
        step = max(1, CELLS // (int(size) * width))
        for start in range(0, groups.size, step):
            yield groups[start : start + step]


def _regress_stack(stack: FloatArray, groups: IntArray, out: GroupRegressions) -> None:
    """Fill in the results of groups of one size; ``stack`` is (G, size, p + 1)."""
    size, p = stack.shape[1], stack.shape[2] - 1
    full = np.zeros(groups.size, dtype=np.bool_)
    if size >= p:
        r = np.asarray(np.linalg.qr(stack, mode="r"))
        lengths = np.linalg.norm(stack[:, :, :p], axis=1)
        pivots = np.abs(np.einsum("gaa->ga", r[:, :p, :p]))
        full = np.all((pivots > TOLERANCE * lengths) & (lengths > 0), axis=1)
        _store(r[full], groups[full], np.arange(p), out)
    for i in np.flatnonzero(~full):
        kept = _independent(stack[i, :, :p])
        r = np.asarray(np.linalg.qr(stack[i][:, [*kept, p]], mode="r"))
        _store(r[None], groups[[i]], np.array(kept, dtype=np.intp), out)


def _store(r: FloatArray, groups: IntArray, kept: IntArray, out: GroupRegressions) -> None:
    """Solve from the triangles ``r`` (G, min(size, k + 1), k + 1) of ``[X y]`` restricted to the k columns kept."""
    k = kept.size
    inverse = np.linalg.inv(r[:, :k, :k])
    out.beta[groups[:, None], kept] = (inverse @ r[:, :k, k:])[:, :, 0]
    out.unscaled[groups[:, None, None], kept[:, None], kept] = inverse @ np.swapaxes(inverse, 1, 2)
    out.rss[groups] = np.square(r[:, k, k]) if r.shape[1] > k else 0.0
    out.rank[groups] = k


def _independent(x: FloatArray) -> list[int]:
    """Columns that are not linear combinations of those before them."""
    kept: list[int] = []
    for j in range(x.shape[1]):
        length = float(np.linalg.norm(x[:, j]))
        if length > 0 and len(kept) < x.shape[0]:
            pivot = np.asarray(np.linalg.qr(x[:, [*kept, j]], mode="r"))[-1, -1]
            if abs(pivot) > TOLERANCE * length:
                kept.append(j)
    return kept
