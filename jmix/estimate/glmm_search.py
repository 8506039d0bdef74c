"""The maximiser of a marginal likelihood: BFGS from a good first guess of the Hessian, finished by exact Newton steps.

A gradient costs one pass over the data, an exact Hessian one or more for every three parameters. With few parameters
the search asks for two: near the optimum, from where few steps are left, and at the optimum, for the standard errors;
with many, for the last one only. More are computed where progress is slow.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from jmix.estimate.newton import ESCAPE, PATIENCE, Point, bfgs_update, descends
from jmix.estimate.trust_region import Proposal, judge, propose

FloatArray = npt.NDArray[np.float64]
Evaluate = Callable[[FloatArray], Point]
Curvature = Callable[[FloatArray], FloatArray]
log = logging.getLogger("jmix")

ARRIVED, ARRIVED_DEAR = 1e-11, 1e-9
"""Newton decrements, in units of the log likelihood, at which BFGS hands over to the last exact Hessian: 4e-6 and 4e-5
of a standard error, so that the Hessian there serves for the standard errors.
"""

CLOSE = 1e-3
"""Decrement at which a first exact Hessian pays where it is cheap: from there two or three steps arrive."""

CHEAP = 12
"""Most parameters with which an exact Hessian is taken for cheap: it costs about a third of a gradient each."""

NEAR = 1e-8
"""Largest decrement, by the exact Hessian, from which that Hessian is taken for the one at the optimum."""

TOLERANCE = 1e-15
"""Decrement at which the optimum is reached."""

REFRESH = 25
"""Evaluations without arriving after which the Hessian is computed anew."""

CHORD = 4
"""Most Newton steps with the last exact Hessian."""


@dataclass
class Search:
    """The state of one minimisation of a negative log likelihood.

    Attributes:
        first: point (d,) to value and gradient. second: point to exact Hessian (d, d). z: the best point so far. at:
            its value and gradient. hessian: a model of the Hessian there; exact: whether it is the exact one.
    """

    first: Evaluate
    second: Curvature
    z: FloatArray
    at: Point
    hessian: FloatArray
    exact: bool = False
    radius: float = 1.0
    n_evaluations: int = 1
    n_hessians: int = 0
    interrupted: bool = False
    settled: bool = False
    since: int = field(default=0, repr=False)

    def decrement(self) -> float:
        """``g'|H|^{-1}g / 2``: how far below the optimum is, by the model."""
        return float(propose(np, self.at.gradient, self.hessian, np.inf).decrement)

    def refresh(self) -> bool:
        """Compute the exact Hessian at the present point; whether it is finite."""
        hessian = self.second(self.z)
        self.n_hessians, self.since = self.n_hessians + 1, 0
        self.exact = bool(np.all(np.isfinite(hessian)))
        if self.exact:
            self.hessian = hessian
        return self.exact

    @property
    def arrived(self) -> float:
        """The decrement at which an exact Hessian is called for."""
        if self.z.size > CHEAP:
            return ARRIVED_DEAR
        return ARRIVED if self.n_hessians else CLOSE

    def advance(self, proposal: Proposal) -> bool:
        """Try a step; whether it was taken."""
        candidate = self.z + proposal.step
        new = self.first(candidate)
        self.n_evaluations, self.since = self.n_evaluations + 1, self.since + 1
        accepted, radius = judge(np, self.at.value, new.value, proposal, self.radius, self.at.noise)
        accepted = bool(accepted) and bool(np.all(np.isfinite(new.gradient)))
        self.radius = float(radius) if accepted else min(float(radius), 0.25 * float(proposal.length))
        if log.isEnabledFor(logging.INFO):
            told = (self.n_evaluations, new.value, self.decrement())
            log.info("evaluation %d: -log likelihood %.8f, decrement %.2e", *told)
        if accepted:
            self.hessian = bfgs_update(self.hessian, candidate - self.z, new.gradient - self.at.gradient)
            self.exact, self.z, self.at = False, candidate, new
        return accepted

    def stalled(self) -> bool:
        """Whether the trust region has collapsed."""
        return self.radius <= 1e-12 * (1.0 + float(np.linalg.norm(self.z)))


def minimise(
    first: Evaluate,
    second: Curvature,
    start: FloatArray,
    guess: FloatArray,
    *,
    at: Point | None = None,
    max_iterations: int = 200,
) -> Search:
    """Minimise from ``start`` (d,).

    Args:
        guess: (d, d) positive definite, about the Hessian at the start. at: value and gradient there, if known.
    """
    began = time.monotonic()
    search = Search(first, second, start, first(start) if at is None else at, guess)
    try:
        _run(search, max_iterations)
    except KeyboardInterrupt:
        if time.monotonic() - began < PATIENCE:
            raise
        search.interrupted = True
    return search


def _run(search: Search, max_iterations: int) -> None:
    for _ in range(max_iterations):
        proposal = propose(np, search.at.gradient, search.hessian, search.radius)
        done = float(proposal.decrement) <= max(search.arrived, search.at.noise)
        if not search.exact and (done or search.since >= REFRESH or search.stalled()):
            if not search.refresh():
                return
            search.radius = max(search.radius, 1e-3)
            proposal = propose(np, search.at.gradient, search.hessian, search.radius)
            done = float(proposal.decrement) <= max(NEAR, search.at.noise)
        if done and search.exact:
            if not descends(search.hessian):
                _chord(search)
                return
            proposal = _escape(search)
        if not search.advance(proposal) and search.stalled() and search.exact:
            return
    if not search.exact:
        search.refresh()
    search.settled = search.exact and search.decrement() <= 1e-6 and not descends(search.hessian)


def _chord(search: Search) -> None:
    """Newton steps with one exact Hessian, until the decrement is below tolerance or no longer falls."""
    search.settled = True
    decrement = search.decrement()
    for _ in range(CHORD):
        if decrement <= TOLERANCE:
            return
        proposal = propose(np, search.at.gradient, search.hessian, 1.0)
        new = search.first(search.z + proposal.step)
        search.n_evaluations += 1
        if not (new.value <= search.at.value + 2.0 * search.at.noise and np.all(np.isfinite(new.gradient))):
            return
        after = float(propose(np, new.gradient, search.hessian, 1.0).decrement)
        if after >= decrement:
            return
        search.z, search.at, decrement = search.z + proposal.step, new, after


def _escape(search: Search) -> Proposal:
    """A step off a saddle point, along the direction of most negative curvature."""
    values, vectors = np.linalg.eigh(search.hessian)
    length = max(min(search.radius, ESCAPE), 1e-3)
    gain = -0.5 * values[0] * length**2
    return Proposal(length * vectors[:, 0], gain, np.float64(0.0), np.float64(length))
