"""One direction of one profile: where to look next, and what to keep."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.estimate.inference.profile_point import Axis, Deviance, Knot, LowerDeviance
from jmix.estimate.inference.profile_search import Frame, Search
from jmix.estimate.trust_region import noise_level

FloatArray = npt.NDArray[np.float64]
log = logging.getLogger("jmix")

STEP, WIDEST = 0.6, 0.85
"""Distance between knots that is aimed at, and the widest that is left, in units of zeta."""

BELOW = 1e-6
"""By how much a point must lie below the minimum to call the fit into question."""

FINE = 0.2
"""Distance between knots where the profile has more than one branch, and so kinks."""

BETTER = 1e-7
"""By how much another local optimum must lie lower."""

MOST_KNOTS = 60
SHRINK, TRIES = 0.35, 6
FLAT = 1e-3
"""Share of what is missing that the curve would still rise over its whole length so far, below which it is taken to
have levelled off."""


@dataclass(eq=False)
class Lane:
    """One direction of one profile, outward from the minimum.

    Attributes:
        side: 1 upward, -1 downward. goal: zeta at which it may end. end: how it ended: "reached", "bound" (of the
            parameter's range), "level" (the deviance levels off), "failed" or "interrupted". careful: whether other
            local optima are looked for at every knot.
    """

    axis: Axis
    side: int
    goal: float
    frame: Frame
    deviance: Deviance
    minimum: float
    origin: Knot
    hessian: FloatArray
    gradient: FloatArray
    knots: list[Knot] = field(default_factory=list)
    end: str = ""
    search: Search | None = None
    beyond: list[Knot] = field(default_factory=list)
    next: FloatArray = field(default_factory=lambda: np.zeros(0))
    step: float = 0.0
    tries: int = 0
    careful: bool = False

    def begin(self) -> None:
        """Aim at the first knot."""
        if self.room() <= 1e-12 * (1.0 + abs(self.origin.u)):
            self.end = "bound"
            return
        slope = np.sqrt(max(0.5 * self.origin.curvature, 0.0))
        self.aim(min(STEP, self.goal) / slope if slope > 1e-12 else np.inf)

    # --- where the profile is ---------------------------------------------------------------------------------------
    @property
    def front(self) -> Knot:
        """The last knot without a gap before it."""
        return self.knots[-1] if self.knots else self.origin

    def distance(self, knot: Knot) -> float:
        """How far out a knot lies, in the held coordinate."""
        return self.side * (knot.u - self.origin.u)

    def room(self) -> float:
        """How far out the range of the parameter goes."""
        bound = self.axis.high if self.side > 0 else self.axis.low
        return self.side * (bound - self.origin.u)

    # --- one step ---------------------------------------------------------------------------------------------------
    def aim(self, step: float) -> None:
        """Evaluate next at this distance from the front."""
        front, at = self.front, self.distance(self.front)
        widest = 5.0 * at if at > 0 else 3.0 * max(1.0, abs(self.origin.u))
        target = at + min(step, widest)
        if self.beyond:
            far = self.distance(self.beyond[-1])
            inside = at + 0.02 * (far - at) < target < far - 0.02 * (far - at)
            target = target if inside else 0.5 * (at + far)
        room = self.room()
        u = (
            self.origin.u + self.side * target
            if target < room
            else (self.axis.high if self.side > 0 else self.axis.low)
        )
        self.step = self.side * (u - front.u)
        self.next = front.w + (u - front.u) * front.tangent
        self.next[self.axis.held] = u
        self.search = None

    def receive(self, value: float, gradient: FloatArray, hessian: FloatArray | None, extra: Any) -> None:
        """Take the evaluation of ``next``."""
        if self.search is None:
            if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
                self.retry()
                return
            base = self.hessian if hessian is None else hessian
            self.search = Search(
                self.axis, self.frame, self.deviance, self.next, value, gradient, base, hessian is not None, extra
            )
            if hessian is None:
                self.search.w, self.search.gradient = self.front.w, self.gradient
                self.search.move(self.next, value, gradient, None, extra)
        elif not self.search.receive(self.next, value, gradient, hessian, extra):
            self.retry()
            return
        if self.search.settled():
            self.arrive(self.search)
        else:
            self.next = self.search.candidate()

    def retry(self) -> None:
        """The search failed: a shorter step from the front."""
        self.tries += 1
        if self.tries > TRIES:
            self.end = "failed"
            log.info("profile of %s: no minimum found beyond %g", self.axis.name, self.axis.to_value(self.front.u))
            return
        self.aim(SHRINK * self.step)

    def arrive(self, search: Search) -> None:
        """A knot is found: keep it, and aim at the next."""
        if self.careful:
            search = self.best(search)
        value, slope, curvature, w, tangent = search.minimum()
        rise = value - self.minimum
        if rise < -(BELOW + 10.0 * noise_level(self.minimum)):
            raise LowerDeviance(self.axis, w, -rise, search.extra)
        u = float(w[self.axis.held])
        knot = Knot(u, max(rise, 0.0), slope, curvature, w, tangent, search.extra)
        self.tries = 0
        self.hessian, self.gradient = search.hessian, search.gradient
        log.debug("profile of %s: %g, zeta %.4f", self.axis.name, self.axis.to_value(u), self.side * knot.z)
        if knot.z - self.front.z > WIDEST and len(self.knots) + len(self.beyond) < MOST_KNOTS:
            self.beyond.append(knot)
        else:
            self.keep(knot)
        if not self.finished():
            self.aim(self.outlook())
        elif not self.careful and self.deviance.doubtful(self.axis, w) and self.best(search) is not search:
            self.careful, self.end = True, ""
            self.knots, self.beyond = [], []
            self.begin()

    def best(self, search: Search) -> Search:
        """The lowest of the optima found from here and with correlations turned around."""
        lowest = search
        for signs in self.axis.flips:
            found = self.elsewhere(search, signs * search.w)
            if found is not None and found.value < lowest.value - BETTER:
                lowest = found
        return lowest

    def elsewhere(self, search: Search, w: FloatArray) -> Search | None:
        """The optimum from another start at the same value of the parameter; None where there is none."""
        at = self.deviance.evaluate([self.axis], w[None])
        value, gradient = float(at.value[0]), at.gradient[0]
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            return None
        hessian = self.deviance.curvature(self.axis, w) if at.hessian is None else at.hessian[0]
        other = Search(self.axis, self.frame, self.deviance, w, value, gradient, hessian, True, at.extra[0])
        while not other.settled():
            w = other.candidate()
            at = self.deviance.evaluate([self.axis], w[None])
            exact = None if at.hessian is None else at.hessian[0]
            if not other.receive(w, float(at.value[0]), at.gradient[0], exact, at.extra[0]):
                return None
        return other

    def keep(self, knot: Knot) -> None:
        """Move the front, past knots found beyond it that are now near enough."""
        self.knots.append(knot)
        while self.beyond and self.beyond[-1].z - self.front.z <= WIDEST:
            self.knots.append(self.beyond.pop())

    def finished(self) -> bool:
        """Whether the goal, the end of the range, or a level is reached."""
        front, at = self.front, self.distance(self.front)
        if front.z >= self.goal:
            self.end = "reached"
        elif self.room() - at <= 1e-12 * (1.0 + abs(front.u)):
            self.end = "bound"
        elif self.knots and not self.beyond and not np.isfinite(self.room()):
            rising = abs(front.slope) / (2.0 * max(front.z, 1e-6)) * at
            if (front.z > 0.05 and rising < FLAT * (self.goal - front.z)) or len(self.knots) >= MOST_KNOTS:
                self.end = "level"
        return bool(self.end)

    def outlook(self) -> float:
        """Distance from the front at which zeta should have grown by one step."""
        front = self.front
        wanted = min(FINE if self.careful else STEP, self.goal * (1.0 + 1e-3) + 0.01 - front.z)
        if self.beyond:
            gap = self.beyond[-1].z - front.z
            wanted = gap / np.ceil(gap / WIDEST)
        if front.z < 1e-3:
            return 2.0 * max(self.distance(front), 1e-8)
        first, second = front.derivatives()
        first = self.side * first
        if first <= 0:
            return float("inf")
        linear = wanted / first
        return float(np.clip(linear - 0.5 * second / first * linear**2, 0.4 * linear, 2.5 * linear))
