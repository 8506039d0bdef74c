"""The mode of each person's posterior of z, by Newton's method with step halving, all persons of a part at once."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jmix.likelihood.irt import small
from jmix.likelihood.irt.adaptive_items import Loadings, origins
from jmix.likelihood.irt.persons import Persons
from jmix.likelihood.irt.selected import slope, slope_and_curvature
from jmix.likelihood.irt.traced import Shape

STEPS = 60
"""Most evaluations."""

TOLERANCE = 1e-14
"""Largest ``g'M^{-1}g``, the square of a step in posterior standard deviations, from which one more step is exact."""


class _Curved(NamedTuple):
    value: jax.Array  # (n,)
    gradient: jax.Array  # (D, n)
    observed: jax.Array  # (D, D, n) negative Hessian
    curvature: jax.Array  # the same without what items with asymptotes subtract: positive definite everywhere


def gradient_at(items: Shape, phi: Loadings, part: Persons, z: jax.Array) -> jax.Array:
    """(D, n) gradient of ``h`` at z (D, n); phi of one group."""
    gradient = -z
    for k, (block, origin) in enumerate(zip(items.blocks, origins(phi, part), strict=True)):
        a = phi.loadings[k]
        gradient = gradient + a.T @ slope(block, origin + a @ z, phi.own[k], part.codes[k])[1]
    return gradient


def curvature_at(items: Shape, phi: Loadings, part: Persons, z: jax.Array) -> jax.Array:
    """(D, D, n) positive definite curvature of ``-h`` at z (D, n): the negative Hessian, without what items with
    asymptotes subtract from it.
    """
    total = _eye(z)
    for k, (block, origin) in enumerate(zip(items.blocks, origins(phi, part), strict=True)):
        a = phi.loadings[k]
        second = slope_and_curvature(block, origin + a @ z, phi.own[k], part.codes[k])[2]
        total = total + _outer(a, jnp.maximum(-second, 0.0))
    return total


def _curved(items: Shape, phi: Loadings, part: Persons, z: jax.Array) -> _Curved:
    value, gradient, observed, curvature = -0.5 * jnp.sum(z**2, axis=0), -z, _eye(z), _eye(z)
    for k, (block, origin) in enumerate(zip(items.blocks, origins(phi, part), strict=True)):
        a = phi.loadings[k]
        log_p, first, second = slope_and_curvature(block, origin + a @ z, phi.own[k], part.codes[k])
        value, gradient = value + jnp.sum(log_p, axis=0), gradient + a.T @ first
        observed = observed - _outer(a, second)
        curvature = curvature if block.concave else curvature + _outer(a, jnp.maximum(-second, 0.0))
    return _Curved(value, gradient, observed, curvature)


def _eye(z: jax.Array) -> jax.Array:
    d = z.shape[0]
    return jnp.broadcast_to(jnp.eye(d, dtype=z.dtype)[:, :, None], (d, d, z.shape[1]))


def _outer(a: jax.Array, weights: jax.Array) -> jax.Array:
    """(D, D, n) ``sum_j weights_jn a_j a_j'``."""
    j, d = a.shape
    products = (a[:, :, None] * a[:, None, :]).reshape(j, -1)
    return (products.T @ weights).reshape(d, d, -1)


class Found(NamedTuple):
    """Modes (D, n), and the negative Hessian (D, D, n) there."""

    mode: jax.Array
    observed: jax.Array


class _State(NamedTuple):
    z: jax.Array  # (D, n)
    observed: jax.Array  # (D, D, n)
    value: jax.Array  # (n,), as all below but the step and the cycles
    step: jax.Array  # (D, n), of Newton
    decrement: jax.Array
    size: jax.Array
    cycles: jax.Array


def find_mode(items: Shape, phi: Loadings, part: Persons) -> Found:
    """The modes, from ``part.start``; from zero where there may be several, so that the end depends on nothing but the
    parameters.
    """
    d, n = phi.chol.shape[-1], part.weights.shape[0]
    zero = jnp.zeros((d, n), phi.chol.dtype)
    start = zero
    if part.start is not None and all(block.concave for block in items.blocks):
        start = jnp.where(jnp.all(jnp.isfinite(part.start), axis=0), part.start, 0.0)
    never = jnp.full(n, -jnp.inf, zero.dtype)
    begin = _State(start, _eye(zero), never, zero, -never, jnp.ones_like(never), jnp.zeros((), jnp.int32))

    def going(state: _State) -> jax.Array:
        return (state.cycles < STEPS) & jnp.any(state.decrement > TOLERANCE)

    end = jax.lax.while_loop(going, lambda state: _advance(items, phi, part, state), begin)
    return Found(end.z, end.observed)


def _advance(items: Shape, phi: Loadings, part: Persons, state: _State) -> _State:
    z = state.z + state.size * state.step
    at = _curved(items, phi, part, z)
    lower, good = small.cholesky(at.observed)
    step = small.solve(lower, at.gradient)
    if not all(block.concave for block in items.blocks):
        step = jnp.where(good, step, small.solve(small.cholesky(at.curvature)[0], at.gradient))
    new = _State(z, at.observed, at.value, step, jnp.sum(at.gradient * step, axis=0), state.size, state.cycles)
    better = new.value >= state.value - 1e-13 * (1.0 + jnp.abs(new.value))
    out: _State = jax.tree.map(lambda x, y: jnp.where(better, x, y) if jnp.ndim(x) else x, new, state)
    settled = ~better & (state.decrement <= 1e-10)
    return out._replace(
        size=jnp.where(better, 1.0, 0.25 * state.size),
        decrement=jnp.where(settled, 0.0, out.decrement),
        cycles=state.cycles + 1,
    )
