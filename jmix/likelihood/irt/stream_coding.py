"""Categories of streamed responses: found in one pass or from the files' statistics, then codes block by block."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError
from jmix.likelihood.irt.stream_source import Block, Source, block_rows
from jmix.responses.coding import code_column
from jmix.responses.data import MISSING, Responses

Labels = tuple[Hashable, ...]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Coding:
    """How values become codes.

    Attributes:
        labels: for each item its categories in order. group, weights: columns, or None. groups: labels of the groups.
            n: rows in all.
    """

    names: tuple[str, ...]
    labels: tuple[Labels, ...]
    n: int
    weights: str | None = None
    group: str | None = None
    groups: tuple[str, ...] = ("all",)

    def responses(self, block: Block, start: int = 0) -> Responses:
        """The responses of a block, whose first row is number ``start``."""
        table = np.empty((len(self.names), block.n), dtype=np.int8)
        for row, values, labels, name in zip(table, block.items, self.labels, self.names, strict=True):
            row[:] = _codes(values, labels, name)
        return Responses(
            items=self.names,
            categories=self.labels,
            table=np.ascontiguousarray(table.T),
            long=None,
            persons=pd.RangeIndex(start, start + block.n),
            weights=None if self.weights is None else _weights(block.other[self.weights], self.weights, start),
            group=None if self.group is None else self._groups(block.other[self.group]),
            groups=self.groups,
        )

    def _groups(self, values: Any) -> npt.NDArray[np.int32]:
        codes = pd.Categorical(_text(values), categories=list(self.groups)).codes.astype(np.int32)
        if np.any(codes < 0):
            raise DataError(f"the column {self.group!r} of groups has missing values: fill them or leave the rows out")
        return codes


def find_coding(
    source: Source, subsample: int, weights: str | None = None, group: str | None = None
) -> tuple[Coding, Responses]:
    """The categories of all data, and the responses of about ``subsample`` persons from all over.

    Raises:
        DataError: values that are no categories, or an item with one category.
    """
    known = _from_statistics(source)
    picked = source.sample(subsample)
    if known is not None and picked is not None and source.n_rows is not None:
        blocks = list(picked)
        labels, n = known, source.n_rows
        groups = _all_groups(source, group)
    else:
        labels, n, groups, blocks = _scan(source, subsample, group)
        if picked is not None:
            blocks = list(picked)
    _check(source.names, labels, n)
    coding = Coding(source.names, labels, n, weights, group, groups)
    return coding, coding.responses(_stacked(blocks))


def _from_statistics(source: Source) -> tuple[Labels, ...] | None:
    """Categories of items whose values are two neighbouring whole numbers: then nothing lies between the extremes."""
    found = source.extremes()
    if found is None or any(high - low > 1 or low < 0 for low, high in found):
        return None
    return tuple(tuple(range(low, high + 1)) for low, high in found)


def _scan(
    source: Source, subsample: int, group: str | None
) -> tuple[tuple[Labels, ...], int, tuple[str, ...], list[Block]]:
    """One pass: categories, rows, groups, and rows for a sample."""
    seen: list[set[Hashable]] = [set() for _ in source.names]
    order: list[Labels] = [()] * len(source.names)
    groups: set[str] = set()
    n, blocks, kept, every = 0, [], 0, 1
    for block in source.blocks():
        for j, values in enumerate(block.items):
            found = code_column(values, source.names[j]).labels
            if not seen[j].issuperset(found):
                seen[j].update(found)
                order[j] = _ordered(seen[j], found)
        if group is not None:
            groups.update(np.unique(_text(block.other[group])).tolist())
        n += block.n
        blocks.append(_take(block, slice(None, None, every)))
        kept += blocks[-1].n
        while kept > 2 * subsample:
            blocks = [_take(own, slice(None, None, 2)) for own in blocks]
            kept, every = sum(own.n for own in blocks), 2 * every
    return tuple(order), n, tuple(sorted(groups)) if group else ("all",), blocks


def _ordered(seen: set[Hashable], found: Labels) -> Labels:
    """Categories of several blocks in one order: numbers by size, text by the alphabet or the categorical's order."""
    if seen == set(found):
        return found
    try:
        return tuple(sorted(seen))  # type: ignore[type-var]
    except TypeError:  # mixed types
        return tuple(sorted(seen, key=str))


def _all_groups(source: Source, group: str | None) -> tuple[str, ...]:
    if group is None:
        return ("all",)
    names: set[str] = set()
    for block in source.blocks():
        names.update(np.unique(_text(block.other[group])).tolist())
    return tuple(sorted(names))


def _text(values: Any) -> npt.NDArray[Any]:
    series = pd.Series(values)
    if series.isna().any():
        raise DataError("the column of groups has missing values: fill them or leave the rows out")
    return series.astype(str).to_numpy(dtype=object)


def _take(block: Block, rows: slice) -> Block:
    """Some rows of a block, copied so that the rest can go."""

    def cut(values: Any) -> Any:
        return values.iloc[rows] if isinstance(values, pd.Series) else np.array(values[rows])

    items = [cut(values) for values in block.items]
    other = {name: cut(values) for name, values in block.other.items()}
    return Block(items, other, len(range(*rows.indices(block.n))))


def _stacked(blocks: list[Block]) -> Block:
    def join(parts: list[Any]) -> Any:
        if isinstance(parts[0], pd.Series):
            return pd.concat(parts, ignore_index=True)
        return np.concatenate(parts)

    items = [join([block.items[j] for block in blocks]) for j in range(len(blocks[0].items))]
    other = {name: join([block.other[name] for block in blocks]) for name in blocks[0].other}
    return Block(items, other, sum(block.n for block in blocks))


def _codes(values: Any, labels: Labels, name: str) -> npt.NDArray[np.int8]:
    """Codes of a column by the categories of all data."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "biu":
        numbers = [int(label) for label in labels if isinstance(label, int | np.integer)]
        if len(numbers) == len(labels) and numbers and numbers[0] > -1 and numbers[-1] < 127:
            low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
            if low >= MISSING and high <= numbers[-1]:
                table = np.full(numbers[-1] + 2, -2, dtype=np.int8)
                table[np.array(numbers) + 1] = np.arange(len(numbers), dtype=np.int8)
                table[0] = MISSING
                out = table[values.astype(np.int16) + 1]
                if out.size and out.min() < MISSING:
                    raise DataError(f"item {name!r} has a category that the data did not have before: read them anew")
                return out
    coded = code_column(values, name)
    places = {label: place for place, label in enumerate(labels)}
    try:
        move = np.array([places[label] for label in coded.labels] + [MISSING], dtype=np.int8)
    except KeyError as error:
        raise DataError(f"item {name!r} has the category {error} that the data did not have before") from None
    return move[coded.codes]


def _weights(values: Any, name: str, start: int) -> FloatArray:
    out = np.asarray(pd.Series(values).to_numpy(dtype=np.float64, na_value=np.nan))
    bad = np.flatnonzero(~(np.isfinite(out) & (out > 0)))
    if bad.size:
        raise DataError(
            f"weights={name!r}: row {start + int(bad[0])} has the weight {out[bad[0]]}; weights are positive"
        )
    return out


def _check(names: tuple[str, ...], labels: tuple[Labels, ...], n: int) -> None:
    if n == 0:
        raise DataError("the responses have no rows")
    for name, own in zip(names, labels, strict=True):
        if len(own) < 2:
            what = f"one category, {own[0]!r}" if own else "no responses"
            raise DataError(f"item {name!r} has {what}: leave it out")


def coded_blocks(source: Source, coding: Coding) -> Iterator[Responses]:
    """All responses in blocks of equal size, the next one being read while the last is worked on."""
    from concurrent.futures import ThreadPoolExecutor

    blocks = _regrouped(source, coding, block_rows(len(coding.names)))
    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(next, blocks, None)
        while (out := waiting.result()) is not None:
            waiting = reader.submit(next, blocks, None)
            yield out


def _regrouped(source: Source, coding: Coding, rows: int) -> Iterator[Responses]:
    parts: list[Responses] = []
    held, start = 0, 0
    for block in source.blocks():
        parts.append(coding.responses(block, start + held))
        held += block.n
        while held >= rows:
            whole = joined(parts, start)
            yield _rows(whole, 0, rows, start)
            held, start = held - rows, start + rows
            parts = [_rows(whole, rows, rows + held, start)] if held else []
    if held:
        yield joined(parts, start)


def joined(parts: list[Responses], start: int) -> Responses:
    """Responses one after the other, the first row being number ``start``."""
    if len(parts) == 1:
        return parts[0]
    tables = [part.table for part in parts if part.table is not None]
    weights: FloatArray | None = None
    if any(part.weights is not None for part in parts):
        weights = np.concatenate([np.ones(p.n_persons) if p.weights is None else p.weights for p in parts])
    groups = [part.group for part in parts if part.group is not None]
    return replace(
        parts[0],
        table=np.concatenate(tables),
        weights=weights,
        group=np.concatenate(groups) if groups else None,
        persons=pd.RangeIndex(start, start + sum(part.n_persons for part in parts)),
    )


def _rows(responses: Responses, low: int, high: int, start: int) -> Responses:
    """Rows from low to high, the first being number ``start``."""
    if low == 0 and high == responses.n_persons:
        return responses
    assert responses.table is not None
    return replace(
        responses,
        table=responses.table[low:high].copy(),
        weights=None if responses.weights is None else responses.weights[low:high],
        group=None if responses.group is None else responses.group[low:high],
        persons=pd.RangeIndex(start, start + high - low),
    )
