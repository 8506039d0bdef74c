"""Between the knots of a profile: zeta as a piecewise polynomial that keeps its exact derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.estimate.inference.profile_trace import Curve

FloatArray = npt.NDArray[np.float64]

NEAR = 1e-3
"""Zeta below which the derivatives are those at the minimum or, off it, left out: they are differences."""


@dataclass(frozen=True, eq=False)
class Zeta:
    """Zeta of one parameter as a smooth function of the held coordinate u, and back.

    Attributes:
        curve: its knots.
    """

    curve: Curve

    @cached_property
    def u(self) -> FloatArray:
        """(m,) the knots."""
        return np.array([k.u for k in self.curve.knots])

    @cached_property
    def zeta(self) -> FloatArray:
        """(m,) zeta at the knots."""
        return self.curve.zeta()

    @cached_property
    def polynomial(self) -> Any:
        """Hermite's interpolant: value, slope and curvature at the knots, value and slope at the minimum."""
        from scipy.interpolate import BPoly

        given = []
        for i, knot in enumerate(self.curve.knots):
            side = 1.0 if i > self.curve.middle else -1.0
            if i == self.curve.middle:
                given.append([0.0, float(np.sqrt(0.5 * knot.curvature))])
            elif knot.z < NEAR:
                given.append([side * knot.z])
            else:
                first, second = knot.derivatives()
                given.append([side * knot.z, side * first, side * second])
        return BPoly.from_derivatives(self.u, given)

    def at(self, u: FloatArray) -> FloatArray:
        """Zeta and its derivative, (2, m), at coordinates between the first and the last knot."""
        if self.u.size < 2:
            return np.full((2, np.size(u)), np.nan)
        return np.stack([self.polynomial(u), self.polynomial.derivative()(u)])

    def root(self, zeta: float) -> float:
        """The coordinate at which zeta has a value; an end of the parameter's range where it is not reached there; NaN
        where the profile could not be followed so far.
        """
        axis = self.curve.axis
        if not axis.known or not self.zeta[0] <= zeta <= self.zeta[-1]:
            low = zeta < 0
            end = self.curve.below if low else self.curve.above
            if end in ("bound", "level"):
                return axis.low if low else axis.high
            return float("nan")
        return self._between(zeta)

    def _between(self, zeta: float) -> float:
        from scipy.optimize import brentq

        i = int(np.clip(np.searchsorted(self.zeta, zeta), 1, self.zeta.size - 1))
        if self.zeta[i] == zeta:
            return float(self.u[i])
        try:
            return float(brentq(lambda u: float(self.polynomial(u)) - zeta, self.u[i - 1], self.u[i], xtol=1e-14))
        except ValueError:
            return float(np.interp(zeta, self.zeta[i - 1 : i + 1], self.u[i - 1 : i + 1]))
