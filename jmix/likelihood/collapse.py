"""Equal rows and equal groups of one grouping factor, merged with multiplicities; the likelihood stays exact.

Equal rows of a group merge and add their weights. Equal groups merge into one that counts several times. Where the
family is canonical the log density of a row is ``w (y eta - b(eta))``: y enters the likelihood only through ``X'Wy``,
``Z_j'Wy`` and the offset's product with it, so that rows need not agree in y, and groups only in ``Z_j'Wy``. A million
answers patterns of a Rasch model become as many groups as there are sum scores.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from jmix.likelihood.glmm_rows import RowData

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
Hash = npt.NDArray[np.uint64]

WORTHWHILE = 0.9
"""Share of distinct rows or groups in a sample above which nothing is merged."""

SAMPLE = 4096
"""Least number of groups in the sample."""


@dataclass(frozen=True)
class Collapsed:
    """What is left of the data.

    Attributes:
        rows: with n' rows. Z: (q, n'). codes: (n',) sorted. multiplicity: (J',) groups that each stands for. group_map:
            (J,) the merged group of each group. zy: (q, J') for a canonical family, else None. linear: (p,) or None,
            and constant: added to the log likelihood as ``linear'beta + constant``.
    """

    rows: RowData
    Z: FloatArray
    codes: IntArray
    multiplicity: FloatArray
    group_map: npt.NDArray[np.intp]
    zy: FloatArray | None
    linear: FloatArray | None
    constant: float


def collapse(
    rows: RowData,
    z: FloatArray,
    codes: IntArray,
    n_groups: int,
    *,
    canonical: bool,
    merge: bool = True,
    groups: bool = True,
) -> Collapsed:
    """Merge what is equal.

    Args:
        rows: flat. z: (q, n). codes: (n,) group of each row. canonical: y enters only as ``w y eta``. merge: False only
            takes y out where the family is canonical. groups: False merges rows alone, which for a canonical family
            does not depend on y.
    """
    codes = np.asarray(codes, dtype=np.int32)
    zy: FloatArray | None = None
    linear: FloatArray | None = None
    constant = 0.0
    if canonical:
        wy = rows.y if rows.weight is None else rows.weight * rows.y
        linear = np.asarray(rows.X @ wy)
        constant = 0.0 if rows.offset is None else float(rows.offset @ wy)
        zy = np.stack([np.bincount(codes, weights=column * wy, minlength=n_groups) for column in z])
        rows = replace(rows, y=np.zeros(()))
    group_map, multiplicity = np.arange(n_groups), np.ones(n_groups)
    if merge and n_groups:
        rows, z, codes = _merge_rows(rows, z, codes, n_groups)
        if groups:
            rows, z, codes, group_map, multiplicity, zy = _merge_groups(rows, z, codes, n_groups, zy)
    return Collapsed(rows, z, codes, multiplicity, group_map, zy, linear, constant)


def _columns(rows: RowData, z: FloatArray, *, weight: bool) -> list[FloatArray]:
    """Every column that makes rows different."""
    out: list[FloatArray] = list(z)
    for own in fields(rows):
        value = getattr(rows, own.name)
        if value is not None and value.ndim and (weight or own.name != "weight"):
            out += [value] if value.ndim == 1 else list(value)
    return out


def _take(rows: RowData, index: npt.NDArray[np.intp]) -> RowData:
    return RowData(**{k: v if v is None or v.ndim == 0 else v[..., index] for k, v in vars(rows).items()})


def _merge_rows(rows: RowData, z: FloatArray, codes: IntArray, n_groups: int) -> tuple[RowData, FloatArray, IntArray]:
    """Rows of a group that agree in all but the weight; what is left is sorted by group."""
    if not _promising_rows(rows, z, codes, n_groups):
        return rows, z, codes
    columns = _columns(rows, z, weight=False)
    key = _hash_rows(columns)
    order = np.lexsort((key, codes))
    owner, key = codes[order], key[order]
    fresh = _starts(owner, key)
    for column in columns:
        # rows of one hash that differ after all (a collision) stay apart
        ordered = column[order]
        fresh[1:] |= ordered[1:] != ordered[:-1]
    first = np.flatnonzero(fresh)
    if first.size > WORTHWHILE * codes.size:
        return rows, z, codes
    weight = np.ones(codes.size) if rows.weight is None else rows.weight
    kept = order[first]
    merged = replace(_take(rows, kept), weight=np.add.reduceat(weight[order], first))
    return merged, z[:, kept], owner[first]


def _merge_groups(
    rows: RowData, z: FloatArray, codes: IntArray, n_groups: int, zy: FloatArray | None
) -> tuple[RowData, FloatArray, IntArray, npt.NDArray[np.intp], FloatArray, FloatArray | None]:
    """Groups whose rows are equal, in any order, and whose ``Z'Wy`` is."""
    unmerged = (rows, z, codes, np.arange(n_groups), np.ones(n_groups), zy)
    if not _promising_groups(rows, z, codes, n_groups, zy):
        return unmerged
    columns = _columns(rows, z, weight=True)
    key = _hash_rows(columns)
    order = np.lexsort((key, codes))
    key = key[order]
    sizes = np.bincount(codes, minlength=n_groups)
    start = np.cumsum(sizes) - sizes
    signature = _hash_groups(key, sizes, start, zy)
    _, first, member = np.unique(signature, return_index=True, return_inverse=True)
    same = _verified(columns, order, sizes, start, first[member], zy)
    if not np.all(same) or first.size > WORTHWHILE * n_groups:
        return unmerged
    # groups in the order in which they first occur
    rank = np.argsort(np.argsort(first))
    first, member = np.sort(first), rank[member]
    taken = np.repeat(start[first], sizes[first]) + _local(sizes[first])
    new_codes = np.repeat(np.arange(first.size, dtype=np.int32), sizes[first])
    kept = order[taken]
    multiplicity = np.bincount(member).astype(np.float64)
    return _take(rows, kept), z[:, kept], new_codes, member, multiplicity, None if zy is None else zy[:, first]


def _verified(
    columns: list[FloatArray],
    order: npt.NDArray[np.intp],
    sizes: npt.NDArray[np.intp],
    start: npt.NDArray[np.intp],
    model: npt.NDArray[np.intp],
    zy: FloatArray | None,
) -> npt.NDArray[np.bool_]:
    """(J,) whether each group equals, row by row, the group that is to stand for it."""
    same = sizes == sizes[model]
    if zy is not None:
        same &= np.all(zy == zy[:, model], axis=0)
    if not np.all(same):
        return same
    source = order[np.repeat(start[model], sizes) + _local(sizes)]
    unequal = np.zeros(order.size, dtype=bool)
    for column in columns:
        unequal |= column[order] != column[source]
    if unequal.any():
        same[np.repeat(np.arange(sizes.size), sizes)[unequal]] = False
    return same


def _promising_rows(rows: RowData, z: FloatArray, codes: IntArray, n_groups: int) -> bool:
    """Whether rows of the same group repeat in a sample of groups."""
    sampled = _sample(codes, n_groups)
    part = codes[sampled]
    key = _hash_rows([column[sampled] for column in _columns(rows, z, weight=False)])
    mixed = _mix(key ^ _mix(part.astype(np.uint64)))
    return np.unique(mixed).size <= WORTHWHILE * part.size


def _promising_groups(rows: RowData, z: FloatArray, codes: IntArray, n_groups: int, zy: FloatArray | None) -> bool:
    """Whether groups repeat in a sample of them."""
    sampled = _sample(codes, n_groups)
    part = codes[sampled]
    order = np.argsort(part, kind="stable")
    key = _hash_rows([column[sampled] for column in _columns(rows, z, weight=True)])[order]
    levels, sizes = np.unique(part, return_counts=True)
    signature = _hash_groups(key, sizes, np.cumsum(sizes) - sizes, None if zy is None else zy[:, levels])
    empty = n_groups - int(np.count_nonzero(np.bincount(codes, minlength=n_groups)))
    return np.unique(signature).size <= WORTHWHILE * levels.size or empty > (1.0 - WORTHWHILE) * n_groups


def _sample(codes: IntArray, n_groups: int) -> npt.NDArray[np.intp]:
    """Rows of every so-manieth group."""
    stride = max(1, min(n_groups // SAMPLE, 16))
    return np.arange(codes.size) if stride == 1 else np.flatnonzero(codes % stride == 0)


def _hash_rows(columns: list[FloatArray]) -> Hash:
    """One 64-bit number a row; equal rows, equal numbers."""
    out = np.zeros(columns[0].shape[0], dtype=np.uint64)
    for i, column in enumerate(columns):
        # 0.0 and -0.0 are equal numbers of different bits
        bits = np.ascontiguousarray(column, dtype=np.float64) + 0.0
        out = _mix(out ^ _mix(bits.view(np.uint64) + np.uint64(i + 1)))
    return out


def _hash_groups(key: Hash, sizes: npt.NDArray[np.intp], start: npt.NDArray[np.intp], zy: FloatArray | None) -> Hash:
    """One 64-bit number a group from its rows in any order."""
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(_mix(key), dtype=np.uint64)])
    out = total[start + sizes] - total[start]
    out = _mix(out ^ _mix(sizes.astype(np.uint64)))
    return out if zy is None else _mix(out ^ _hash_rows(list(zy)))


def _mix(h: Hash) -> Hash:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014)."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def _starts(owner: IntArray, key: Hash) -> npt.NDArray[np.bool_]:
    fresh = np.ones(owner.size, dtype=bool)
    fresh[1:] = (owner[1:] != owner[:-1]) | (key[1:] != key[:-1])
    return fresh


def _local(sizes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """0, 1, ... within each group."""
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
