"""Cholesky factors of many small matrices, written out elementwise, with the persons on the last axis."""

from __future__ import annotations

import jax
import jax.numpy as jnp

Factor = list[list[jax.Array]]
"""Rows of a lower triangle, each entry (n,)."""

FLOOR = 1e-10
"""Least pivot."""


def cholesky(m: jax.Array) -> tuple[Factor, jax.Array]:
    """The factor of m (D, D, n), and (n,) whether m is positive definite; pivots are floored where it is not."""
    d = m.shape[0]
    lower: Factor = []
    good = jnp.ones(m.shape[2:], bool)
    for i in range(d):
        row: list[jax.Array] = []
        for j in range(i + 1):
            value = m[i, j]
            for k in range(j):
                value = value - row[k] * (lower[j][k] if j < i else row[k])
            if i == j:
                good = good & (value > FLOOR)
                row.append(jnp.sqrt(jnp.maximum(value, FLOOR)))
            else:
                row.append(value / lower[j][j])
        lower.append(row)
    return lower, good


def covariance(away: jax.Array, p: jax.Array) -> jax.Array:
    """(D, D, n) ``sum_s p_sn a_sn a_sn'`` of deviations (D, S, n) with probabilities (S, n)."""
    return jnp.sum((p * away)[:, None] * away[None], axis=2)


def forward(lower: Factor, b: jax.Array) -> jax.Array:
    """``R^{-1} b`` for b (D, ..., n)."""
    out: list[jax.Array] = []
    for i, row in enumerate(lower):
        value = b[i]
        for k in range(i):
            value = value - row[k] * out[k]
        out.append(value / row[i])
    return jnp.stack(out)


def backward(lower: Factor, b: jax.Array) -> jax.Array:
    """``R'^{-1} b`` for b (D, ..., n)."""
    d = len(lower)
    out: list[jax.Array] = [b[0]] * d
    for i in reversed(range(d)):
        value = b[i]
        for k in range(i + 1, d):
            value = value - lower[k][i] * out[k]
        out[i] = value / lower[i][i]
    return jnp.stack(out)


def solve(lower: Factor, b: jax.Array) -> jax.Array:
    """``(R R')^{-1} b``."""
    return backward(lower, forward(lower, b))


def log_determinant(lower: Factor) -> jax.Array:
    """(n,) ``log |R|``."""
    total = jnp.log(lower[0][0])
    for i in range(1, len(lower)):
        total = total + jnp.log(lower[i][i])
    return total
