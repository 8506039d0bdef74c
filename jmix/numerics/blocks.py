"""Many small symmetric positive definite systems at once, groups on the last axis.

For a block ``A_j`` (q, q) of ``Z'V0^{-1}Z`` and the shared factor ``lam`` (q, q) of the relative covariance
``Omega = lam lam'``, mixed models need

    logdet_j = log |I + lam' A_j lam|         and        N_j = lam (I + lam' A_j lam)^{-1} lam'

(Bates, Maechler, Bolker & Walker 2015, J. Stat. Softw. 67(1), section 3). Both have cheap exact derivatives in
terms of N_j itself:

    d logdet = tr(B dOmega) + tr(N dA),     dN = K dOmega K' - N dA N,     K = I - N A,     B = A K.

The rules are written with the same functions, so they can be differentiated again.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import jax
import jax.numpy as jnp

Pair = tuple[jax.Array, jax.Array]

UNROLL_MAX = 6
"""Largest block that is unrolled into elementwise code; larger ones go to batched LAPACK."""


def node(lam: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Log-determinants and filtered covariances of all groups.

    Args:
        lam: (q, q) lower-triangular relative covariance factor.
        a: (q, q, J) symmetric positive semidefinite blocks.

    Returns:
        ``logdet`` (J,) and ``n`` (q, q, J).
    """
    return _node(lam, a)


@jax.custom_jvp
def _node(lam: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
    if lam.shape[0] <= UNROLL_MAX:
        return _node_unrolled(lam, a)
    return _node_lapack(lam, a)


@_node.defjvp
def _node_jvp(primals: Pair, tangents: Pair) -> tuple[Pair, Pair]:
    lam, a = primals
    dlam, da = tangents
    logdet, n = _node(lam, a)
    half = dlam @ lam.T
    domega = half + half.T
    k = jnp.eye(lam.shape[0], dtype=a.dtype)[:, :, None] - mul(n, a)
    dlogdet = trace_product(mul(a, k), domega[:, :, None]) + trace_product(n, da)
    dn = mul(mul(k, domega[:, :, None]), k.swapaxes(0, 1)) - mul(mul(n, da), n)
    return (logdet, n), (dlogdet, dn)


def mul(x: jax.Array, y: jax.Array) -> jax.Array:
    """Groupwise product of (q, r, J) and (r, s, J) blocks; a last axis of 1 is shared by all groups."""
    total = x[:, 0, None] * y[None, 0]
    for k in range(1, x.shape[1]):
        total += x[:, k, None] * y[None, k]
    return total


def trace_product(x: jax.Array, y: jax.Array) -> jax.Array:
    """Groupwise ``tr(x y)`` for symmetric y: (q, q, J) and (q, q, J or 1) to (J,)."""
    products = x * y
    rows = range(x.shape[0])
    return reduce(add, (products[i, k] for i in rows for k in rows))


def _node_unrolled(lam: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
    logdet, rows = _root_unrolled(lam, a)
    return logdet, reduce(add, (row[:, None] * row[None] for row in rows))


def _root_unrolled(lam: jax.Array, a: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
    """Right-looking elimination of ``[I + lam' A lam, lam']``, one pivot at a time for all groups."""
    q, shared = lam.shape[0], lam[:, :, None]
    m = jnp.eye(q, dtype=a.dtype)[:, :, None] + mul(mul(shared.swapaxes(0, 1), a), shared)
    rhs = jnp.broadcast_to(shared.swapaxes(0, 1), m.shape)
    logdet, half = jnp.zeros(a.shape[-1], a.dtype), []
    for _ in range(q):
        column = m[:, 0] * jax.lax.rsqrt(m[0, 0])
        row = rhs[0] / column[0]
        logdet += 2.0 * jnp.log(column[0])
        half.append(row)
        m = m[1:, 1:] - column[1:, None] * column[None, 1:]
        rhs = rhs[1:] - column[1:, None] * row[None]
    return logdet, half


def _node_lapack(lam: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
    logdet, half = _root_lapack(lam, a)
    return logdet, jnp.moveaxis(jnp.swapaxes(half, 1, 2) @ half, 0, -1)


def _root_lapack(lam: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
    groups_first = jnp.moveaxis(a, -1, 0)
    m = jnp.eye(lam.shape[0], dtype=a.dtype) + lam.T @ groups_first @ lam
    chol = jnp.linalg.cholesky(m)
    half = jax.lax.linalg.triangular_solve(chol, jnp.broadcast_to(lam.T, chol.shape), left_side=True, lower=True)
    logdet = 2.0 * jnp.sum(jnp.log(jnp.diagonal(chol, axis1=1, axis2=2)), axis=1)
    return logdet, half


def root(lam: jax.Array, a: jax.Array) -> jax.Array:
    """(q, q, J) ``R_j`` with ``R_j' R_j = N_j``: ``R_j' z`` has covariance N_j, singular or not, for standard normal z.

    Args:
        lam: (q, q). a: (q, q, J), as for ``node``.
    """
    if lam.shape[0] <= UNROLL_MAX:
        return jnp.stack(_root_unrolled(lam, a)[1])
    return jnp.moveaxis(_root_lapack(lam, a)[1], 0, -1)
