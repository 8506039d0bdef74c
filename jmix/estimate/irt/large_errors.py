"""Standard errors by item: the information of an item's own parameters, all others held fixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from jmix.estimate.irt.information import _per_node
from jmix.estimate.irt.large_scale import latent_information
from jmix.estimate.irt.sample import Sample
from jmix.likelihood.irt.marginal import Marginal
from jmix.likelihood.irt.sparse_scores import number_jacobian, owners
from jmix.spec.irt.spec import IrtSpec, unpack

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Blocks = list[tuple[IntArray, FloatArray]]

NODES = 101
"""Points that stand for the distribution of theta in the data."""

DRAWS = 256
"""Points that stand for a population of several factors or of one group among several."""

FLAT = 1e-9
"""Eigenvalue of a scaled block at and below which its parameters are not identified."""


def observed_blocks(marginal: Marginal, sample: Sample, x: FloatArray) -> Blocks:
    """For each item the places of its parameters in x and their information.

    The exact one (Louis 1982) where the likelihood offers it, as for sparse data; otherwise the expected information
    with theta distributed as the persons' posterior distributions are, which long tests make the same. What several
    items share, and the latent distribution, have the information of complete data, one by one.
    """
    spec, own = marginal.spec, getattr(marginal, "item_blocks", None)
    blocks: Blocks = [] if own is None else [(places, -block) for places, block in own(x)]
    if own is not None and not _missing(blocks, x.size).size:
        return blocks
    chain = number_jacobian(spec)
    by_x = sparse.csr_matrix(chain.T @ _information(marginal, sample, x) @ chain)
    if own is None:
        blocks = _expected_blocks(spec, chain, by_x)
    alone = by_x.diagonal() + latent_information(spec, unpack(np, spec, x), sample, chain)
    return blocks + [(np.array([i]), alone[i : i + 1, None]) for i in _missing(blocks, x.size)]


def block_inverse(blocks: Blocks, added: FloatArray, p: int) -> tuple[Any, BoolArray, float]:
    """Inverse of a block-diagonal information matrix as a sparse (P, P) matrix.

    Args:
        blocks: of all P parameters. added: (P,) information of the prior, on the diagonal.

    Returns:
        The inverse, with infinite variances where a block does not identify a parameter; (P,) which these are; and the
        least eigenvalue of the blocks, each scaled to a unit diagonal.
    """
    rows, columns, values = [], [], []
    lost, least = np.zeros(p, dtype=np.bool_), 1.0
    for size, places, stack in _by_size(blocks):
        stack[:, np.arange(size), np.arange(size)] += added[places]
        scale = np.sqrt(np.maximum(np.abs(np.einsum("bii->bi", stack)), 1e-300))
        scaled = stack / (scale[:, :, None] * scale[:, None, :])
        eigen, vectors = np.linalg.eigh(np.where(np.isfinite(scaled), scaled, 0.0))
        use = eigen > FLAT
        finite = np.all(np.isfinite(scaled), axis=(1, 2))
        bad = np.any((np.abs(vectors) > 0.05) & ~use[:, None, :], axis=2) | ~finite[:, None]
        inverse = np.einsum("bik,bk,bjk->bij", vectors, np.where(use, 1.0 / np.where(use, eigen, 1.0), 0.0), vectors)
        inverse = inverse / (scale[:, :, None] * scale[:, None, :])
        inverse[bad[:, :, None] | bad[:, None, :]] = 0.0
        at = np.nonzero(bad)
        inverse[at[0], at[1], at[1]] = np.inf
        lost[places[bad]] = True
        least = min(least, float(eigen.min(initial=1.0)))
        rows.append(np.broadcast_to(places[:, :, None], stack.shape).ravel())
        columns.append(np.broadcast_to(places[:, None, :], stack.shape).ravel())
        values.append(inverse.ravel())
    out = sparse.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(p, p))
    return out, lost, least


def _missing(blocks: Blocks, p: int) -> IntArray:
    covered = np.zeros(p, dtype=np.bool_)
    for places, _ in blocks:
        covered[places] = True
    return np.flatnonzero(~covered)


def _by_size(blocks: Blocks) -> list[tuple[int, IntArray, FloatArray]]:
    """Blocks of equal size together: places (B, k) and matrices (B, k, k)."""
    groups: dict[int, Blocks] = {}
    for places, block in blocks:
        groups.setdefault(places.size, []).append((places, block))
    return [(k, np.stack([p for p, _ in own]), np.stack([b for _, b in own])) for k, own in groups.items()]


def _expected_blocks(spec: IrtSpec, chain: Any, by_x: Any) -> Blocks:
    """The blocks of a sparse information matrix (P, P) that belong to one item each."""
    information = by_x.tocoo()
    owner = owners(spec, chain)
    order = np.argsort(owner, kind="stable")
    order = order[owner[order] >= 0]
    sizes = np.bincount(owner[order], minlength=len(spec.items))
    first = np.cumsum(sizes) - sizes
    within = np.full(owner.size, -1)
    within[order] = np.arange(order.size) - first[owner[order]]
    k = int(sizes.max(initial=1))
    stack = np.zeros((len(spec.items), k, k))
    row, column = information.row, information.col
    kept = (owner[row] >= 0) & (owner[row] == owner[column])
    stack[owner[row[kept]], within[row[kept]], within[column[kept]]] = information.data[kept]
    return [
        (order[begin : begin + size], stack[item, :size, :size])
        for item, (begin, size) in enumerate(zip(first, sizes, strict=True))
        if size
    ]


def _information(marginal: Marginal, sample: Sample, x: FloatArray) -> Any:
    """(M, M) sparse expected information of all numbers, theta distributed as in the data."""
    spec, values = marginal.spec, unpack(np, marginal.spec, x)
    theta, weights = _points(marginal, x)
    rows, columns, entries = [], [], []
    for b, block in enumerate(spec.blocks):
        for g in range(len(spec.groups)):
            slopes, own = values.slopes[b][g], values.own[b][g]
            points = theta if theta is not None else _population(spec, values, g)
            share = weights if weights is not None else np.full(len(points), 1.0 / len(points))
            both = _per_node(block, slopes @ points.T, own) * share
            local = _with_slopes(both, points) * sample.counts[g, list(block.columns)][:, None, None]
            index = np.concatenate([block.slopes[g], block.own[g]], axis=1)
            rows.append(np.broadcast_to(index[:, :, None], local.shape).ravel())
            columns.append(np.broadcast_to(index[:, None, :], local.shape).ravel())
            entries.append(np.nan_to_num(local).ravel())
    m = len(spec.table.names)
    return sparse.csr_matrix((np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))), shape=(m, m))


def _with_slopes(both: FloatArray, theta: FloatArray) -> FloatArray:
    """(J, D + m, D + m) from the information (J, 1 + m, 1 + m, Q) of eta and the own numbers at theta (Q, D)."""
    d, m = theta.shape[1], both.shape[1] - 1
    out = np.empty((both.shape[0], d + m, d + m))
    out[:, :d, :d] = np.einsum("jq,qd,qe->jde", both[:, 0, 0], theta, theta, optimize=True)
    out[:, :d, d:] = np.einsum("jmq,qd->jdm", both[:, 0, 1:], theta, optimize=True)
    out[:, d:, :d] = np.swapaxes(out[:, :d, d:], 1, 2)
    out[:, d:, d:] = both[:, 1:, 1:].sum(axis=-1)
    return out


def _points(marginal: Marginal, x: FloatArray) -> tuple[FloatArray | None, FloatArray | None]:
    """Points (Q, 1) and weights (Q,) of the mixture of the persons' posteriors; None in groups or several factors."""
    spec = marginal.spec
    if spec.n_factors > 1 or len(spec.groups) > 1:
        return None, None
    found = marginal.moments(x)
    mean, sd = found.mean[:, 0], np.sqrt(np.maximum(found.covariance[:, 0, 0], 0.0))
    both = np.concatenate([mean - sd, mean + sd])
    low, high = float(both.min()), float(both.max())
    if not high > low:
        return None, None
    edges = np.linspace(low, high, NODES + 1)
    counts = np.histogram(both, edges)[0].astype(np.float64)
    sums = np.histogram(both, edges, weights=both)[0]
    kept = counts > 0
    return (sums[kept] / counts[kept])[:, None], counts[kept] / counts.sum()


def _population(spec: IrtSpec, values: Any, g: int) -> FloatArray:
    """(Q, D) points that stand for the distribution of theta in a group."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    points = qmc.Halton(spec.n_factors, scramble=True, seed=0).random(DRAWS)
    return np.asarray(values.mean[g] + ndtri(np.clip(points, 1e-6, 1 - 1e-6)) @ values.chol[g].T)
