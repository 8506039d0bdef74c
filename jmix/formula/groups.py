"""Grouping factors: the level of each row, and the table that recodes new data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError
from jmix.formula.columns import compress_integers
from jmix.formula.values import Categories, IntArray

_Cells = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grouping:
    """A grouping factor of the training data.

    Attributes:
        name: lme4's name, e.g. ``"b:a"``. parts: the levels of each factor of the interaction.
        cells: (J,) sorted flat places in the product of the parts, first part slowest; levels: the J labels.
    """

    name: str
    parts: tuple[list[str], ...]
    cells: _Cells = field(repr=False)
    levels: list[str] = field(repr=False)

    def encode(self, factors: Sequence[Categories]) -> tuple[IntArray, tuple[str, ...]]:
        """Codes of new rows, -1 for a level not seen or missing, and the labels of levels not seen (at most 10)."""
        recoded = [factor.recoded(levels) for factor, levels in zip(factors, self.parts, strict=True)]
        if len(self.parts) == 1:
            return recoded[0][0], tuple(recoded[0][1][:10])
        known = np.logical_and.reduce([codes >= 0 for codes, _ in recoded])
        flat = _flatten([codes for codes, _ in recoded], [len(levels) for levels in self.parts])
        place = np.searchsorted(self.cells, flat)
        place[place == self.cells.size] = 0
        found = known & (self.cells[place] == flat)
        missing = np.logical_or.reduce([factor.codes < 0 for factor in factors])
        rows = np.flatnonzero(~found & ~missing)[:1000]
        labels = dict.fromkeys(":".join(f.levels[f.codes[row]] for f in factors) for row in rows)
        return np.where(found, place, -1).astype(np.int32), tuple(labels)[:10]

    def fresh(self, factors: Sequence[Categories], codes: IntArray) -> IntArray:
        """(n,) numbers 0, 1, ... of the distinct levels not seen in training; -1 for known levels and missing ones.

        Args:
            codes: (n,) from ``encode``.
        """
        new = codes < 0
        for factor in factors:
            new &= factor.codes >= 0
        out = np.full(codes.size, -1, dtype=np.int32)
        rows = np.flatnonzero(new)
        if rows.size:
            cells = np.stack([factor.codes[rows] for factor in factors], axis=1)
            out[rows] = np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        cells = [] if len(self.parts) == 1 else self.cells.tolist()
        return {"name": self.name, "parts": [list(levels) for levels in self.parts], "cells": cells}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Grouping:
        """The inverse of :meth:`to_dict`."""
        parts = tuple(list(levels) for levels in state["parts"])
        if len(parts) == 1:
            return cls(state["name"], parts, np.arange(len(parts[0])), parts[0])
        cells = np.asarray(state["cells"], dtype=np.int64)
        return cls(state["name"], parts, cells, _labels(cells, parts))


def make_grouping(name: str, factors: Sequence[Categories]) -> tuple[Grouping, IntArray]:
    """The grouping factor of complete training rows and the (n,) int32 code of each row.

    Raises:
        DataError: an interaction with more possible cells than can be counted.
    """
    used = [factor.used() for factor in factors]
    parts = tuple(factor.levels for factor in used)
    if len(used) == 1:
        return Grouping(name, parts, np.arange(len(parts[0])), parts[0]), used[0].codes
    sizes = [len(levels) for levels in parts]
    if np.prod([float(size) for size in sizes]) > 2**62:
        raise DataError(f"the interaction {name} has too many possible cells")
    flat = _flatten([factor.codes for factor in used], sizes)
    codes, cells = compress_integers(flat)
    return Grouping(name, parts, cells, _labels(cells, parts)), codes


def _flatten(codes: Sequence[IntArray], sizes: Sequence[int]) -> _Cells:
    flat = codes[0].astype(np.int64)
    for more, size in zip(codes[1:], sizes[1:], strict=True):
        flat = flat * size + more
    return flat


def _labels(cells: _Cells, parts: Sequence[list[str]]) -> list[str]:
    rest = cells
    places: list[list[int]] = []
    for levels in reversed(parts[1:]):
        rest, place = np.divmod(rest, len(levels))
        places.insert(0, place.tolist())
    labels = [parts[0][i] for i in rest.tolist()]
    for levels, column in zip(parts[1:], places, strict=True):
        labels = [f"{label}:{levels[i]}" for label, i in zip(labels, column, strict=True)]
    return labels
