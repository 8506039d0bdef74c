"""The marginal log likelihood on a grid and its gradient in one pass over the persons.

By Fisher's identity (Louis 1982, J. R. Stat. Soc. B 44, eq. 3.1) the derivative of ``log sum_q exp(l_iq)`` is the
posterior mean of that of ``l_iq``: with posterior weights p_iq the gradient in A is ``X'w E[z]``, in the base ``sum_i
w_i p_iq`` and in the tables ``X'(w p)``, all products of matrices. They are computed with the value, and the derivative
rule only scales them.

Where persons are computed in float32, rounding must not be the same for all of them: an error of 1e-6 in the base would
move the sum over a million persons by one. So parameters come in two parts (see ``rounded``), and what the rounding of
tables takes from the value is put back to first order, ``gradient . (exact - rounded)``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jmix.likelihood.irt.features import chunk_of, linear_features, over_chunks, table_features
from jmix.likelihood.irt.layout import GridData, Plan
from jmix.likelihood.irt.natural import Natural
from jmix.likelihood.irt.sharding import over_devices

RUN = 128
"""Persons whose contributions to a sum are added in float32."""


def parts_of(phi: Natural, group: Any, stratum: Any) -> Natural:
    """The kernel's parameters of one stratum: the axis of groups or strata taken."""

    def take(a: jax.Array, at: Any) -> jax.Array:
        return a[0] if a.shape[0] == 1 else a[at]

    return Natural(
        tuple(take(a, group) for a in phi.directions),
        None if phi.extra is None else take(phi.extra, group),
        take(phi.base, stratum),
        tuple(take(t, group) for t in phi.tables),
    )


def log_terms(
    plan: Plan, own: Natural, x: jax.Array | None, u: jax.Array | None, z: jax.Array
) -> tuple[jax.Array, list[jax.Array], list[jax.Array]]:
    """Terms l (n, Q) of a chunk without t_i, the linear features and the table features, one array for each block."""
    linear, tabled = [], []
    if x is not None:
        linear = [linear_features(plan, b, x) for b in plan.blocks if b.linear]
        tabled = [f for b in plan.blocks if (f := table_features(plan, b, x)) is not None]
    e: Any = None
    for f, a in zip(linear, own.directions, strict=True):
        e = f @ a if e is None else e + f @ a
    if own.extra is not None:
        assert u is not None
        e = u @ own.extra if e is None else e + u @ own.extra
    log_p = own.base
    if e is not None:
        if plan.dtype == "float32":
            e = e[:, : plan.n_factors] + e[:, plan.n_factors :]
        log_p = log_p + (e * z[:, 0] if plan.n_factors == 1 else e @ z.T)
    for f, t in zip(tabled, own.tables, strict=True):
        log_p = log_p + f @ t
    return log_p, linear, tabled


def posterior(log_p: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Marginal log likelihoods (n,), unnormalised posterior weights (n, Q) and the reciprocals of their sums (n,)."""
    top = jnp.max(log_p, axis=1)
    p = jnp.exp(log_p - top[:, None])
    total = jnp.sum(p, axis=1)
    return top.astype(jnp.float64) + jnp.log(total.astype(jnp.float64)), p, 1.0 / total


def _chunk(plan: Plan, phi: Natural, data: GridData, z: jax.Array, c: Any) -> tuple[jax.Array, Natural, Any, Any]:
    """Value and gradient of a chunk, its group and its stratum."""
    x, u, w = chunk_of(plan, data.rows, c)
    stratum = data.rows.stratum[c]
    group = data.group[stratum]
    log_p, linear, tabled = log_terms(plan, parts_of(phi, group, stratum), x, u, z)
    value, p, share = posterior(log_p)
    # a row that does not count may hold anything, even what has no likelihood
    share = jnp.where(w > 0, w * share, 0.0)
    mean = (p @ z) * share[:, None]
    weighted = p * share[:, None]
    grad = Natural(
        tuple(_row_sums(f, mean) for f in linear),
        None if u is None else _row_sums(u, mean),
        _row_sums(share[:, None], p)[0],
        tuple(_row_sums(f, weighted) for f in tabled),
    )
    total = jnp.sum(jnp.where(w > 0, w * value, 0.0), dtype=jnp.float64)
    return total, grad, group, stratum


def add_to(acc: Natural, grad: Natural, group: Any, stratum: Any) -> Natural:
    """A sum by group and stratum with what one chunk gives."""

    def one(total: jax.Array, own: jax.Array, at: Any) -> jax.Array:
        return total + own[None] if total.shape[0] == 1 else total.at[at].add(own)

    return Natural(
        tuple(one(t, g, group) for t, g in zip(acc.directions, grad.directions, strict=True)),
        None if acc.extra is None else one(acc.extra, grad.extra, group),  # type: ignore[arg-type]
        one(acc.base, grad.base, stratum),
        tuple(one(t, g, group) for t, g in zip(acc.tables, grad.tables, strict=True)),
    )


def rounded(plan: Plan, phi: Natural) -> Natural:
    """The parameters in the precision of the plan, for ``log_terms``.

    In float32, directions (G, F, 2 D) come as the sum of two numbers, of which the first, like tables and the base they
    are added to, are multiples of a power of two so large that sums over features are exact: else adding A_f would
    round it in the same way for all persons, a bias, where rounding by person averages.
    """
    if plan.dtype == "float64":
        return phi
    directions = tuple(_halves(a, near, 2) for a, near in zip(phi.directions, _on_grid(phi.directions), strict=True))
    extra = None if phi.extra is None else _halves(phi.extra, _float32(phi.extra), 2)
    near = Natural(directions, extra, *_coarse(phi))
    return jax.tree.map(lambda a: a.astype(plan.dtype), near)


def _coarse(phi: Natural) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """Base and tables as float32 has them, in float64."""
    if not phi.tables:
        return _float32(phi.base), ()
    base, *tables = _on_grid((phi.base[:, None], *phi.tables))
    return base[:, 0], tuple(tables)


def _halves(a: jax.Array, near: jax.Array, axis: int) -> jax.Array:
    return jnp.concatenate([near, a - near], axis=axis)


def _float32(a: jax.Array) -> jax.Array:
    """Rounded, but still float64: XLA would take a pair of conversions for nothing."""
    return jax.lax.reduce_precision(a, exponent_bits=8, mantissa_bits=23)


def _on_grid(parts: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """Arrays (G, F, n) rounded to grids by their last axis, on which sums over all features have 23 bits."""
    if not parts:
        return ()
    bound = sum(jnp.max(jnp.sum(jnp.abs(a), axis=1), axis=0) for a in parts)
    grain = jnp.exp2(jnp.ceil(jnp.log2(jnp.maximum(bound, 1e-30))) - 23.0)
    return tuple(jnp.round(a / grain) * grain for a in parts)


def _row_sums(a: jax.Array, b: jax.Array) -> jax.Array:
    """Products a'b of (n, r) and (n, s), in float64 but for runs of ``RUN`` rows."""
    n = a.shape[0]
    if a.dtype == jnp.float64 or n % RUN:
        return (a.T @ b).astype(jnp.float64)
    runs = jnp.einsum("bnr,bns->brs", a.reshape(-1, RUN, a.shape[1]), b.reshape(-1, RUN, b.shape[1]))
    return jnp.sum(runs, axis=0, dtype=jnp.float64)


def zeros_of(phi: Natural) -> Natural:
    """Sums to begin with."""
    return jax.tree.map(lambda a: jnp.zeros(a.shape, jnp.float64), phi)


def pass_over(plan: Plan, phi: Natural, data: GridData) -> tuple[jax.Array, Natural]:
    """``sum_i w_i (log L_i - t_i)`` and its gradient in phi."""

    def own(data: GridData, near: Natural) -> tuple[jax.Array, Natural]:
        z = data.z.astype(plan.dtype)

        def body(carry: tuple[jax.Array, Natural], c: Any) -> tuple[tuple[jax.Array, Natural], None]:
            value, grad, group, stratum = _chunk(plan, near, data, z, c)
            return (carry[0] + value, add_to(carry[1], grad, group, stratum)), None

        return over_chunks(data.rows, (jnp.zeros((), jnp.float64), zeros_of(phi)), body)[0]

    value, grad = over_devices(plan, own, data, rounded(plan, phi), total=True)
    if plan.dtype == "float32":
        base, tables = _coarse(phi)
        value = value + jnp.sum(grad.base * (phi.base - base))
        value = value + sum(jnp.sum(g * (t - r)) for g, t, r in zip(grad.tables, phi.tables, tables, strict=True))
    return value, grad


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def grid_sum(plan: Plan, phi: Natural, data: GridData) -> jax.Array:
    """``sum_i w_i (log L_i - t_i)``, differentiable once in phi."""
    return pass_over(plan, phi, data)[0]


def _forward(plan: Plan, phi: Natural, data: GridData) -> tuple[jax.Array, Natural]:
    return pass_over(plan, phi, data)


def _backward(plan: Plan, grad: Natural, ct: jax.Array) -> tuple[Natural, None]:
    return jax.tree.map(lambda g: ct * g, grad), None


grid_sum.defvjp(_forward, _backward)
