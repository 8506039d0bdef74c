"""Logarithms of probabilities that keep their relative precision in both tails, for NumPy and JAX alike.

The JAX versions are those of :mod:`jmix.families.special`, whose derivatives of every order stay finite.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def softplus(xp: Any, x: Any) -> Any:
    """``log(1 + exp(x))``."""
    if xp is np:
        return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))
    from jmix.families import special

    return special.softplus(x)


def log_add_exp(xp: Any, a: Any, b: Any) -> Any:
    """``log(exp(a) + exp(b))``; one of the two may be ``-inf``."""
    if xp is np:
        return np.logaddexp(a, b)
    from jmix.families import special

    return special.log_add_exp(a, b)


def log1mexp(xp: Any, x: Any) -> Any:
    """``log(1 - exp(-x))`` for x > 0."""
    return xp.log(-xp.expm1(-x))


def log_logistic(xp: Any, x: Any) -> Any:
    """``log(1 / (1 + exp(-x)))``; exact at x = ±inf, where the derivative is zero."""
    finite = xp.isfinite(x)
    near = -softplus(xp, -xp.where(finite, x, 0.0))
    return xp.where(finite, near, xp.where(x > 0, 0.0, -np.inf))


def log_softmax(xp: Any, x: Any) -> Any:
    """Log probabilities proportional to ``exp(x)`` along axis 1."""
    if xp is np:
        shifted = x - np.max(x, axis=1, keepdims=True)
        return shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    import jax

    return jax.nn.log_softmax(x, axis=1)


def beside(column: Any, eta: Any) -> Any:
    """Item parameters (J,) or (J, K) with an axis of length one for each trailing axis of ``eta`` (J, ...)."""
    return column.reshape(column.shape + (1,) * (eta.ndim - 1))
