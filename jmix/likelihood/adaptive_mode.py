"""The modes of all groups at once: Newton steps, halved group by group where they overshoot.

A step uses the observed curvature where ``M`` is positive definite and drops the negative weights of rows where it is
not (cf. Pinheiro & Chao 2006, J. Comput. Graph. Stat. 15(1), section 2.4). The last step is taken without being
checked: where the decrement is d, it leaves an error of the order of d squared.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jmix.likelihood import adaptive_groups as groups
from jmix.likelihood.adaptive_groups import Expansion, Fixed, Groups
from jmix.likelihood.glmm_rows import RowPlan
from jmix.likelihood.implicit import Mode

PASSES = 200
"""Most passes over the data."""

RESTART = 40
"""Passes after which groups that are not done start once more, from zero: u0 may have been far off."""

SMALL = 1e-13
"""Newton decrement ``g'M^{-1}g`` below which one more step ends the search."""

ROUNDED = 1e-8
"""Decrement below which a group that no longer improves is at the limit of rounding, and has converged."""

SHORTEST = 1e-20
"""Share of a step below which a group is given up."""

SLACK = 1e-11
"""Relative fall of the integrand that counts as rounding."""


class _State(NamedTuple):
    """The search: u (q, J) with its integrand h (J,), step (q, J) and decrement (J,); the share (J,) of the step tried
    next; which groups are done; passes so far.
    """

    u: jax.Array
    h: jax.Array
    step: jax.Array
    decrement: jax.Array
    share: jax.Array
    done: jax.Array
    passes: jax.Array


def find_mode(at: Fixed, data: Groups, u0: jax.Array, plan: RowPlan) -> tuple[jax.Array, Mode]:
    """The mode (q, J) of every group, from u0."""
    j = data.n_groups
    zero = jnp.zeros_like(u0)
    # the first trial is u0 itself: a step from zero, which is shortened where the integrand overflows
    state = _State(
        zero,
        jnp.full(j, -jnp.inf, u0.dtype),
        u0,
        jnp.full(j, jnp.inf, u0.dtype),
        jnp.ones(j, u0.dtype),
        jnp.zeros(j, bool),
        jnp.zeros((), jnp.int32),
    )

    def unfinished(s: _State) -> jax.Array:
        return jnp.logical_and(s.passes < PASSES, ~jnp.all(s.done))

    end = jax.lax.while_loop(unfinished, lambda s: _advance(s, at, data, plan), state)
    close = end.decrement < ROUNDED
    u = jnp.where(close, end.u + end.step, end.u)
    return u, Mode(jnp.all(close), end.passes, jnp.max(end.decrement), ~close)


def _advance(s: _State, at: Fixed, data: Groups, plan: RowPlan) -> _State:
    again = (s.passes == RESTART) & ~s.done
    h = jnp.where(again, -jnp.inf, s.h)
    trial = jnp.where(again, 0.0, s.u + s.share * s.step)
    there = groups.expand(at, data, trial, plan)
    step, decrement = newton_step(at.lam, there)
    usable = jnp.isfinite(there.h) & jnp.isfinite(decrement)
    good = usable & ((there.h >= h - SLACK * (1.0 + jnp.abs(h))) | (decrement < SMALL))
    stalled = (decrement < ROUNDED) & (decrement >= 0.25 * s.decrement)
    # far to the right of a mode, Newton on an exponential goes one unit of eta a step: ever longer steps do it in a few
    slow = (decrement > 1.0) & (jnp.log(s.decrement / decrement) < 3.0 * s.share)
    share = jnp.where(good, jnp.where(slow & ~again, 2.0 * s.share, 1.0), s.share * jnp.where(usable, 0.5, 0.1))
    return _State(
        u=jnp.where(good, trial, s.u),
        h=jnp.where(good, there.h, h),
        step=jnp.where(good, step, s.step),
        decrement=jnp.where(good, decrement, s.decrement),
        share=share,
        done=s.done | (good & ((decrement < SMALL) | stalled)) | (share < SHORTEST),
        passes=s.passes + 1,
    )


def newton_step(lam: jax.Array, there: Expansion) -> tuple[jax.Array, jax.Array]:
    """The step (q, J) and the decrement (J,), NaN where no curvature serves."""
    step, decrement = _step(lam, there.a, there.g)
    if there.safe is there.a:
        return step, decrement
    other, other_decrement = _step(lam, there.safe, there.g)
    definite = jnp.isfinite(decrement)
    return jnp.where(definite, step, other), jnp.where(definite, decrement, other_decrement)


def _step(lam: jax.Array, a: groups.Triangle, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    c = groups.cholesky(groups.precision(lam, a))
    half = groups.forward(c, g)
    return jnp.stack(groups.backward(c, half)), jnp.sum(jnp.stack(half) ** 2, axis=0)
