"""Log-determinant and quadratic form of one dense matrix, with exact first and second derivatives.

Reverse mode through a Cholesky factorisation costs some fifty times the factorisation. Here the derivative is written
with the
explicit inverse instead: ``d log|M| = tr(M^{-1} dM)`` and ``d(v'M^{-1}v) = dv'u + u'dv - u'dM u`` with ``u = M^{-1}v``.

The factorisation goes by halves, so that its work is matrix products, and calls no LAPACK: beside XLA's own threads
those of OpenBLAS
spin, and on a busy machine a factorisation of 0.02 s then took 2 s (measured, 1142 x 1142, 2 cores).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

PANEL = 32
"""Columns that are eliminated one by one before the rest of a block is updated."""

BLOCK = 300
"""Size up to which a block is eliminated by panels in one compiled loop; larger ones go by halves."""


@jax.custom_jvp
def logdet_quad(m: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``log|M|`` and ``v'M^{-1}v`` for a symmetric positive definite (Q, Q) matrix and (Q, k) right-hand sides."""
    logdet, factor = inverse_factor(m)
    half = factor @ v
    return logdet, half.T @ half


@logdet_quad.defjvp
def _logdet_quad_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    m, v = primals
    dm, dv = tangents
    logdet, inverse, u = _inverse_solve(m, v)
    cross = dv.T @ u
    return (logdet, v.T @ u), (jnp.sum(inverse * dm), cross + cross.T - u.T @ dm @ u)


@jax.custom_jvp
def _inverse_solve(m: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """``log|M|``, ``M^{-1}`` and ``M^{-1}v`` by one factorisation."""
    logdet, factor = inverse_factor(m)
    return logdet, _gram_lower(factor), factor.T @ (factor @ v)


@_inverse_solve.defjvp
def _inverse_solve_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]:
    m, v = primals
    dm, dv = tangents
    logdet, inverse, u = _inverse_solve(m, v)
    return (logdet, inverse, u), (jnp.sum(inverse * dm), -inverse @ dm @ inverse, inverse @ (dv - dm @ u))


def inverse_factor(m: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``log|M|`` and the inverse of the lower Cholesky factor of a symmetric positive definite M."""
    n = m.shape[0]
    if n <= PANEL:
        return _eliminate(m)
    if n <= BLOCK:
        return _eliminate_panels(m)
    h = n // 2
    top_logdet, top = inverse_factor(m[:h, :h])
    below = m[h:, :h] @ top.T
    bottom_logdet, bottom = inverse_factor(m[h:, h:] - below @ below.T)
    corner = -(bottom @ below) @ top
    inverse = jnp.block([[top, jnp.zeros((h, n - h), m.dtype)], [corner, bottom]])
    return top_logdet + bottom_logdet, inverse


def _gram_lower(factor: jax.Array) -> jax.Array:
    """``F'F`` for a lower-triangular F, by quarters: the products with its zero corner are left out."""
    n = factor.shape[0]
    if n <= BLOCK:
        return factor.T @ factor
    h = n // 2
    top, corner, bottom = factor[:h, :h], factor[h:, :h], factor[h:, h:]
    cross = corner.T @ bottom
    return jnp.block([[_gram_lower(top) + corner.T @ corner, cross], [cross.T, _gram_lower(bottom)]])


def _eliminate_panels(m: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Blocked elimination of ``[M, I]``, padded with ones to whole panels: one loop to compile, whatever the size."""
    n = m.shape[0]
    count = -(-n // PANEL)
    size = count * PANEL
    rows = jnp.arange(size)
    padded = jnp.zeros((size, size), m.dtype).at[:n, :n].set(m)
    padded = padded.at[rows, rows].add(jnp.where(rows < n, 0.0, 1.0))

    def panel(i: jax.Array, state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        work, inverse, logdet = state
        at = i * PANEL
        own_logdet, factor = _eliminate(jax.lax.dynamic_slice(work, (at, at), (PANEL, PANEL)))
        column = jax.lax.dynamic_slice(work, (0, at), (size, PANEL)) @ factor.T
        below = jnp.where((rows >= at + PANEL)[:, None], column, 0.0)
        row = factor @ jax.lax.dynamic_slice(inverse, (at, 0), (PANEL, size))
        inverse = jax.lax.dynamic_update_slice(inverse - below @ row, row, (at, 0))
        return work - below @ below.T, inverse, logdet + own_logdet

    start = (padded, jnp.eye(size, dtype=m.dtype), jnp.zeros((), m.dtype))
    _, inverse, logdet = jax.lax.fori_loop(0, count, panel, start)
    return logdet, inverse[:n, :n]


def _eliminate(m: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gaussian elimination of ``[M, I]`` with square-root pivots: leaves ``[L', L^{-1}]``."""
    n = m.shape[0]
    rows = jnp.arange(n)

    def pivot(k: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        work, logdet = state
        root = jax.lax.rsqrt(work[k, k])
        row = work[k] * root
        below = jnp.where(rows > k, work[:, k] * root, 0.0)
        return (work - below[:, None] * row).at[k].set(row), logdet - 2.0 * jnp.log(root)

    start = (jnp.concatenate([m, jnp.eye(n, dtype=m.dtype)], axis=1), jnp.zeros((), m.dtype))
    work, logdet = jax.lax.fori_loop(0, n, pivot, start)
    return logdet, work[:, n:]
