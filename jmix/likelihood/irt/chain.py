"""The chain rule from the kernel's parameters to the free ones: first derivatives as matrices, and the second ones.

The free parameters x reach the kernel through the local parameters lambda_gj = (alpha, beta, own) of each item, so that
the derivatives of its tables are those of a function of a few numbers, item by item.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jmix.likelihood.irt.layout import GridData, ItemBlock, Plan
from jmix.likelihood.irt.local import Frame, Local, apart_of_covariates, local_at
from jmix.likelihood.irt.natural import Item, Natural, item_of


class Chain(NamedTuple):
    """First derivatives in x (P,) of what the kernel takes.

    Attributes:
        linear: (G, F, D, P) of the directions and then of the float features; F may be 0. table: (G, Ft, Q, r) of the
            tables in the local parameters of their item and inner: (G, Ft, r, P) of these; None without tables.
            base: (S, Q, P). constant: (G, F, P) of c, without float features. square: (G, p, p, P) of ``B Sigma^-1 B'``
            or None.
    """

    linear: jax.Array
    table: jax.Array | None
    inner: jax.Array | None
    base: jax.Array
    constant: jax.Array
    square: jax.Array | None


class _Pack(NamedTuple):
    items: tuple[jax.Array, ...]  # (G, Jb, 1 + D + m)
    extra: jax.Array | None
    log_density: jax.Array | None


def _pack(local: Local) -> _Pack:
    items = tuple(
        jnp.concatenate([alpha[..., None], beta, own], axis=2)
        for alpha, beta, own in zip(local.alpha, local.beta, local.own, strict=True)
    )
    return _Pack(items, local.extra, local.log_density)


def _item(plan: Plan, block: ItemBlock, packed: jax.Array, z: jax.Array) -> Item:
    d = plan.n_factors
    return item_of(block, packed[..., 0], packed[..., 1 : 1 + d], packed[..., 1 + d :], z)


def _square(frame: Frame) -> jax.Array | None:
    b = frame.regression
    return None if b is None else jnp.einsum("pd,gde,re->gpr", b, frame.precision, b)


class Outer(NamedTuple):
    """The local parameters and their derivatives in x, an axis (P,) last; those of ``B Sigma^-1 B'``, or None."""

    pack: _Pack
    to_x: _Pack
    square: jax.Array | None


def outer(plan: Plan, x: jax.Array, data: GridData) -> Outer:
    """The first part of the map from x."""

    def packed(x: jax.Array) -> tuple[tuple[_Pack, jax.Array | None], _Pack]:
        local, frame = local_at(plan, x, data)
        pack = _pack(local)
        return (pack, _square(frame)), pack

    (to_x, square), pack = jax.jacfwd(packed, has_aux=True)(x)
    return Outer(pack, to_x, square)


def chain(plan: Plan, first: Outer, data: GridData) -> Chain:
    """The first derivatives of what the kernel takes."""
    pack, outer, square = first
    x = outer.items[0]
    p, g = x.shape[-1], plan.n_groups
    linear, constant, tables, inner = [], [], [], []
    base = jnp.zeros((data.group.size, data.log_weights.size, p), x.dtype)
    for block, own, to_x in zip(plan.blocks, pack.items, outer.items, strict=True):
        inside = _inside(plan, block, own, data.z)
        if inside.direction is not None:
            linear.append(jnp.einsum("rgjkd,gjrp->gjkdp", inside.direction, to_x).reshape(g, -1, plan.n_factors, p))
            constant.append(jnp.einsum("rgjk,gjrp->gjkp", inside.constant, to_x).reshape(g, -1, p))
        if inside.base is not None:
            base = base + _base(block, inside.base, to_x, data)
        if inside.table is not None:
            f = inside.table.shape[3]
            tables.append(jnp.moveaxis(inside.table, 0, -1).reshape(g, -1, data.z.shape[0], own.shape[2]))
            inner.append(jnp.repeat(to_x, f, axis=1))
    if plan.scored:
        linear = [linear[0][:, :1]]
    if outer.extra is not None and outer.log_density is not None:
        linear.append(outer.extra)
        base = base + outer.log_density[data.group]
    none = jnp.zeros((g, 0, plan.n_factors, p), x.dtype)
    return Chain(
        linear=jnp.concatenate(linear, axis=1) if linear else none,
        table=_padded(tables, axis=3),
        inner=_padded(inner, axis=2),
        base=base,
        constant=jnp.concatenate(constant, axis=1) if constant else none[:, :, 0],
        square=square,
    )


def _inside(plan: Plan, block: ItemBlock, packed: jax.Array, z: jax.Array) -> Item:
    """Derivatives of a block's terms in each of the r local parameters of their item, the new axis first."""

    def along(direction: jax.Array) -> Item:
        tangent = jnp.broadcast_to(direction, packed.shape)
        return jax.jvp(lambda at: _item(plan, block, at, z), (packed,), (tangent,))[1]

    return jax.vmap(along)(jnp.eye(packed.shape[2], dtype=packed.dtype))


def _base(block: ItemBlock, inside: jax.Array, to_x: jax.Array, data: GridData) -> jax.Array:
    if data.observed is None:
        return jnp.einsum("rgjq,gjrp->gqp", inside, to_x)[data.group]
    of_stratum = inside[:, data.group] * data.observed[:, block.columns][None, :, :, None]
    return jnp.einsum("rsjq,sjrp->sqp", of_stratum, to_x[data.group])


def _padded(arrays: list[jax.Array], axis: int) -> jax.Array | None:
    """The arrays after each other along the features, filled with zeros to the largest r."""
    if not arrays:
        return None
    r = max(a.shape[axis] for a in arrays)
    fill = [[(0, r - a.shape[axis]) if i == axis else (0, 0) for i in range(a.ndim)] for a in arrays]
    return jnp.concatenate([jnp.pad(a, f) for a, f in zip(arrays, fill, strict=True)], axis=1)


def curvature_of_map(plan: Plan, x: jax.Array, first: Outer, data: GridData, grad: Natural) -> jax.Array:
    """(P, P) ``sum_phi gradient_phi d2 phi / dx dx'``, with the constants of persons: what of the second derivatives is
    due to the map from x to the kernel's parameters not being linear.
    """
    weights = _split(plan, grad)

    def inner(packs: tuple[jax.Array, ...]) -> jax.Array:
        total = jnp.zeros((), x.dtype)
        linear = 0
        for block, packed, cot in zip(plan.blocks, packs, weights, strict=True):
            item = _item(plan, block, packed, data.z)
            for value, bar in zip((item.direction, item.table), (cot.direction, cot.table), strict=True):
                if value is not None and bar is not None:
                    total = total + jnp.sum(value * bar.reshape(value.shape))
            if item.base is not None:
                total = total + jnp.sum(item.base * _base_weights(block, grad, data, plan))
            if item.constant is not None:
                total = total + jnp.sum(item.constant * data.totals[linear].reshape(item.constant.shape))
                linear += 1
        return total

    slope, blocks = _blocks(inner, first.pack.items)
    total = jnp.zeros((x.size, x.size), x.dtype)
    for block, to_x in zip(blocks, first.to_x.items, strict=True):
        total = total + jnp.einsum("gjrp,gjrs,gjsv->pv", to_x, block, to_x, optimize="optimal")

    def through(x: jax.Array) -> jax.Array:
        local, frame = local_at(plan, x, data)
        own = _pack(local)
        value = sum((jnp.sum(a * b) for a, b in zip(own.items, slope, strict=True)), jnp.zeros((), x.dtype))
        if plan.regressed:
            assert own.extra is not None and own.log_density is not None and grad.extra is not None
            value = value + jnp.sum(own.extra * (grad.extra[:, 1:] if plan.scored else grad.extra))
            value = value + jnp.sum(own.log_density[data.group] * grad.base) + apart_of_covariates(frame, data)
        return value

    return total + jax.hessian(through)(x)


def _blocks(inner: Any, packs: tuple[jax.Array, ...]) -> tuple[tuple[jax.Array, ...], list[jax.Array]]:
    """Gradient of ``inner`` in the local parameters, and the (G, Jb, r, r) blocks of its Hessian."""
    slope = jax.grad(inner)
    r = max(p.shape[2] for p in packs)

    def along(i: jax.Array) -> tuple[jax.Array, ...]:
        tangent = tuple(jnp.broadcast_to((jnp.arange(p.shape[2]) == i).astype(p.dtype), p.shape) for p in packs)
        return jax.jvp(slope, (packs,), (tangent,))[1]

    second = jax.vmap(along)(jnp.arange(r))
    return slope(packs), [jnp.moveaxis(s[: p.shape[2]], 0, -1) for s, p in zip(second, packs, strict=True)]


def _split(plan: Plan, grad: Natural) -> list[Item]:
    """The gradient by block, as its terms lie; the base is left out."""
    directions, tables, out = list(grad.directions), list(grad.tables), []
    for i, block in enumerate(plan.blocks):
        direction = table = None
        if block.linear and plan.scored and i == 0:
            direction = _only_first(plan, block, grad)
        elif block.linear and not plan.scored:
            direction = directions.pop(0)
        if block.masked or not block.linear:
            table = tables.pop(0)
        out.append(Item(direction, None, None, table))
    return out


def _only_first(plan: Plan, block: ItemBlock, grad: Natural) -> jax.Array:
    assert grad.extra is not None
    rest = block.n_items * (block.n_categories - 1) - 1
    return jnp.pad(grad.extra[:, :1], [(0, 0), (0, rest), (0, 0)])


def _base_weights(block: ItemBlock, grad: Natural, data: GridData, plan: Plan) -> jax.Array:
    """(G, Jb or 1, Q) gradient in log P_0 of the items."""
    one = jax.nn.one_hot(data.group, plan.n_groups, dtype=grad.base.dtype)
    if data.observed is None:
        return jnp.einsum("sg,sq->gq", one, grad.base)[:, None]
    return jnp.einsum("sg,sj,sq->gjq", one, data.observed[:, block.columns], grad.base)
