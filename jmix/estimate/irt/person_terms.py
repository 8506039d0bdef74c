"""Log likelihood of persons at given trait values, with the information that their answered items carry."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from jmix.items import kind_of
from jmix.items.derivatives import eta_derivatives

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


def information(kinds: Kinds, parts: tuple[Part, ...], theta: Array) -> Array:
    """(n, D, D) expected (Fisher) information of the answered items at theta (n, D)."""
    n, d = theta.shape
    total = jnp.zeros((n, d, d), theta.dtype)
    for (name, n_categories), part in zip(kinds, parts, strict=True):
        eta, own, code = _rows(part, theta)
        table, first, _, _ = _derivatives(name, n_categories, eta, own)
        info = jnp.where(code >= 0, (jnp.exp(table) * first**2).sum(axis=1), 0.0)
        total = total + _spread(part, _per_person(part, info))
    return total


def line_equation(kinds: Kinds, parts: tuple[Part, ...], theta: Array, weighted: bool) -> tuple[Array, Array]:
    """(n,) derivative of the log likelihood of one dimension at theta (n, 1), and its derivative.

    Args:
        weighted: add Warm's (1989, eq. 7) ``J / (2 I)``, where ``J = sum P' P'' / P`` over items and categories, which
            with more than two is Samejima's (1993).
    """
    score, slope, info, info_slope, bias, bias_slope = (jnp.zeros(theta.shape[0], theta.dtype) for _ in range(6))
    for (name, n_categories), part in zip(kinds, parts, strict=True):
        eta, own, code = _rows(part, theta)
        table, d1, d2, d3 = _derivatives(name, n_categories, eta, own)
        a = _slopes(part)[..., 0]
        score = score + (a * _per_person(part, _observed(d1, code))).sum(axis=-1)
        slope = slope + (a**2 * _per_person(part, _observed(d2, code))).sum(axis=-1)
        if weighted:
            p = jnp.where((code >= 0)[:, None], jnp.exp(table), 0.0)
            sums = (d1**2, d1 * (d2 + d1**2), d1**3 + 2.0 * d1 * d2, d1**4 + 4.0 * d1**2 * d2 + d2**2 + d1 * d3)
            one, two, three, four = (_per_person(part, (p * value).sum(axis=1)) for value in sums)
            info, bias = info + (a**2 * one).sum(axis=-1), bias + (a**3 * two).sum(axis=-1)
            info_slope, bias_slope = info_slope + (a**3 * three).sum(axis=-1), bias_slope + (a**4 * four).sum(axis=-1)
    if not weighted:
        return score, slope
    info = jnp.maximum(info, 1e-300)
    return score + bias / (2.0 * info), slope + 0.5 * (bias_slope / info - bias / info * (info_slope / info))


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


def _derivatives(name: str, n_categories: int, eta: Array, own: Array) -> tuple[Array, Array, Array, Array]:
    """The log table and its first three derivatives in eta, each with categories on axis 1."""
    kind = kind_of(name)
    return (kind.log_table(jnp, eta, own, n_categories), *eta_derivatives(kind, jnp, eta, own, n_categories))
