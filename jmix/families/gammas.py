"""Log gamma functions in JAX whose derivatives of every order are short closed sums.

Stirling's series at an argument shifted up by 8 (Abramowitz & Stegun 1964, 6.1.41, 6.3.18 and 6.4.11), where seven
terms reach double precision; the shift is undone by the recurrence.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from jmix.families.special import softplus

_SHIFT = 8.0
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
"""The Bernoulli numbers of even index, from the second."""


def _stirling(t: jax.Array, order: int = 0) -> jax.Array:
    """Sum over k of ``B_2k (2k + order - 2)!/(2k)! t^(2k-1)``: the correction at 1/t >= 8, or its derivative's size."""
    factors = [b * math.factorial(2 * k + order - 2) / math.factorial(2 * k) for k, b in enumerate(_BERNOULLI, start=1)]
    square = t * t
    total = jnp.full_like(t, factors[-1])
    for factor in factors[-2::-1]:
        total = total * square + factor
    return total * t


def _falling(t: jax.Array) -> jax.Array:
    """``(1 - t)(1 - 2t) ... (1 - 7t)``."""
    product = 1.0 - t
    for k in range(2, 8):
        product = product * (1.0 - k * t)
    return product


def _sum_of_powers(values: list[jax.Array], order: int) -> jax.Array:
    return functools.reduce(jnp.add, [value**order for value in values])


@jax.custom_jvp
def log_gamma1p(x: jax.Array) -> jax.Array:
    """``log Gamma(1 + x)`` for x >= 0."""
    w = x + _SHIFT
    t = 1.0 / w
    return (w - 7.5) * jnp.log(w) - w + _HALF_LOG_2PI + _stirling(t) - jnp.log(_falling(t))


@log_gamma1p.defjvp
def _log_gamma1p_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return log_gamma1p(primals[0]), polygamma1p(1, primals[0]) * tangents[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def polygamma1p(order: int, x: jax.Array) -> jax.Array:
    """The derivative of that order, 1 or more, of ``log Gamma(1 + x)``."""
    w = x + _SHIFT
    t = 1.0 / w
    sign = -1.0 if order % 2 else 1.0
    lead = -jnp.log(w) if order == 1 else math.factorial(order - 2) * t ** (order - 1)
    steps = _sum_of_powers([1.0 / (x + k) for k in range(1, 8)], order)
    rest = math.factorial(order - 1) * (0.5 * t**order + steps) + t**order * _stirling(t, order)
    return sign * (lead + rest)


@polygamma1p.defjvp
def _polygamma1p_jvp(order: int, primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return polygamma1p(order, primals[0]), polygamma1p(order + 1, primals[0]) * tangents[0]


@jax.custom_jvp
def log_gamma_ratio(z: jax.Array, y: jax.Array) -> jax.Array:
    """``log Gamma(r + y) - log Gamma(r) - y log r`` at ``r = exp(z)`` for y >= 0, without cancellation at large r.

    It is 0 for y = 0 and falls to 0 as r grows. Differentiable in z; y is a constant.
    """
    w = jnp.exp(jnp.minimum(z, 80.0)) + _SHIFT
    t0, t1 = 1.0 / w, 1.0 / (w + y)
    log_y = jnp.where(y > 0, jnp.log(jnp.where(y > 0, y, 1.0)), -1e30)
    series = (w + y - 7.5) * jnp.log1p(y * t0) - y + _stirling(t1) - _stirling(t0)
    shift = y * softplus(math.log(_SHIFT) - z) - softplus(log_y - z)
    return series + shift - jnp.log(_falling(t1) / _falling(t0))


@log_gamma_ratio.defjvp
def _log_gamma_ratio_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    z, y = primals
    return log_gamma_ratio(z, y), (polygamma_gap(1, z, y) - y) * tangents[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def polygamma_gap(order: int, z: jax.Array, y: jax.Array) -> jax.Array:
    """``r^n (psi(r + y) - psi(r))``, psi the n-th derivative of log Gamma, at ``r = exp(z)``; ``Q_n' = n Q_n + Q_n+1``.

    Written in ``r/(r + k)``, so that it neither overflows at small r nor cancels at large r.
    """
    r = jnp.exp(jnp.minimum(z, 80.0))
    w = r + _SHIFT
    t0, t1 = 1.0 / w, 1.0 / (w + y)
    p0, p1 = r * t0, r * t1
    if order == 1:
        lead = -r * jnp.log1p(y * t0)
    else:
        powers = [p1**i * p0 ** (order - 2 - i) for i in range(order - 1)]
        lead = -math.factorial(order - 2) * y * p0 * p1 * functools.reduce(jnp.add, powers)
    above = _sum_of_powers([r / (r + (y + k)) for k in range(1, 8)], order)
    below = _sum_of_powers([r / (r + k) for k in range(1, 8)], order)
    first = jnp.where(y > 0, (r / (r + jnp.where(y > 0, y, 1.0))) ** order - 1.0, 0.0)
    steps = math.factorial(order - 1) * (0.5 * (p1**order - p0**order) + above - below + first)
    series = p1**order * _stirling(t1, order) - p0**order * _stirling(t0, order)
    return (-1.0 if order % 2 else 1.0) * (lead + steps + series)


@polygamma_gap.defjvp
def _polygamma_gap_jvp(
    order: int, primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    z, y = primals
    value = polygamma_gap(order, z, y)
    return value, (order * value + polygamma_gap(order + 1, z, y)) * tangents[0]
