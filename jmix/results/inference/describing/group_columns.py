"""Columns and grouping factors of raw data, for what is done before a model is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError
from jmix.formula.columns import as_factor, as_variable
from jmix.formula.frame import Frame
from jmix.formula.groups import make_grouping
from jmix.formula.values import Categories

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Groups:
    """A grouping factor of the rows.

    Attributes:
        name: as asked for. levels: the J labels. codes: (n,) level of each row, -1 where it is missing.
    """

    name: str
    levels: list[str]
    codes: IntArray

    def rows(self, keep: npt.NDArray[np.bool_]) -> Groups:
        """The factor on some rows, levels without any left out."""
        codes = self.codes[keep]
        known = codes >= 0
        used, codes[known] = np.unique(codes[known], return_inverse=True)
        return Groups(self.name, [self.levels[i] for i in used], codes)


def groups_of(frame: Frame, name: str) -> Groups:
    """The grouping factor of a column, or of the combinations of columns, ``"a:b"``.

    Raises:
        DataError: there is no such column.
    """
    parts = [name] if name in frame.names or ":" not in name else [part.strip() for part in name.split(":")]
    factors = [as_factor(frame.column(part), part) for part in parts]
    complete = np.logical_and.reduce([factor.codes >= 0 for factor in factors])
    grouping, known = make_grouping(name, [factor.rows(complete) for factor in factors])
    codes = np.full(frame.n, -1, dtype=np.int32)
    codes[complete] = known
    return Groups(name, grouping.levels, codes)


def several_groups(frame: Frame, group: str | Sequence[str]) -> list[Groups]:
    """Each of the grouping factors; ``"a/b"`` stands for ``a`` and ``a:b``.

    Raises:
        DataError: there is no such column, or no group is named.
    """
    asked = [group] if isinstance(group, str) else list(group)
    names: list[str] = []
    for name in asked:
        if name in frame.names or "/" not in name:
            names.append(name)
        else:
            parts = [part.strip() for part in name.split("/")]
            names += [":".join(parts[: i + 1]) for i in range(len(parts))]
    if not names:
        raise DataError("group names no grouping factor")
    return [groups_of(frame, name) for name in dict.fromkeys(names)]


def numbers_of(frame: Frame, name: str) -> FloatArray:
    """(n,) a column of numbers, logicals as 0 and 1; NaN where it is missing.

    Raises:
        DataError: there is no such column, or it is a factor.
    """
    value = as_variable(frame.column(name), name)
    if isinstance(value, Categories):
        if not value.logical:
            raise DataError(f"the column {name!r} holds categories; numbers are wanted, such as 0 and 1 for two levels")
        return np.where(value.codes < 0, np.nan, value.codes).astype(np.float64)
    return value
