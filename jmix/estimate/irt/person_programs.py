"""Compiled programs that estimate the traits of a chunk of persons."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jmix import runtime
from jmix.estimate.irt.person_solve import jacobian, log_determinant, solve_line, solve_space
from jmix.estimate.irt.person_terms import Kinds, Part, log_likelihood, terms

Array = Any


def _estimate(
    parts: tuple[Part, ...], start: Array, mean: Array, precision: Array, limit: Array, *, kinds: Kinds, method: str
) -> tuple[Array, Array, Array]:
    """Estimates (n, D), the information at them (n, D, D), and the log likelihood gained against the limits (n,).

    Args:
        start, mean: (n, D). precision: (D, D) of the prior. limit: (n,) largest component in absolute value.
        method: "MAP", "ML" or "WLE".
    """

    def prior(theta: Array) -> Array:
        r = theta - mean
        return -0.5 * ((r @ precision) * r).sum(axis=1)

    def objective(theta: Array) -> Array:
        if method == "MAP":
            return log_likelihood(kinds, parts, theta) + prior(theta)
        if method == "ML":
            return log_likelihood(kinds, parts, theta)
        found = terms(kinds, parts, theta)
        return found.loglik + 0.5 * log_determinant(found.information)

    def equation(theta: Array) -> Array:
        if method == "WLE" and theta.shape[1] == 1:
            return _warm(kinds, parts, theta)
        return jax.grad(lambda t: objective(t).sum())(theta)

    def information(theta: Array) -> Array:
        found = terms(kinds, parts, theta).information
        return found + precision if method == "MAP" else found

    if start.shape[1] == 1:
        theta = solve_line(equation, start, limit)
    else:
        theta = solve_space(objective, equation, information, start, limit)
    loss = _beyond(kinds, parts, theta, limit) if method == "ML" else jnp.zeros_like(limit)
    return theta, -jacobian(equation, theta), loss


def _warm(kinds: Kinds, parts: tuple[Part, ...], theta: Array) -> Array:
    """(n, 1) Warm's (1989, eq. 7) estimating function ``l' + J / (2 I)``; of more than two categories with Samejima's
    (1993) J.
    """
    gradient = jax.grad(lambda t: log_likelihood(kinds, parts, t).sum())(theta)
    found = terms(kinds, parts, theta)
    return gradient + (found.bias / (2.0 * jnp.maximum(found.information[:, 0, 0], 1e-300)))[:, None]


def _beyond(kinds: Kinds, parts: tuple[Part, ...], theta: Array, limit: Array) -> Array:
    """(n,) signed: how much higher the likelihood of one dimension is at a limit than at the estimate; else zero."""
    if theta.shape[1] > 1:
        return jnp.zeros_like(limit)
    here = log_likelihood(kinds, parts, theta)
    up = log_likelihood(kinds, parts, limit[:, None]) - here
    down = log_likelihood(kinds, parts, -limit[:, None]) - here
    gain = jnp.maximum(up, down)
    return jnp.where(gain > 0, jnp.where(up > down, gain, -gain), 0.0)


ESTIMATE = runtime.Program(_estimate, static=("kinds", "method"))
"""See ``_estimate``."""


def _loglik_draws(parts: tuple[Part, ...], theta: Array, *, kinds: Kinds) -> Array:
    """(R, n) log likelihood at R values of each person's theta (R, n, D)."""
    return jax.lax.map(lambda t: log_likelihood(kinds, parts, t), theta)


LOGLIK = runtime.Program(_loglik_draws, static=("kinds",))
"""See ``_loglik_draws``."""
