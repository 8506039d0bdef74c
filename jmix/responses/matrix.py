"""Whole arrays of integer responses at once: few passes over a million rows, and no copy where none is needed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError
from jmix.responses.coding import MOST_CATEGORIES, Labels, code_column, complete_pairs, moved
from jmix.responses.data import MISSING, Codes

ROWS = 1 << 15
"""Rows of a step over a large array."""

SAMPLE = 2048
"""Rows in which the categories are looked for first."""


class CodedTable(NamedTuple):
    """A table of responses: (N, J) codes, the categories of each item, and notes."""

    table: Codes
    labels: tuple[Labels, ...]
    notes: tuple[str, ...] = ()


def code_array(values: npt.NDArray[Any], names: tuple[str, ...]) -> CodedTable:
    """Codes of a (N, J) array of whole numbers (-1 missing), floats (NaN missing) or truth values.

    An int8 array in C order whose categories are 0 to K - 1 already is kept, not copied.

    Raises:
        DataError: see ``code_column``.
    """
    if values.size == 0:
        return CodedTable(np.zeros(values.shape, np.int8), ((),) * values.shape[1])
    if values.dtype == bool:
        return _finish(np.ascontiguousarray(values).view(np.int8), names, truth=True)
    if values.dtype == np.int8:
        return _finish(np.ascontiguousarray(values), names)
    if values.dtype.kind == "u" and values.dtype.itemsize == 1 and values.max() <= MOST_CATEGORIES:
        return _finish(np.ascontiguousarray(values).view(np.int8), names)
    small = _narrowed(values)
    return code_columns([values[:, j] for j in range(len(names))], names) if small is None else _finish(small, names)


def code_columns(columns: list[Any], names: tuple[str, ...]) -> CodedTable:
    """Codes of columns of any type, one by one."""
    coded = [code_column(column, name) for column, name in zip(columns, names, strict=True)]
    labels = complete_pairs([c.labels for c in coded])
    stack = np.empty((len(columns), coded[0].codes.size if coded else 0), dtype=np.int8)
    for row, c, new in zip(stack, coded, labels, strict=True):
        row[:] = moved(c.codes, c.labels, new)
    return CodedTable(np.ascontiguousarray(stack.T), labels, tuple(c.note for c in coded if c.note))


def extremes(table: Codes) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(J,) smallest and largest entry of each column of an array in C order."""
    n, j = table.shape
    group = max(1, 8192 // j)
    head = n - n % group
    wide = table[:head].reshape(-1, group * j)
    low, high = table[:1].copy(), table[:1].copy()
    if head:
        low = wide.min(axis=0).reshape(group, j)
        high = wide.max(axis=0).reshape(group, j)
    rest = table[head:]
    return np.concatenate([low, rest]).min(axis=0), np.concatenate([high, rest]).max(axis=0)


def seen_categories(table: Codes, n_categories: int) -> npt.NDArray[np.bool_]:
    """(J, n_categories) whether anybody gave each response. The first rows settle most of it."""
    seen = np.stack([(table[:SAMPLE] == k).any(axis=0) for k in range(n_categories)], axis=1)
    if table.shape[0] <= SAMPLE or seen.all():
        return seen
    low, high = extremes(table.view(np.uint8))[0], extremes(table)[1]
    column = np.arange(table.shape[1])
    answered = high >= 0
    seen[column[answered], np.minimum(low, n_categories - 1)[answered]] = True
    seen[column[answered], high[answered]] = True
    place = np.arange(n_categories)
    open_ = ~seen & (place > low[:, None]) & (place < high[:, None])
    for start in range(SAMPLE, table.shape[0], ROWS):
        rest = np.flatnonzero(open_.any(axis=1))
        if not rest.size:
            break
        part = table[start : start + ROWS][:, rest]
        for k in np.flatnonzero(open_.any(axis=0)):
            seen[rest, k] |= (part == k).any(axis=0)
        open_ &= ~seen
    return seen


def _narrowed(values: npt.NDArray[Any]) -> Codes | None:
    """The array as int8, -1 missing; None where some column needs to be looked at by itself."""
    out = np.empty(values.shape, dtype=np.int8)
    is_float = values.dtype.kind == "f"
    for start in range(0, values.shape[0], ROWS):
        part = values[start : start + ROWS]
        if is_float:
            missing = np.isnan(part)
            if np.any((part < 0) & ~missing) or np.any(part > MOST_CATEGORIES):
                return None
            part = np.where(missing, MISSING, part)
            small = part.astype(np.int8)
            if np.any(small != part):
                return None
            out[start : start + ROWS] = small
        else:
            if part.min() < MISSING or part.max() > MOST_CATEGORIES:
                return None
            out[start : start + ROWS] = part
    return out


def _finish(table: Codes, names: tuple[str, ...], truth: bool = False) -> CodedTable:
    low, high = extremes(table)
    if low.min() < MISSING:
        j = int(np.argmin(low))
        raise DataError(
            f"item {names[j]!r} has the category {int(low[j])}: in integers -1 means missing and no other negative "
            "number is allowed; add a number that makes all categories positive"
        )
    if high.max() > MOST_CATEGORIES:
        return code_columns([table[:, j] for j in range(len(names))], names)
    seen = seen_categories(table, max(1, int(high.max()) + 1))
    kind: Any = bool if truth else int
    old: list[Labels] = [tuple(kind(k) for k in np.flatnonzero(row)) for row in seen]
    labels = complete_pairs(old)
    if all(_in_place(a, b) for a, b in zip(old, labels, strict=True)):
        return CodedTable(table, labels)
    change = np.full((len(names), seen.shape[1] + 1), MISSING, dtype=np.int8)
    for row, a, b in zip(change, old, labels, strict=True):
        for label in a:
            row[int(label)] = b.index(label)  # type: ignore[call-overload]
    return CodedTable(_recoded(table, change), labels)


def _in_place(observed: Labels, labels: Labels) -> bool:
    """Whether the codes are places in the labels already."""
    return all(labels[int(k)] == k if int(k) < len(labels) else False for k in observed)  # type: ignore[call-overload]


def _recoded(table: Codes, change: Codes) -> Codes:
    """``change[j, code]`` for every response; the last column of ``change`` is for missing ones."""
    out = np.empty_like(table)
    width = change.shape[1]
    steps = [np.unique((row - np.arange(width))[:-1][row[:-1] >= 0]) for row in change]
    shift = np.array([int(step[0]) if step.size else 0 for step in steps], dtype=np.int8)
    only_shifts = all(step.size <= 1 for step in steps)
    flat, base = change.ravel(), np.arange(change.shape[0], dtype=np.int32) * width
    for start in range(0, table.shape[0], ROWS):
        part = table[start : start + ROWS]
        if only_shifts:
            done = np.add(part, shift, out=out[start : start + ROWS])
            if part.min() < 0:
                done[part < 0] = MISSING
        else:
            out[start : start + ROWS] = flat[base + np.where(part < 0, width - 1, part)]
    return out
