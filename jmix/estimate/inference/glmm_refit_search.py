"""Newton's method for many responses at once: a fixed number of lanes, each given the next response when it is done.

One compiled program evaluates the log likelihood of all lanes with exact gradients and Hessians. A lane whose search
has ended takes the next response that waits, so that slow ones hold up nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate.inference.glmm_responses import Own, ResponseLayout, with_response
from jmix.estimate.inference.watch import UNWATCHED, Watch
from jmix.estimate.newton import ESCAPE
from jmix.estimate.trust_region import FLAT, Proposal, judge, noise_level
from jmix.likelihood import implicit

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]

ARRIVED = 1e-10
"""Newton decrement, in units of the log likelihood, from which the last step is taken without another look: 1e-5 of a
standard error, of which convergence being quadratic far less is left.
"""

MOST = 60
"""Evaluations after which a lane is given up."""

SADDLE = 1e-6
"""Curvature, relative to the largest, that counts as negative."""


def _evaluate(x: Any, u: Any, own: Any, data: Any, approx: Any) -> Any:
    """Log likelihoods (B,), gradients, Hessians, modes, and whether these were found, of all lanes."""

    def one(x: Any, u: Any, own: Any) -> Any:
        mine = with_response(data, own)
        value, gradient, u, mode = implicit.value_and_grad(approx, x, mine, u)
        return value, gradient, implicit.hessian(approx, x, mine, u), u, mode.converged

    return jax.vmap(one)(x, u, own)


_EVALUATE = runtime.Program(_evaluate, static=("approx",))


@dataclass
class Found:
    """Where L searches ended, in the coordinates z of ``x = x0 + scale z``, as negative log likelihoods.

    Attributes:
        z: (L, d). value: (L,). gradient: (L, d). hessian: (L, d, d), of all parameters, held ones too. done: whether
            the search arrived. ended: whether it ended at all, False for those that an interrupt kept waiting.
    """

    z: FloatArray
    value: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    done: BoolArray
    ended: BoolArray

    @classmethod
    def empty(cls, z: FloatArray) -> Found:
        """Nothing found yet."""
        count, d = z.shape
        nan = np.full((count, d), np.nan)
        no = np.zeros(count, dtype=np.bool_)
        return cls(z.copy(), np.full(count, np.nan), nan, np.full((count, d, d), np.nan), no, no.copy())

    def put(self, place: IntArray, other: Found, source: IntArray) -> None:
        """Copy searches of another set."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[place] = getattr(other, name)[source]


@dataclass
class Lanes:
    """The state of B searches.

    Attributes:
        job: (B,) the response each works on, -1 for none. z, value, gradient, hessian, u: the best points so far.
        proposal: from there, to the candidates (B, d). radius: of the trust regions. fresh: not evaluated yet.
    """

    job: IntArray
    z: FloatArray
    value: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    u: Any
    own: Own
    held: BoolArray
    candidate: FloatArray
    proposal: Proposal
    radius: FloatArray
    fresh: BoolArray
    count: IntArray = field(repr=False)

    @classmethod
    def of(cls, width: int, d: int, start: Any, own: Own) -> Lanes:
        """Lanes without work."""

        def repeated(a: Any) -> Any:
            return np.repeat(np.asarray(a)[None], width, axis=0)

        zero, flat = np.zeros((width, d)), np.zeros(width)
        no = np.zeros(width, dtype=np.bool_)
        return cls(
            job=np.full(width, -1),
            z=zero,
            value=flat.copy(),
            gradient=zero.copy(),
            hessian=np.zeros((width, d, d)),
            u=jax.tree.map(repeated, start),
            own={name: repeated(values[0]) for name, values in own.items()},
            held=np.zeros((width, d), dtype=np.bool_),
            candidate=zero.copy(),
            proposal=Proposal(zero.copy(), flat.copy(), flat.copy(), flat.copy()),
            radius=np.ones(width),
            fresh=no,
            count=np.zeros(width, dtype=np.intp),
        )

    def give(self, lanes: IntArray, jobs: IntArray, z: FloatArray, held: BoolArray, own: Own) -> None:
        """Start new searches."""
        self.job[lanes], self.z[lanes], self.candidate[lanes] = jobs, z, z
        self.value[lanes], self.radius[lanes], self.count[lanes] = np.inf, 1.0, 0
        self.fresh[lanes], self.held[lanes] = True, held
        for name, values in own.items():
            self.own[name][lanes] = values
        for u in jax.tree.leaves(self.u):
            u[lanes] = 0.0


@dataclass(frozen=True, eq=False)
class Batch:
    """What all searches share.

    Attributes:
        layout: of the design. responses: of indices of responses to what they contribute. x0: (d,) and scale: (d, d)
            of the coordinates. width: lanes.
    """

    layout: ResponseLayout
    responses: Callable[[IntArray], Own]
    x0: FloatArray
    scale: FloatArray
    width: int

    def evaluate(self, lanes: Lanes) -> tuple[FloatArray, FloatArray, FloatArray, Any]:
        """Negative log likelihoods at the candidates with their derivatives in z; infinite where they fail."""
        x = self.x0 + lanes.candidate @ self.scale.T
        args = (x, lanes.u, lanes.own, self.layout.device_data)
        value, gradient, hessian, u, converged = _EVALUATE(*args, approx=self.layout.approx)
        value, gradient, hessian = -np.asarray(value), -np.asarray(gradient), -np.asarray(hessian)
        gradient, hessian = gradient @ self.scale, self.scale.T @ hessian @ self.scale
        finite = np.isfinite(value) & np.isfinite(gradient).all(axis=1) & np.isfinite(hessian).all(axis=(1, 2))
        return np.where(np.asarray(converged) & finite, value, np.inf), gradient, hessian, u


def search(
    batch: Batch, jobs: IntArray, z: FloatArray, held: BoolArray, *, watch: Watch = UNWATCHED
) -> tuple[Found, bool]:
    """Minimise from z (L, d) for the responses ``jobs`` (L,), the entries ``held`` (L, d) kept as they are.

    Returns:
        Where the searches ended, and whether an interrupt ended them.
    """
    found = Found.empty(z)
    lanes = Lanes.of(batch.width, z.shape[1], batch.layout.start, batch.responses(jobs[:1]))
    waiting = 0
    try:
        while True:
            free = np.flatnonzero(lanes.job < 0)[: jobs.size - waiting]
            if free.size:
                own = np.arange(waiting, waiting + free.size)
                lanes.give(free, own, z[own], held[own], batch.responses(jobs[own]))
                waiting += free.size
            if np.all(lanes.job < 0):
                return found, False
            _advance(batch, lanes)
            watch.advance(_harvest(lanes, found))
    except KeyboardInterrupt:
        return found, True


def _advance(batch: Batch, lanes: Lanes) -> None:
    """One evaluation of all lanes."""
    value, gradient, hessian, u = batch.evaluate(lanes)
    noise = noise_level(np.where(np.isfinite(lanes.value), lanes.value, 0.0))
    with np.errstate(invalid="ignore"):
        accepted, radius = judge(np, lanes.value, value, lanes.proposal, lanes.radius, noise)
    take = np.where(lanes.fresh, np.isfinite(value), accepted) & (lanes.job >= 0)
    lanes.radius = np.where(lanes.fresh, np.where(take, 1.0, 0.0), radius)
    lanes.z[take], lanes.value[take] = lanes.candidate[take], value[take]
    lanes.gradient[take], lanes.hessian[take] = gradient[take], hessian[take]
    for old, new in zip(jax.tree.leaves(lanes.u), jax.tree.leaves(u), strict=True):
        old[take] = np.asarray(new)[take]
    lanes.fresh[:] = False
    lanes.count += 1
    lanes.proposal = propose_all(lanes.gradient, lanes.hessian, lanes.held, lanes.radius)
    lanes.candidate = np.where((lanes.job >= 0)[:, None], lanes.z + lanes.proposal.step, lanes.z)


def propose_all(gradient: FloatArray, hessian: FloatArray, held: BoolArray, radius: FloatArray) -> Proposal:
    """``trust_region.propose`` for B problems, held entries left out; a step off a saddle point where the gradient
    leads nowhere.
    """
    gradient = np.where(held, 0.0, gradient)
    kept = ~held[:, :, None] & ~held[:, None, :]
    # a held direction has the curvature of the largest other one, and no slope
    own = np.where(kept, hessian, 0.0)
    size = np.max(np.abs(own), axis=(1, 2), initial=1e-300)
    own = own + size[:, None, None] * (held[:, :, None] * np.eye(held.shape[1]))
    values, vectors = np.linalg.eigh(own)
    magnitude = np.abs(values)
    top = np.max(magnitude, axis=1, keepdims=True, initial=1e-300)
    safe = np.maximum(magnitude, np.maximum(FLAT * top, 1e-300))
    along = np.einsum("bij,bi->bj", vectors, gradient)
    full = -along / safe
    decrement = 0.5 * np.sum(along * along / safe, axis=1)
    saddle = (decrement <= ARRIVED) & (values[:, :1] < -SADDLE * top)[:, 0]
    full[saddle] = 0.0
    full[saddle, 0] = np.minimum(radius[saddle], ESCAPE)
    decrement = np.where(saddle, np.inf, decrement)
    norm = np.sqrt(np.sum(full * full, axis=1))
    cut = np.minimum(1.0, radius / np.maximum(norm, 1e-300))
    scaled = cut[:, None] * full
    predicted = -(np.sum(along * scaled, axis=1) + 0.5 * np.sum(values * scaled * scaled, axis=1))
    return Proposal(np.einsum("bij,bj->bi", vectors, scaled), predicted, decrement, cut * norm)


def _harvest(lanes: Lanes, found: Found) -> int:
    """Collect the searches that ended, and free their lanes; how many."""
    working, known = lanes.job >= 0, np.isfinite(lanes.value)
    noise = noise_level(np.where(known, lanes.value, 0.0))
    arrived = working & known & (lanes.proposal.decrement <= np.maximum(ARRIVED, noise))
    length = np.sqrt(np.sum(lanes.z * lanes.z, axis=1))
    lost = working & ~arrived & (~known | (lanes.count >= MOST) | (lanes.radius <= 1e-12 * (1.0 + length)))
    over = np.flatnonzero(arrived | lost)
    jobs = lanes.job[over]
    last = arrived[over, None] * lanes.proposal.step[over]
    found.z[jobs] = lanes.z[over] + last
    found.value[jobs] = lanes.value[over] - np.where(arrived[over], lanes.proposal.decrement[over], 0.0)
    found.gradient[jobs] = lanes.gradient[over] + np.einsum("bij,bj->bi", lanes.hessian[over], last)
    found.hessian[jobs] = lanes.hessian[over]
    found.done[jobs], found.ended[jobs] = arrived[over], True
    lanes.job[over] = -1
    lanes.candidate[over] = lanes.z[over]
    return int(over.size)
