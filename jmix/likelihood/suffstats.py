"""One pass over the data: everything the Gaussian likelihood needs, and nothing of length n afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.design import RandomTerm
from jmix.likelihood.elimination import Elimination, internal_codes, plan
from jmix.likelihood.fixed import FixedBasis, Rows, chunks, fixed_basis
from jmix.likelihood.random import Factor, gather_factors
from jmix.likelihood.structure import Block, FactorLayout, GaussianStats, Layout, Link
from jmix.likelihood.tail import Coupling, couple_chain, tail_cross
from jmix.spec.covariance import CovarianceSpec, lower_column_major

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

SPARSE_LEVELS = 8
"""Span of levels per row from which only the levels that occur in a chunk are touched."""


@dataclass(frozen=True)
class Reduced:
    """A data set reduced to sufficient statistics, with what is needed to come back to the user's scale."""

    stats: GaussianStats
    layout: Layout
    elimination: Elimination
    rows: Rows

    @property
    def fixed(self) -> FixedBasis:
        """The orthonormal basis of the fixed effects."""
        return self.rows.fixed


def reduce_data(
    x: FloatArray,
    y: FloatArray,
    terms: Sequence[RandomTerm],
    spec: CovarianceSpec,
    weights: FloatArray | None,
    fixed: FixedBasis | None = None,
) -> Reduced:
    """Sufficient statistics of a design.

    Args:
        x: (n, p) of full column rank. y: (n,) response less offset. terms: in the order of ``spec.terms``. weights:
            (n,) or None. fixed: the basis of x, where it is known.
    """
    fixed = fixed or fixed_basis(x, y, weights)
    factors = gather_factors(terms, spec, weights)
    elimination = plan(list(factors.values()))
    rows = Rows(x, y, weights, fixed)
    stats = _accumulate(elimination, rows)
    layout = tuple(_factor_layout(spec, f.group) for f in elimination.factors)
    return Reduced(stats, layout, elimination, rows)


def _factor_layout(spec: CovarianceSpec, group: str) -> FactorLayout:
    index, rows, cols = spec.group_entries(group)
    return FactorLayout(spec.group_q(group), tuple(index), tuple(rows), tuple(cols))


def _accumulate(elimination: Elimination, source: Rows) -> GaussianStats:
    chain, k = elimination.chain, source.x.shape[1] + 1
    internal = [internal_codes(f, o) for f, o in zip(chain, elimination.order, strict=True)]
    sums = [np.zeros((f.n_levels, _width(chain, i, k))) for i, f in enumerate(chain)]
    gram = np.zeros((k, k))
    for rows in chunks(source.n):
        fixed, root = source(rows), source.root(rows)
        zs = [f.transformed(rows) * root for f in chain]
        gram += fixed @ fixed.T
        for i in range(len(chain)):
            add_by_level(internal[i][rows], _products(zs, i, fixed), sums[i])
    couplings: list[Coupling] = [None] * len(chain)
    tail_a, tail_w = np.zeros((0, 0)), np.zeros((0, k))
    if elimination.tail:
        tail_a, tail_w = tail_cross(elimination.tail, source.weights, source, k)
        couplings = couple_chain(chain, internal, elimination.parents, elimination.tail, source.weights)
    blocks = tuple(_unpack_sums(sums[i], chain, i, k, elimination.parents[i], couplings[i]) for i in range(len(chain)))
    return GaussianStats(blocks, tail_a, tail_w, gram, tuple((f.q, f.n_levels) for f in elimination.tail))


def _width(chain: tuple[Factor, ...], i: int, k: int) -> int:
    q = chain[i].q
    return q * (q + 1) // 2 + q * k + sum(q * f.q for f in chain[i + 1 :])


def _products(zs: list[FloatArray], i: int, fixed: FloatArray) -> FloatArray:
    """(width, rows): Z'Z packed, Z'[X y], and Z'Z of every coarser factor."""
    z = zs[i]
    rows, cols = lower_column_major(z.shape[0])
    parts = [z[rows] * z[cols], _outer(z, fixed), *(_outer(z, other) for other in zs[i + 1 :])]
    return np.concatenate(parts)


def _outer(a: FloatArray, b: FloatArray) -> FloatArray:
    return (a[:, None] * b[None]).reshape(a.shape[0] * b.shape[0], a.shape[1])


def add_by_level(codes: IntArray, values: FloatArray, out: FloatArray) -> None:
    """``out[level] += values[:, row]`` for every row: an indicator matrix times a dense one."""
    from scipy.sparse import csc_array

    n = codes.shape[0]
    low, high = int(codes.min()), int(codes.max()) + 1
    if high - low > SPARSE_LEVELS * n:
        levels, position = np.unique(codes, return_inverse=True)
        target: slice | npt.NDArray[np.int32] = levels
        size = levels.size
    else:
        target, position, size = slice(low, high), np.asarray(codes - low, dtype=np.intp), high - low
    indicator = csc_array((np.ones(n), position, np.arange(n + 1)), shape=(size, n))
    out[target] += indicator @ np.ascontiguousarray(values.T)


def _unpack_sums(
    sums: FloatArray, chain: tuple[Factor, ...], i: int, k: int, parents: tuple[IntArray, ...], tail: Coupling
) -> Block:
    q, j = chain[i].q, chain[i].n_levels
    rows, cols = lower_column_major(q)
    a = np.empty((q, q, j))
    a[rows, cols] = a[cols, rows] = sums[:, : rows.size].T
    start = rows.size + q * k
    w = np.ascontiguousarray(sums[:, rows.size : start].T).reshape(q, k, j)
    links = []
    for other, parent in zip(chain[i + 1 :], parents, strict=True):
        stop = start + q * other.q
        links.append(Link(np.ascontiguousarray(sums[:, start:stop].T).reshape(q, other.q, j), parent))
        start = stop
    return Block(a, w, tuple(links), tail)
