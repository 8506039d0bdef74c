"""One pass over the data: everything the Gaussian likelihood needs, and nothing of length n afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.design import RandomTerm
from jmix.likelihood.fixed import FixedBasis, chunks, fixed_basis
from jmix.likelihood.random import Factor, gather_factors
from jmix.likelihood.structure import Block, FactorLayout, GaussianStats, Layout, Link
from jmix.likelihood.tail import Coupling, couple_chain, tail_cross
from jmix.spec.covariance import CovarianceSpec, lower_column_major

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Elimination:
    """The order in which factors are eliminated.

    Attributes:
        chain: factors, each nested in the next; tail: the others.
        order: for each chain factor, (J,) the original level at each internal position.
        parents: ``parents[i][k]`` is (J_i,) the internal position of each level of chain factor i in chain factor i +
            1 + k.
    """

    chain: tuple[Factor, ...]
    tail: tuple[Factor, ...]
    order: tuple[IntArray, ...]
    parents: tuple[tuple[IntArray, ...], ...]

    @property
    def factors(self) -> tuple[Factor, ...]:
        """All factors in elimination order."""
        return self.chain + self.tail


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


def plan(factors: list[Factor]) -> Elimination:
    """Most levels first; a factor joins the chain when the factor before it is nested in it."""
    ordered = sorted(factors, key=lambda f: -f.n_levels)
    chain: list[Factor] = [ordered[0]]
    raw_parents: list[IntArray] = []
    tail: list[Factor] = []
    for factor in ordered[1:]:
        parent = _parent(chain[-1], factor)
        if parent is None:
            tail.append(factor)
        else:
            raw_parents.append(parent)
            chain.append(factor)
    order, parents = _sort_chain(chain, raw_parents)
    return Elimination(tuple(chain), tuple(tail), order, parents)


def _parent(fine: Factor, coarse: Factor) -> IntArray | None:
    """(J,) the level of ``coarse`` that holds each level of ``fine``; None when they are not nested."""
    parent = np.zeros(fine.n_levels, dtype=np.int32)
    parent[fine.codes] = coarse.codes
    for rows in chunks(fine.codes.shape[0]):
        if not np.array_equal(parent[fine.codes[rows]], coarse.codes[rows]):
            return None
    return parent


def _sort_chain(
    chain: list[Factor], raw_parents: list[IntArray]
) -> tuple[tuple[IntArray, ...], tuple[tuple[IntArray, ...], ...]]:
    """Internal level orders in which every factor's levels are sorted by parent."""
    order = [np.arange(chain[-1].n_levels, dtype=np.int32)]
    parents: list[tuple[IntArray, ...]] = [()]
    for raw in reversed(raw_parents):
        position = np.empty_like(order[0])
        position[order[0]] = np.arange(order[0].size, dtype=np.int32)
        own = position[raw]
        sort = np.argsort(own, kind="stable").astype(np.int32)
        first = own[sort]
        parents.insert(0, (first, *(p[first] for p in parents[0])))
        order.insert(0, sort)
    return tuple(order), tuple(parents)


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


def internal_codes(factor: Factor, order: IntArray) -> IntArray:
    """(n,) position of each row's level in the internal order of the factor."""
    if np.array_equal(order, np.arange(order.size, dtype=order.dtype)):
        return factor.codes
    position = np.empty_like(order)
    position[order] = np.arange(order.size, dtype=order.dtype)
    return np.asarray(position[factor.codes], dtype=np.int32)


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
    low = int(codes.min())
    high = int(codes.max()) + 1
    indicator = csc_array((np.ones(n), codes - low, np.arange(n + 1)), shape=(high - low, n))
    out[low:high] += indicator @ np.ascontiguousarray(values.T)


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
