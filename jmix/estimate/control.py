"""Options of the optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from jmix.errors import ModelError


@dataclass(frozen=True)
class Control:
    """How to optimise.

    Attributes:
        optimizer: "newton" (exact Newton steps in a trust region) or "lbfgs" (L-BFGS first, Newton steps to finish).
        max_iterations: limit on Newton iterations.
    """

    optimizer: str = "newton"
    max_iterations: int = 200

    def __post_init__(self) -> None:
        if self.optimizer not in ("newton", "lbfgs"):
            raise ModelError(f"control: optimizer={self.optimizer!r} is unknown; choose 'newton' or 'lbfgs'")
        whole = isinstance(self.max_iterations, int) and not isinstance(self.max_iterations, bool)
        if not (whole and self.max_iterations > 0):
            raise ModelError(f"control: max_iterations={self.max_iterations!r} must be a positive whole number")


def as_control(value: Control | Mapping[str, Any] | None) -> Control:
    """A ``Control`` from None or a dict of its attributes.

    Raises:
        ModelError: for something else, or an unknown option.
    """
    if value is None:
        return Control()
    if isinstance(value, Control):
        return value
    allowed = [f.name for f in fields(Control)]
    if not isinstance(value, Mapping):
        raise ModelError(f"control={value!r}: give a dict with {', '.join(allowed)}, such as {{'max_iterations': 500}}")
    unknown = sorted(set(value) - set(allowed), key=str)
    if unknown:
        raise ModelError(f"control: unknown option {', '.join(map(repr, unknown))}; allowed are {', '.join(allowed)}")
    return Control(**value)
