"""Log likelihood of persons at given trait values, with the information that their answered items carry."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jmix.items import kind_of

Array = Any


class Part(NamedTuple):
    """Items of one kind, or the responses to them, at given parameters.

    Attributes:
        slopes: (J, D). own: (J, m). item: None for a table, or (n, w) row of each response in ``slopes``.
        code: (n, J) or (n, w) category, negative where there is no response to an item of this part.
    """

    slopes: Array
    own: Array
    item: Array | None
    code: Array


class Terms(NamedTuple):
    """Sums over the responses of each of n persons.

    Attributes:
        loglik: (n,). information: (n, D, D) expected (Fisher) information. bias: (n,) of one dimension
            ``sum_j sum_k P' P'' / P``, Samejima's (1993) extension of Warm's J; zeros otherwise.
    """

    loglik: Array
    information: Array
    bias: Array


Kinds = tuple[tuple[str, int], ...]
"""(name, number of categories) of each part."""


def log_likelihood(kinds: Kinds, parts: tuple[Part, ...], theta: Array) -> Array:
    """(n,) log likelihood at theta (n, D)."""
    total = jnp.zeros(theta.shape[0], theta.dtype)
    for (name, n_categories), part in zip(kinds, parts, strict=True):
        eta, own, code = _rows(part, theta)
        table = kind_of(name).log_table(jnp, eta, own, n_categories)
        total = total + _per_person(part, _observed(table, code)).sum(axis=-1)
    return total


def terms(kinds: Kinds, parts: tuple[Part, ...], theta: Array) -> Terms:
    """Log likelihood, information and bias term at theta (n, D)."""
    n, d = theta.shape
    loglik, bias = jnp.zeros(n, theta.dtype), jnp.zeros(n, theta.dtype)
    information = jnp.zeros((n, d, d), theta.dtype)
    for (name, n_categories), part in zip(kinds, parts, strict=True):
        eta, own, code = _rows(part, theta)
        table, first, second = _derivatives(name, n_categories, eta, own)
        p = jnp.exp(table)
        answered = code >= 0
        info = _per_person(part, jnp.where(answered, (p * first**2).sum(axis=1), 0.0))
        loglik = loglik + _per_person(part, _observed(table, code)).sum(axis=-1)
        information = information + _spread(part, info)
        if d == 1:
            skew = jnp.where(answered, (p * first * (second + first**2)).sum(axis=1), 0.0)
            bias = bias + (_slopes(part)[..., 0] ** 3 * _per_person(part, skew)).sum(axis=-1)
    return Terms(loglik, information, bias)


def _slopes(part: Part) -> Array:
    """(J, D), or (n, w, D) of responses one by one."""
    return part.slopes if part.item is None else part.slopes[part.item]


def _rows(part: Part, theta: Array) -> tuple[Array, Array, Array]:
    """eta, own parameters and codes with the items, or the responses, on the first axis."""
    if part.item is None:
        return part.slopes @ theta.T, part.own, part.code.T
    eta = (_slopes(part) * theta[:, None, :]).sum(axis=-1)
    return eta.reshape(-1), part.own[part.item].reshape(-1, part.own.shape[-1]), part.code.reshape(-1)


def _per_person(part: Part, values: Array) -> Array:
    """(n, J) or (n, w) from what stands by items or by responses."""
    return values.T if part.item is None else values.reshape(part.item.shape)


def _spread(part: Part, info: Array) -> Array:
    """(n, D, D) ``sum_j info_j a_j a_j'``."""
    a = _slopes(part)
    if part.item is None:
        d = a.shape[1]
        products = (a[:, :, None] * a[:, None, :]).reshape(-1, d * d)
        return (info @ products).reshape(-1, d, d)
    return jnp.einsum("nw,nwd,nwe->nde", info, a, a)


def _observed(table: Array, code: Array) -> Array:
    """Log probability of the category that was chosen, zero where there is none; table has categories on axis 1."""
    k = jnp.arange(table.shape[1]).reshape((1, -1) + (1,) * (code.ndim - 1))
    return jnp.where(k == code[:, None], table, 0.0).sum(axis=1)


def _derivatives(name: str, n_categories: int, eta: Array, own: Array) -> tuple[Array, Array, Array]:
    """The log table and its first two derivatives in eta, each with categories on axis 1."""
    one = jnp.ones_like(eta)

    def value(e: Array) -> Array:
        return kind_of(name).log_table(jnp, e, own, n_categories)

    def slope(e: Array) -> tuple[Array, Array]:
        return jax.jvp(value, (e,), (one,))

    (table, first), (_, second) = jax.jvp(slope, (eta,), (one,))
    return table, first, second
