"""Counts with a model of their zeros: zero inflation and hurdles (Lambert 1992, Technometrics 34; Mullahy 1986)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jmix.families.names import Aux, Family
from jmix.families.scale import log_mean
from jmix.families.special import log_add_exp, log_p_cloglog, log_softplus, softplus


def with_zeros(
    family: Family, y: Any, eta: jax.Array, aux: Aux, kernel: Callable[[str, Any, Any, jax.Array, Aux], jax.Array]
) -> jax.Array:
    """Log density with zero probability ``pi = 1/(1 + exp(-zi))`` and the count density f of ``kernel``.

    Inflated: ``log(pi + (1 - pi) f(0))`` at 0, ``log(1 - pi) + log f(y)`` above. Hurdle: ``log(pi)`` at 0,
    ``log(1 - pi) + log f(y) - log(1 - f(0))`` above.
    """
    y = jnp.asarray(y)
    zi = jnp.asarray(aux.zi)
    count = kernel(family.link, y, None, eta, aux)
    if family.zero == "inflated":
        return jnp.where(y > 0, count, log_add_exp(zi + 0.0 * count, count)) - softplus(zi)
    truncated = kernel(family.link, jnp.maximum(y, 1.0), None, eta, aux) - log_positive(family, eta, aux)
    return jnp.where(y > 0, truncated, zi) - softplus(zi)


def log_positive(family: Family, eta: jax.Array, aux: Aux) -> jax.Array:
    """``log(1 - f(0))`` of the count density, as ``log(1 - exp(-exp(s)))`` with s the log of ``-log f(0)``."""
    log_mu, _ = log_mean(family.link, eta)
    if family.name == "poisson":
        return log_p_cloglog(log_mu)
    log_phi = jnp.asarray(aux.log_phi)
    if family.name == "nbinom2":
        return log_p_cloglog(log_phi + log_softplus(log_mu - log_phi))
    return log_p_cloglog(log_mu - log_phi + log_softplus(log_phi))
