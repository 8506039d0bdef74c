"""Refusals of numbers whose squares and products leave the range of double precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jmix.design import Design, RandomTerm
from jmix.errors import DataError

FloatArray = npt.NDArray[np.float64]

LARGEST = 1e152
"""Largest size of a column, and of the ratio of the response to a column, whose square leaves room for sums."""


def check_scales(design: Design, terms: Sequence[RandomTerm]) -> None:
    """Refuse columns so large or so small that variances overflow or vanish.

    Raises:
        DataError: naming the column and its size.
    """
    root = 1.0 if design.weights is None else float(np.sqrt(design.weights.max()))
    response = check_response_scale(design.y, design.y_name, design.offset, root)
    for name, size in _columns(design, terms).items():
        _check_size(name, size, root)
        ratio = response / size if size > 0 and response > 0 else 1.0
        if not 1.0 / LARGEST <= ratio <= LARGEST:
            raise DataError(
                f"the response {design.y_name} is of size {response:.3g} and {name} of size {size:.3g}: the variance "
                "of its coefficient is out of the range of double precision; rescale one of them"
            )


def check_response_scale(y: FloatArray, name: str, offset: FloatArray | None, root: float = 1.0) -> float:
    """The size of a response less its offset, which must be in range.

    Args:
        root: square root of the largest weight.
    """
    size = _size(y)
    _check_size(f"the response {name}", size, root)
    if offset is None:
        return size
    _check_size("the offset", _size(offset), root)
    return max(size, _size(offset))


def _columns(design: Design, terms: Sequence[RandomTerm]) -> dict[str, float]:
    """Sizes of the columns of X and of random effects that are not in X."""
    sizes = {name: _size(design.X[:, j]) for j, name in enumerate(design.x_names)}
    for term in terms:
        for name, column in zip(term.names, term.columns, strict=True):
            if name not in sizes:
                sizes[name] = _size(column)
    return sizes


def _size(column: FloatArray) -> float:
    if column.strides == (0,):
        return abs(float(column[0]))
    return max(float(column.max()), -float(column.min()))


def _check_size(name: str, size: float, root: float) -> None:
    if size > 0 and not 1.0 / LARGEST <= size * root <= LARGEST:
        weighted = "" if root == 1.0 else ", weighted,"
        word = "large" if size * root > 1.0 else "small"
        raise DataError(
            f"{name}{weighted} holds values of size {size * root:.3g}, too {word} for their squares in double "
            "precision; rescale it"
        )
