"""One Newton step for every group at once where the groups are independent: one elimination and its derivatives."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmix import runtime
from jmix.estimate.inference.influence import (
    FloatArray,
    IntArray,
    LeftOut,
    closed_form,
    fill,
    nothing_yet,
    scales,
    steps,
)
from jmix.estimate.objective import GaussianObjective
from jmix.likelihood.gaussian import eliminate
from jmix.likelihood.structure import GaussianStats, Layout
from jmix.numerics.blocks import mul

EXPENSIVE = 1_000_000
"""Groups times levels from which the likelihood of all rows is expanded to second order rather than evaluated."""


def _contributions(
    phi: jax.Array, stats: GaussianStats, owners: tuple[jax.Array, ...], layout: Layout, count: int
) -> tuple[jax.Array, jax.Array]:
    """``log|M_g|`` (G,) and ``[X e]_g'(W - V_g^{-1})[X e]_g`` (G, p + 1, p + 1) of each group."""
    logdet, quad = jnp.zeros(count), jnp.zeros((count, stats.gram.shape[0], stats.gram.shape[0]))
    for step, owner in zip(eliminate(phi, stats, layout).steps, owners, strict=True):
        logdet += jax.ops.segment_sum(step.logdet, owner, count)
        w = step.block.w
        each = jnp.einsum("apj,arj->jpr", w, mul(step.n, w))
        quad += jax.ops.segment_sum(each, owner, count)
    return logdet, quad


def _expansion(
    phi: jax.Array, stats: GaussianStats, owners: tuple[jax.Array, ...], layout: Layout, count: int
) -> tuple[Any, Any, Any]:
    """The contributions with their first (k) and second derivatives (k (k + 1) / 2, upper triangle) in phi."""

    def at(t: jax.Array) -> tuple[jax.Array, jax.Array]:
        return _contributions(t, stats, owners, layout, count)

    unit = np.eye(phi.shape[0])
    left, right = np.triu_indices(phi.shape[0])

    def second(pair: tuple[jax.Array, jax.Array]) -> Any:
        return jax.jvp(lambda t: jax.jvp(at, (t,), (pair[0],))[1], (phi,), (pair[1],))[1]

    first = jax.lax.map(lambda d: jax.jvp(at, (phi,), (d,))[1], jnp.asarray(unit))
    return at(phi), first, jax.lax.map(second, (jnp.asarray(unit[left]), jnp.asarray(unit[right])))


_EXPANSION = runtime.Program(_expansion, static=("layout", "count"))


def owners_of(objective: GaussianObjective, codes: IntArray) -> tuple[IntArray, ...] | None:
    """The group of every level of every factor, in their internal order; None unless the groups are independent and
    the factors nested in one another.
    """
    elimination = objective.reduced.elimination
    if elimination.tail:
        return None
    out = []
    for factor, order in zip(elimination.chain, elimination.order, strict=True):
        owner = np.zeros(factor.n_levels, dtype=np.int64)
        owner[factor.codes] = codes
        if not np.array_equal(owner[factor.codes], codes):
            return None
        out.append(owner[order])
    return tuple(out)


def independent_one_step(
    objective: GaussianObjective,
    phi: FloatArray,
    codes: IntArray,
    counts: IntArray,
    owners: tuple[IntArray, ...],
    hessian: FloatArray,
    *,
    reml: bool,
) -> LeftOut:
    """One Newton step for every group at once, where they are independent: one elimination and its derivatives.

    ``f_g`` is a function of ``log|M| - log|M_g|`` and of ``G - G_g``, whose second-order expansions in phi also give
    beta and sigma at the end of the step.
    """
    count, k = counts.size, phi.size
    raw = _EXPANSION(phi, objective.device_stats, owners, layout=objective.reduced.layout, count=count)
    (logdet0, quad0), (logdet1, quad1), (logdet2, quad2) = jax.tree.map(np.asarray, raw)
    gram0 = _remaining(-quad0) + objective.reduced.stats.gram - _grams(objective, codes, count)
    gram1 = (
        np.moveaxis(np.stack([_remaining(-q) for q in quad1]), 0, 1) if k else np.zeros((count, 0, *gram0.shape[1:]))
    )
    gram2 = (
        np.moveaxis(np.stack([_remaining(-q) for q in quad2]), 0, 1) if k else np.zeros((count, 0, *gram0.shape[1:]))
    )
    raw_logdet1, raw_logdet2 = logdet1, logdet2
    logdet1, logdet2 = (np.stack([_remaining(v) for v in each], axis=1) if k else each.T for each in (logdet1, logdet2))
    n_left = objective.n - counts
    gradient, second = _criterion_derivatives(gram0, gram1, gram2, logdet1, logdet2, n_left, reml)
    step, doubt = steps(phi, gradient, second, hessian, scales(objective))
    left, right = np.triu_indices(k)
    products = step[:, left] * step[:, right] * np.where(left == right, 0.5, 1.0)
    gram = gram0 + np.einsum("gk,gkab->gab", step, gram1) + np.einsum("gk,gkab->gab", products, gram2)
    out = nothing_yet(objective, counts)
    fill(out, np.arange(count), phi + step, gram, doubt)
    if count * sum(owner.size for owner in owners) > EXPENSIVE:
        parts = ((logdet0, raw_logdet1, raw_logdet2), (quad0, quad1, quad2))
        whole = [a.sum(0) + _contract(step, b.sum(1)) + _contract(products, c.sum(1)) for a, b, c in parts]
        out.logdet[:], out.gram[:] = whole[0], objective.reduced.stats.gram - whole[1]
    return out


def _contract(step: FloatArray, derivatives: FloatArray) -> FloatArray:
    """(G, ...) sums over the first axis of derivatives (k, ...), each times its column of step (G, k)."""
    return np.asarray(np.tensordot(step, derivatives, axes=(1, 0)))


def _remaining(values: FloatArray) -> FloatArray:
    """The sum over all groups less that of each."""
    return np.asarray(values.sum(axis=0) - values)


def _grams(objective: GaussianObjective, codes: IntArray, count: int) -> FloatArray:
    """(G, p + 1, p + 1) cross-products of the rows of each group."""
    table = objective.reduced.rows(slice(0, objective.n))
    out = np.empty((count, table.shape[0], table.shape[0]))
    for a in range(table.shape[0]):
        for b in range(a + 1):
            out[:, a, b] = out[:, b, a] = np.bincount(codes, table[a] * table[b], count)
    return out


def _criterion_derivatives(
    gram: FloatArray,
    first: FloatArray,
    second: FloatArray,
    logdet1: FloatArray,
    logdet2: FloatArray,
    n: IntArray,
    reml: bool,
) -> tuple[FloatArray, FloatArray]:
    """Gradient (G, k) and Hessian (G, k, k) of ``log|M| + nu log r + [log|X'V^{-1}X|]``.

    With ``r = c'G c`` at its minimum in c: ``dr = c'dG c`` and ``d2r = c'd2G c - 2 (dG_a c)_x'G_xx^{-1}(dG_b c)_x``.
    """
    p, k = gram.shape[1] - 1, first.shape[1]
    gamma, inverse, r = closed_form(gram)
    nu = (n - p if reml else n).astype(np.float64)
    left, right = np.triu_indices(k)
    moved = np.einsum("gkab,gb->gka", first, gamma)
    r1 = np.einsum("gka,ga->gk", moved, gamma)
    r2 = np.einsum("gkab,ga,gb->gk", second, gamma, gamma, optimize=True)
    pulled = np.einsum("gab,gkb->gka", inverse, moved[:, :, :p])
    r2 = r2 - 2.0 * np.sum(pulled[:, left] * moved[:, right, :p], axis=2)
    gradient = logdet1 + nu[:, None] * r1 / r[:, None]
    packed = logdet2 + nu[:, None] * (r2 / r[:, None] - r1[:, left] * r1[:, right] / r[:, None] ** 2)
    if reml:
        scaled = np.einsum("gab,gkbc->gkac", inverse, first[:, :, :p, :p])
        gradient = gradient + np.einsum("gkaa->gk", scaled)
        packed = packed + np.einsum("gab,gkba->gk", inverse, second[:, :, :p, :p])
        packed = packed - np.einsum("gkab,gkba->gk", scaled[:, left], scaled[:, right])
    hessian = np.empty((gram.shape[0], k, k))
    hessian[:, left, right] = hessian[:, right, left] = packed
    return gradient, hessian
