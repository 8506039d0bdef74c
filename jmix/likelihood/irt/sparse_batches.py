"""Posterior scores of persons in batches: each has entries for the items that were answered, and the latent numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.likelihood.irt.marginal import FloatArray
from jmix.likelihood.irt.sparse_kernel import normalise
from jmix.likelihood.irt.sparse_layout import SparseLayout
from jmix.likelihood.irt.sparse_model import Tables
from jmix.likelihood.irt.sparse_scores import Directions, Numbers
from jmix.runtime import Program, put

IntArray = npt.NDArray[np.int64]

BATCH_CELLS = 2**21
"""Numbers in one batch's array of scores at the nodes."""

SPREAD = 1.4
"""Ratio of the numbers of responses that share a batch, the fewer being padded."""


class Batch(NamedTuple):
    """Persons with about as many responses.

    Attributes:
        persons: (B,) rows of the data. rows: (B, w) rows of the table, the row of zeros where there is no response.
    """

    persons: IntArray
    rows: npt.NDArray[np.int32]


class Scores(NamedTuple):
    """Scores of a batch.

    Attributes:
        batch: the persons. places: (B, w L + V) among the U numbers that vary, -1 for none. mean: (B, w L + V)
            posterior means of the derivatives. covariance: (B, a, a) their posterior covariances times the weight.
    """

    batch: Batch
    places: IntArray
    mean: FloatArray
    covariance: FloatArray | None


def batches(layout: SparseLayout, cells: int) -> Iterator[tuple[Batch, int]]:
    """All persons, those with about as many responses together, and how many persons a full batch would hold.

    Args:
        cells: responses of a batch, padding counted.
    """
    start, zero = layout.long.start, layout.by_row[-1].shape[-1]
    sizes = np.diff(start)
    distinct = np.unique(np.maximum(sizes, 1))
    if distinct.size > 4:
        distinct = np.unique(np.ceil(distinct[-1] / SPREAD ** np.arange(40)).astype(np.int64))
    bucket = np.searchsorted(distinct, sizes)
    rows = np.append(layout.row, np.int32(zero))
    for place, width in enumerate(distinct):
        members = np.flatnonzero(bucket == place)
        full = max(1, min(members.size, int(cells // width)))
        for first in range(0, members.size, full):
            persons = members[first : first + full]
            real = np.arange(width) < sizes[persons][:, None]
            index = np.where(real, start[persons][:, None] + np.arange(width), layout.row.size)
            yield Batch(persons, rows[index]), full


def score_batches(
    marginal: Any, numbers: Numbers, given: Tables, directions: Directions, *, pairs: bool
) -> Iterator[Scores]:
    """Scores of all persons; covariances where ``pairs``."""
    layout, q = marginal.layout, given.rows.shape[1]
    length, zero = numbers.by_row.shape[1], numbers.by_row.shape[0] - 1
    weights, features = person_weights(marginal), marginal.data.persons.features
    own = None if features is None else layout.gather(np.asarray(features))
    for batch, full in batches(layout, max(1, BATCH_CELLS // (q * length))):
        b = batch.persons.size
        rows = np.full((full, batch.rows.shape[1]), zero, dtype=np.int32)
        weight = np.zeros(full)
        rows[:b], weight[:b] = batch.rows, weights[batch.persons]
        feature = None
        if own is not None:
            feature = np.zeros((full, own.shape[1]))
            feature[:b] = own[batch.persons]
        mean, covariance = _batch_scores(given, directions, put(rows), put(weight), put(feature), pairs=pairs)
        places = numbers.by_row[batch.rows].reshape(b, -1)
        shared = np.broadcast_to(numbers.latent_places, (b, numbers.latent.size))
        places = np.concatenate([places, shared], axis=1)
        yield Scores(batch, places, np.asarray(mean)[:b], np.asarray(covariance)[:b] if pairs else None)


def person_weights(marginal: Any) -> FloatArray:
    """(N,) weights of the persons."""
    return np.asarray(marginal.layout.gather(np.asarray(marginal.data.persons.weights)))


def _scores(
    given: Tables, directions: Directions, rows: Any, weights: Any, features: Any, *, pairs: bool
) -> tuple[Any, Any]:
    b = rows.shape[0]
    own = given.prior[0] if features is None else features @ given.prior
    posterior = normalise(jnp.sum(given.rows[rows], axis=1) + own)[1]
    local = directions.local[rows].reshape(b, -1, posterior.shape[1])
    shared = jnp.sum(directions.rows[:, rows], axis=2)
    if features is None:
        shared = shared + directions.prior[:, :1]
    else:
        shared = shared + jnp.einsum("bh,vhq->vbq", features, directions.prior)
    scores = jnp.concatenate([local, jnp.moveaxis(shared, 0, 1)], axis=1)
    mean = jnp.einsum("baq,bq->ba", scores, posterior)
    if not pairs:
        return mean, None
    apart = scores - mean[:, :, None]
    return mean, jnp.einsum("baq,bcq->bac", apart * (weights[:, None] * posterior)[:, None, :], apart)


_batch_scores = Program(_scores, static=("pairs",))
