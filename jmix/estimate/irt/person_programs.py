"""Compiled programs that estimate the traits of a chunk of persons."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jmix import runtime
from jmix.estimate.irt.person_solve import jacobian, log_determinant, solve_line, solve_space
from jmix.estimate.irt.person_terms import Kinds, Part, information, line_equation, log_likelihood

Array = Any

MANY_MAXIMA = ("logistic4",)
"""Kinds whose log likelihood is not concave in theta."""


def _estimate(
    parts: tuple[Part, ...], start: Array, mean: Array, precision: Array, limit: Array, *, kinds: Kinds, method: str
) -> tuple[Array, Array, Array]:
    """Estimates (n, D), the information at them (n, D, D), and the log likelihood gained against the limits (n,).

    Args:
        start, mean: (n, D). precision: (D, D) of the prior. limit: (n,) largest component in absolute value.
        method: "MAP", "ML" or "WLE".
    """
    if start.shape[1] == 1:
        return _on_line(parts, start, mean, precision, limit, kinds=kinds, method=method)
    return _in_space(parts, start, mean, precision, limit, kinds=kinds, method=method)


def _on_line(
    parts: tuple[Part, ...], start: Array, mean: Array, precision: Array, limit: Array, *, kinds: Kinds, method: str
) -> tuple[Array, Array, Array]:
    def equation(theta: Array) -> tuple[Array, Array]:
        value, slope = line_equation(kinds, parts, theta, method == "WLE")
        if method != "MAP":
            return value, slope
        return value - precision[0, 0] * (theta - mean)[:, 0], slope - precision[0, 0]

    concave = method == "ML" and not any(name in MANY_MAXIMA for name, _ in kinds)
    theta = solve_line(equation, start, limit, concave)
    loss = _beyond(kinds, parts, theta, limit) if method == "ML" else jnp.zeros_like(limit)
    return theta, -equation(theta)[1][:, None, None], loss


def _in_space(
    parts: tuple[Part, ...], start: Array, mean: Array, precision: Array, limit: Array, *, kinds: Kinds, method: str
) -> tuple[Array, Array, Array]:
    def objective(theta: Array) -> Array:
        value = log_likelihood(kinds, parts, theta)
        if method == "MAP":
            r = theta - mean
            return value - 0.5 * ((r @ precision) * r).sum(axis=1)
        return value if method == "ML" else value + 0.5 * log_determinant(information(kinds, parts, theta))

    def equation(theta: Array) -> Array:
        return jax.grad(lambda t: objective(t).sum())(theta)

    def curvature(theta: Array) -> Array:
        found = information(kinds, parts, theta)
        return found + precision if method == "MAP" else found

    theta = solve_space(objective, equation, curvature, start, limit, method == "ML")
    return theta, -jacobian(equation, theta), jnp.zeros_like(limit)


def _beyond(kinds: Kinds, parts: tuple[Part, ...], theta: Array, limit: Array) -> Array:
    """(n,) how much higher the likelihood is at a limit than at the estimate, negative at the lower; else zero."""
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
