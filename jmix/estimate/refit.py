"""Many responses on one design: thousands of fits in one compiled, vmapped program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate.boundary import SNAP_COST, canonical_signs, snapped_phi
from jmix.estimate.identified import check_responses
from jmix.estimate.inference.watch import UNWATCHED, Watch
from jmix.estimate.newton import START_RADIUS, TOLERANCE
from jmix.estimate.objective import GaussianObjective
from jmix.estimate.retraction import SLOW, retract
from jmix.estimate.start import interior
from jmix.estimate.trust_region import judge, noise_level, propose
from jmix.likelihood.derivatives import Derivatives, value_grad_hessian
from jmix.likelihood.responses import ResponseStats, response_stats
from jmix.likelihood.structure import GaussianStats, Layout

FloatArray = npt.NDArray[np.float64]

BATCH_BYTES = 1 << 28
"""Size of one batch's cross-products; larger jobs go through in several batches."""


FEW = 12
"""Iterations that all responses make together; the few that need more go on in a smaller batch."""

LANES = 16
"""Smallest batch of responses that go on, so that few sizes are compiled."""

SMALL = 1e-5
"""Share of a variance below which it is tried as exactly zero; the other parameters are not polished afterwards."""


@dataclass(frozen=True)
class RefitSolutions:
    """Estimates for R responses; every array has R rows.

    Attributes:
        theta: (R, k). beta: (R, p). sigma, criterion: (R,). converged, singular: (R,).
        vcov: (R, p, p) covariance of beta. phi: (R, k) theta in the internal basis. gradient: (R, k) and hessian: (R,
            k, k) of the profiled criterion in theta. contrast: (R, p + 1), see ``LmmSolution``.
    """

    theta: FloatArray
    beta: FloatArray
    sigma: FloatArray
    criterion: FloatArray
    converged: npt.NDArray[np.bool_]
    singular: npt.NDArray[np.bool_]
    vcov: FloatArray
    phi: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    contrast: FloatArray

    def __len__(self) -> int:
        return int(self.sigma.size)

    @classmethod
    def joined(cls, parts: Sequence[RefitSolutions]) -> RefitSolutions:
        """Several batches as one."""
        return cls(**{f: np.concatenate([getattr(p, f) for p in parts]) for f in cls.__dataclass_fields__})


class _State(NamedTuple):
    theta: jax.Array
    at: Derivatives
    radius: jax.Array
    done: jax.Array
    last: jax.Array
    iteration: jax.Array


def _with_response(stats: GaussianStats, response: ResponseStats) -> GaussianStats:
    """The statistics of the design with another response in the last column."""
    blocks = tuple(replace(b, w=b.w.at[:, -1].set(w)) for b, w in zip(stats.blocks, response.blocks, strict=True))
    gram = stats.gram.at[-1, :].set(response.gram).at[:, -1].set(response.gram)
    return replace(stats, blocks=blocks, tail_w=stats.tail_w.at[:, -1].set(response.tail), gram=gram)


def _minimise(
    start: jax.Array, stats: GaussianStats, n: jax.Array, layout: Layout, reml: bool, max_iterations: int
) -> tuple[jax.Array, Derivatives, jax.Array]:
    """Trust-region Newton as one loop; returns the point, its derivatives and whether it converged."""

    def evaluate(theta: jax.Array) -> Derivatives:
        return value_grad_hessian(theta, stats, n, layout, reml)

    def step(state: _State) -> _State:
        proposal = propose(jnp, state.at.gradient, state.at.hessian, state.radius)
        stalled = (proposal.decrement <= noise_level(state.at.value)) & (proposal.decrement > 0.25 * state.last)
        done = (proposal.decrement <= TOLERANCE) | stalled
        along = retract(jnp, state.theta, proposal.step, layout)
        candidate = jnp.where(state.iteration >= SLOW, along, state.theta + proposal.step)
        new = evaluate(candidate)
        accepted, radius = judge(jnp, state.at.value, new.value, proposal, state.radius, noise_level(state.at.value))
        move = accepted & ~done & ~state.done
        theta, at = jax.tree.map(lambda a, b: jnp.where(move, a, b), (candidate, new), (state.theta, state.at))
        return _State(theta, at, radius, state.done | done, proposal.decrement, state.iteration + 1)

    radius, far = jnp.asarray(START_RADIUS), jnp.asarray(jnp.inf)
    first = _State(start, evaluate(start), radius, jnp.asarray(False), far, jnp.asarray(0))
    last = jax.lax.while_loop(lambda s: ~s.done & (s.iteration < max_iterations), step, first)
    return last.theta, last.at, last.done


def _minimise_all(
    starts: jax.Array,
    stats: GaussianStats,
    responses: ResponseStats,
    n: jax.Array,
    layout: Layout,
    reml: bool,
    max_iterations: int,
) -> tuple[jax.Array, Derivatives, jax.Array]:
    def one(start: jax.Array, response: ResponseStats) -> tuple[jax.Array, Derivatives, jax.Array]:
        return _minimise(start, _with_response(stats, response), n, layout, reml, max_iterations)

    return jax.vmap(one)(starts, responses)


def _evaluate_all(
    theta: jax.Array, stats: GaussianStats, responses: ResponseStats, n: jax.Array, layout: Layout, reml: bool
) -> Derivatives:
    return jax.vmap(lambda t, r: value_grad_hessian(t, _with_response(stats, r), n, layout, reml))(theta, responses)


_MINIMISE = runtime.Program(_minimise_all, static=("layout", "reml", "max_iterations"))
_EVALUATE = runtime.Program(_evaluate_all, static=("layout", "reml"))


def refit_many(
    objective: GaussianObjective,
    responses: Iterator[FloatArray],
    start: FloatArray,
    *,
    reml: bool,
    max_iterations: int = 200,
    watch: Watch = UNWATCHED,
) -> RefitSolutions:
    """Fit every column of every (n, R) array in ``responses``, with the design and covariance structure of
    ``objective``.

    An interrupt after the first batch keeps the batches that are done.

    Args:
        start: (k,) phi from which every fit begins. watch: is told of every batch that is done.

    Raises:
        DataError: responses that are constant, or that the model fits exactly.
    """
    begin = interior(objective.spec, start)
    parts: list[RefitSolutions] = []
    try:
        for y in responses:
            first = sum(len(part) for part in parts)
            parts.append(_refit_batch(objective, y, begin, reml, max_iterations, first))
            watch.advance(y.shape[1])
    except KeyboardInterrupt:
        if not parts:
            raise
    return RefitSolutions.joined(parts)


def batch_size(objective: GaussianObjective) -> int:
    """How many responses to fit at once."""
    stats = objective.reduced.stats
    per_response = sum(b.a.nbytes + b.w.nbytes for b in stats.blocks) + stats.tail_a.nbytes
    return max(1, min(4096, BATCH_BYTES // max(per_response, 1)))


def _refit_batch(
    objective: GaussianObjective, y: FloatArray, start: FloatArray, reml: bool, max_iterations: int, first: int
) -> RefitSolutions:
    count = y.shape[1]
    padded = _power_of_two(count)
    new = response_stats(objective.reduced, np.concatenate([y, np.repeat(y[:, :1], padded - count, axis=1)], axis=1))
    options: dict[str, Any] = {"layout": objective.reduced.layout, "reml": reml}
    starts = np.repeat(start[None], padded, axis=0)
    phi, at, done = _search(objective, starts, new.stats, min(FEW, max_iterations), options)
    slow = np.flatnonzero(~done[:count])
    if slow.size and max_iterations > FEW:
        lanes = np.resize(slow, max(LANES, _power_of_two(slow.size)))
        rest = jax.tree.map(lambda a: a[lanes], new.stats)
        again = _search(objective, phi[lanes], rest, max_iterations, options)
        for old, found in zip(jax.tree.leaves((phi, at, done)), jax.tree.leaves(again), strict=True):
            old[slow] = found[: slow.size]
    args = (objective.device_stats, runtime.put(new.stats), float(objective.n))
    phi, at = _settle(objective, phi, at, args, options)
    phi, at, done, beta, scale = jax.tree.map(lambda a: a[:count], (phi, at, done, new.beta, new.scale))
    kept = slice(0, count)
    out = _solutions(objective, phi, at, done, beta, scale, reml)
    check_responses(new.exact[kept], np.square(out.sigma / new.scale[kept]), first)
    return out


def _search(
    objective: GaussianObjective, starts: FloatArray, responses: ResponseStats, iterations: int, options: dict[str, Any]
) -> tuple[FloatArray, Derivatives, npt.NDArray[np.bool_]]:
    """Points (R, k), the criterion there with its derivatives, and which searches have ended."""
    data = (objective.device_stats, runtime.put(responses), float(objective.n))
    theta, at, done = _MINIMISE(starts, *data, max_iterations=iterations, **options)
    return np.array(theta), jax.tree.map(np.array, at), np.array(done)


def _power_of_two(count: int) -> int:
    return 1 << max(count - 1, 0).bit_length()


def _settle(
    objective: GaussianObjective, phi: FloatArray, at: Derivatives, args: Any, options: dict[str, Any]
) -> tuple[FloatArray, Derivatives]:
    """Canonical signs, and exact zeros where the criterion allows them."""
    spec = objective.spec
    diagonal = spec.join([np.eye(t.q) for t in spec.terms]) == 1.0
    rough = np.flatnonzero(np.any(phi[:, diagonal] < 1e-2, axis=1))
    snapped, hessian = phi.copy(), np.asarray(at.hessian)
    for r in rough:
        signs = canonical_signs(spec, phi[r])
        phi[r], at.gradient[r] = signs * phi[r], signs * at.gradient[r]
        hessian[r] *= np.outer(signs, signs)
        snapped[r] = snapped_phi(spec, phi[r], SMALL)
    changed = np.any(snapped != phi, axis=1)
    if not np.any(changed):
        return phi, at
    tried = jax.tree.map(np.asarray, _EVALUATE(snapped, *args, **options))
    take = changed & (tried.value <= at.value + SNAP_COST + noise_level(at.value))

    def chosen(new: FloatArray, old: FloatArray) -> FloatArray:
        return np.where(take.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

    return chosen(snapped, phi), jax.tree.map(chosen, tried, at)


def _solutions(
    objective: GaussianObjective,
    phi: FloatArray,
    at: Derivatives,
    done: npt.NDArray[np.bool_],
    beta_ols: FloatArray,
    scale: FloatArray,
    reml: bool,
) -> RefitSolutions:
    n, p, fixed = objective.n, objective.p, objective.reduced.fixed
    gram, back = np.asarray(at.gram), objective.to_phi
    inverse = np.linalg.inv(gram[:, :p, :p])
    gamma = np.einsum("rpq,rq->rp", inverse, gram[:, :p, p])
    rss = gram[:, p, p] - np.einsum("rp,rp->r", gram[:, :p, p], gamma)
    nu = n - p if reml else n
    constant = objective.constant(reml) + 2.0 * nu * np.log(scale / fixed.y_scale)
    theta = phi @ objective.to_theta.T
    diagonal = objective.spec.join([np.eye(t.q) for t in objective.spec.terms]) == 1.0
    sigma = scale * np.sqrt(rss / nu)
    return RefitSolutions(
        theta=theta,
        beta=beta_ols + scale[:, None] * (gamma @ fixed.inverse.T),
        sigma=sigma,
        criterion=np.asarray(at.value + constant),
        converged=done,
        singular=np.any(theta[:, diagonal] == 0.0, axis=1),
        vcov=sigma[:, None, None] ** 2 * (fixed.inverse @ inverse @ fixed.inverse.T),
        phi=phi,
        gradient=np.asarray(at.gradient) @ back,
        hessian=back.T @ np.asarray(at.hessian) @ back,
        contrast=np.concatenate([-gamma, np.ones((len(gamma), 1))], axis=1),
    )
