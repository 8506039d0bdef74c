"""Exact derivatives of the profiled Gaussian criterion in ``theta``."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jmix.likelihood import one_factor
from jmix.likelihood.gaussian import profiled_criterion
from jmix.likelihood.structure import GaussianStats, Layout


class Derivatives(NamedTuple):
    """The profiled criterion at one theta, with its exact derivatives.

    Attributes:
        value: scalar. gradient: (k,). hessian: (k, k) or None. gram: (p + 1, p + 1) reduced cross-product ``[X
            y]'V^{-1}[X y]``.
    """

    value: jax.Array
    gradient: jax.Array
    hessian: jax.Array | None
    gram: jax.Array


def value_grad(theta: jax.Array, stats: GaussianStats, n: jax.Array, layout: Layout, reml: bool) -> Derivatives:
    """The profiled criterion and its gradient."""
    (value, gram), gradient = jax.value_and_grad(profiled_criterion, has_aux=True)(theta, stats, n, layout, reml)
    return Derivatives(value, gradient, None, gram)


def value_grad_hessian(theta: jax.Array, stats: GaussianStats, n: jax.Array, layout: Layout, reml: bool) -> Derivatives:
    """The profiled criterion with its gradient and Hessian: closed form for one factor, else forward over reverse."""
    if len(layout) == 1 and stats.blocks:
        return Derivatives(*one_factor.value_grad_hessian(theta, stats, n, layout[0], reml))

    def first(t: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        at = value_grad(t, stats, n, layout, reml)
        return at.value, at.gradient, at.gram

    (value, gradient, gram), push = jax.linearize(first, theta)
    hessian = jax.lax.map(lambda d: push(d)[1], jnp.eye(theta.shape[0], dtype=theta.dtype))
    return Derivatives(value, gradient, 0.5 * (hessian + hessian.T), gram)
