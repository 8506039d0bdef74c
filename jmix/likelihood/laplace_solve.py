"""Linear systems in ``M = I + Lambda'Z'WZ Lambda``, by elimination or by conjugate gradients.

Elimination is exact and costs little while the tail is small. Conjugate gradients touch only rows and need no matrix:
for thousands of crossed levels they find the mode at a fraction of one factorisation's cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jmix.likelihood.backward import effects
from jmix.likelihood.reweighted import Crossing, collect, own_block, spread, weighted_stats
from jmix.likelihood.structure import Layout
from jmix.numerics.blocks import mul, node

Effects = tuple[jax.Array, ...]
"""(q, J) of each grouping factor in elimination order."""

ITERATIONS_MAX = 1000
"""Most iterations of one solution by conjugate gradients."""


class System(NamedTuple):
    """M at one point: theta, the factors Lambda in elimination order, the cross-products, and (n,) weights W."""

    theta: jax.Array
    lams: Sequence[jax.Array]
    crossing: Crossing
    weights: jax.Array


def solve(system: System, rhs: Effects, layout: Layout) -> Effects:
    """``M^{-1} rhs = rhs - M^{-1} Lambda'(Z'WZ Lambda rhs)``, which holds for singular Lambda too."""
    _, lams, crossing, weights = system
    pushed = spread(crossing, scale(lams, rhs))
    b = new_effects(system, weights * pushed, layout)
    left = collect(crossing, weights * (pushed - spread(crossing, b)))
    return tuple(r - lam.T @ w for r, lam, w in zip(rhs, lams, left, strict=True))


def new_effects(system: System, right: jax.Array, layout: Layout) -> list[jax.Array]:
    """``Lambda M^{-1} Lambda'Z' right`` for right (n,), by elimination."""
    stats = weighted_stats(system.crossing, system.weights, collect(system.crossing, right))
    return effects(system.theta, stats, jnp.ones(1, right.dtype), layout)


def multiply(system: System, v: Effects) -> Effects:
    """``M v``."""
    rows = system.weights * spread(system.crossing, scale(system.lams, v))
    back = collect(system.crossing, rows)
    return tuple(a + lam.T @ w for a, lam, w in zip(v, system.lams, back, strict=True))


def iterate(system: System, rhs: Effects, tolerance: float) -> Effects:
    """``M^{-1} rhs`` by conjugate gradients, preconditioned by each factor's own blocks.

    Args:
        tolerance: of the residual in the norm of the preconditioner, relative to that of ``rhs``.

    Returns:
        NaN where M proves not to be positive definite.
    """
    precondition = _preconditioner(system)
    first = precondition(rhs)
    start = dot(rhs, first)

    def more(state: tuple[Effects, Effects, Effects, jax.Array, jax.Array]) -> jax.Array:
        return (state[3] > tolerance**2 * start) & (state[4] < ITERATIONS_MAX)

    def advance(
        state: tuple[Effects, Effects, Effects, jax.Array, jax.Array],
    ) -> tuple[Effects, Effects, Effects, jax.Array, jax.Array]:
        solution, residual, direction, size, count = state
        product = multiply(system, direction)
        curvature = dot(direction, product)
        length = jnp.where(curvature > 0, size / curvature, jnp.nan)
        residual = axpy(-length, product, residual)
        scaled = precondition(residual)
        after = dot(residual, scaled)
        return axpy(length, direction, solution), residual, axpy(after / size, direction, scaled), after, count + 1

    zero = tuple(jnp.zeros_like(r) for r in rhs)
    return jax.lax.while_loop(more, advance, (zero, rhs, first, start, jnp.zeros((), jnp.int32)))[0]


class _Preconditioner(NamedTuple):
    lams: Sequence[jax.Array]
    middles: list[jax.Array]

    def __call__(self, v: Effects) -> Effects:
        """``(I + Lambda'A Lambda)^{-1} v = v - Lambda'(A - A N A) Lambda v`` for the blocks A of each factor."""
        out = []
        for own, lam, middle in zip(v, self.lams, self.middles, strict=True):
            out.append(own - lam.T @ mul(middle, (lam @ own)[:, None])[:, 0])
        return tuple(out)


def _preconditioner(system: System) -> _Preconditioner:
    middles = []
    for factor, lam in zip(system.crossing.factors, system.lams, strict=True):
        a = own_block(factor, system.weights)
        middles.append(a - mul(mul(a, node(lam, a)[1]), a))
    return _Preconditioner(system.lams, middles)


def scale(lams: Sequence[jax.Array], u: Effects) -> list[jax.Array]:
    """``Lambda u`` of each factor."""
    return [lam @ v for lam, v in zip(lams, u, strict=True)]


def dot(a: Effects, b: Effects) -> jax.Array:
    """Inner product."""
    parts = jnp.stack([jnp.vdot(left, right) for left, right in zip(a, b, strict=True)])
    return jnp.sum(parts)


def axpy(factor: jax.Array | float, a: Effects, b: Effects) -> Effects:
    """``factor a + b``."""
    return tuple(factor * left + right for left, right in zip(a, b, strict=True))
