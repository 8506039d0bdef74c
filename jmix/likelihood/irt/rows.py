"""From responses to the rows, strata and chunks of a grid likelihood."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.likelihood.irt.layout import ItemBlock, Rows
from jmix.responses.data import MISSING, Codes, FloatArray, IntArray, Responses
from jmix.spec.irt.spec import IrtSpec

Order = npt.NDArray[np.intp]

FEW = 64
"""Persons a pattern of missing responses must have on average for the patterns to be strata."""

MOST_STRATA = 512
"""Strata beyond which missing responses are masked item by item."""

SAMPLE = 4096
"""Persons looked at first when patterns are counted."""


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


def persons_of(spec: IrtSpec, responses: Responses, covariates: FloatArray | None = None) -> Persons:
    """Order the persons by group and, where few patterns of missing responses occur, by pattern.

    Args:
        covariates: (N, p), centred by group, or None.
    """
    assert responses.table is not None
    x = in_blocks(responses.table, spec)
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
    if not persons.complete:
        patterns = _missing_patterns(x, group)
        if patterns is None:
            lacks = (x == MISSING).any(axis=0)
            masked = tuple(bool(lacks[b.columns].any()) for b in item_blocks(spec, persons.masked))
            persons = replace(persons, masked=masked)
        else:
            stratum, observed, of_group = patterns
            persons = replace(persons, stratum=stratum, observed=observed, group=of_group)
    return _sorted(persons)


def _missing_patterns(x: Codes, group: IntArray | None) -> tuple[IntArray, FloatArray, IntArray] | None:
    """Stratum (N,), observed (S, J) and group (S,), or None where patterns are too many to be strata."""
    if group is not None and x.shape[0] > SAMPLE:
        pass
    sample = x[:: max(1, x.shape[0] // SAMPLE)] >= 0
    if _codes(sample)[1].shape[0] > max(2, min(MOST_STRATA, sample.shape[0] // 8)):
        return None
    code, first = _codes(x >= 0)
    if group is not None:
        code = code * (int(group.max()) + 1) + group
        _, first, code = np.unique(code, return_index=True, return_inverse=True)
    if first.size > min(MOST_STRATA, max(2, x.shape[0] // FEW)):
        return None
    observed = (x[first] >= 0).astype(np.float64)
    of_group = np.zeros(first.size, dtype=np.int32) if group is None else group[first].astype(np.int32)
    return code.astype(np.int32), observed, of_group


def _codes(answered: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], Order]:
    """The pattern of each row as a code, and the first row of each pattern."""
    packed = np.ascontiguousarray(np.packbits(answered, axis=1))
    width = packed.shape[1]
    _, first, code = np.unique(packed.view(f"V{width}").reshape(-1), return_index=True, return_inverse=True)
    return code.astype(np.int64), first


def _sorted(persons: Persons) -> Persons:
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


def chunked(persons: Persons, chunk: int) -> Rows:
    """Cut each stratum into chunks; the last ones of a stratum reach into their neighbours, whose rows do not count."""
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
    start = np.minimum(begin, n - chunk)
    return Rows(
        x=persons.x,
        u=persons.u,
        weights=persons.weights,
        start=start.astype(np.int32),
        low=(begin - start).astype(np.int32),
        high=(end - start).astype(np.int32),
        stratum=np.concatenate(owner).astype(np.int32),
    )
