"""What the tracing of a profile needs of a deviance: axes along which one parameter is held, and points on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Axis:
    """One parameter and coordinates w in which it is one of them, so that holding it is holding ``w[held]``.

    Attributes:
        name: of the parameter. number: of the axis among those of its deviance. held: the coordinate's place.
        free: (d,) the coordinates over which the deviance is minimised; it may depend on no others. start: (d,) the
            maximum of the likelihood. low, high: range of the held coordinate.
        to_value: the parameter as a function of the held coordinate. known: whether the data say anything about it.
        flips: (d,) signs that turn correlations around, towards which another local optimum may lie where a
            covariance matrix is nearly singular.
    """

    name: str
    number: int
    held: int
    free: BoolArray
    start: FloatArray
    low: float
    high: float
    to_value: Callable[[float], float]
    known: bool = True
    flips: tuple[FloatArray, ...] = ()


class Evaluation(NamedTuple):
    """The deviance at m points: value (m,), gradient (m, d), exact Hessians (m, d, d) or None, extra: m of anything."""

    value: FloatArray
    gradient: FloatArray
    hessian: FloatArray | None
    extra: Sequence[Any]


class Deviance(Protocol):
    """-2 log likelihood in the coordinates of each axis."""

    together: int
    """How many points are best evaluated together."""

    def evaluate(self, axes: Sequence[Axis], w: FloatArray) -> Evaluation:
        """At (m, d) points, each in the coordinates of its axis."""
        ...

    def curvature(self, axis: Axis, w: FloatArray) -> FloatArray:
        """(d, d) exact Hessian at one point."""
        ...

    def doubtful(self, axis: Axis, w: FloatArray) -> bool:
        """Whether a covariance matrix is nearly singular at a point, so that there may be another optimum."""
        ...


class Knot(NamedTuple):
    """A point of a profile.

    Attributes:
        u: the held coordinate. rise: deviance above its minimum. slope, curvature: derivatives of the profiled deviance
            in u. w: (d,) the other coordinates at their best. extra: what the evaluation gave.
    """

    u: float
    rise: float
    slope: float
    curvature: float
    w: FloatArray
    tangent: FloatArray
    extra: Any

    @property
    def z(self) -> float:
        """Root of the rise."""
        return float(np.sqrt(max(self.rise, 0.0)))

    def derivatives(self) -> tuple[float, float]:
        """First and second derivative of the root of the rise in u; away from the minimum."""
        first = self.slope / (2.0 * self.z)
        return first, (0.5 * self.curvature - first**2) / self.z


class LowerDeviance(Exception):
    """A point of a profile lies below what was taken for the minimum."""

    def __init__(self, axis: Axis, w: FloatArray, gain: float, extra: Any) -> None:
        super().__init__(f"{axis.name}: deviance {gain:.3g} below the fit's")
        self.axis, self.w, self.gain, self.extra = axis, w, gain, extra
