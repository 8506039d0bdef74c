"""Exact Hessian, cross-product of scores and item information of sparse data, by Louis's identity.

With ``s_iq`` the derivatives of a person's complete-data log likelihood at node q, ``H = sum_q n_q d2 + sum_i w_i
Cov_i(s_i)`` and ``g_i = E_i[s_i]`` (Louis 1982, J. R. Stat. Soc. B 44, 226-233). A person's ``s_i`` has entries for the
items that he answered alone, so that the work is the number of pairs of responses within persons.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from jmix.errors import ModelError
from jmix.likelihood.irt.marginal import FloatArray
from jmix.likelihood.irt.sparse_batches import IntArray, person_weights, score_batches
from jmix.likelihood.irt.sparse_kernel import Counts, count, tables_at
from jmix.likelihood.irt.sparse_model import Shape
from jmix.likelihood.irt.sparse_scores import (
    Numbers,
    Seconds,
    constants_at,
    directions_at,
    numbers_of,
    owners,
    seconds_at,
)
from jmix.runtime import Program

LARGEST = 6000
"""Most parameters of which a full matrix is formed: 300 MB."""


def expected_counts(marginal: Any, x: FloatArray) -> Counts:
    """Log likelihood, expected number of persons at each node who gave each response (G F, Q), and of the prior."""
    return Counts(*_count(x, marginal.data, **marginal.static))


def hessian(marginal: Any, x: FloatArray) -> FloatArray:
    """(P, P) second derivatives of the log likelihood."""
    numbers = numbers_of(marginal.spec)
    _check_size(numbers)
    given, directions = directions_at(marginal, numbers, x)
    out = _expected_part(numbers, seconds_at(marginal, numbers, x, expected_counts(marginal, x)))
    flat, size = out.reshape(-1), out.shape[0]
    for part in score_batches(marginal, numbers, given, directions, pairs=True):
        places = np.where(part.places < 0, size - 1, part.places)
        assert part.covariance is not None
        np.add.at(flat, places[:, :, None] * size + places[:, None, :], part.covariance)
    chain = numbers.chain
    full = np.asarray(chain.T @ (chain.T @ out[:-1, :-1]).T)
    return 0.5 * (full + full.T)


def cross_product(marginal: Any, x: FloatArray) -> FloatArray:
    """(P, P) ``sum_i w_i g_i g_i'``."""
    numbers = numbers_of(marginal.spec)
    _check_size(numbers)
    given, directions = directions_at(marginal, numbers, x)
    apart, weights = constants_at(marginal, numbers, x), person_weights(marginal)
    out = np.zeros((marginal.spec.n_free, marginal.spec.n_free))
    for part in score_batches(marginal, numbers, given, directions, pairs=False):
        persons, real = part.batch.persons, part.places >= 0
        row = np.broadcast_to(np.arange(persons.size)[:, None], real.shape)[real]
        entries = (part.mean[real], (row, part.places[real]))
        scores = sparse.csr_matrix(entries, shape=(persons.size, numbers.used.size))
        if apart is not None:
            full = np.zeros((persons.size, numbers.used.size))
            full[:, numbers.latent_places] = apart[persons]
            scores = scores + sparse.csr_matrix(full)
        by_x = sparse.csr_matrix(scores @ numbers.chain)
        out += (by_x.T @ by_x.multiply(weights[persons][:, None])).toarray()
    return out


def item_blocks(marginal: Any, x: FloatArray) -> list[tuple[IntArray, FloatArray]]:
    """The block of the Hessian of each item: places in x and second derivatives.

    What several items share, and the latent distribution, have no block.
    """
    numbers = numbers_of(marginal.spec)
    given, directions = directions_at(marginal, numbers, x)
    counts = expected_counts(marginal, x)
    local = np.asarray(directions.local)[:-1]
    by_row = np.einsum("fcq,fq,feq->fce", local, np.asarray(counts.rows), local, optimize=True)
    by_row -= _squared_means(marginal, numbers, given, directions)
    seconds = seconds_at(marginal, numbers, x, counts).local
    n_groups, at = len(marginal.spec.groups), 0
    by_row = by_row.reshape(n_groups, -1, *by_row.shape[1:])
    out: list[tuple[IntArray, FloatArray]] = []
    owner = owners(marginal.spec, numbers.jacobian)
    for block, second, places in zip(marginal.spec.blocks, seconds, numbers.by_block, strict=True):
        width, k = len(block.columns), block.n_categories
        own = by_row[:, at : at + width * k].reshape(n_groups, width, k, *by_row.shape[2:]).sum(axis=2)
        own += np.asarray(second)
        at += width * k
        for item in range(width):
            out += _one_item(numbers, places[:, item], own[:, item], owner)
    return out


def _one_item(
    numbers: Numbers, places: IntArray, blocks: FloatArray, owner: IntArray
) -> list[tuple[IntArray, FloatArray]]:
    """Sum of an item's blocks (G, L, L) over groups, in x."""
    use = np.unique(places[places >= 0])
    total = np.zeros((use.size, use.size))
    for own, block in zip(places, blocks, strict=True):
        real = np.flatnonzero(own >= 0)
        at = np.searchsorted(use, own[real])
        np.add.at(total, (at[:, None], at[None, :]), block[np.ix_(real, real)])
    chain = numbers.chain[use]
    columns = np.unique(chain.indices)
    columns = columns[owner[columns] >= 0]
    if not columns.size:
        return []
    dense = chain[:, columns].toarray()
    return [(columns, dense.T @ total @ dense)]


def _squared_means(marginal: Any, numbers: Numbers, given: Any, directions: Any) -> FloatArray:
    """(G F, L, L) sums over responses of ``w E[s] E[s]'`` with the scores of each row by its own numbers."""
    length, n_rows = numbers.by_row.shape[1], numbers.by_row.shape[0]
    out = np.zeros((n_rows, length * length))
    weights = person_weights(marginal)
    for part in score_batches(marginal, numbers, given, directions, pairs=False):
        width = part.batch.rows.shape[1]
        own = part.mean[:, : width * length].reshape(-1, length)
        weight, rows = np.repeat(weights[part.batch.persons], width), part.batch.rows.reshape(-1)
        sums = sparse.csr_matrix((weight, (rows, np.arange(rows.size))), shape=(n_rows, rows.size))
        out += sums @ (own[:, :, None] * own[:, None, :]).reshape(rows.size, -1)
    return out[:-1].reshape(-1, length, length)


def _expected_part(numbers: Numbers, seconds: Seconds) -> FloatArray:
    """(U + 1, U + 1) expected second derivatives by the numbers that vary; the last row takes what does not."""
    size = numbers.used.size + 1
    out = np.zeros((size, size))
    shared = numbers.latent_places
    for places, local, cross in zip(numbers.by_block, seconds.local, seconds.cross, strict=True):
        at = np.where(places < 0, size - 1, places)
        np.add.at(out, (at[..., :, None], at[..., None, :]), np.nan_to_num(np.asarray(local)))
        both = np.nan_to_num(np.asarray(cross))
        np.add.at(out, (shared[:, None, None, None], at[None]), both)
        np.add.at(out, (at[None], shared[:, None, None, None]), both)
    out[np.ix_(shared, shared)] += np.asarray(seconds.latent)[:, numbers.latent]
    return out


def _check_size(numbers: Numbers) -> None:
    if numbers.used.size > LARGEST:
        raise ModelError(
            f"a matrix of {numbers.used.size:,} parameters does not fit in memory: use se='item' (standard errors by "
            "item) or se='none'"
        )


def _counts(x: Any, data: Any, *, shape: Shape, precision: str) -> Counts:
    return count(tables_at(shape, x, data), data.persons, precision)


_count = Program(_counts, static=("shape", "precision"))
