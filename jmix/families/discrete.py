"""Log densities of binary responses, proportions and counts, without the terms that are free of parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jmix.families.gammas import log_gamma_ratio
from jmix.families.names import Aux
from jmix.families.scale import log_cauchy_cdf, log_mean, log_probabilities
from jmix.families.special import log_ndtr, softplus


def bernoulli(link: str, y: Any, size: Any, eta: jax.Array, aux: Aux) -> jax.Array:
    """``y log(p) + (1 - y) log(1 - p)``, y 0 or 1; symmetric links are evaluated once, at ``(2y - 1) eta``."""
    if link == "logit":
        return y * eta - softplus(eta)
    if link in {"probit", "cauchit"}:
        signed = (2.0 * y - 1.0) * eta
        return log_ndtr(signed) if link == "probit" else log_cauchy_cdf(signed)
    log_p, log_q = log_probabilities(link, eta)
    return jnp.where(y > 0, log_p, log_q)


def binomial(link: str, y: Any, size: Any, eta: jax.Array, aux: Aux) -> jax.Array:
    """``y log(p) + (size - y) log(1 - p)``; the constant is ``log C(size, y)``."""
    if link == "logit":
        return y * eta - size * softplus(eta)
    log_p, log_q = log_probabilities(link, eta)
    return y * log_p + (size - y) * log_q


def poisson(link: str, y: Any, size: Any, eta: jax.Array, aux: Aux) -> jax.Array:
    """``y log(mu) - mu``; the constant is ``-log y!``."""
    log_mu, mu = log_mean(link, eta)
    return y * log_mu - mu


def nbinom2(link: str, y: Any, size: Any, eta: jax.Array, aux: Aux) -> jax.Array:
    """NB2 with size r = phi, ``Var = mu + mu^2/r``; the constant is ``-log y!``.

    ``log G(r+y) - log G(r) - y log r + y log(mu) - (y + r) log(1 + mu/r)``, which tends to the Poisson as r grows.
    """
    log_mu, _ = log_mean(link, eta)
    log_r = jnp.asarray(aux.log_phi)
    return log_gamma_ratio(log_r, y) + y * log_mu - (y + jnp.exp(log_r)) * softplus(log_mu - log_r)


def nbinom1(link: str, y: Any, size: Any, eta: jax.Array, aux: Aux) -> jax.Array:
    """NB1, ``Var = mu (1 + phi)``: NB2 with size ``r = mu/phi`` in each row; the constant is ``-log y!``.

    ``log G(r+y) - log G(r) - y log r + y log(mu) - (y + mu/phi) log(1 + phi)``.
    """
    log_mu, mu = log_mean(link, eta)
    log_phi = jnp.asarray(aux.log_phi)
    log_one = softplus(log_phi)
    return log_gamma_ratio(log_mu - log_phi, y) + y * (log_mu - log_one) - mu * (log_one * jnp.exp(-log_phi))
