"""Which items can be compared at all: the parts into which a design falls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.responses.data import IntArray, Responses

FIRST, MOST = 16, 1 << 13
"""Persons in the first step, which often settles it, and in the largest."""

MOST_CELLS = 1 << 22
"""Cells of a table in one step."""

Index = npt.NDArray[np.int64]


def item_components(responses: Responses) -> IntArray:
    """(J,) part of each item: items are connected where a person answered both, and by way of other items.

    Parts share no person. They are numbered from 0 in the order of their first item.
    """
    label = np.arange(responses.n_items, dtype=np.int32)
    if responses.table is not None and (responses.table[:FIRST] >= 0).all(axis=1).any():
        return np.zeros_like(label)
    for person, item, _ in _chunks(responses):
        n = int(person.max(initial=-1)) + 1
        edges = _sparse(person, n + label[item].astype(np.int64), n + responses.n_items)
        parts = _components(edges, directed=False)
        label = _numbered(parts[n:][label])
        if label.max() == 0:
            break
    return label


def conditional_components(responses: Responses) -> IntArray:
    """(J,) strongly connected part of each item, in Fischer's sense (1981, Psychometrika 46, theorem 1).

    An arrow leads from item i to item j where a person did not reach the top of i but got more than nothing on j. The
    conditional likelihood of the Rasch model has a finite maximum exactly where all items are in one part.
    """
    label = np.arange(responses.n_items, dtype=np.int32)
    top = np.array(responses.n_categories, dtype=np.int32) - 1
    arrows = np.zeros((2, 0), dtype=np.int64)
    for person, item, value in _chunks(responses):
        n = int(person.max(initial=-1)) + 1
        solved, failed = value > 0, value < top[item]
        # persons come first, then the items, or the parts that they are known to belong to
        source = np.concatenate([person[solved], n + label[item[failed]], n + arrows[0]])
        target = np.concatenate([n + label[item[solved]], person[failed], n + arrows[1]])
        size = n + int(label.max()) + 1
        parts = _components(_sparse(source, target, size), directed=True)
        merged, count = _numbered(parts[n:]), int(label.max()) + 1
        label = merged[label]
        if label.max() == 0:
            break
        arrows = merged[_contracted(source, target, n, count)].astype(np.int64)
    return _numbered(label)


def _contracted(source: Index, target: Index, n: int, parts: int) -> Index:
    """Arrows between parts that lead through persons, so that the persons can be forgotten."""
    from scipy.sparse import coo_array

    leaves, enters = source < n, target < n
    into = coo_array((np.ones(int(enters.sum())), (source[enters] - n, target[enters])), shape=(parts, n))
    out_of = coo_array((np.ones(int(leaves.sum())), (source[leaves], target[leaves] - n)), shape=(n, parts))
    through = (into.tocsr() @ out_of.tocsr()).tocoo()
    direct = ~leaves & ~enters
    tail = np.concatenate([through.row, source[direct] - n])
    head = np.concatenate([through.col, target[direct] - n])
    return np.stack(_sparse(tail, head, parts).tocsr().nonzero())


def _chunks(responses: Responses) -> Iterator[tuple[Index, Index, npt.NDArray[np.int8]]]:
    """Person (from 0 in each step), item and value of the responses of more and more persons at a time."""
    start, rows = 0, FIRST
    most = MOST if responses.table is None else max(1, min(MOST, MOST_CELLS // responses.n_items))
    while start < responses.n_persons:
        stop = min(start + rows, responses.n_persons)
        if responses.table is not None:
            part = responses.table[start:stop]
            person, item = np.nonzero(part >= 0)
            yield person, item, part[person, item]
        else:
            assert responses.long is not None
            long = responses.long
            begin, end = int(long.start[start]), int(long.start[stop])
            person = np.repeat(np.arange(stop - start), np.diff(long.start[start : stop + 1]))
            yield person, long.item[begin:end].astype(np.int64), long.value[begin:end]
        start, rows = stop, min(4 * rows, most)


def _components(edges: Any, *, directed: bool) -> IntArray:
    """Part of each node; strongly connected parts where edges have a direction."""
    from scipy.sparse.csgraph import connected_components

    found: IntArray = connected_components(edges, directed=directed, connection="strong")[1]
    return found


def _sparse(source: Index, target: Index, size: int) -> Any:
    from scipy.sparse import coo_array

    return coo_array((np.ones(source.size), (source, target)), shape=(size, size))


def _numbered(labels: npt.NDArray[np.integer]) -> IntArray:
    """The same partition, numbered by first occurrence."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int32)
