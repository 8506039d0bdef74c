"""Persons in parts of equal size, each of one group, for likelihoods whose nodes or sums are made person by person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.likelihood.structure import Array
from jmix.responses.data import MISSING, Long, Responses
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]

LARGEST_TABLE = 2_000_000_000
"""Most cells, persons by items, of a table made from a list of responses."""

PER_PART = 1 << 18
"""Numbers that one intermediate array of a part holds: about what stays in the cache (measured, 2 cores)."""

MOST = 8192
"""Most persons in a part."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Persons:
    """Parts of n persons, persons on the last axis, an axis of parts first.

    Attributes:
        codes: for each block of items (parts, Jb, n) int8, ``MISSING`` where there is no response, or none at all in
            what fills up a part. weights: (parts, n), zero in what fills up. group: (parts,). covariates: (parts, p, n)
            or None. start: (parts, D, n) where the search of the modes begins, or None.
    """

    codes: tuple[Array, ...]
    weights: Array
    group: Array
    covariates: Array | None
    start: Array | None


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Which person stands in which place.

    Attributes:
        place: (N,) of all places of all parts.
    """

    place: npt.NDArray[np.int64]

    def unravel(self, values: Any) -> FloatArray:
        """(N, ...) in the order of the responses from (parts, ..., n)."""
        moved = np.moveaxis(np.asarray(values), -1, 1)
        return np.asarray(moved.reshape(-1, *moved.shape[2:])[self.place])


def table_of(responses: Responses) -> Codes:
    """(N, J) codes, from a list of responses if need be.

    Raises:
        ModelError: the table would be too large.
    """
    if responses.table is not None:
        return responses.table
    assert responses.long is not None
    return dense(responses.long, responses.n_persons, responses.n_items)


def dense(long: Long, n: int, j: int) -> Codes:
    """(N, J) codes of a list of responses.

    Raises:
        ModelError: the table would be too large.
    """
    if n * j > LARGEST_TABLE:
        raise ModelError(
            f"{n:,} persons by {j:,} items are too many cells for an adaptive, bifactor or cluster likelihood, which "
            'holds the responses as a table: use method="grid", which keeps sparse responses as a list'
        )
    table = np.full((n, j), MISSING, np.int8)
    table[long.person(), long.item] = long.value
    return table


def part_size(cells: int, sizes: npt.NDArray[np.intp]) -> int:
    """Persons in a part where each takes ``cells`` numbers in an intermediate array, for groups of these sizes."""
    wanted = int(np.clip(PER_PART // max(1, cells), 8, MOST))
    largest = max(1, int(sizes.max(initial=1)))
    return -(-largest // -(-largest // wanted))


def arrange(
    spec: IrtSpec, responses: Responses, cells: int, covariates: FloatArray | None = None, chunk: int | None = None
) -> tuple[Persons, Arrangement]:
    """Sort persons by group and cut them into parts.

    Args:
        cells: numbers per person in the largest intermediate array. covariates: (N, p). chunk: persons in a part.

    Raises:
        ModelError: the responses have other groups than the specification, or too many cells.
    """
    table, n = table_of(responses), responses.n_persons
    group = np.zeros(n, np.int32) if responses.group is None else responses.group
    if len(spec.groups) != max(1, responses.n_groups):
        raise ModelError(f"the model has {len(spec.groups)} groups and the responses have {responses.n_groups}")
    sizes = np.bincount(group, minlength=len(spec.groups))
    size = part_size(cells, sizes) if chunk is None else max(1, min(chunk, int(sizes.max(initial=1))))
    parts = np.maximum(1, -(-sizes // size))
    order = np.argsort(group, kind="stable")
    offset = np.repeat((np.cumsum(parts) - parts) * size, sizes)
    serial = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = np.empty(n, np.int64)
    place[order] = offset + serial
    weights = np.ones(n) if responses.weights is None else responses.weights
    shape = (int(parts.sum()), size)
    persons = Persons(
        codes=tuple(
            np.ascontiguousarray(_laid(table[:, list(block.columns)], place, shape, MISSING)) for block in spec.blocks
        ),
        weights=_laid(weights[:, None], place, shape, 0.0)[:, 0],
        group=np.repeat(np.arange(len(spec.groups), dtype=np.int32), parts),
        covariates=None if covariates is None else _laid(covariates, place, shape, 0.0),
        start=None,
    )
    return persons, Arrangement(place)


def _laid(rows: npt.NDArray[Any], place: npt.NDArray[np.int64], shape: tuple[int, int], fill: float) -> Any:
    """(parts, m, n) from rows (N, m)."""
    out = np.full((shape[0] * shape[1], rows.shape[1]), fill, rows.dtype)
    out[place] = rows
    return np.ascontiguousarray(out.reshape(*shape, -1).swapaxes(1, 2))
