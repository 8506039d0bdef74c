"""Log densities of real responses, without the terms that are free of parameters."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from jmix.families.gammas import log_gamma_ratio
from jmix.families.names import Aux


def _mean(link: str, eta: jax.Array) -> jax.Array:
    if link == "inverse":
        return 1.0 / jnp.where(jnp.abs(eta) < 1e-20, 1e-20, eta)
    return eta if link == "identity" else jnp.exp(eta)


def gaussian(link: str, y: Any, size: Any, eta: jax.Array, aux: Aux) -> jax.Array:
    """``-log(sigma) - ((y - mu)/sigma)^2 / 2`` with phi = sigma; the constant is ``-log(2 pi)/2``."""
    log_sigma = jnp.asarray(aux.log_phi)
    z = (y - _mean(link, eta)) * jnp.exp(-log_sigma)
    return -log_sigma - 0.5 * z * z


def student(link: str, y: Any, size: Any, eta: jax.Array, aux: Aux) -> jax.Array:
    """Student's t with nu = ``aux.shape``, location mu and scale sigma = phi; the constant is ``-log(2 pi)/2``.

    ``log G((nu+1)/2) - log G(nu/2) - log(nu/2)/2 - log(sigma) - (nu+1)/2 log(1 + z^2/nu)``: Gaussian as nu grows.
    """
    log_sigma = jnp.asarray(aux.log_phi)
    nu = jnp.asarray(aux.shape)
    z = (y - _mean(link, eta)) * jnp.exp(-log_sigma)
    norm = log_gamma_ratio(jnp.log(nu) - math.log(2.0), jnp.asarray(0.5, nu.dtype))
    return norm - log_sigma - 0.5 * (nu + 1.0) * jnp.log1p(z * z / nu)
