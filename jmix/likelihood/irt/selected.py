"""The log probability of the response that a person gave, and its derivatives, item by item.

Arrays have items first and persons last, ``eta`` (J, ..., n), so that a vector unit works on neighbouring persons.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jmix.families.special import softplus
from jmix.items.stable import beside
from jmix.likelihood.irt.traced import ItemBlock, Shape

Pair = tuple[jax.Array, jax.Array]


def log_probability(block: ItemBlock, eta: jax.Array, own: jax.Array, codes: Any) -> jax.Array:
    """``log P_j(x_ij)``, zero where there is no response.

    Args:
        eta: (J, ..., n). own: (J, m). codes: (J, n).

    Returns:
        The shape of eta.
    """
    given = _between(codes, eta)
    if not block.linear:
        table = block.item_kind.log_table(jnp, eta, own, block.n_categories)
        terms = (jnp.where(given == k, table[:, k], 0.0) for k in range(block.n_categories))
        return sum(terms, jnp.zeros_like(eta))
    factor, constant = chosen(block, own, codes)
    numerator = _between(factor, eta) * eta + _between(constant, eta)
    return numerator - jnp.where(given >= 0, log_normaliser(block, eta, own), 0.0)


def chosen(block: ItemBlock, own: jax.Array, codes: Any) -> tuple[jax.Array, jax.Array]:
    """Of a linear kind, the factor and the constant of the category chosen, (J, n) each; zero for category 0."""
    factors, constants = block.item_kind.linear_terms(jnp, own, block.n_categories)
    zero = jnp.zeros(codes.shape, own.dtype)
    taken = [codes == k for k in range(1, block.n_categories)]
    return (
        sum((jnp.where(at, factors[:, k, None], 0.0) for k, at in enumerate(taken)), zero),
        sum((jnp.where(at, constants[:, k, None], 0.0) for k, at in enumerate(taken)), zero),
    )


def log_normaliser(block: ItemBlock, eta: jax.Array, own: jax.Array) -> jax.Array:
    """``-log P_j(0)`` of a linear kind, the shape of eta (J, ...)."""
    factors, constants = block.item_kind.linear_terms(jnp, own, block.n_categories)
    x = [beside(factors[:, k], eta) * eta + beside(constants[:, k], eta) for k in range(block.n_categories - 1)]
    if len(x) == 1:
        return softplus(x[0])
    top = jax.lax.stop_gradient(jnp.maximum(jnp.max(jnp.stack(x), axis=0), 0.0))
    return top + jnp.log(sum((jnp.exp(v - top) for v in x), jnp.exp(-top)))


def slope(block: ItemBlock, eta: jax.Array, own: jax.Array, codes: Any) -> tuple[jax.Array, jax.Array]:
    """``log P`` of the responses and its first derivative in eta, the shape of eta each."""
    return jax.jvp(lambda at: log_probability(block, at, own, codes), (eta,), (jnp.ones_like(eta),))


def slope_and_curvature(
    block: ItemBlock, eta: jax.Array, own: jax.Array, codes: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """``log P`` of the responses and its first and second derivative in eta, the shape of eta each."""

    def first(at: jax.Array) -> tuple[jax.Array, jax.Array]:
        return slope(block, at, own, codes)

    (value, steepness), (_, curvature) = jax.jvp(first, (eta,), (jnp.ones_like(eta),))
    return value, steepness, curvature


def scores(block: ItemBlock, eta: jax.Array, own: jax.Array, codes: Any) -> jax.Array:
    """(1 + m, J, ..., n) derivatives of ``log P`` in eta and in each of the item's own parameters."""
    along = _directions(eta, own)
    return jnp.stack([jax.jvp(_of(block, codes), (eta, own), step)[1] for step in along])


def second_derivatives(block: ItemBlock, eta: jax.Array, own: jax.Array, codes: Any) -> list[list[jax.Array]]:
    """Row by row the lower triangle of the second derivatives in (eta, own), each of the shape of eta."""
    along = _directions(eta, own)

    def first(step: Pair) -> Callable[..., jax.Array]:
        return lambda eta, own: jax.jvp(_of(block, codes), (eta, own), step)[1]

    return [[jax.jvp(first(row), (eta, own), column)[1] for column in along[: i + 1]] for i, row in enumerate(along)]


def indicators(items: Shape, codes: tuple[Any, ...], dtype: Any) -> jax.Array:
    """(F + 1, n) one where a person chose a category of an item, block by block; a last row of zeros."""
    rows = []
    for block, own in zip(items.blocks, codes, strict=True):
        taken = own[:, None] == jnp.arange(block.n_categories, dtype=own.dtype)[:, None]
        rows.append(taken.reshape(-1, own.shape[-1]).astype(dtype))
    return jnp.concatenate([*rows, jnp.zeros_like(rows[0][:1])])


def _of(block: ItemBlock, codes: Any) -> Callable[..., jax.Array]:
    return lambda eta, own: log_probability(block, eta, own, codes)


def _directions(eta: jax.Array, own: jax.Array) -> list[Pair]:
    """Eta of every response, then each own parameter of every item: an item's log probability knows only its own."""
    still = jnp.zeros_like(own)
    units = [(jnp.zeros_like(eta), still.at[:, k].set(1.0)) for k in range(own.shape[1])]
    return [(jnp.ones_like(eta), still), *units]


def _between(values: Any, eta: jax.Array) -> Any:
    """(J, n) with axes of length one where eta (J, ..., n) has more."""
    return values.reshape(values.shape[0], *(1,) * (eta.ndim - 2), values.shape[1])
