"""Special functions in JAX whose first four derivatives stay finite and cheap in both tails.

Functions with a custom rule state their derivative as an algebraic expression in values that they already have: no
further exponential per order of differentiation, and no branch of a ``where`` that could turn into NaN.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@jax.custom_jvp
def logistic_pair(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``1/(1+exp(-x))`` and ``1/(1+exp(x))``, each to full relative precision."""
    e = jnp.exp(-jnp.abs(x))
    big = 1.0 / (1.0 + e)
    small = e * big
    up = x >= 0
    return jnp.where(up, big, small), jnp.where(up, small, big)


@logistic_pair.defjvp
def _logistic_pair_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    s, c = logistic_pair(primals[0])
    d = s * c * tangents[0]
    return (s, c), (d, -d)


@jax.custom_jvp
def softplus(x: jax.Array) -> jax.Array:
    """``log(1 + exp(x))``."""
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


@softplus.defjvp
def _softplus_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return softplus(primals[0]), logistic_pair(primals[0])[0] * tangents[0]


@jax.custom_jvp
def log_add_exp(a: jax.Array, b: jax.Array) -> jax.Array:
    """``log(exp(a) + exp(b))``."""
    return jnp.maximum(a, b) + jnp.log1p(jnp.exp(-jnp.abs(a - b)))


@log_add_exp.defjvp
def _log_add_exp_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    a, b = primals
    first, second = logistic_pair(a - b)
    return log_add_exp(a, b), first * tangents[0] + second * tangents[1]


def log_softplus(x: jax.Array) -> jax.Array:
    """``log(log(1 + exp(x)))``."""
    low = x < -15.0
    e = jnp.exp(jnp.minimum(x, -15.0))
    series = x - e * (0.5 - e * (5.0 / 24.0 - e * 0.125))
    return jnp.where(low, series, jnp.log(softplus(jnp.where(low, 0.0, x))))


def log1mexp(x: jax.Array) -> jax.Array:
    """``log(1 - exp(-x))`` for x > 0."""
    return jnp.log(-jnp.expm1(-x))


_FAR = 10.0
_MILLS = [1.0]
for _k in range(1, 17):
    _MILLS.append(-_MILLS[-1] * (2 * _k - 1))


def _mills(t: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``R = t Phi(-t) / phi(t)`` and ``1 - R`` for t >= 10 by their asymptotic series."""
    v = 1.0 / (t * t)
    total = jnp.full_like(v, _MILLS[-1])
    for coefficient in _MILLS[-2:0:-1]:
        total = total * v + coefficient
    return 1.0 + total * v, -total * v


def _log_normal_cdf(x: jax.Array) -> jax.Array:
    far = x < -_FAR
    t = jnp.where(far, -x, _FAR)
    tail = -0.5 * t * t - jnp.log(t / _mills(t)[0]) - _HALF_LOG_2PI
    near = jnp.where(far, 0.0, x)
    e = 0.5 * jax.lax.erfc(jnp.abs(near) * math.sqrt(0.5))
    return jnp.where(far, tail, jnp.where(near > 0, jnp.log1p(-e), jnp.log(e)))


@jax.custom_jvp
def log_ndtr(x: jax.Array) -> jax.Array:
    """Log of the standard normal distribution function."""
    return _log_normal_cdf(x)


@log_ndtr.defjvp
def _log_ndtr_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return log_ndtr(primals[0]), hazard_pair(primals[0])[0] * tangents[0]


@jax.custom_jvp
def hazard_pair(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``h = phi(x)/Phi(x)`` and ``x + h``; ``h' = -h (x + h)``."""
    far = x < -_FAR
    t = jnp.where(far, -x, _FAR)
    ratio, rest = _mills(t)
    near = jnp.where(far, 0.0, x)
    e = 0.5 * jax.lax.erfc(jnp.abs(near) * math.sqrt(0.5))
    h = jnp.exp(-0.5 * near * near - _HALF_LOG_2PI) / jnp.where(near > 0, 1.0 - e, e)
    return jnp.where(far, t / ratio, h), jnp.where(far, t * rest / ratio, near + h)


@hazard_pair.defjvp
def _hazard_pair_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    h, d = hazard_pair(primals[0])
    return (h, d), (-h * d * tangents[0], (1.0 - h * d) * tangents[0])


@jax.custom_jvp
def log_p_cloglog(x: jax.Array) -> jax.Array:
    """``log(1 - exp(-exp(x)))``, the log probability of a success under the complementary log-log link."""
    t = jnp.exp(jnp.minimum(x, 50.0))
    small = x < -3.0
    square = t * t
    series = x - 0.5 * t + square * (1 / 24 - square * (1 / 2880 - square * (1 / 181440)))
    return jnp.where(small, series, jnp.log(-jnp.expm1(-t)))


@log_p_cloglog.defjvp
def _log_p_cloglog_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return log_p_cloglog(primals[0]), _planck_pair(primals[0])[0] * tangents[0]


@jax.custom_jvp
def _planck_pair(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``B = t/(exp(t) - 1)`` and ``D = 1 - t - B`` at ``t = exp(x)``; ``dB/dx = B D``, ``dD/dx = -t - B D``."""
    t = jnp.exp(jnp.minimum(x, 50.0))
    small = x < -3.0
    square = t * t
    even = square * (1 / 12 - square * (1 / 720 - square * (1 / 30240)))
    b = jnp.where(small, 1.0 - 0.5 * t + even, t / jnp.expm1(jnp.where(small, 1.0, t)))
    return b, jnp.where(small, -0.5 * t - even, 1.0 - t - b)


@_planck_pair.defjvp
def _planck_pair_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    b, d = _planck_pair(primals[0])
    t = jnp.exp(jnp.minimum(primals[0], 50.0))
    slope = b * d
    return (b, d), (slope * tangents[0], -(t + slope) * tangents[0])
