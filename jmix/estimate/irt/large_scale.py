"""The scales of many parameters: complete-data information by item, and the directions that move the latent scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from jmix.estimate.irt.information import _item_information, _per_node
from jmix.estimate.irt.large_search import BlockRoot
from jmix.estimate.irt.sample import Sample
from jmix.likelihood.irt.sparse_scores import number_jacobian, owners
from jmix.spec.irt.spec import Block, IrtSpec, Values, unpack

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LEAST = 1e-4
"""Smallest information of a parameter, relative to the median, that is taken at its word."""

RIDGE = 1e-3
"""Added to the unit diagonal of each scaled block."""

SHARED = 200
"""Most parameters of several items whose information is taken as one block; more have a diagonal."""


@dataclass(frozen=True, eq=False)
class Scale:
    """Coordinates for a search.

    Attributes:
        root: blocks of the inverse root of the information. soft: (k, P) directions that move or stretch the latent
            scale, in x.
    """

    root: BlockRoot
    soft: FloatArray


def scale_of(spec: IrtSpec, x: FloatArray, sample: Sample, curvature: FloatArray | None = None) -> Scale:
    """Scales at x (P,).

    Args:
        curvature: (P,) negative second derivatives of the log prior, or None.
    """
    chain = number_jacobian(spec)
    information, shifts = _of_items(spec, unpack(np, spec, x), sample)
    by_x = sparse.csr_matrix(chain.T @ information @ chain)
    diagonal = by_x.diagonal() + latent_information(spec, unpack(np, spec, x), sample, chain)
    if curvature is not None:
        diagonal = diagonal + np.maximum(curvature, 0.0)
    by_x.setdiag(diagonal)
    return Scale(_root(by_x.tocoo(), owners(spec, chain)), _soft(shifts, chain))


def _of_items(spec: IrtSpec, values: Values, sample: Sample) -> tuple[Any, Any]:
    """(M, M) sparse information of all numbers; (M, 2 D) their changes with a shift and a stretch of each factor."""
    rows, columns, entries = [], [], []
    at, kind, moved = [], [], []
    d, m = spec.n_factors, len(spec.table.names)
    for b, block in enumerate(spec.blocks):
        for g in range(len(spec.groups)):
            local = _item_information(block, values, b, g) * sample.counts[g, list(block.columns)][:, None, None]
            index = np.concatenate([block.slopes[g], block.own[g]], axis=1)
            rows.append(np.broadcast_to(index[:, :, None], local.shape).ravel())
            columns.append(np.broadcast_to(index[:, None, :], local.shape).ravel())
            entries.append(local.ravel())
            answer = _answer(block, values, b, g)
            for f in range(d):
                slopes = values.slopes[b][g, :, f]
                at += [block.own[g].ravel(), block.slopes[g, :, f]]
                moved += [(answer * slopes[:, None]).ravel(), slopes]
                kind += [np.full(answer.size, 2 * f), np.full(slopes.size, 2 * f + 1)]
    flat = (np.concatenate(rows), np.concatenate(columns))
    information = sparse.csr_matrix((np.nan_to_num(np.concatenate(entries)), flat), shape=(m, m))
    places, which = np.concatenate(at), np.concatenate(kind)
    sums = sparse.csr_matrix((np.concatenate(moved), (places, which)), shape=(m, 2 * d))
    counts = np.maximum(np.bincount(places, minlength=m), 1)
    return information, sparse.diags(1.0 / counts) @ sums


def _answer(block: Block, values: Values, b: int, g: int) -> FloatArray:
    """(J, m) change of an item's own numbers that moves its probabilities about as a unit of eta does."""
    slopes, own = values.slopes[b][g], values.own[b][g]
    chol = values.chol[g]
    spread = np.sqrt(np.maximum(np.sum((slopes @ chol) ** 2, axis=1), 1e-12))
    eta = (slopes @ values.mean[g])[:, None] + spread[:, None] * np.linspace(-2.0, 2.0, 9)
    both = np.nan_to_num(_per_node(block, eta, own).sum(axis=-1))
    inner = both[:, 1:, 1:]
    ridge = 1e-9 * np.einsum("jii->j", inner) + 1e-300
    inner = inner + ridge[:, None, None] * np.eye(inner.shape[1])
    return np.asarray(np.linalg.solve(inner, both[:, 1:, :1])[..., 0])


def latent_information(spec: IrtSpec, values: Values, sample: Sample, chain: Any) -> FloatArray:
    """(P,) information of means, standard deviations, correlations and regressions, were theta observed."""
    out = np.zeros(chain.shape[0])
    for g, n in enumerate(sample.sizes):
        variance = np.sum(values.chol[g] ** 2, axis=1)
        np.add.at(out, spec.mean[g], n / variance)
        np.add.at(out, spec.sd[g], 2.0 * n / variance)
        np.add.at(out, spec.corr[g], n)
        if spec.regression is not None:
            np.add.at(out, spec.regression, n / variance)
    return np.asarray(chain.power(2).T @ out)


def _root(by_x: Any, owner: IntArray) -> BlockRoot:
    """Inverse roots of the blocks of a sparse information matrix."""
    p = owner.size
    shared = np.flatnonzero(owner < 0)
    label = owner.copy()
    label[shared] = owner.max(initial=-1) + 1 + (0 if shared.size <= SHARED else np.arange(shared.size))
    names, label = np.unique(label, return_inverse=True)
    order = np.argsort(label, kind="stable")
    sizes = np.bincount(label, minlength=names.size)
    within = np.empty(p, dtype=np.int64)
    within[order] = np.arange(p) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    k = int(sizes.max(initial=1))
    places = np.full((names.size, k), -1, dtype=np.int64)
    places[label, within] = np.arange(p)
    blocks = np.zeros((names.size, k, k))
    kept = label[by_x.row] == label[by_x.col]
    row, column = by_x.row[kept], by_x.col[kept]
    blocks[label[row], within[row], within[column]] = by_x.data[kept]
    return BlockRoot(places, _inverse_roots(blocks, places >= 0))


def _inverse_roots(blocks: FloatArray, real: npt.NDArray[np.bool_]) -> FloatArray:
    """(B, k, k) S with ``S S'`` the inverse of each block, its scaled eigenvalues kept off zero."""
    diagonal = np.einsum("bii->bi", blocks)
    positive = diagonal[real & (diagonal > 0)]
    floor = LEAST * float(np.median(positive)) if positive.size else 1.0
    size = np.sqrt(np.where(real, np.maximum(diagonal, floor), 1.0))
    scaled = blocks / (size[:, :, None] * size[:, None, :])
    k = blocks.shape[1]
    scaled[:, np.arange(k), np.arange(k)] = 1.0 + RIDGE
    values, vectors = np.linalg.eigh(scaled)
    root = vectors / np.sqrt(np.maximum(values, RIDGE))[:, None, :]
    return np.asarray(root / size[:, :, None])


def _soft(shifts: Any, chain: Any) -> FloatArray:
    """(k, P) the directions in x, where the free parameters can follow them."""
    counts = np.maximum(np.asarray((chain != 0).sum(axis=0)).ravel(), 1)
    rows = np.asarray((sparse.diags(1.0 / counts) @ chain.T @ shifts).todense()).T
    return np.asarray(rows[np.any(rows != 0.0, axis=1)])
