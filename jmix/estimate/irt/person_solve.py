"""Trait values of many persons at once as roots of their estimating equations, by safeguarded Newton steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Array = Any
Equation = Callable[[Array], Array]
Pair = Callable[[Array], tuple[Array, Array]]

MAX_STEPS = 100
TOLERANCE = 1e-10
HALVINGS = 30

NOISE = 1e-14
"""Relative rounding error of a log likelihood."""

ROUNDING = 1e-6
"""Derivative of a log likelihood that far out, relative to slopes of one, from which on it is not zero."""


def jacobian(equation: Equation, theta: Array) -> Array:
    """(n, D, D) derivative of the equations (n, D) of n persons, each in the person's own theta."""
    columns = []
    for d in range(theta.shape[1]):
        tangent = jnp.zeros_like(theta).at[:, d].set(1.0)
        columns.append(jax.jvp(equation, (theta,), (tangent,))[1])
    return jnp.stack(columns, axis=-1)


def solve_line(equation: Pair, start: Array, limit: Array, concave: bool) -> Array:
    """(n, 1) roots where the equation goes from positive to negative, within ``limit`` (n,) of zero.

    Newton steps of at most a tenth of the limit, kept inside a bracket that every evaluation narrows; without a root
    the estimate comes to stand on the limit.

    Args:
        equation: of theta (n, 1), gives values and derivatives (n,). concave: it falls everywhere, so that a value
            not below zero at the upper limit means that there is no root.
    """
    longest = limit / 10.0

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        at, low, high, moved, count = state
        g, slope = equation(at[:, None])
        low, high = jnp.where(g > 0, at, low), jnp.where(g > 0, high, at)
        newton = jnp.where(slope < 0, -g / jnp.where(slope < 0, slope, -1.0), jnp.sign(g) * longest)
        new = at + jnp.clip(newton, -longest, longest)
        new = jnp.where((new <= low) | (new >= high), 0.5 * (low + high), new)
        there = (jnp.abs(newton) <= TOLERANCE) | (moved == 0)
        new = jnp.where(there, at, new)
        return new, low, high, jnp.abs(new - at), count + 1

    def going(state: tuple[Array, ...]) -> Array:
        return (state[4] < MAX_STEPS) & jnp.any(state[3] > TOLERANCE)

    first, moved = jnp.clip(start[:, 0], -0.99 * limit, 0.99 * limit), jnp.full_like(limit, jnp.inf)
    if concave:
        up, down = equation(limit[:, None])[0] > -ROUNDING, equation(-limit[:, None])[0] < ROUNDING
        first = jnp.where(up & ~down, limit, jnp.where(down & ~up, -limit, first))
        moved = jnp.where(up ^ down, 0.0, moved)
    return jax.lax.while_loop(going, step, (first, -limit, limit, moved, jnp.array(0)))[0][:, None]


def solve_space(
    objective: Equation, equation: Equation, information: Equation, start: Array, limit: Array, may_diverge: bool
) -> Array:
    """(n, D) maxima of the objective (n,), whose gradient is the equation, no component beyond ``limit`` (n,).

    Fisher scoring with the information (n, D, D), steps halved until the objective does not fall.

    Args:
        may_diverge: the objective may have no maximum; stop where some direction has a standard error above the limit.
    """

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        theta, f, _, count = state
        curvature = information(theta)
        direction = _limited(solve_definite(curvature, equation(theta)), limit / 10.0)
        moving = (jnp.abs(direction) > TOLERANCE).any(axis=1)
        if may_diverge:
            least = jnp.stack([row[-1] for row in cholesky(curvature)]).min(axis=0)
            moving = moving & (least > 1.0 / limit)
        direction = jnp.where(moving[:, None], direction, 0.0)
        new, value = _search(objective, theta, f, direction, limit[:, None])
        return new, value, jnp.abs(new - theta).max(axis=1), count + 1

    def going(state: tuple[Array, ...]) -> Array:
        return (state[3] < MAX_STEPS) & jnp.any(state[2] > TOLERANCE)

    first = jnp.clip(start, -0.99 * limit[:, None], 0.99 * limit[:, None])
    state = (first, objective(first), jnp.full_like(limit, jnp.inf), jnp.array(0))
    return jax.lax.while_loop(going, step, state)[0]


def _search(objective: Equation, theta: Array, f: Array, direction: Array, limit: Array) -> tuple[Array, Array]:
    """The longest of the halved steps after which a person's objective is not lower; none where there is none."""
    least = f - NOISE * (1.0 + jnp.abs(f))

    def halve(state: tuple[Array, ...]) -> tuple[Array, ...]:
        _, value, size, count = state
        size = jnp.where(value >= least, size, 0.5 * size)
        tried = jnp.clip(theta + size[:, None] * direction, -limit, limit)
        return tried, objective(tried), size, count + 1

    def going(state: tuple[Array, ...]) -> Array:
        return (state[3] < HALVINGS) & ~jnp.all(state[1] >= least)

    full = jnp.clip(theta + direction, -limit, limit)
    new, value, _, _ = jax.lax.while_loop(going, halve, (full, objective(full), jnp.ones_like(f), jnp.array(0)))
    better = value >= least
    return jnp.where(better[:, None], new, theta), jnp.where(better, value, f)


def _limited(direction: Array, longest: Array) -> Array:
    length = jnp.sqrt((direction**2).sum(axis=1))
    return direction * jnp.minimum(1.0, longest / jnp.maximum(length, 1e-300))[:, None]


def cholesky(a: Array) -> list[list[Array]]:
    """Rows of the lower factor of n definite matrices (n, D, D), each (n,); not quite definite ones are lifted."""
    size = a.shape[-1]
    least = 1e-12 * jnp.maximum(jnp.einsum("ndd->n", a), 1e-12)
    lower: list[list[Array]] = []
    for i in range(size):
        row: list[Array] = []
        for j in range(i):
            row.append((a[:, i, j] - sum(row[k] * lower[j][k] for k in range(j))) / lower[j][j])
        row.append(jnp.sqrt(jnp.maximum(a[:, i, i] - sum(r * r for r in row), least)))
        lower.append(row)
    return lower


def solve_definite(a: Array, b: Array) -> Array:
    """(n, D) solutions of n definite systems, written out: batched LAPACK is slow on small matrices."""
    lower, size = cholesky(a), a.shape[-1]
    z: list[Array] = []
    for i in range(size):
        z.append((b[:, i] - sum(lower[i][k] * z[k] for k in range(i))) / lower[i][i])
    x: list[Array] = [z[0]] * size
    for i in reversed(range(size)):
        x[i] = (z[i] - sum(lower[k][i] * x[k] for k in range(i + 1, size))) / lower[i][i]
    return jnp.stack(x, axis=-1)


def log_determinant(a: Array) -> Array:
    """(n,) logarithms of the determinants of definite matrices (n, D, D)."""
    return 2.0 * sum(jnp.log(row[-1]) for row in cholesky(a))
