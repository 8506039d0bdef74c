"""Log densities of positive responses and of proportions, without the terms that are free of parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jmix.families.gammas import log_gamma1p
from jmix.families.names import Aux
from jmix.families.scale import log_probabilities, reciprocal_mean


def _positive(y: Any) -> jax.Array:
    """The response, 1 in rows of padding."""
    y = jnp.asarray(y)
    return jnp.where(y > 0, y, 1.0)


def gamma(link: str, y: Any, size: Any, eta: jax.Array, aux: Aux) -> jax.Array:
    """Gamma with shape a = 1/phi, ``Var = phi mu^2``; the constant is ``-log y``.

    ``a (log(y/mu) - y/mu + log a) - log G(a)``, with ``log G(a) = log G(1 + a) - log a``.
    """
    y = _positive(y)
    log_a = -jnp.asarray(aux.log_phi)
    a = jnp.exp(log_a)
    reciprocal = reciprocal_mean(link, eta)
    log_reciprocal = -eta if link == "log" else jnp.log(reciprocal)
    fit = jnp.log(y) + log_reciprocal - y * reciprocal
    return a * (fit + log_a) + log_a - log_gamma1p(a)


def inverse_gaussian(link: str, y: Any, size: Any, eta: jax.Array, aux: Aux) -> jax.Array:
    """Inverse Gaussian, ``Var = phi mu^3``: ``-log(phi)/2 - (y/mu - 1)^2 / (2 phi y)``.

    The constant is ``-log(2 pi y^3)/2``.
    """
    y = _positive(y)
    log_phi = jnp.asarray(aux.log_phi)
    miss = y * reciprocal_mean(link, eta) - 1.0
    return -0.5 * (log_phi + miss * miss * jnp.exp(-log_phi) / y)


def beta(link: str, y: Any, size: Any, eta: jax.Array, aux: Aux) -> jax.Array:
    """Beta with a = mu phi, b = (1 - mu) phi; the constant is ``-log(y (1 - y))``.

    ``log G(phi) - log G(a) - log G(b) + a log(y) + b log(1 - y)``, with ``log G(a) = log G(1 + a) - log a``.
    """
    y = jnp.asarray(y)
    y = jnp.where((y > 0) & (y < 1), y, 0.5)
    log_phi = jnp.asarray(aux.log_phi)
    phi = jnp.exp(log_phi)
    log_p, log_q = log_probabilities(link, eta)
    a, b = phi * jnp.exp(log_p), phi * jnp.exp(log_q)
    gammas = log_gamma1p(phi) - log_gamma1p(a) - log_gamma1p(b)
    return gammas + log_phi + log_p + log_q + a * jnp.log(y) + b * jnp.log1p(-y)
