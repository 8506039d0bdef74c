"""Minimisation over the free coordinates of an axis, one evaluation at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.estimate.inference.profile_point import Axis, Deviance
from jmix.estimate.newton import bfgs_update
from jmix.estimate.trust_region import Proposal, judge, noise_level, propose

FloatArray = npt.NDArray[np.float64]

TOLERANCE = 1e-10
"""Newton decrement, in units of the deviance, at which the other parameters are at their best: 1e-5 of a standard
error. The last step is still taken in the value, slope and curvature, which leaves them exact to rounding.
"""

LOOSE = 1e-7
"""Decrement by an approximate Hessian at which the exact one is called for."""

ESCAPE = 0.3
"""Length of the first step off a saddle point, where the curvature at the maximum of the likelihood is one."""

MOST = 60
"""Evaluations at one value of the held coordinate."""

FLOOR = 1e-9
"""Share of the largest eigenvalue below which a direction counts as flat."""

NEGATIVE = -1e-6
"""Eigenvalue, in units of the largest, that is clearly negative."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Coordinates in which the curvature at the maximum is about one: ``w_free = S z``."""

    free: npt.NDArray[np.intp]
    scale: FloatArray

    @classmethod
    def of(cls, axis: Axis, hessian: FloatArray) -> Frame:
        """From the (d, d) Hessian at the maximum."""
        free = np.flatnonzero(axis.free)
        block = hessian[np.ix_(free, free)]
        size = np.sqrt(np.maximum(np.abs(np.diag(block)), 1e-300))
        size = np.maximum(size, 1e-6 * np.max(size, initial=1e-300))
        values, vectors = np.linalg.eigh(block / np.outer(size, size))
        floor = max(1e-8 * float(np.max(np.abs(values), initial=0.0)), 1e-300)
        return cls(free, (vectors / np.sqrt(np.maximum(np.abs(values), floor))) / size[:, None])


@dataclass(eq=False)
class Search:
    """The state of one minimisation: the best point so far, with its derivatives in all coordinates."""

    axis: Axis
    frame: Frame
    deviance: Deviance
    w: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray
    exact: bool
    extra: Any
    radius: float = 2.0
    count: int = 0
    last: float = np.inf
    proposal: Proposal | None = None
    escape: float = ESCAPE

    def reduced(self) -> tuple[FloatArray, FloatArray]:
        """Gradient and Hessian in z."""
        free, scale = self.frame.free, self.frame.scale
        return scale.T @ self.gradient[free], scale.T @ self.hessian[np.ix_(free, free)] @ scale

    def settled(self) -> bool:
        """Whether the minimum is reached; otherwise the next step is in ``proposal``."""
        while True:
            gradient, hessian = self.reduced()
            if gradient.size == 0:
                if not self.exact:
                    self.make_exact()
                return True
            self.proposal = propose(np, gradient, hessian, self.radius)
            decrement, noise = float(self.proposal.decrement), float(noise_level(self.value))
            limit = max(TOLERANCE if self.exact else LOOSE, noise)
            done = decrement <= limit or (decrement <= 100 * noise and decrement > 0.25 * self.last)
            self.last = decrement
            if not done:
                return False
            if self.exact:
                return not self._descends(hessian)
            self.make_exact()

    def make_exact(self) -> None:
        """Compute the exact Hessian here."""
        hessian = self.deviance.curvature(self.axis, self.w)
        if np.all(np.isfinite(hessian)):
            self.hessian = hessian
        self.exact = True

    def _descends(self, hessian: FloatArray) -> bool:
        """Whether this is a saddle; then ``proposal`` leads off it."""
        values, vectors = np.linalg.eigh(hessian)
        if values[0] >= NEGATIVE * max(1.0, float(np.max(np.abs(values)))) or self.count > MOST // 2:
            return False
        length = self.escape
        gain = -0.5 * values[0] * length**2
        self.proposal = Proposal(length * vectors[:, 0], gain, np.float64(0.0), np.float64(length))
        self.radius = max(self.radius, length)
        return True

    def candidate(self) -> FloatArray:
        """(d,) where the proposal leads."""
        assert self.proposal is not None
        out = self.w.copy()
        out[self.frame.free] += self.frame.scale @ self.proposal.step
        return out

    def receive(
        self, w: FloatArray, value: float, gradient: FloatArray, hessian: FloatArray | None, extra: Any
    ) -> bool:
        """Judge an evaluation; whether the search is still alive."""
        assert self.proposal is not None
        self.count += 1
        finite = np.isfinite(value) and bool(np.all(np.isfinite(gradient)))
        new = value if finite else np.inf
        noise = noise_level(self.value)
        accepted, radius = judge(np, self.value, new, self.proposal, self.radius, noise)
        self.radius = float(radius)
        if not accepted and self.proposal.decrement == 0.0:
            self.escape, self.radius = 0.25 * self.escape, max(self.radius, 1e-6)
        if accepted and finite:
            self.move(w, value, gradient, hessian, extra)
        return self.count < MOST and self.radius > 1e-10

    def move(self, w: FloatArray, value: float, gradient: FloatArray, hessian: FloatArray | None, extra: Any) -> None:
        """Go to an evaluated point."""
        if hessian is None:
            self.hessian = bfgs_update(self.hessian, w - self.w, gradient - self.gradient)
            self.exact = False
        else:
            self.hessian, self.exact = hessian, True
        self.w, self.value, self.gradient, self.extra = w, value, gradient, extra
        self.escape = ESCAPE

    def minimum(self) -> tuple[float, float, float, FloatArray, FloatArray]:
        """Value, slope and curvature of the profile, the free coordinates' minimum, and their derivative in u."""
        free, held = self.frame.free, self.axis.held
        gradient, hessian = self.reduced()
        cross = self.frame.scale.T @ self.hessian[free, held]
        own, slope = float(self.hessian[held, held]), float(self.gradient[held])
        w, tangent = self.w.copy(), np.zeros_like(self.w)
        tangent[held] = 1.0
        if gradient.size == 0:
            return self.value, slope, own, w, tangent
        values, vectors = np.linalg.eigh(hessian)
        kept = values > FLOOR * max(float(values[-1]), 1e-300)
        half = vectors[:, kept] / values[kept]
        step = -(half @ (vectors[:, kept].T @ gradient))
        along = -(half @ (vectors[:, kept].T @ cross))
        w[free] += self.frame.scale @ step
        tangent[free] = self.frame.scale @ along
        return (
            self.value + 0.5 * float(gradient @ step),
            slope + float(cross @ step),
            own + float(cross @ along),
            w,
            tangent,
        )
