"""Profiles of a deviance, traced outward from its minimum: the other coordinates follow by Newton's method.

At each knot the profile's first and second derivatives are known exactly (the first by the envelope theorem, the second
from the Schur complement of the Hessian), so the next knot is foreseen to third order, and the curve between
knots is interpolated to sixth (cf. Venzon & Moolgavkar 1988, J. R. Stat. Soc. C 37(1); Bates & Watts 1988, Nonlinear
Regression Analysis, section 6.1).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.estimate.inference.profile_lane import Lane
from jmix.estimate.inference.profile_point import Axis, Deviance, Knot
from jmix.estimate.inference.profile_search import Frame, Search
from jmix.estimate.inference.watch import Watch
from jmix.estimate.newton import PATIENCE

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """The profile of one axis: knots by increasing held coordinate, ``middle`` the place of the minimum among them.

    Attributes:
        below, above: how each side ended, as ``Lane.end``.
    """

    axis: Axis
    knots: list[Knot]
    middle: int
    below: str
    above: str

    def zeta(self) -> FloatArray:
        """(m,) signed roots of the rise."""
        sign = np.sign(np.arange(len(self.knots)) - self.middle)
        return np.asarray(sign * [k.z for k in self.knots])


def trace(deviance: Deviance, axes: Sequence[Axis], goal: float, watch: Watch) -> tuple[list[Curve], float]:
    """Profiles along axes until zeta reaches ``goal`` on both sides, or the range or the deviance ends.

    Returns:
        One curve an axis, and the deviance at the minimum.

    Raises:
        LowerDeviance: the start was not the minimum.
    """
    starts = _origins(deviance, axes)
    minimum = min((value for value, *_ in starts), default=np.nan)
    lanes: list[Lane] = []
    for axis, (_, frame, origin, hessian, gradient) in zip(axes, starts, strict=True):
        lanes += [Lane(axis, s, goal, frame, deviance, minimum, origin, hessian, gradient) for s in (-1, 1)]
    _run(deviance, lanes, watch)
    return [_curve(lanes[2 * i], lanes[2 * i + 1]) for i in range(len(axes))], minimum


def _origins(deviance: Deviance, axes: Sequence[Axis]) -> list[tuple[float, Frame, Knot, FloatArray, FloatArray]]:
    """For each axis the deviance at the maximum of the likelihood, with everything that its two lanes start from."""
    if not axes:
        return []
    at = deviance.evaluate(axes, np.stack([axis.start for axis in axes]))
    out = []
    for i, axis in enumerate(axes):
        hessian = deviance.curvature(axis, axis.start) if at.hessian is None else at.hessian[i]
        value, gradient = float(at.value[i]), at.gradient[i]
        if not (np.isfinite(value) and np.all(np.isfinite(hessian))):
            raise FloatingPointError(f"the deviance or its Hessian is not finite at the estimates ({axis.name})")
        frame = Frame.of(axis, hessian)
        search = Search(axis, frame, deviance, axis.start, value, gradient, hessian, True, at.extra[i])
        _, _, curvature, _, tangent = search.minimum()
        u = float(axis.start[axis.held])
        knot = Knot(u, 0.0, 0.0, max(curvature, 0.0), axis.start, tangent, at.extra[i])
        out.append((value, frame, knot, hessian, gradient))
    return out


def _run(deviance: Deviance, lanes: list[Lane], watch: Watch) -> None:
    """Advance lanes, as many together as the deviance likes; those that end make room for others.

    An interrupt after a few seconds keeps what is known.
    """
    began = time.monotonic()
    try:
        _advance(deviance, lanes, watch)
    except KeyboardInterrupt:
        if time.monotonic() - began < PATIENCE:
            raise
        for lane in lanes:
            lane.end = lane.end or "interrupted"


def _advance(deviance: Deviance, lanes: list[Lane], watch: Watch) -> None:
    waiting = list(lanes)
    running: list[Lane] = []
    while waiting or running:
        while waiting and len(running) < deviance.together:
            lane = waiting.pop(0)
            lane.begin()
            if lane.end:
                watch.advance(1)
            else:
                running.append(lane)
        if not running:
            continue
        at = deviance.evaluate([lane.axis for lane in running], np.stack([lane.next for lane in running]))
        for i, lane in enumerate(running):
            lane.receive(float(at.value[i]), at.gradient[i], None if at.hessian is None else at.hessian[i], at.extra[i])
        watch.advance(sum(bool(lane.end) for lane in running))
        running = [lane for lane in running if not lane.end]


def _curve(down: Lane, up: Lane) -> Curve:
    knots = [*reversed(down.knots), down.origin, *up.knots]
    return Curve(down.axis, knots, len(down.knots), down.end, up.end)
