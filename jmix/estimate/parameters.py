"""Parameter values that a user gives, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError

FloatArray = npt.NDArray[np.float64]

SIGMA_RANGE = (1e-152, 1e152)
"""Standard deviations whose squares are in the range of double precision."""


def parameter_array(name: str, value: Any, size: int, labels: Sequence[str] = ()) -> FloatArray:
    """(size,) finite real numbers.

    Args:
        name: of the parameter, and labels of its entries, for the message.

    Raises:
        ModelError: anything else.
    """
    order = f", in this order: {', '.join(labels)}" if labels else ""
    wanted = f"{name} must hold {size} finite {'number' if size == 1 else 'numbers'}{order}"
    try:
        raw = np.asarray(value)
        if raw.dtype.kind not in "biuf" and raw.size:
            raw = raw.astype(np.float64) if raw.dtype == object else _refuse(wanted)
        numbers = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ModelError(wanted) from None
    if numbers.shape != (size,) or not np.all(np.isfinite(numbers)):
        raise ModelError(wanted)
    return numbers


def _refuse(message: str) -> FloatArray:
    raise ModelError(message)


def positive_variance(sigma: Any) -> float:
    """The square of a standard deviation.

    Raises:
        ModelError: not one positive number, or one whose square is out of range.
    """
    low, high = SIGMA_RANGE
    try:
        value = float(parameter_array("sigma", [sigma], 1)[0])
    except ModelError:
        value = -1.0
    if not low <= value <= high:
        raise ModelError(f"sigma={sigma!r}: give one positive number, the residual standard deviation")
    return value**2
