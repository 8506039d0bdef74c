"""The order of the rows, and the runs of rows behind every block of ``reweighted``: once a data set, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from jmix.likelihood.elimination import Elimination, internal_codes
from jmix.likelihood.random import Factor
from jmix.likelihood.reweighted import CouplingRows, Crossing, FactorRows, Segments, TailRows
from jmix.likelihood.structure import SparseTail
from jmix.likelihood.tail import Coupling, check_tail, couple_chain

IntArray = npt.NDArray[np.int32]
Order = npt.NDArray[np.int64]


def sort_rows(elimination: Elimination) -> Order:
    """(n,) the rows by the levels of the chain, finest first, and within these by those of the tail."""
    keys = [f.codes for f in reversed(elimination.tail)]
    return np.lexsort([*keys, internal_codes(elimination.chain[0], elimination.order[0])])


def build_crossing(elimination: Elimination, order: Order) -> Crossing:
    """Segments and patterns of every block for rows taken in ``order``, which comes from ``sort_rows``.

    Raises:
        ModelError: the crossed factors have more levels, or more pairs of levels, than fit in memory.
    """
    chain, tail = elimination.chain, elimination.tail
    check_tail(tail)
    codes = [internal_codes(f, o)[order] for f, o in zip(chain, elimination.order, strict=True)]
    codes += [f.codes[order] for f in tail]
    factors = tuple(_factor_rows(f, c, order) for f, c in zip(elimination.factors, codes, strict=True))
    couplings: tuple[CouplingRows, ...] = ()
    if tail:
        own, other = codes[: len(chain)], codes[len(chain) :]
        patterns = couple_chain(
            tuple(_pattern(f, c) for f, c in zip(chain, own, strict=True)),
            own,
            elimination.parents,
            tuple(_pattern(f, c) for f, c in zip(tail, other, strict=True)),
            None,
        )
        couplings = tuple(_coupling_rows(p, c, tail, other) for p, c in zip(patterns, own, strict=True))
    return Crossing(factors, elimination.parents, couplings, _tail_rows(tail, codes[len(chain) :]))


def segments(ids: npt.NDArray[np.integer], size: int) -> Segments:
    """Sums over the rows of each id, all of 0 .. size - 1 present or not."""
    order = None
    if np.any(ids[1:] < ids[:-1]):
        order = np.argsort(ids, kind="stable")
        ids = ids[order]
    alone = size == ids.size and np.array_equal(ids, np.arange(size))
    return Segments(None if order is None else order.astype(np.int32), None if alone else ids.astype(np.int32), size)


def _factor_rows(factor: Factor, codes: IntArray, order: Order) -> FactorRows:
    z = np.stack([np.asarray(c)[order] for c in factor.columns])
    return FactorRows(z, codes, segments(codes, factor.n_levels))


def _pattern(factor: Factor, codes: IntArray) -> Factor:
    """The factor with columns of ones: no sum of them cancels, so that every entry of the pattern is seen."""
    ones = np.broadcast_to(1.0, codes.shape)
    return replace(factor, codes=codes, columns=(ones,) * factor.q, basis=np.eye(factor.q))


def _cells(left: IntArray, right: IntArray, width: int) -> tuple[Segments, IntArray, IntArray]:
    """Sums over the rows of each pair of levels that occurs, by left and then right level, and these levels."""
    key = left.astype(np.int64) * width + right
    found, ids = np.unique(key, return_inverse=True)
    first, second = np.divmod(found, width)
    return segments(ids, found.size), first.astype(np.int32), second.astype(np.int32)


def _coupling_rows(pattern: Coupling, own: IntArray, tail: Sequence[Factor], codes: Sequence[IntArray]) -> CouplingRows:
    cells, levels, columns, start = [], [], [], 0
    for f, c in zip(tail, codes, strict=True):
        sums, level, code = _cells(own, c, f.n_levels)
        cells.append(sums)
        levels.append(np.repeat(level, f.q))
        columns.append(start + (code[:, None] * f.q + np.arange(f.q, dtype=np.int32)).ravel())
        start += f.q * f.n_levels
    level, column = np.concatenate(levels), np.concatenate(columns).astype(np.int32)
    source = None
    if len(tail) > 1:
        source = np.lexsort([column, level]).astype(np.int32)
        level, column = level[source], column[source]
    sparse = replace(pattern, x=np.zeros((0, 0))) if isinstance(pattern, SparseTail) else None
    return CouplingRows(sparse, tuple(cells), level, column, source)


def _tail_rows(tail: Sequence[Factor], codes: Sequence[IntArray]) -> TailRows | None:
    if not tail:
        return None
    sizes = tuple((f.q, f.n_levels) for f in tail)
    starts = np.concatenate([[0], np.cumsum([q * j for q, j in sizes])])
    cells, rows, columns = [], [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    for k in range(len(tail)):
        for m in range(k + 1, len(tail)):
            sums, first, second = _cells(codes[k], codes[m], tail[m].n_levels)
            cells.append(sums)
            at = starts[k] + first[None] * tail[k].q + np.arange(tail[k].q)[:, None]
            to = starts[m] + second[None] * tail[m].q + np.arange(tail[m].q)[:, None]
            shape = (tail[k].q, tail[m].q, first.size)
            rows.append(np.broadcast_to(at[:, None], shape).ravel().astype(np.int32))
            columns.append(np.broadcast_to(to[None], shape).ravel().astype(np.int32))
    return TailRows(tuple(cells), np.concatenate(rows), np.concatenate(columns), sizes)
