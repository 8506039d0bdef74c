"""Closed-form gradient and Hessian of the profiled criterion for one grouping factor.

With ``B_j = Z_j'V^{-1}Z_j``, ``R_j = Z_j'V^{-1}[X y]`` and ``Omega = Lambda Lambda'``, for any direction D of Omega

    d logdet = sum_j tr(B_j D),   d B_j = -B_j D B_j,   d G = -sum_j R_j' D R_j,   d R_j = -B_j D R_j,

so one pass over the groups gives the value and both derivatives, at little more than the cost of the value alone
(cf. Lindstrom & Bates 1988, J. Am. Stat. Assoc. 83, 1014-1022).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jmix.likelihood.gaussian import gram_criterion, unpack
from jmix.likelihood.structure import FactorLayout, GaussianStats
from jmix.numerics.blocks import mul, node


def value_grad_hessian(
    theta: jax.Array, stats: GaussianStats, n: jax.Array, layout: FactorLayout, reml: bool
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The profiled criterion, its gradient (k,) and Hessian (k, k) in ``theta``, and the reduced cross-product."""
    lam = unpack(theta, (layout,))[0]
    a, w = stats.blocks[0].a, stats.blocks[0].w
    logdets, cov = node(lam, a)
    b = a - mul(mul(a, cov), a)
    r = w - mul(a, mul(cov, w))
    gram = stats.gram - jnp.einsum("apj,arj->pr", w, mul(cov, w))

    value, slope = jax.value_and_grad(gram_criterion)(gram, n, reml)
    c = mul(jnp.einsum("apj,pr->arj", r, slope), jnp.swapaxes(r, 0, 1))
    grad_omega = jnp.sum(b - c, axis=-1)
    directions = _omega_directions(lam, layout)

    gradient = jnp.einsum("kab,ab->k", directions, grad_omega)
    curvature = jnp.einsum("abj,cdj->abcd", 2.0 * c - b, b)
    hessian = jnp.einsum("abcd,kbc,lda->kl", curvature, directions, directions)
    hessian += _gram_curvature(gram, n, reml, r, directions) + _factor_curvature(grad_omega, layout)
    return jnp.sum(logdets) + value, gradient, 0.5 * (hessian + hessian.T), gram


def _omega_directions(lam: jax.Array, layout: FactorLayout) -> jax.Array:
    """(k, q, q): the derivative of Omega in each entry of theta."""
    unit = jnp.eye(layout.q, dtype=lam.dtype)
    half = unit[jnp.array(layout.rows)][:, :, None] * lam.T[jnp.array(layout.cols)][:, None, :]
    return half + jnp.swapaxes(half, 1, 2)


def _gram_curvature(gram: jax.Array, n: jax.Array, reml: bool, r: jax.Array, directions: jax.Array) -> jax.Array:
    """Second-order term through the curvature of the criterion in G."""
    products = jnp.einsum("apj,brj->apbr", r, r)
    dgram = -jnp.einsum("kab,apbr->kpr", directions, products)

    def push(tangent: jax.Array) -> jax.Array:
        return jax.jvp(lambda g: jax.grad(gram_criterion)(g, n, reml), (gram,), (tangent,))[1]

    return jnp.einsum("kpr,lpr->kl", dgram, jax.vmap(push)(dgram))


def _factor_curvature(grad_omega: jax.Array, layout: FactorLayout) -> jax.Array:
    """Second-order term because Omega is quadratic in theta."""
    rows, cols = jnp.array(layout.rows), jnp.array(layout.cols)
    return 2.0 * grad_omega[rows[:, None], rows[None, :]] * (cols[:, None] == cols[None, :])
