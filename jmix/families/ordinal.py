"""Log probability of a category under a cumulative link model, ``P(Y <= k) = F(tau_k - eta)``.

A middle category's probability ``F(a) - F(b)`` is never computed as a difference (McCullagh 1980, J. R. Stat. Soc. B 42
for the models). With ``gap = a - b``, which does not depend on eta:
logit ``F(a) F(-b) (1 - exp(-gap))``; cloglog ``exp(-e^b) (1 - exp(-e^b (e^gap - 1)))``; cauchit
``atan2(gap, 1 + ab) / pi``; probit in the lower tail, ``Phi(a) (1 - Phi(b)/Phi(a))``.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jmix.families.names import Aux
from jmix.families.scale import log_probabilities
from jmix.families.special import log1mexp, log_ndtr, log_p_cloglog, softplus


def cumulative(link: str, y: Any, size: Any, eta: jax.Array, aux: Aux) -> jax.Array:
    """Log probability of category ``y`` in 0..K-1 with thresholds ``aux.tau`` (K-1,), increasing."""
    tau = jnp.asarray(aux.tau)
    y = jnp.asarray(y)
    k = tau.shape[0]
    upper = _pick(tau, y)
    lower = _pick(tau, y - 1)
    first, last = y <= 0, y >= k
    a = jnp.where(last, tau[-1], upper) - eta
    b = jnp.where(first, tau[0], lower) - eta
    if link == "logit":
        return _logit(a, b, upper - lower, first, last)
    if link == "probit":
        return _probit(a, b, first, last)
    log_first, log_last = log_probabilities(link, a)[0], log_probabilities(link, b)[1]
    ends = first | last
    low, gap = jnp.where(ends, a - 1.0, b), jnp.where(ends, 1.0, upper - lower)
    if link == "cloglog":
        middle = log_p_cloglog(low + gap + log1mexp(gap)) - jnp.exp(low)
    else:
        middle = jnp.log(jnp.arctan2(gap, 1.0 + a * low) / jnp.pi)
    return jnp.where(first, log_first, jnp.where(last, log_last, middle))


def _pick(tau: jax.Array, index: jax.Array) -> jax.Array:
    """``tau[index]``, 0 where there is none: a dense sum, whose gradient needs no scatter."""
    total = jnp.zeros(index.shape, tau.dtype)
    for k in range(tau.shape[0]):
        total = total + jnp.where(index == k, tau[k], 0.0)
    return total


def _logit(a: jax.Array, b: jax.Array, gap: jax.Array, first: jax.Array, last: jax.Array) -> jax.Array:
    ends = first | last
    width = jnp.where(ends, 0.0, log1mexp(jnp.where(ends, 1.0, gap)))
    return width - jnp.where(last, 0.0, softplus(-a)) - jnp.where(first, 0.0, softplus(b))


def _probit(a: jax.Array, b: jax.Array, first: jax.Array, last: jax.Array) -> jax.Array:
    flip = last | ((a + b > 0) & ~first)
    ends = first | last
    high = jnp.where(flip, -b, a)
    log_high = log_ndtr(high)
    log_low = log_ndtr(jnp.where(ends, high - 1.0, jnp.where(flip, -a, b)))
    return log_high + jnp.where(ends, 0.0, log1mexp(log_high - log_low))
