"""Columns to matrices, with as few copies as the arrays allow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from jmix.errors import DataError
from jmix.formula.coding import Coder, Column, Key
from jmix.formula.syntax import Node
from jmix.formula.terms import Terms
from jmix.formula.values import BoolArray, Categories, FloatArray, Matrix, Value


def used_variables(sides: Iterable[Terms]) -> dict[str, Node]:
    """The variables that occur in some term, by their text."""
    found: dict[str, Node] = {}
    for terms in sides:
        every = 0
        for term in terms.terms:
            every |= term
        found.update((terms.labels[place], terms.variables[place]) for place in terms.members(every))
    return found


def fixed_matrix(coder: Coder, columns: Sequence[Column], n: int) -> FloatArray:
    """The (n, p) model matrix in Fortran order.

    Raises:
        DataError: the matrix would not fit in this machine's memory.
    """
    _check_size(n, len(columns), "the fixed effects")
    X = np.empty((n, len(columns)), order="F")
    for j, column in enumerate(columns):
        coder.fill(column, X[:, j])
    return X


def column_arrays(
    coder: Coder, columns: Sequence[Column], n: int, shared: dict[Key, FloatArray]
) -> tuple[FloatArray, ...]:
    """The columns of a random term, each (n,): taken from ``shared`` where it is there, and put there otherwise."""
    _check_size(n, sum(column.key not in shared for column in columns), "a random term")
    arrays = []
    for column in columns:
        if column.key not in shared:
            if column.key:
                shared[column.key] = np.empty(n)
                coder.fill(column, shared[column.key])
            else:
                shared[column.key] = np.broadcast_to(np.float64(1.0), (n,))
        arrays.append(shared[column.key])
    return tuple(arrays)


def _check_size(n: int, columns: int, what: str) -> None:
    size = 8 * n * columns
    if size > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        raise DataError(
            f"the matrix of {what} would have {columns:,} columns and {size / 2**30:,.1f} GiB, more than the "
            "memory here; a factor with many levels belongs in a random term such as (1 | g)"
        )


def not_missing(values: Iterable[Value], n: int) -> BoolArray | None:
    """The rows where nothing is missing, or None if that is every row."""
    keep: BoolArray | None = None
    for value in values:
        present = _present(value)
        if present is not None:
            keep = present if keep is None else keep & present
    return keep


def _present(value: Value) -> BoolArray | None:
    if isinstance(value, Categories):
        return value.codes >= 0 if value.missing() else None
    numbers = value.values[:, 0] if isinstance(value, Matrix) else value
    with np.errstate(over="ignore", invalid="ignore"):
        return None if np.isfinite(numbers.sum()) else ~np.isnan(numbers)
