"""``Z'V^{-1}Z`` and ``Z'V^{-1}X`` for ``V = W^{-1} + Z Omega Z'``, without any matrix of the size of the data.

``Z'V^{-1}Z = (I + A Omega)^{-1} A`` with ``A = Z'WZ``. Random effects that no row connects, directly or through others,
make up separate blocks: one a level for a single factor, one a level of the coarsest for nested ones, one altogether
for crossed ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.likelihood.fixed import chunks
from jmix.likelihood.structure import Layout
from jmix.likelihood.suffstats import Reduced
from jmix.likelihood.tail import sparse_columns

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DENSE = 0.2
"""Share of cells that are not zero from which a matrix is kept dense."""


@dataclass(frozen=True)
class MarginalCross:
    """Cross-products in ``V^{-1}`` of the random effects' columns Z (n, m), level-major within a factor, and of X (n,
    p) in the orthonormal basis.

    Attributes:
        zz: (m, m) dense, or sparse where it has few cells. zx: (m, p). xx: (p, p). n: rows.
    """

    zz: Any
    zx: FloatArray
    xx: FloatArray
    n: int


def cells(reduced: Reduced) -> int:
    """How many cells of ``Z'V^{-1}Z`` are not zero, before anything is computed; an upper bound for crossed factors."""
    elimination = reduced.elimination
    if elimination.tail:
        return sum(f.q * f.n_levels for f in elimination.factors) ** 2
    top = elimination.chain[-1]
    size = np.full(top.n_levels, float(top.q))
    for factor, parents in zip(elimination.chain[:-1], elimination.parents[:-1], strict=True):
        size += factor.q * np.bincount(parents[-1], minlength=top.n_levels)
    return int(np.sum(size**2))


def marginal_cross(reduced: Reduced, phi: FloatArray) -> MarginalCross:
    """The cross-products at ``phi``, in the basis in which phi is relative."""
    from scipy.sparse import identity

    factors, rows, p = reduced.elimination.factors, reduced.rows, reduced.rows.x.shape[1]
    z = sparse_columns(factors, [f.codes for f in factors], rows.weights)
    a = (z.T @ z).tocsr()
    b, xx = np.zeros((z.shape[1], p)), np.zeros((p, p))
    for part in chunks(rows.n):
        x = rows.basis(part)
        b += z[part].T @ x.T
        xx += x @ x.T
    lams = lower_factors(phi, reduced.layout)
    omega = by_level([lam @ lam.T for lam in lams], [f.n_levels for f in factors])
    zz, zx = _solve(identity(a.shape[0], format="csr") + a @ omega, a, b)
    return MarginalCross(zz, zx, xx - b.T @ (omega @ zx), rows.n)


def lower_factors(phi: FloatArray, layout: Layout) -> list[FloatArray]:
    """(q, q) Lambda of each factor in elimination order."""
    found = []
    for factor in layout:
        lam = np.zeros((factor.q, factor.q))
        lam[list(factor.rows), list(factor.cols)] = phi[list(factor.index)]
        found.append(lam)
    return found


def by_level(blocks: list[FloatArray], levels: list[int]) -> Any:
    """Sparse block-diagonal (m, m) matrix with the (q, q) block of each factor once a level."""
    from scipy.sparse import block_diag, csr_array, identity, kron

    parts = [kron(identity(j), csr_array(block), format="csr") for block, j in zip(blocks, levels, strict=True)]
    return block_diag(parts, format="csr")


def _solve(matrix: Any, right: Any, more: FloatArray) -> tuple[Any, FloatArray]:
    """``matrix^{-1} [right, more]`` block by block; the blocks are those of the cells of ``right``."""
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(right, directed=False)
    sizes = np.bincount(label, minlength=count)
    if count == 1 or float(np.sum(sizes.astype(float) ** 2)) > DENSE * right.shape[0] ** 2:
        solved = np.linalg.solve(matrix.toarray(), np.column_stack([right.toarray(), more]))
        zz = solved[:, : right.shape[0]]
        return 0.5 * (zz + zz.T), solved[:, right.shape[0] :]
    return _solve_blocks(matrix, right, more, label, sizes)


def _solve_blocks(matrix: Any, right: Any, more: FloatArray, label: Any, sizes: Any) -> tuple[Any, FloatArray]:
    from scipy.sparse import csr_array

    order = np.argsort(label, kind="stable")
    start = np.concatenate([[0], np.cumsum(sizes)])
    place = np.empty_like(order)
    place[order] = np.arange(order.size) - start[label[order]]
    rows, columns, values = [], [], []
    zx = np.empty_like(more)
    for size in np.unique(sizes):
        wanted = np.flatnonzero(sizes == size)
        members = order[start[wanted][:, None] + np.arange(size)]
        position = np.full(sizes.size, -1)
        position[wanted] = np.arange(wanted.size)
        left = _gather(matrix, label, place, position, (wanted.size, size, size))
        target = _gather(right, label, place, position, (wanted.size, size, size))
        solved = np.linalg.solve(left, np.concatenate([target, more[members]], axis=2))
        block = 0.5 * (solved[..., :size] + np.swapaxes(solved[..., :size], 1, 2))
        zx[members] = solved[..., size:]
        rows.append(np.repeat(members, size, axis=1).ravel())
        columns.append(np.tile(members, (1, size)).ravel())
        values.append(block.ravel())
    cells = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csr_array(cells, shape=right.shape), zx


def _gather(matrix: Any, label: Any, place: Any, position: Any, shape: tuple[int, int, int]) -> FloatArray:
    """The blocks of a sparse matrix that ``position`` numbers, dense."""
    coo = matrix.tocoo()
    block = position[label[coo.row]]
    inside = block >= 0
    out = np.zeros(shape)
    out[block[inside], place[coo.row[inside]], place[coo.col[inside]]] = coo.data[inside]
    return out
