"""The search for many parameters: limited-memory BFGS in coordinates that make every item alike.

With thousands of items the Hessian is far too large, but nearly block diagonal by item once two things are taken care
of: the scale of each item's parameters, by the root of its complete-data information, and the few directions that move
and stretch the latent scale as a whole, which the data know only through the latent distribution. Along these the
curvature is measured and deflated from the preconditioner, as parameter expansion does for EM (Liu, Rubin & Wu 1998,
Biometrika 85, 755-770).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.estimate.newton import PATIENCE, Point

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Evaluate = Callable[[FloatArray], Point]
log = logging.getLogger("jmix")

MEMORY = 30
"""Pairs of steps and changes of gradient that are kept."""

TOLERANCE = 1e-9
"""Decrement for each parameter, in units of the log likelihood, at which the optimum is reached: an error of 4e-5 of a
standard error in the mean.
"""

ACCEPTED = 1e-4
"""Decrement from which a search that rounding error has stopped counts as arrived."""

DEFLATE = 1
"""Steps before the curvature of the soft directions is measured."""

SUFFICIENT, CURVED = 1e-4, 0.9
"""Constants of the weak Wolfe conditions (Nocedal & Wright 2006, section 3.1)."""

IDLE = 3
"""Steps without halving the decrement, once it is below the rounding error of the value, that end the search."""

TRIES = 20
"""Evaluations of one line search at most."""


@dataclass(frozen=True, eq=False)
class BlockRoot:
    """A linear map that is block diagonal: ``x = S z``.

    Attributes:
        places: (B, k) of each block among the P parameters, -1 beyond its own size. root: (B, k, k).
    """

    places: IntArray
    root: FloatArray

    def apply(self, z: FloatArray) -> FloatArray:
        """``S z``."""
        return self._put(np.einsum("bij,bj->bi", self.root, self._take(z)), z.size)

    def transposed(self, x: FloatArray) -> FloatArray:
        """``S' x``."""
        return self._put(np.einsum("bji,bj->bi", self.root, self._take(x)), x.size)

    def solve(self, x: FloatArray) -> FloatArray:
        """``S^-1 x``."""
        return self._put(np.linalg.solve(self.root, self._take(x)[..., None])[..., 0], x.size)

    def _take(self, x: FloatArray) -> FloatArray:
        return np.where(self.places >= 0, np.append(x, 0.0)[self.places], 0.0)

    def _put(self, values: Any, size: int) -> FloatArray:
        out = np.zeros(size + 1)
        out[self.places] = values
        return out[:-1]


@dataclass
class LargeSearch:
    """The state of a minimisation.

    Attributes:
        z: the best point. at: value and gradient there. soft: (k, d) orthonormal rows, directions whose curvature is
            measured. settled: the decrement is negligible.
    """

    first: Evaluate
    z: FloatArray
    at: Point
    soft: FloatArray
    n_evaluations: int = 1
    n_hessians: int = 0
    interrupted: bool = False
    settled: bool = False
    noise: float = 0.0
    scale: float = 1.0
    steps: list[FloatArray] = field(default_factory=list, repr=False)
    changes: list[FloatArray] = field(default_factory=list, repr=False)
    inverse: FloatArray | None = field(default=None, repr=False)

    def direction(self, gradient: FloatArray) -> FloatArray:
        """``H g`` with the present model of the inverse Hessian (Nocedal & Wright 2006, algorithm 7.4)."""
        q, weights = gradient.copy(), []
        for s, y in zip(reversed(self.steps), reversed(self.changes), strict=True):
            weights.append(float(s @ q) / float(s @ y))
            q -= weights[-1] * y
        q = self._initial(q)
        for s, y, weight in zip(self.steps, self.changes, reversed(weights), strict=True):
            q += s * (weight - float(y @ q) / float(s @ y))
        return q

    def decrement(self) -> float:
        """``g'H g / 2``: how far below the optimum is, by the model."""
        return 0.5 * float(self.at.gradient @ self.direction(self.at.gradient))

    def evaluate(self, z: FloatArray) -> Point:
        """Value and gradient."""
        self.n_evaluations += 1
        return self.first(z)

    def remember(self, step: FloatArray, change: FloatArray) -> None:
        """Keep a pair of positive curvature."""
        along = float(step @ change)
        if along <= 1e-10 * float(np.linalg.norm(step)) * float(np.linalg.norm(change)):
            return
        self.steps.append(step)
        self.changes.append(change)
        if len(self.steps) > MEMORY:
            self.steps.pop(0)
            self.changes.pop(0)
        self.scale = float(np.clip(along / float(change @ change), 1e-2, 1e2))

    def forget(self) -> None:
        """Start the model of the Hessian anew."""
        self.steps.clear()
        self.changes.clear()

    def deflate(self) -> None:
        """Measure the curvature of the soft directions at the present point."""
        if not len(self.soft):
            return
        change = np.stack([self.evaluate(self.z + v).gradient - self.at.gradient for v in self.soft])
        curvature = change @ self.soft.T
        if not np.all(np.isfinite(curvature)):
            return
        values, vectors = np.linalg.eigh(0.5 * (curvature + curvature.T))
        self.inverse = np.asarray((vectors / np.maximum(values, 1e-8)) @ vectors.T)

    def _initial(self, q: FloatArray) -> FloatArray:
        if self.inverse is None:
            return self.scale * q
        along = self.soft @ q
        return np.asarray(self.scale * q + self.soft.T @ (self.inverse @ along - self.scale * along))


def minimise_large(
    first: Evaluate,
    start: FloatArray,
    *,
    at: Point | None = None,
    soft: FloatArray | None = None,
    noise: float = 0.0,
    scale: float = 1.0,
    max_iterations: int = 500,
    tolerance: float | None = None,
    visit: Callable[[LargeSearch], Any] | None = None,
) -> LargeSearch:
    """Minimise from ``start`` (d,) in coordinates with a Hessian about the identity over ``scale``.

    Args:
        at: value and gradient at the start, if known. soft: (k, d) directions along which the Hessian is much smaller.
            noise: rounding error of the value beyond that of its last digits. visit: called after each step, for a
            checkpoint.

    A KeyboardInterrupt after some seconds keeps the best point so far.
    """
    began = time.monotonic()
    rows = np.zeros((0, start.size)) if soft is None else orthonormal(soft)
    search = LargeSearch(first, start, first(start) if at is None else at, rows, noise=noise, scale=scale)
    try:
        _run(search, max_iterations, tolerance or TOLERANCE * start.size, visit)
    except KeyboardInterrupt:
        if time.monotonic() - began < PATIENCE:
            raise
        search.interrupted = True
    return search


def orthonormal(rows: FloatArray) -> FloatArray:
    """An orthonormal basis of the span of rows (k, d)."""
    if not rows.size:
        return rows
    size = np.linalg.norm(rows, axis=1)
    _, values, right = np.linalg.svd(rows[size > 0] / size[size > 0][:, None], full_matrices=False)
    return np.asarray(right[values > 1e-6 * np.max(values, initial=1e-300)])


def _run(search: LargeSearch, limit: int, tolerance: float, visit: Callable[[LargeSearch], Any] | None) -> None:
    restarted, least, idle = False, np.inf, 0
    for iteration in range(limit):
        noise = max(search.noise, search.at.noise)
        if iteration == DEFLATE and len(search.soft):
            search.forget()
            search.deflate()
        direction = -search.direction(search.at.gradient)
        slope = float(search.at.gradient @ direction)
        if not slope < 0.0:
            search.forget()
            direction = -search.direction(search.at.gradient)
            slope = float(search.at.gradient @ direction)
        decrement = -0.5 * slope
        idle = idle + 1 if decrement > 0.5 * least else 0
        least = min(least, decrement)
        lost = decrement <= noise and idle >= IDLE
        if lost or (decrement <= tolerance and (iteration > 2 or decrement <= 1e-3 * tolerance)):
            search.settled = True
            return
        if line_search(search, direction, slope, noise):
            restarted = False
            log.info("step %d: -log likelihood %.6f, decrement %.2e", iteration, search.at.value, decrement)
            if visit is not None:
                visit(search)
            continue
        if restarted or not search.steps:
            break
        search.forget()
        restarted = True
    search.settled = search.decrement() <= max(ACCEPTED, search.noise)


def line_search(search: LargeSearch, direction: FloatArray, slope: float, noise: float) -> bool:
    """Move along a direction to where the weak Wolfe conditions hold; whether anything was gained.

    Bisection and expansion (Lewis & Overton 2013, Math. Program. 141, 135-163), with quadratic interpolation.
    """
    low, high, t = 0.0, np.inf, 1.0
    best: tuple[float, Point] | None = None
    for _ in range(TRIES):
        new = search.evaluate(search.z + t * direction)
        finite = bool(np.isfinite(new.value)) and bool(np.all(np.isfinite(new.gradient)))
        enough = finite and new.value <= search.at.value + SUFFICIENT * t * slope + noise
        along = float(new.gradient @ direction) if finite else 0.0
        if enough and (best is None or new.value < best[1].value):
            best = (t, new)
        if not enough:
            high = t
        elif along < CURVED * slope:
            low = t
        else:
            break
        if np.isfinite(high):
            middle = (
                _interpolated(search.at.value, slope, t, new.value) if finite and low == 0.0 and not enough else 0.0
            )
            width = high - low
            t = float(np.clip(middle, low + 0.1 * width, high - 0.5 * width)) if middle > 0 else low + 0.5 * width
        else:
            t = 2.0 * low
        if best is not None and abs(high - low) < 1e-3 * best[0]:
            break
    if best is None:
        return False
    t, new = best
    search.remember(t * direction, new.gradient - search.at.gradient)
    search.z, search.at = search.z + t * direction, new
    return True


def _interpolated(value: float, slope: float, t: float, there: float) -> float:
    """Where the parabola through two values and the first slope is lowest; 0 where it has no minimum."""
    bend = there - value - slope * t
    return -0.5 * slope * t * t / bend if bend > 0 else 0.0
