"""From responses to the rows, strata and chunks of a grid likelihood."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError
from jmix.likelihood.irt.layout import ItemBlock, Rows
from jmix.responses.collapse import merge_patterns, missing_patterns, sum_scores, unique_rows
from jmix.responses.data import MISSING, Codes, FloatArray, IntArray, Responses
from jmix.spec.irt.spec import IrtSpec

Order = npt.NDArray[np.intp]

FEW = 64
"""Persons a pattern of missing responses must have on average for the patterns to be strata."""

SCORED = ("logistic", "gpcm", "rsm")
"""Kinds whose categories score 0, 1, ..., K - 1."""

SAMPLE = 4096
"""Persons looked at first when it is judged whether patterns repeat."""


@dataclass(frozen=True, eq=False)
class Persons:
    """The persons in the order in which they are computed.

    Attributes:
        x: (R, J) responses with the items of a block beside each other. u: (R, m) float features or None. weights: (R,)
            or None for ones. stratum: (R,) sorted, or None where there is one. place: (N,) row of each person, None
            where it is their own number. group: (S,) of each stratum. observed: (S, J) or None. complete: nothing is
            missing. masked: for each block, whether its missing responses take a feature.
    """

    x: Codes | None
    u: FloatArray | None
    weights: FloatArray | None
    stratum: IntArray | None
    place: Order | None
    group: IntArray
    observed: FloatArray | None
    complete: bool
    masked: tuple[bool, ...]

    @property
    def n(self) -> int:
        """R."""
        held = self.x if self.x is not None else self.u
        assert held is not None
        return int(held.shape[0])


def in_blocks(table: Codes, spec: IrtSpec) -> Codes:
    """The table with the columns of each block beside each other; itself, where they are."""
    order = [column for block in spec.blocks for column in block.columns]
    return table if order == list(range(table.shape[1])) else np.ascontiguousarray(table[:, order])


def item_blocks(spec: IrtSpec, masked: tuple[bool, ...]) -> tuple[ItemBlock, ...]:
    """The blocks with their places in the ordered table."""
    blocks, first = [], 0
    for block, mask in zip(spec.blocks, masked, strict=True):
        blocks.append(ItemBlock(block.kind, block.n_categories, first, len(block.columns), mask))
        first += len(block.columns)
    return tuple(blocks)


def scores_suffice(spec: IrtSpec) -> bool:
    """Whether the sum score is sufficient: one factor, scores 0, 1, ..., K - 1 and in each group one slope."""
    if spec.n_factors > 1 or any(block.kind not in SCORED for block in spec.blocks):
        return False
    fixed = np.ones(spec.table.values.size, dtype=bool)
    fixed[spec.table.free] = False
    for part in spec.linear:
        fixed[part.target] = False
    for g in range(len(spec.groups)):
        places = np.unique(np.concatenate([block.slopes[g].ravel() for block in spec.blocks]))
        same = fixed[places].all() and np.ptp(spec.table.values[places]) == 0
        if places.size > 1 and not same:
            return False
    return True


def persons_of(spec: IrtSpec, responses: Responses, covariates: FloatArray | None, most_strata: int) -> Persons:
    """Order the persons by group and, where few patterns of missing responses occur, by pattern.

    Args:
        covariates: (N, p), centred by group, or None. most_strata: groups times patterns beyond which missing responses
            are masked item by item.
    """
    assert responses.table is not None
    x = in_blocks(responses.table, spec)
    _check_codes(spec, responses, x)
    group = responses.group if responses.n_groups > 1 else None
    persons = Persons(
        x=x,
        u=covariates,
        weights=responses.weights,
        stratum=group,
        place=None,
        group=np.arange(responses.n_groups, dtype=np.int32),
        observed=None,
        complete=not x.size or int(x.min()) > MISSING,
        masked=(False,) * len(spec.blocks),
    )
    if persons.complete:
        return persons
    patterns = _missing_patterns(x, group, most_strata)
    if patterns is None:
        lacks = (x == MISSING).any(axis=0)
        return replace(persons, masked=tuple(bool(lacks[b.columns].any()) for b in item_blocks(spec, persons.masked)))
    stratum, observed, of_group = patterns
    return replace(persons, stratum=stratum, observed=observed, group=of_group)


def _check_codes(spec: IrtSpec, responses: Responses, x: Codes) -> None:
    """Raise DataError where a response is a category that the model does not have."""
    least = min(block.n_categories for block in spec.blocks)
    if not x.size or int(x.max()) < least:
        return
    largest = x.max(axis=0)
    for block in item_blocks(spec, (False,) * len(spec.blocks)):
        wrong = np.flatnonzero(largest[block.columns] >= block.n_categories)
        if wrong.size:
            at = block.first + int(wrong[0])
            column = [c for b in spec.blocks for c in b.columns][at]
            raise DataError(
                f"item '{responses.items[column]}' has a response coded {largest[at]}, but the model has "
                f"{block.n_categories} categories, coded 0 to {block.n_categories - 1}: read the responses with the "
                "categories of the fitted data"
            )


def _missing_patterns(x: Codes, group: IntArray | None, most: int) -> tuple[IntArray, FloatArray, IntArray] | None:
    """Stratum (N,), observed (S, J) and group (S,), or None where patterns are too many to be strata."""
    most = min(most, max(2, x.shape[0] // FEW))
    if missing_patterns(x[:: -(-x.shape[0] // SAMPLE)])[0].shape[0] > most:
        return None
    patterns, code = missing_patterns(x)
    if patterns.shape[0] > most:
        return None
    if group is None:
        return code, patterns.astype(np.float64), np.zeros(patterns.shape[0], dtype=np.int32)
    both, stratum = np.unique(code.astype(np.int64) + patterns.shape[0] * group.astype(np.int64), return_inverse=True)
    if both.size > most:
        return None
    of_group, pattern = np.divmod(both, patterns.shape[0])
    return stratum.astype(np.int32), patterns[pattern].astype(np.float64), of_group.astype(np.int32)


def scored(persons: Persons) -> Persons:
    """Each person's sum score, a float feature, in the place of the responses; equal persons merged."""
    assert persons.x is not None
    score = sum_scores(persons.x)
    key = score.astype(np.int64)
    if persons.stratum is not None:
        key = key + (int(score.max(initial=0)) + 1) * persons.stratum.astype(np.int64)
    u = score[:, None].astype(np.float64)
    if persons.u is not None:
        return _merged(replace(persons, x=None, u=np.column_stack([u, persons.u])), key)
    # without covariates rows are few and their numbers small: no hash
    weights = np.bincount(key, weights=persons.weights).astype(np.float64)
    held = np.flatnonzero(np.bincount(key))
    row = np.zeros(weights.size, dtype=np.intp)
    row[held] = np.arange(held.size)
    stratum, points = np.divmod(held, int(score.max(initial=0)) + 1)
    return replace(
        persons,
        x=None,
        u=points[:, None].astype(np.float64),
        weights=weights[held],
        stratum=None if persons.stratum is None else stratum.astype(np.int32),
        place=row[key],
    )


def merged(persons: Persons) -> Persons:
    """Persons with the same responses, stratum and covariates as one with a weight, where that saves rows."""
    return _merged(persons, persons.stratum)


def _merged(persons: Persons, key: Any) -> Persons:
    """Merge the rows of equal key, responses and covariates."""
    if persons.u is not None:
        seen = persons.u.astype(np.float64).view(np.int8)
        if unique_rows(seen[:SAMPLE])[1].size > min(SAMPLE, persons.n) // 4:
            return persons
        code = unique_rows(np.ascontiguousarray(seen))[0].astype(np.int64)
        key = code if key is None else code + (int(code.max()) + 1) * key.astype(np.int64)
    table = persons.x if persons.x is not None else np.zeros((persons.n, 0), dtype=np.int8)
    patterns = merge_patterns(table, persons.weights, key)
    if patterns.table.shape[0] == persons.n:
        return persons
    first = patterns.first
    return replace(
        persons,
        x=None if persons.x is None else patterns.table,
        u=None if persons.u is None else persons.u[first],
        weights=patterns.weights,
        stratum=None if persons.stratum is None else persons.stratum[first],
        place=patterns.inverse.astype(np.intp),
    )


def in_strata(persons: Persons) -> Persons:
    """The rows in the order of their strata; copied only where they are not."""
    stratum = persons.stratum
    if stratum is None or bool(np.all(stratum[1:] >= stratum[:-1])):
        return persons
    order = np.argsort(stratum, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(order.size)

    def take(a: Any) -> Any:
        return None if a is None else a[order]

    return replace(
        persons,
        x=take(persons.x),
        u=take(persons.u),
        weights=take(persons.weights),
        stratum=stratum[order],
        place=place if persons.place is None else place[persons.place],
    )


def chunked(persons: Persons, chunk: int, room: int | None = None) -> Rows:
    """Cut each stratum into chunks; the last ones of a stratum reach into their neighbours, whose rows do not count.

    Args:
        room: rows that there are, R or more.
    """
    n = persons.n
    ends = np.array([0, n])
    if persons.stratum is not None:
        ends = np.searchsorted(persons.stratum, np.arange(persons.group.size + 1))
    first, last, owner = [], [], []
    for s in range(ends.size - 1):
        begin = np.arange(ends[s], ends[s + 1], chunk)
        first.append(begin)
        last.append(np.minimum(begin + chunk, ends[s + 1]))
        owner.append(np.full(begin.size, s))
    begin, end = np.concatenate(first), np.concatenate(last)
    start = np.minimum(begin, (room or n) - chunk)
    return Rows(
        x=persons.x,
        u=persons.u,
        weights=persons.weights,
        start=start.astype(np.int32),
        low=(begin - start).astype(np.int32),
        high=(end - start).astype(np.int32),
        stratum=np.concatenate(owner).astype(np.int32),
    )
