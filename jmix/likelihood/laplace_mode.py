"""Newton's method for the mode of ``h(u) = sum_i w_i l_i(eta_i) - u'u / 2``, all grouping factors jointly."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jmix.likelihood.implicit import Mode
from jmix.likelihood.laplace_solve import Effects, axpy, dot

FINE = 1e-10
"""Newton decrement ``g'M^{-1}g`` at which one more step is the last: convergence being quadratic, it leaves 1e-20."""

GAIN = 1e-4
"""Share of the gain promised by the gradient that a step must bring."""

NOISE = 1e-13
"""Rounding error of h, relative to its size."""

PASSES_MAX = 200
"""Most passes over the rows in one search."""

SHORTEST = 1e-9
"""Least fraction of a Newton step that is tried."""

Derivatives = tuple[jax.Array, jax.Array, jax.Array]
"""Log density, its slope in eta and W of each row, (n,)."""

Step = tuple[Effects, jax.Array, jax.Array]
"""``d = M^{-1}g``, what it adds to eta (n,), and ``g'd``."""


class Problem(NamedTuple):
    """What a search needs.

    Attributes:
        rows: of (n,) ``Z Lambda u``. newton: of u, ``Z Lambda u``, slope and W. concave: whether W >= 0 always.
    """

    rows: Callable[[jax.Array], Derivatives]
    newton: Callable[[Effects, jax.Array, jax.Array, jax.Array], Step]
    concave: bool


class _Search(NamedTuple):
    """A point, a step from it, and what is known there.

    Attributes:
        u: spherical random effects. random: (n,) ``Z Lambda u``. h: at u, -inf before it is known. step, random_step:
            the Newton step, and what it adds to ``random``. size: the fraction of it to try. decrement: ``g'd`` at u.
        exact: whether W is taken as observed. done, failed, again: bool, the last whether the search has
            begun anew. passes: over the rows.
    """

    u: Effects
    random: jax.Array
    h: jax.Array
    step: Effects
    random_step: jax.Array
    size: jax.Array
    decrement: jax.Array
    exact: jax.Array
    done: jax.Array
    failed: jax.Array
    again: jax.Array
    passes: jax.Array


def find_mode(problem: Problem, u0: Effects, random: jax.Array) -> tuple[Effects, Mode]:
    """Newton's method with step halving, from u0 with ``random = Z Lambda u0``, and from zero where that fails.

    Where the log density is not concave, steps from points at which M is not definite take ``|W|`` for W.
    """
    zeros, number = tuple(jnp.zeros_like(v) for v in u0), jnp.zeros((), random.dtype)
    yes, passes = jnp.array(True), jnp.zeros((), jnp.int32)
    start = _Search(
        u0, random, number - jnp.inf, zeros, jnp.zeros_like(random), number + 1, number, yes, ~yes, ~yes, ~yes, passes
    )
    end = jax.lax.while_loop(lambda s: ~s.done & (s.passes < PASSES_MAX), lambda s: _advance(problem, s), start)
    converged = end.done & ~end.failed
    return axpy(jnp.where(converged, 1.0, 0.0), end.step, end.u), Mode(converged, end.passes, end.decrement)


def _advance(problem: Problem, s: _Search) -> _Search:
    """Try the step; where h grows, take it and find the next one, else halve it."""
    u, random = axpy(s.size, s.step, s.u), s.random + s.size * s.random_step
    density, slope, weights = problem.rows(random)
    h = jnp.sum(density) - 0.5 * dot(u, u)
    better = jnp.isfinite(h) & (h >= s.h + GAIN * s.size * s.decrement - NOISE * jnp.abs(h))
    at = s._replace(u=u, random=random, h=h, passes=s.passes + 1)
    return _retry(jax.lax.cond(better, lambda: _turn(problem, at, slope, weights), lambda: _halve(s)))


def _turn(problem: Problem, s: _Search, slope: jax.Array, weights: jax.Array) -> _Search:
    """The Newton step from a new point."""
    if not problem.concave:
        weights = jnp.where(s.exact, weights, jnp.abs(weights))
    step, random_step, decrement = problem.newton(s.u, s.random, slope, weights)
    usable = jnp.isfinite(decrement) & (decrement >= -FINE)
    fine = usable & (decrement <= FINE)
    # an indefinite M gives no step: the next pass takes |W| at the same point; where that is done, M is tried again
    failed = ~usable if problem.concave else (~usable | fine) & ~s.exact
    exact = usable if problem.concave else jnp.where(s.exact, usable, decrement < 1.0)
    return s._replace(
        step=tuple(jnp.where(usable, d, 0.0) for d in step),
        random_step=jnp.where(usable, random_step, 0.0),
        size=jnp.ones_like(s.size),
        decrement=jnp.where(usable, jnp.maximum(decrement, 0.0), 0.0),
        exact=exact,
        done=fine | failed,
        failed=failed,
    )


def _halve(s: _Search) -> _Search:
    """A shorter step; none where h is not finite without one."""
    size = jnp.where(jnp.isfinite(s.h), 0.5, 0.0) * s.size
    stuck = size < SHORTEST
    return s._replace(size=size, done=stuck, failed=stuck, passes=s.passes + 1)


def _retry(s: _Search) -> _Search:
    """A search that failed begins again, once, at zero."""
    again = s.failed & ~s.again

    def clear(values: jax.Array) -> jax.Array:
        return jnp.where(again, 0.0, values)

    return s._replace(
        u=tuple(clear(v) for v in s.u),
        random=clear(s.random),
        h=jnp.where(again, -jnp.inf, s.h),
        step=tuple(clear(v) for v in s.step),
        random_step=clear(s.random_step),
        size=jnp.where(again, 1.0, s.size),
        decrement=clear(s.decrement),
        exact=s.exact | again,
        done=s.done & ~again,
        failed=s.failed & ~again,
        again=s.again | again,
    )
