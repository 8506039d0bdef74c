"""From the linear predictor to the scale on which a density is written, and what happens outside a link's domain.

Some links do not map every real number to a mean: a Poisson mean under the identity link must be positive. A density is
undefined there. ``inside`` moves such an eta to the edge and ``outside`` charges ``((eta - edge) / 1e-10)^2 / 2``: a
value like -1e18 that any line search refuses, finite, without NaN in any derivative, with slopes that lead back.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jmix.families.special import log1mexp, log_ndtr, log_p_cloglog, logistic_pair, softplus

EDGE = 1e-20
_WIDTH = 1e-10


def domain(name: str, link: str) -> tuple[float | None, float | None]:
    """Lower and upper end of the linear predictors that a link maps to a mean; None where there is no end."""
    if name in {"bernoulli", "binomial"}:
        return {"log": (None, -EDGE), "identity": (EDGE, 1.0 - 1e-15)}.get(link, (None, None))
    if name in {"gaussian", "student"} or link not in {"identity", "sqrt", "inverse", "1/mu^2"}:
        return None, None
    return EDGE, None


def inside(name: str, link: str, eta: jax.Array) -> jax.Array:
    """``eta``, moved to the edge of the link's domain where it lies outside."""
    low, high = domain(name, link)
    if low is not None:
        eta = jnp.where(eta < low, low, eta)
    if high is not None:
        eta = jnp.where(eta > high, high, eta)
    return eta


def charge(name: str, link: str, eta: jax.Array, density: jax.Array) -> jax.Array:
    """``density``, less the charge for a linear predictor outside the link's domain."""
    if domain(name, link) == (None, None):
        return density
    excess = (eta - inside(name, link, eta)) / _WIDTH
    return density - 0.5 * excess * excess


def log_mean(link: str, eta: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``log(mu)`` and ``mu`` of a positive mean, for eta inside the domain of log, identity or sqrt."""
    if link == "log":
        return eta, jnp.exp(eta)
    log_eta = jnp.log(eta)
    return (log_eta, eta) if link == "identity" else (2.0 * log_eta, eta * eta)


def reciprocal_mean(link: str, eta: jax.Array) -> jax.Array:
    """``1/mu`` of a positive mean, for eta inside the link's domain."""
    if link == "log":
        return jnp.exp(-eta)
    if link == "identity":
        return 1.0 / eta
    return jnp.sqrt(eta) if link == "1/mu^2" else eta


def log_probabilities(link: str, eta: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``log(p)`` and ``log(1 - p)`` of a probability, for eta inside the link's domain."""
    if link == "logit":
        return -softplus(-eta), -softplus(eta)
    if link == "probit":
        return log_ndtr(eta), log_ndtr(-eta)
    if link == "cloglog":
        return log_p_cloglog(eta), -jnp.exp(eta)
    if link == "cauchit":
        return log_cauchy_cdf(eta), log_cauchy_cdf(-eta)
    return (eta, log1mexp(-eta)) if link == "log" else (jnp.log(eta), jnp.log1p(-eta))


def log_cauchy_cdf(x: jax.Array) -> jax.Array:
    """Log of the standard Cauchy distribution function."""
    return jnp.log(jnp.arctan2(1.0, -x) / jnp.pi)


def probabilities(link: str, eta: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``p`` and ``1 - p`` under logit, probit or cloglog."""
    if link == "logit":
        return logistic_pair(eta)
    log_p, log_q = log_probabilities(link, eta)
    return jnp.exp(log_p), jnp.exp(log_q)
