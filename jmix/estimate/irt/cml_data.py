"""Sufficient statistics of conditional maximum likelihood: item totals, and scores by the set of items answered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError
from jmix.responses.checks import listed
from jmix.responses.collapse import missing_patterns, sum_scores
from jmix.responses.connected import conditional_components
from jmix.responses.convert import as_long
from jmix.responses.data import FloatArray, IntArray, Long, Responses

Index = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class CmlData:
    """What the conditional likelihood of the Rasch family needs of the data.

    The C categories above the lowest of all items are numbered item by item.

    Attributes:
        items: J names. owner: (C,) item of each category. step: (C,) the category, 1 to K_j - 1.
        totals: (C,) weighted number of persons with neither the lowest nor the highest score who chose it.
        places: (L, M, K - 1) category of the l-th answered item of each of M sets of items; C where there is none.
        counts: (M, R + 1) weighted number of persons by score, without the lowest and the highest.
        pattern: (N,) set of items of each person; -1 without responses. score: (N,). maximum: (M,) highest score.
        n_persons: with responses. n_used: who have neither the lowest nor the highest score.
    """

    items: tuple[str, ...]
    owner: IntArray
    step: IntArray
    totals: FloatArray
    places: Index
    counts: FloatArray
    pattern: IntArray
    score: IntArray
    maximum: IntArray
    n_persons: int
    n_used: int

    @property
    def n_categories(self) -> int:
        """C."""
        return int(self.owner.size)

    @property
    def complete(self) -> bool:
        """Whether all persons answered the same items."""
        return self.counts.shape[0] == 1 and self.places.shape[0] == len(self.items)


def cml_data(responses: Responses) -> CmlData:
    """Reduce responses.

    Raises:
        DataError: the estimates do not exist: some items cannot be compared with the others because no person who is
            informative links them, or a category was chosen by nobody informative.
    """
    _check_existence(responses)
    top = np.array(responses.n_categories, dtype=np.int32) - 1
    owner = np.repeat(np.arange(responses.n_items, dtype=np.int32), top)
    offset = np.concatenate([[0], np.cumsum(top)])[:-1]
    step = (np.arange(owner.size) - offset[owner] + 1).astype(np.int32)
    answered, pattern, score = _patterns(responses)
    maximum = (answered @ top).astype(np.int32)
    used = (pattern >= 0) & (score > 0) & (score < maximum[pattern])
    weight = np.where(used, 1.0 if responses.weights is None else responses.weights, 0.0)
    counts = np.bincount(
        pattern[used].astype(np.int64) * (maximum.max() + 1) + score[used],
        weights=weight[used],
        minlength=maximum.size * (maximum.max() + 1),
    )
    totals = _totals(responses, weight, offset, owner.size)
    _check_totals(responses, totals, owner, step)
    lowest = counts.reshape(maximum.size, -1).sum(axis=1) @ answered - np.bincount(owner, weights=totals)
    _check_lowest(responses, lowest, float(weight.sum()))
    return CmlData(
        responses.items,
        owner,
        step,
        totals,
        _places(answered, offset, top),
        counts.reshape(maximum.size, -1).astype(np.float64),
        pattern,
        score,
        maximum,
        int((pattern >= 0).sum()),
        int(used.sum()),
    )


def _patterns(responses: Responses) -> tuple[npt.NDArray[np.bool_], IntArray, IntArray]:
    """(M, J) sets of answered items, (N,) the set of each person (-1 for none) and (N,) scores."""
    if responses.table is not None:
        answered, pattern = missing_patterns(responses.table)
        score = sum_scores(responses.table)
    else:
        long = as_long(responses)
        answered, pattern = _long_patterns(long, responses.n_items)
        sums = np.concatenate([[0], np.cumsum(long.value, dtype=np.int64)])
        score = (sums[long.start[1:]] - sums[long.start[:-1]]).astype(np.int32)
    some = answered.any(axis=1)
    new = np.where(some, np.cumsum(some) - 1, -1).astype(np.int32)
    return answered[some], new[pattern], score


def _long_patterns(long: Long, n_items: int) -> tuple[npt.NDArray[np.bool_], IntArray]:
    found: dict[bytes, int] = {}
    pattern = np.array(
        [
            found.setdefault(long.item[a:b].tobytes(), len(found))
            for a, b in zip(long.start, long.start[1:], strict=False)
        ],
        dtype=np.int32,
    )
    answered = np.zeros((len(found), n_items), dtype=bool)
    for key, row in found.items():
        answered[row, np.frombuffer(key, dtype=np.int32)] = True
    return answered, pattern


def _totals(responses: Responses, weight: FloatArray, offset: npt.NDArray[np.intp], n: int) -> FloatArray:
    if responses.long is not None:
        long = responses.long
        above = long.value > 0
        place = offset[long.item[above]] + long.value[above] - 1
        return np.bincount(place, weights=weight[long.person()[above]], minlength=n).astype(np.float64)
    assert responses.table is not None
    out = np.zeros(n)
    step = max(1, (1 << 23) // responses.n_items)
    for start in range(0, responses.n_persons, step):
        part, own = responses.table[start : start + step], weight[start : start + step]
        for k in range(1, max(responses.n_categories)):
            has = np.flatnonzero(np.array(responses.n_categories) > k)
            out[offset[has] + k - 1] += own @ (part[:, has] == k)
    return out


def _places(answered: npt.NDArray[np.bool_], offset: npt.NDArray[np.intp], top: IntArray) -> Index:
    m, n = answered.shape[0], int(top.sum())
    length = int(answered.sum(axis=1).max())
    item = np.argsort(~answered, axis=1, kind="stable")[:, :length]
    there = np.take_along_axis(answered, item, axis=1)
    k = np.arange(int(top.max()))
    places = np.where(there[:, :, None] & (k < top[item][:, :, None]), offset[item][:, :, None] + k, n)
    return np.ascontiguousarray(places.reshape(m, length, -1).transpose(1, 0, 2)).astype(np.int32)


def _check_existence(responses: Responses) -> None:
    if responses.n_items < 2:
        raise DataError("conditional estimates compare items with each other: there must be two or more")
    part = conditional_components(responses)
    if part.max() == 0:
        return
    sizes = np.bincount(part)
    small = np.flatnonzero(part != np.argmax(sizes))
    names = listed([repr(responses.items[j]) for j in small])
    raise DataError(
        f"conditional estimates do not exist: no persons with both successes and failures link {names} with the other "
        "items in both directions (Fischer 1981). Leave these items out, or use the marginal likelihood with priors"
    )


def _check_totals(responses: Responses, totals: FloatArray, owner: IntArray, step: IntArray) -> None:
    empty = np.flatnonzero(totals == 0.0)
    if empty.size:
        first = empty[0]
        label = responses.categories[owner[first]][step[first]]
        raise DataError(
            f"conditional estimates do not exist: category {label} of item {responses.items[owner[first]]!r} was "
            "chosen only by persons with the lowest or the highest score; merge it with a neighbour, or leave the "
            "item out"
        )


def _check_lowest(responses: Responses, lowest: FloatArray, total: float) -> None:
    """``lowest``: (J,) informative persons in the lowest category."""
    empty = np.flatnonzero(lowest <= 1e-12 * total)
    if empty.size:
        j = int(empty[0])
        raise DataError(
            f"conditional estimates do not exist: category {responses.categories[j][0]} of item "
            f"{responses.items[j]!r} was chosen only by persons with the lowest score; merge it with its neighbour, or "
            "leave the item out"
        )
