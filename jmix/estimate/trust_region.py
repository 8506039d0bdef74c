"""Newton's method in a trust region, with exact Hessians: pure functions that run on NumPy or JAX arrays.

The step minimises the model whose Hessian eigenvalues are replaced by their absolute values, so saddle points repel
(Dauphin et al. 2014; Nocedal & Wright 2006, section 3.4), and is cut at the trust radius.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

Array = Any

SHRINK, GROW, MAX_RADIUS = 0.25, 2.0, 1e6
FLAT = 1e-9
"""Eigenvalues below this share of the largest are treated as flat directions."""


LARGE, REGULAR = 16, 1e-5
"""Order from which a Cholesky factor is tried before the eigenvalues, which take thirty times as long; and least ratio
of its diagonal entries that counts as far from singular.
"""

EPSILON = 2.220446049250313e-16


def noise_level(value: Array) -> Array:
    """Rounding error to expect in an objective of this size."""
    return 64.0 * EPSILON * (1.0 + abs(value))


@dataclass(frozen=True)
class Proposal:
    """A step with the reduction that the quadratic model predicts and the Newton decrement at its origin."""

    step: Array
    predicted: Array
    decrement: Array
    length: Array


def propose(xp: ModuleType, gradient: Array, hessian: Array, radius: Array) -> Proposal:
    """The step from a point with this gradient (k,) and Hessian (k, k).

    ``decrement`` is ``g'|H|^{-1}g / 2``: how far, in units of the objective, the model says the optimum is below.
    """
    if xp is np and gradient.size >= LARGE:
        found = _regular_step(gradient, hessian, radius)
        if found is not None:
            return found
    values, vectors = xp.linalg.eigh(hessian)
    magnitude = xp.abs(values)
    floor = xp.maximum(FLAT * xp.max(magnitude), 1e-300)
    safe = xp.maximum(magnitude, floor)
    along = vectors.T @ gradient
    full = -along / safe
    decrement = 0.5 * xp.sum(along * along / safe)
    norm = xp.sqrt(xp.sum(full * full))
    cut = xp.minimum(1.0, radius / xp.maximum(norm, 1e-300))
    scaled = cut * full
    predicted = -(xp.sum(along * scaled) + 0.5 * xp.sum(values * scaled * scaled))
    return Proposal(vectors @ scaled, predicted, decrement, cut * norm)


def _regular_step(gradient: Array, hessian: Array, radius: Array) -> Proposal | None:
    """The same step from a Cholesky factor; None where the Hessian is not safely positive definite."""
    try:
        root = np.diagonal(np.linalg.cholesky(hessian))
    except np.linalg.LinAlgError:
        return None
    if not np.min(root) > REGULAR * np.max(root):
        return None
    full = -np.linalg.solve(hessian, gradient)
    decrement = -0.5 * gradient @ full
    norm = np.linalg.norm(full)
    cut = min(1.0, radius / max(norm, 1e-300))
    return Proposal(cut * full, cut * (2.0 - cut) * decrement, decrement, cut * norm)


def judge(
    xp: ModuleType, value: Array, new_value: Array, proposal: Proposal, radius: Array, noise: Array
) -> tuple[Array, Array]:
    """Whether the step is accepted, and the next trust radius.

    ``noise`` is the rounding error of the objective: reductions below it can be neither confirmed nor refuted, and
    are accepted.
    """
    actual = value - new_value
    finite = xp.isfinite(new_value)
    negligible = xp.abs(proposal.predicted) <= noise
    ratio = xp.where(negligible, 1.0, actual / xp.where(negligible, 1.0, proposal.predicted))
    accepted = finite & xp.where(negligible, actual >= -2.0 * noise, ratio > 0.05)
    good = accepted & (ratio > 0.6)
    poor = ~accepted | (ratio < 0.2)
    grown = xp.where(good, xp.minimum(xp.maximum(radius, GROW * proposal.length), MAX_RADIUS), radius)
    return accepted, xp.where(poor, SHRINK * proposal.length, grown)
