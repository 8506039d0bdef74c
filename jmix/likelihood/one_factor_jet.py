"""The reduction of one grouping factor to second order in its covariance matrix, as an explicit polynomial.

With ``B_j = Z_j'V^{-1}Z_j`` and ``R_j = Z_j'V^{-1}[X y]`` at Omega, a step D of Omega gives (cf. ``one_factor``)

    logdet + sum_j tr(B_j D) - tr(B_j D B_j D) / 2,        G - sum_j R_j' D R_j + sum_j R_j' D B_j D R_j.

Derivatives of a function of the two up to the second are those of the polynomial, whose terms are small: nothing that
runs over groups is differentiated, which compiles several times sooner.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jmix.likelihood.structure import GaussianStats
from jmix.numerics.blocks import mul, node

LARGEST = 60_000
"""Numbers of the largest coefficient up to which the polynomial is worth it."""


def fits(q: int, k: int) -> bool:
    """Whether the polynomial of a factor of q columns with k columns of ``[X y]`` is small enough."""
    return q**4 * k**2 <= LARGEST


def reduce_one(lam: jax.Array, stats: GaussianStats) -> tuple[jax.Array, jax.Array]:
    """``log|I + Lambda'Z'Z Lambda|`` and ``[X y]'V^{-1}[X y]``, right to second order in any (q, q) Lambda."""
    omega = lam @ lam.T
    here = jax.lax.stop_gradient(lam)
    step = omega - here @ here.T
    a, w = stats.blocks[0].a, stats.blocks[0].w
    logdets, n = node(here, a)
    b = a - mul(mul(a, n), a)
    r = w - mul(a, mul(n, w))
    logdet = jnp.sum(logdets) + jnp.sum(jnp.sum(b, axis=-1) * step)
    logdet -= 0.5 * jnp.einsum("abcd,bc,da->", jnp.einsum("abj,cdj->abcd", b, b), step, step)
    gram = stats.gram - jnp.einsum("apj,arj->pr", w, mul(n, w))
    gram -= jnp.einsum("apbr,ab->pr", jnp.einsum("apj,brj->apbr", r, r), step)
    half = jnp.einsum("apj,bcj->apbcj", r, b)
    third = jnp.einsum("apbcj,drj->apbcdr", half, r)
    return logdet, gram + jnp.einsum("apbcdr,ab,cd->pr", third, step, step)
