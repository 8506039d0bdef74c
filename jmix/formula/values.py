"""What a variable of a formula evaluates to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.formula.contrasts import Contrast
from jmix.formula.syntax import number_text

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Categories:
    """A factor: codes (n,) int32 with -1 for missing, and its level labels.

    Attributes:
        ordered: R's ordered factor. logical: TRUE/FALSE, kept apart because R never drops its levels.
        contrast: a coding set inside the formula by ``C()``.
    """

    codes: IntArray
    levels: list[str]
    ordered: bool = False
    logical: bool = False
    contrast: Contrast | None = None

    def rows(self, keep: BoolArray | None) -> Categories:
        """The factor on some rows."""
        return self if keep is None else replace(self, codes=self.codes[keep])

    def used(self) -> Categories:
        """The factor without levels that no row has."""
        counts = np.bincount(self.codes[self.codes >= 0] if self.missing() else self.codes, minlength=len(self.levels))
        if counts.all():
            return self
        present = np.flatnonzero(counts)
        lookup = np.full(len(self.levels) + 1, -1, dtype=np.int32)
        lookup[present] = np.arange(present.size, dtype=np.int32)
        return replace(self, codes=lookup[self.codes], levels=[self.levels[i] for i in present])

    def missing(self) -> bool:
        """Whether any row has no level."""
        return bool(self.codes.size and self.codes.min() < 0)

    def recoded(self, levels: Sequence[str]) -> tuple[IntArray, list[str]]:
        """Codes in terms of other levels (-1 where there is none), and the labels in use that those lack."""
        place = {label: i for i, label in enumerate(levels)}
        lookup = np.array([*(place.get(label, -1) for label in self.levels), -1], dtype=np.int32)
        strange = [label for label in self.used().levels if label not in place]
        return lookup[self.codes], strange


@dataclass(frozen=True, eq=False)
class Matrix:
    """Several columns made by one call, e.g. ``poly(x, 2)``: values (n, k), and the k suffixes of their names."""

    values: FloatArray
    suffixes: tuple[str, ...]

    def rows(self, keep: BoolArray | None) -> Matrix:
        """The columns on some rows."""
        return self if keep is None else Matrix(self.values[keep], self.suffixes)


Value = FloatArray | Matrix | Categories


def labels_of(values: Iterable[Any]) -> list[str]:
    """Level labels as R's ``as.character`` gives them; whole floats without a decimal part."""
    plain = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if all(type(v) is int for v in plain):
        return [str(v) for v in plain]
    labels = [_label(v) for v in plain]
    if len(set(labels)) < len(labels):
        labels = [repr(v) if isinstance(v, float) else str(v) for v in plain]
    return labels


def _label(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float | np.floating):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else number_text(number)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def take_rows(value: Value, keep: BoolArray | None) -> Value:
    """A value on some rows; ``keep`` None means all of them, without a copy."""
    if keep is None:
        return value
    return value[keep] if isinstance(value, np.ndarray) else value.rows(keep)
