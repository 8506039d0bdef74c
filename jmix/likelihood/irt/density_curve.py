"""Densities of a standardised trait that are not normal.

A Davidian curve of order k is ``g(z) = P(z)^2 phi(z)`` with a polynomial P of degree k (Zhang & Davidian 2001,
Biometrics 57, eq. 5; Woods & Lin 2009, Appl. Psychol. Meas. 33). In the orthonormal Hermite polynomials ``h_i`` the
condition that g integrates to one is ``sum c_i^2 = 1``, which k angles fulfil; all zero they give the normal density.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Discrete(NamedTuple):
    """Points (Q,) with mean 0 and variance 1, and their log probabilities (Q,)."""

    points: jax.Array
    log_weights: jax.Array


def coefficients(angles: Any) -> jax.Array:
    """(k + 1,) coefficients c of unit length: ``c_i = sin(angle_i) prod_{l > i} cos(angle_l)``, ``c_0`` all cosines."""
    out, rest = [], jnp.ones((), jnp.asarray(angles).dtype)
    for k in reversed(range(angles.shape[0])):
        out.append(jnp.sin(angles[k]) * rest)
        rest = rest * jnp.cos(angles[k])
    return jnp.stack([rest, *reversed(out)])


def hermite(z: Any, order: int) -> list[Any]:
    """Orthonormal Hermite polynomials to degree ``order``, ``h_k = (z h_k-1 - sqrt(k - 1) h_k-2) / sqrt(k)``."""
    rows = [jnp.ones_like(z), jnp.asarray(z)]
    for k in range(2, order + 1):
        rows.append((z * rows[k - 1] - (k - 1.0) ** 0.5 * rows[k - 2]) / k**0.5)
    return rows[: order + 1]


def davidian(angles: Any, z: Any, log_weights: Any) -> Discrete:
    """The curve on nodes z (Q,) of N(0, 1) with log weights (Q,), standardised; angles (k,)."""
    c = coefficients(angles)
    polynomial = sum((c[i] * row for i, row in enumerate(hermite(z, angles.shape[0]))), jnp.zeros_like(z))
    square = jnp.maximum(polynomial**2, 1e-300)
    return standardised(z, jnp.asarray(log_weights) + jnp.log(square))


def standardised(z: Any, log_weights: Any) -> Discrete:
    """Points with mean 0 and variance 1 from points z (Q,) with unnormalised log weights (Q,)."""
    log_p = log_weights - jax.scipy.special.logsumexp(log_weights)
    p = jnp.exp(log_p)
    mean = jnp.sum(p * z)
    away = z - mean
    return Discrete(away / jnp.sqrt(jnp.sum(p * away**2)), log_p)
