"""Maximum a posteriori, maximum likelihood and weighted likelihood estimates of the traits of persons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.responses.data import MISSING, Responses
from jmix.spec.irt.spec import Block, IrtSpec, Values, unpack

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CHUNK = 8192
"""Most persons in one step."""

ENTRIES = 1 << 21
"""Most responses in one step, missing ones included."""

FAR = 40.0
"""Units of 1 / (slope of the flattest answered item), or of the prior sd, from which on an estimate is infinite."""


@dataclass(frozen=True, eq=False)
class PersonPrior:
    """Normal distribution of theta: mean (N, D) by person, covariance (G, D, D) by group."""

    mean: FloatArray
    covariance: FloatArray


@dataclass(frozen=True, eq=False)
class PersonEstimates:
    """Estimates by person: theta (N, D), and the information at them (N, D, D), by second derivatives.

    Where a likelihood has no maximum, components of theta are ``-inf`` or ``inf``; without any response theta is NaN.
    """

    theta: FloatArray
    information: FloatArray


@dataclass(frozen=True, eq=False)
class Batch:
    """Persons of one group whose responses go through together.

    Attributes:
        rows: (n,) of the responses. codes: (n, J) of all items; or (n, w) with items (n, w), -1 where there is none.
    """

    group: int
    rows: IntArray
    codes: npt.NDArray[np.int8]
    items: npt.NDArray[np.int32] | None


def estimate_persons(
    spec: IrtSpec, x: FloatArray, responses: Responses, prior: PersonPrior, start: FloatArray, method: str
) -> PersonEstimates:
    """Estimates of theta for every person.

    Args:
        x: (P,) free parameters. start: (N, D), such as EAP estimates. method: "MAP"; "ML"; "WLE", Warm (1989,
            Psychometrika 54, eq. 7) in one dimension and the likelihood times the root of the information's
            determinant (Jeffreys; Firth 1993, Biometrika 80) in several, where both agree for exponential families.
    """
    from jmix.estimate.irt.person_programs import ESTIMATE

    values = unpack(np, spec, np.asarray(x, dtype=np.float64))
    precision = np.linalg.inv(prior.covariance)
    theta, information = np.empty(start.shape), np.empty((*start.shape, start.shape[1]))
    for batch in batches(responses):
        kinds, parts = parts_of(spec, values, batch)
        sd = float(np.sqrt(np.einsum("dd->d", prior.covariance[batch.group]).max()))
        limit = far_limits(spec, values, batch, sd)
        fill = _filler(len(batch.rows), batch.codes.shape[0])
        arguments = (parts, fill(start[batch.rows]), fill(prior.mean[batch.rows]), precision[batch.group], limit)
        found = ESTIMATE(*arguments, kinds=kinds, method=method)
        n = len(batch.rows)
        values_, info, beyond = (np.asarray(v)[:n] for v in found)
        answered = np.any(batch.codes[:n] >= 0, axis=1)
        theta[batch.rows], information[batch.rows] = _settle(values_, info, beyond, limit[:n], answered, method)
    return PersonEstimates(theta, information)


def _settle(
    theta: FloatArray, info: FloatArray, beyond: FloatArray, limit: FloatArray, answered: Any, method: str
) -> tuple[FloatArray, FloatArray]:
    """Infinite where the likelihood has no maximum, NaN where there is no response."""
    theta, info = np.array(theta), np.array(info)
    if method == "MAP":
        return theta, info
    far = np.abs(theta) > 0.98 * limit[:, None]
    theta[far] = np.sign(theta[far]) * np.inf
    if theta.shape[1] == 1:
        gone = beyond != 0.0
        theta[gone, 0] = np.sign(beyond[gone]) * np.inf
    elif method == "ML":
        values, vectors = np.linalg.eigh(np.where(np.isfinite(info), info, 0.0))
        flat = ((values < 4.0 / limit[:, None] ** 2)[:, None, :] & (np.abs(vectors) > 1e-3)).any(axis=2)
        theta[flat] = np.sign(theta[flat]) * np.inf
    info[np.isinf(theta).all(axis=1)] = 0.0
    theta[~answered], info[~answered] = np.nan, 0.0
    return theta, info


def far_limits(spec: IrtSpec, values: Values, batch: Batch, sd: float) -> FloatArray:
    """(n,) beyond which an estimate of a person stands for infinity: where the flattest item's probabilities end."""
    sizes = np.zeros(len(spec.items))
    for block, slopes in zip(spec.blocks, values.slopes, strict=True):
        sizes[list(block.columns)] = np.abs(slopes[batch.group]).max(axis=1)
    with np.errstate(divide="ignore"):
        reach = np.where(sizes > 1e-3, 1.0 / sizes, 0.0)
    answered = batch.codes >= 0
    of = np.broadcast_to(reach, batch.codes.shape) if batch.items is None else reach[np.maximum(batch.items, 0)]
    return FAR * np.maximum(np.where(answered, of, 0.0).max(axis=1, initial=0.0), sd)


# --- batches --------------------------------------------------------------------------------------------------------
def batches(responses: Responses, chunk: int = CHUNK) -> Iterator[Batch]:
    """The persons by group in chunks, padded to a power of two with persons who answered nothing."""
    width = responses.n_items if responses.table is not None else 1
    chunk = min(chunk, max(32, 1 << (ENTRIES // max(width, 1)).bit_length() - 1))
    group = responses.group if responses.group is not None else np.zeros(responses.n_persons, dtype=np.int32)
    for g in range(responses.n_groups):
        rows = np.flatnonzero(group == g)
        if responses.table is not None:
            for i in range(0, rows.size, chunk):
                part = rows[i : i + chunk]
                yield Batch(g, part, _padded(responses.table[part], _size(part.size, chunk)), None)
        elif rows.size:
            yield from _sparse_batches(responses, g, rows, chunk)


def _sparse_batches(responses: Responses, g: int, rows: IntArray, chunk: int) -> Iterator[Batch]:
    long = responses.long
    assert long is not None
    counts = np.diff(long.start)[rows]
    rows = rows[np.argsort(counts, kind="stable")]
    counts = np.sort(counts)
    begin = 0
    while begin < rows.size:
        widest = _size(int(counts[min(begin + chunk, rows.size) - 1]), 1 << 30, least=4)
        size = min(chunk, max(32, ENTRIES // widest))
        part, n = rows[begin : begin + size], counts[begin : begin + size]
        begin += size
        width = _size(int(n[-1]), 1 << 30, least=4)
        places = long.start[part][:, None] + np.arange(width)
        given = np.arange(width) < n[:, None]
        places = np.where(given, places, 0)
        size = _size(part.size, chunk)
        codes = np.where(given, long.value[places], MISSING).astype(np.int8)
        items = np.where(given, long.item[places], -1).astype(np.int32)
        yield Batch(g, part, _padded(codes, size), _padded(items, size))


def _size(n: int, most: int, least: int = 32) -> int:
    return min(most, max(least, 1 << max(n - 1, 0).bit_length()))


def _padded(a: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    if a.shape[0] == size:
        return a
    return np.concatenate([a, np.full((size - a.shape[0], *a.shape[1:]), MISSING, dtype=a.dtype)])


def _filler(n: int, size: int) -> Any:
    """Pads the rows of what stands beside a batch with copies of the last one."""
    index = np.minimum(np.arange(size), n - 1)
    return lambda a: a[index]


def parts_of(spec: IrtSpec, values: Values, batch: Batch) -> tuple[Any, Any]:
    """Kinds and parts of a batch, as ``person_terms`` takes them."""
    from jmix.estimate.irt.person_terms import Part

    kinds, parts = [], []
    for block, slopes, own in zip(spec.blocks, values.slopes, values.own, strict=True):
        item, code = _of_block(block, batch, len(spec.items))
        parts.append(Part(slopes[batch.group], own[batch.group], item, code))
        kinds.append((block.kind, block.n_categories))
    return tuple(kinds), tuple(parts)


def _of_block(block: Block, batch: Batch, n_items: int) -> tuple[Any, Any]:
    columns = np.asarray(block.columns)
    if batch.items is None:
        whole = columns.size == n_items and np.array_equal(columns, np.arange(n_items))
        return None, batch.codes if whole else batch.codes[:, columns]
    place = np.full(n_items + 1, -1, dtype=np.int32)
    place[columns] = np.arange(columns.size)
    item = place[batch.items]  # -1 reads the last entry, which belongs to no item
    return np.maximum(item, 0), np.where(item >= 0, batch.codes, MISSING).astype(np.int8)
