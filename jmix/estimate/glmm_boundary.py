"""The canonical form of an optimum: nonnegative diagonals, and variances that vanish exactly zero.

A column of Lambda at zero is a stationary point of the likelihood, since flipping its sign changes nothing. It is
called singular only where the likelihood curves down from there, with the other parameters at their best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from jmix.estimate.boundary import SMALL, SNAP_COST, canonical_signs, snapped_phi, zero_columns
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.glmm_search import Search, minimise
from jmix.estimate.newton import Point, descends
from jmix.estimate.trust_region import propose

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

POLISH = 60
"""Most steps for the other parameters after something was set to zero."""

HOPE = 10.0
"""How many times the gain that the Hessian foresees the other parameters might bring; more is not tried."""


class Space(Protocol):
    """The objective in the coordinates of a search."""

    x0: FloatArray
    scale: FloatArray

    def first(self, z: FloatArray) -> Point:
        """Value and gradient."""
        ...

    def second(self, z: FloatArray) -> FloatArray:
        """Exact Hessian."""
        ...


@dataclass(frozen=True)
class _Theta:
    """Theta's part of z, whose origin moved to zero variances: ``phi = z + origin`` is Lambda in the basis of S."""

    place: slice
    origin: FloatArray

    @classmethod
    def of(cls, space: Space, objective: GlmmObjective) -> _Theta:
        place = objective.slices["theta"]
        return cls(place, np.asarray(np.linalg.solve(space.scale[place, place], space.x0[place]), dtype=np.float64))

    def phi(self, z: FloatArray) -> FloatArray:
        return np.asarray(z[self.place] + self.origin)

    def replaced(self, z: FloatArray, phi: FloatArray) -> FloatArray:
        out = z.copy()
        out[self.place] = phi - self.origin
        return out


def settle(space: Space, search: Search, objective: GlmmObjective) -> Search:
    """Bring the end of a search to its canonical form; small variances become zero where the likelihood allows it."""
    if not objective.terms or not search.exact:
        return search
    theta, spec = _Theta.of(space, objective), objective.spec
    for share in SMALL:
        phi = theta.phi(search.z)
        candidate = snapped_phi(spec, phi, share)
        if np.array_equal(candidate, phi):
            continue
        zero = np.zeros(search.z.size, dtype=np.bool_)
        zero[theta.place] = zero_columns(spec, candidate)
        found = _polished(space, search, theta.replaced(search.z, candidate), zero)
        if found is not None:
            search = found
            break
    return _signed(space, search, theta, canonical_signs(spec, theta.phi(search.z)))


def _polished(space: Space, search: Search, z: FloatArray, zero: BoolArray) -> Search | None:
    """The best point with some entries held, or None where it is worse or no maximum."""
    free, worst = np.flatnonzero(~zero), search.at.value + SNAP_COST + 2.0 * search.at.noise
    guess = search.hessian[np.ix_(free, free)] if search.exact else np.eye(free.size)
    values, vectors = np.linalg.eigh(guess)
    guess = (vectors * np.maximum(np.abs(values), 1e-6 * np.max(np.abs(values), initial=1e-300))) @ vectors.T
    full: dict[str, FloatArray] = {}
    points: dict[bytes, Point] = {}

    def whole(part: FloatArray) -> FloatArray:
        out = z.copy()
        out[free] = part
        return out

    def first(part: FloatArray) -> Point:
        point = space.first(whole(part))
        points[part.tobytes()] = point
        return Point(point.value, point.gradient[free], None)

    def second(part: FloatArray) -> FloatArray:
        full["hessian"] = space.second(whole(part))
        return full["hessian"][np.ix_(free, free)]

    at = first(z[free])
    search.n_evaluations += 1
    gain = float(propose(np, at.gradient, guess, np.inf).decrement) if np.isfinite(at.value) else 0.0
    if not at.value - HOPE * gain <= worst:
        return None
    found = minimise(first, second, z[free], guess, at=at, max_iterations=POLISH)
    search.n_evaluations += found.n_evaluations
    search.n_hessians += found.n_hessians
    if not found.settled or found.at.value > worst or descends(full["hessian"]):
        return None
    return Search(
        space.first,
        space.second,
        whole(found.z),
        points[found.z.tobytes()],
        full["hessian"],
        exact=True,
        n_evaluations=search.n_evaluations,
        n_hessians=search.n_hessians,
        settled=True,
    )


def _signed(space: Space, search: Search, theta: _Theta, signs: FloatArray) -> Search:
    """Flip columns of Lambda; where that changes the value, as with points that are not symmetric, search on."""
    if np.all(signs == 1.0):
        return search
    z = theta.replaced(search.z, signs * theta.phi(search.z))
    all_signs = np.ones(z.size)
    all_signs[theta.place] = signs
    at, hessian = space.first(z), all_signs[:, None] * search.hessian * all_signs
    search.n_evaluations += 1
    if at.value > search.at.value + 1e-8 + search.at.noise:
        again = minimise(space.first, space.second, z, np.where(np.isfinite(hessian), hessian, 0.0))
        again.n_evaluations += search.n_evaluations
        again.n_hessians += search.n_hessians
        return again
    search.z, search.at, search.hessian = z, at, hessian
    return search
