"""The optimiser of the profiled criterion: exact Newton steps, or BFGS updates between exact Hessians where those are
dear.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.estimate.retraction import SLOW
from jmix.estimate.trust_region import Proposal, judge, noise_level, propose

FloatArray = npt.NDArray[np.float64]
log = logging.getLogger("jmix")

TOLERANCE = 1e-12
"""Newton decrement, in units of the deviance, at which the optimum is reached: 1e-6 of a standard error."""

DEAR_TOLERANCE = 1e-9
"""The same where an exact Hessian is dear: 3e-5 of a standard error, in samples where that is small beside the
estimate.
"""

START_RADIUS = 1.0

ESCAPE = 0.1
"""Length of the first step off a saddle point."""

PATIENCE = 5.0
"""Seconds from which an interrupt keeps the best point so far instead of raising."""


class Point(NamedTuple):
    """An objective evaluated.

    Attributes:
        value: scalar. gradient: (k,). hessian: (k, k) exact, or None. extra: whatever else the evaluation yields.
        cancelled: rounding error of the value beyond that of its last digits, from differences of large numbers.
    """

    value: float
    gradient: FloatArray
    hessian: FloatArray | None
    extra: Any = None
    cancelled: float = 0.0

    @property
    def noise(self) -> float:
        """Rounding error to expect in the value."""
        return float(noise_level(self.value)) + self.cancelled


Evaluate = Callable[[FloatArray], Point]
Move = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class Optimum:
    """Where an optimiser stopped, with exact derivatives there.

    Attributes:
        theta: (k,) point. value: objective. gradient: (k,). hessian: (k, k) exact. extra: what the last evaluation
            yielded.
        decrement: ``g'H^{-1}g / 2``. n_evaluations, n_hessians: how many, and how many with an exact Hessian.
        converged: the decrement is below tolerance and the Hessian has no negative curvature.
        interrupted: the user stopped the search; the point is the best so far.
    """

    theta: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray
    extra: Any
    decrement: float
    n_evaluations: int
    n_hessians: int
    converged: bool
    interrupted: bool = False


@dataclass
class _Search:
    """The state of one minimisation."""

    full: Evaluate
    first: Evaluate | None
    theta: FloatArray
    at: Point
    hessian: FloatArray
    exact: bool
    radius: float = START_RADIUS
    n_evaluations: int = 1
    n_hessians: int = 0

    def evaluate(self, theta: FloatArray) -> Point:
        self.n_evaluations += 1
        if self.first is not None:
            return self.first(theta)
        self.n_hessians += 1
        return self.full(theta)

    def make_exact(self) -> None:
        if not self.exact:
            self.at = self.full(self.theta)
            assert self.at.hessian is not None
            self.hessian, self.exact = self.at.hessian, True
            self.n_evaluations, self.n_hessians = self.n_evaluations + 1, self.n_hessians + 1

    def advance(self, proposal: Proposal, move: Move) -> bool:
        """Try a step; False when the trust region has collapsed."""
        candidate = move(self.theta, proposal.step)
        new = self.evaluate(candidate)
        accepted, radius = judge(np, self.at.value, new.value, proposal, self.radius, self.at.noise)
        self.radius = float(radius)
        if not accepted:
            return self.radius > 1e-12 * (1.0 + float(np.linalg.norm(self.theta)))
        self.exact = new.hessian is not None
        self.hessian = (
            new.hessian
            if new.hessian is not None
            else bfgs_update(self.hessian, candidate - self.theta, new.gradient - self.at.gradient)
        )
        self.theta, self.at = candidate, new
        return True

    def settled(self, decrement: float, last: float, tolerance: float) -> bool:
        """Whether the decrement is below tolerance, or below rounding error and no longer falling."""
        lost_in_noise = decrement <= self.at.noise
        return decrement <= tolerance or (lost_in_noise and (self.first is not None or decrement > 0.25 * last))


def newton(
    full: Evaluate,
    start: FloatArray,
    *,
    first: Evaluate | None = None,
    guess: FloatArray | None = None,
    retraction: Move | None = None,
    max_iterations: int = 200,
    tolerance: float | None = None,
) -> Optimum:
    """Minimise from ``start``.

    Args:
        full: evaluates with an exact Hessian. first: evaluates without one: when given, Hessians are updated by BFGS
            from ``guess`` (k, k), and computed exactly only at the end. retraction: where a step from a point leads,
            used instead of their sum once progress is slow.
    """
    search = _begin(full, first, np.array(start, dtype=np.float64), guess)
    tolerance = tolerance or (TOLERANCE if first is None else DEAR_TOLERANCE)
    began = time.monotonic()
    try:
        _iterate(search, max_iterations, tolerance, retraction or np.add)
    except KeyboardInterrupt:
        if time.monotonic() - began < PATIENCE:
            raise
        return replace(_finish(search, tolerance), converged=False, interrupted=True)
    search.make_exact()
    return _finish(search, tolerance)


def _iterate(search: _Search, max_iterations: int, tolerance: float, retraction: Move) -> None:
    last = np.inf
    for iteration in range(max_iterations):
        proposal = propose(np, search.at.gradient, search.hessian, search.radius)
        log.info("iteration %d: criterion %.8f, decrement %.2e", iteration, search.at.value, proposal.decrement)
        settled = search.settled(float(proposal.decrement), last, tolerance)
        last = float(proposal.decrement)
        if settled and not search.exact:
            search.make_exact()
            continue
        if settled and not descends(search.hessian):
            return
        move = retraction if iteration >= SLOW else np.add
        if not search.advance(_escape(search) if settled else proposal, move):
            return


def _escape(search: _Search) -> Proposal:
    """A step off a saddle point, along the direction of most negative curvature."""
    values, vectors = np.linalg.eigh(search.hessian)
    length = min(search.radius, ESCAPE)
    return Proposal(length * vectors[:, 0], -0.5 * values[0] * length**2, np.float64(0.0), np.float64(length))


def _begin(full: Evaluate, first: Evaluate | None, theta: FloatArray, guess: FloatArray | None) -> _Search:
    if first is not None and guess is not None:
        return _Search(full, first, theta, first(theta), guess, exact=False)
    at = full(theta)
    assert at.hessian is not None
    return _Search(full, first, theta, at, at.hessian, exact=True, n_hessians=1)


def _finish(search: _Search, tolerance: float) -> Optimum:
    decrement = float(propose(np, search.at.gradient, search.hessian, 1.0).decrement)
    limit = 100 * max(tolerance, search.at.noise)
    return Optimum(
        theta=search.theta,
        value=search.at.value,
        gradient=search.at.gradient,
        hessian=search.hessian,
        extra=search.at.extra,
        decrement=decrement,
        n_evaluations=search.n_evaluations,
        n_hessians=search.n_hessians,
        converged=bool(decrement <= limit and not descends(search.hessian)),
    )


def descends(hessian: FloatArray) -> bool:
    """Whether some direction has clearly negative curvature."""
    values = np.linalg.eigvalsh(hessian)
    return bool(values[0] < -1e-6 * max(float(np.max(np.abs(values))), 1e-300))


def bfgs_update(hessian: FloatArray, step: FloatArray, change: FloatArray) -> FloatArray:
    """Damped BFGS update of a Hessian (Nocedal & Wright 2006, procedure 18.2)."""
    hs = hessian @ step
    curvature, along = float(step @ hs), float(step @ change)
    if curvature <= 0:
        return hessian + np.outer(change, change) / along if along > 0 else hessian
    if along < 0.2 * curvature:
        mix = 0.8 * curvature / (curvature - along)
        change = mix * change + (1.0 - mix) * hs
        along = float(step @ change)
    return hessian - np.outer(hs, hs) / curvature + np.outer(change, change) / along
