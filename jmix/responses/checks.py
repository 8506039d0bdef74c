"""What is wrong with responses, said before any long computation; and what the user should know of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError
from jmix.responses.coding import gaps, shown
from jmix.responses.connected import item_components
from jmix.responses.data import FloatArray, Long, Responses
from jmix.responses.matrix import extremes, seen_categories

MOST_NAMES = 5
"""Items or persons that a message names."""

MANY_CATEGORIES = 15
"""Categories from which it is asked whether a column is an item at all."""

SAMPLE = 4096
"""Rows by which columns are compared first."""

Bools = npt.NDArray[np.bool_]


def check_responses(
    responses: Responses, *, keep_constant: bool = False, n_parameters: int | None = None
) -> tuple[str, ...]:
    """What to know of the responses, one sentence each, with the remedy.

    Args:
        keep_constant: allow items that everybody answered alike, as under a prior on their parameters, or where there
            are many more items than persons.
        n_parameters: of the model; by default one for each category of an item but its first.

    Raises:
        DataError: there are no items, persons or responses; nobody answered an item; everybody answered it alike (all
            correct, all wrong); or a person answered an item twice.
    """
    _check_shape(responses)
    if responses.long is not None:
        _check_duplicates(responses, responses.long)
    seen = observed(responses)
    notes = [*responses.notes, *_check_items(responses, seen, keep_constant)]
    notes += _category_notes(responses, seen)
    notes += _person_notes(responses, n_parameters)
    notes += _identical_notes(responses, seen)
    notes += _connection_notes(responses)
    return tuple(notes)


def observed(responses: Responses) -> Bools:
    """(J, largest K) whether anybody chose each category."""
    k = max(1, *responses.n_categories)
    if responses.table is not None:
        return seen_categories(responses.table, k)
    assert responses.long is not None
    key = responses.long.item.astype(np.int64) * k + responses.long.value
    counts = np.bincount(key, minlength=responses.n_items * k)
    return (counts > 0).reshape(responses.n_items, k)


def listed(names: Iterable[Any], total: int | None = None) -> str:
    """The first few names, and how many more there are."""
    shown = [str(name) for name in names]
    more = (len(shown) if total is None else total) - MOST_NAMES
    return ", ".join(shown[:MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _check_shape(responses: Responses) -> None:
    if responses.n_items == 0:
        raise DataError("there are no items")
    if responses.n_persons == 0:
        raise DataError("there are no persons")
    if not any(responses.n_categories):
        raise DataError("there are no responses: all are missing")


def _check_duplicates(responses: Responses, long: Long) -> None:
    inside = np.ones(max(long.n - 1, 0), dtype=bool)
    ends = long.start[1:-1]
    inside[ends[(ends > 0) & (ends < long.n)] - 1] = False
    twice = np.flatnonzero((long.item[1:] <= long.item[:-1]) & inside)
    if not twice.size:
        return
    row = int(twice[0])
    who = responses.persons[int(np.searchsorted(long.start, row, side="right")) - 1]
    what = responses.items[int(long.item[row + 1])]
    if long.item[row] == long.item[row + 1]:
        raise DataError(f"person {shown(who)} answered item {what!r} more than once; keep one response")
    raise DataError(f"the responses of person {shown(who)} are not sorted by item; read them by read_responses")


def _check_items(responses: Responses, seen: Bools, keep_constant: bool) -> list[str]:
    number = seen.sum(axis=1)
    nobody = [responses.items[j] for j in np.flatnonzero(number == 0)]
    if nobody:
        raise DataError(f"nobody answered {_items(nobody)}; leave {_them(nobody)} out")
    constant = np.flatnonzero(number == 1)
    if not constant.size:
        return []
    told = [f"{responses.items[j]!r} ({_what_everybody_did(responses, int(j), seen)})" for j in constant]
    few = listed(told)
    one = len(told) == 1
    if keep_constant and all(responses.n_categories[j] > 1 for j in constant):
        return [
            f"everybody answered {len(told):,} item{'' if one else 's'} alike: {few}; the responses bound "
            f"{'its' if one else 'their'} parameters on one side only, so that {'they come' if one else 'those come'} "
            "from the prior"
        ]
    raise DataError(
        f"everybody gave the same response to {'item' if one else f'{len(told):,} items:'} {few}: such items say "
        f"nothing of the persons, and their difficulty has no finite estimate. Leave {'it' if one else 'them'} out, or "
        "give priors to the parameters of the items"
    )


def _what_everybody_did(responses: Responses, j: int, seen: Bools) -> str:
    labels = responses.categories[j]
    code = int(np.argmax(seen[j]))
    label = labels[code]
    if len(labels) == 2:
        return f"all {'correct' if code else 'wrong'}: {label}"
    return f"one category: {label}"


def _category_notes(responses: Responses, seen: Bools) -> list[str]:
    notes = []
    wide = [name for name, k in zip(responses.items, responses.n_categories, strict=True) if k >= MANY_CATEGORIES]
    if wide:
        notes.append(
            f"{_items(wide)} {'has' if len(wide) == 1 else 'have'} {MANY_CATEGORIES} or more categories; if "
            f"{'it is a measurement' if len(wide) == 1 else 'these are measurements'}, such as an age, choose the "
            "items by items=[...]"
        )
    missing: dict[str, list[str]] = {}
    elsewhere = set().union(*set(responses.categories))
    for j, labels in enumerate(responses.categories):
        if len(labels) > 2 or not elsewhere.isdisjoint(gaps(labels)):
            if empty := gaps(labels):
                missing.setdefault(", ".join(map(str, empty)), []).append(responses.items[j])
            unseen = [str(labels[k]) for k in range(len(labels)) if not seen[j, k]]
            if unseen:
                missing.setdefault(", ".join(unseen), []).append(responses.items[j])
    for what, items in missing.items():
        several = "," in what
        notes.append(
            f"nobody chose categor{'ies' if several else 'y'} {what} of {_items(items)} (empty categor"
            f"{'ies' if several else 'y'}): the others are counted without {'them' if several else 'it'}"
        )
    return notes


def _person_notes(responses: Responses, n_parameters: int | None) -> list[str]:
    notes = []
    empty = _without_responses(responses)
    if empty.size:
        one = empty.size == 1
        names = listed(responses.persons[empty[: MOST_NAMES + 1]], empty.size)
        notes.append(
            f"{'1 person has' if one else f'{empty.size:,} persons have'} no responses ({names}): "
            f"{'the score is that' if one else 'their scores are those'} of the population"
        )
    wanted = sum(k - 1 for k in responses.n_categories) if n_parameters is None else n_parameters
    n = responses.n_persons - empty.size
    if n < wanted:
        notes.append(
            f"there are fewer persons ({n:,}) than parameters of the model ({wanted:,}): estimates depend on priors or "
            "are unstable"
        )
    return notes


def _without_responses(responses: Responses) -> npt.NDArray[np.intp]:
    if responses.long is not None:
        return np.flatnonzero(np.diff(responses.long.start) == 0)
    assert responses.table is not None
    if extremes(responses.table)[0].min() >= 0:
        return np.zeros(0, dtype=np.intp)
    return np.flatnonzero(responses.table.max(axis=1) < 0)


def _identical_notes(responses: Responses, seen: Bools) -> list[str]:
    """Items that have the responses of another item."""
    copies = _identical_columns(responses, seen)
    if not copies:
        return []
    pairs = [f"{responses.items[b]} = {responses.items[a]}" for a, b in copies]
    one = len(pairs) == 1
    return [
        f"{'1 item has' if one else f'{len(pairs):,} items have'} exactly the responses of another ({listed(pairs)}): "
        f"{'it counts' if one else 'they count'} twice, as if independent; leave {'it' if one else 'them'} out unless "
        "they are different questions"
    ]


def _identical_columns(responses: Responses, seen: Bools) -> list[tuple[int, int]]:
    """(first, copy) of equal columns, constant ones left out."""
    mark = _column_marks(responses)
    mark[seen.sum(axis=1) < 2] = np.arange(-1, -1 - int((seen.sum(axis=1) < 2).sum()), -1)
    _, first, inverse = np.unique(mark, return_index=True, return_inverse=True)
    owner = first[inverse]
    copies = np.flatnonzero(owner != np.arange(owner.size))
    if responses.table is None:
        return [(int(owner[j]), int(j)) for j in copies]
    table = responses.table
    return [(int(owner[j]), int(j)) for j in copies if np.array_equal(table[:, owner[j]], table[:, j])]


def _column_marks(responses: Responses) -> FloatArray:
    """(J,) numbers that are equal where columns are: of a table by its first rows, of a list by all."""
    rng = np.random.default_rng(20_230_117)
    if responses.table is not None:
        top = responses.table[:SAMPLE]
        whole = rng.integers(1, 1 << 40, size=top.shape[0]).astype(np.float64)
        return np.asarray(whole @ (top.astype(np.float64) + 1.0))
    assert responses.long is not None
    long = responses.long
    key = rng.integers(1, 1 << 40, size=responses.n_persons).astype(np.float64)
    own = key[long.person()] * (long.value + 1.0)
    return np.bincount(long.item, weights=own, minlength=responses.n_items).astype(np.float64)


def _connection_notes(responses: Responses) -> list[str]:
    part = item_components(responses)
    if part.max() == 0:
        return []
    sizes = np.bincount(part)
    shown = [
        f"{{{listed([responses.items[j] for j in np.flatnonzero(part == k)])}}}" for k in range(min(3, sizes.size))
    ]
    more = f" and {sizes.size - 3:,} more" if sizes.size > 3 else ""
    return [
        f"the items fall into {sizes.size:,} parts that no person links: {', '.join(shown)}{more}. Difficulties of "
        "different parts are comparable only if the same population answered them; link them by common items or persons"
    ]


def _items(names: Sequence[str]) -> str:
    return f"item {names[0]!r}" if len(names) == 1 else f"{len(names):,} items: {listed(names)}"


def _them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"
