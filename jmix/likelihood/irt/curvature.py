"""Exact second derivatives of the grid likelihood, and the cross-product of the persons' gradients.

Louis (1982, J. R. Stat. Soc. B 44, eq. 3.2): with ``s_iq`` the derivatives of l_iq in x, the Hessian of ``sum_i w_i log
L_i`` is the posterior mean of that of l_iq plus ``sum_i w_i Cov_i(s_i)``. The first is ``chain.curvature_of_map``. For
features that are linear in z the second needs the posterior covariances of z, ``X' diag(w Var z) X``, and its
covariances with the nodes; with tables the counts ``n_ff'q = sum_i w_i X_if X_if' p_iq`` of pairs of features at each
node, less the cross-product of the persons' mean derivatives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jmix.likelihood.irt.chain import Chain, Outer, chain, curvature_of_map, outer
from jmix.likelihood.irt.features import chunk_of, over_chunks
from jmix.likelihood.irt.kernel import add_to, log_terms, parts_of, posterior, rounded, zeros_of
from jmix.likelihood.irt.layout import GridData, Plan
from jmix.likelihood.irt.natural import Natural, natural
from jmix.likelihood.irt.sharding import over_devices
from jmix.runtime import Program

HELD = 4_000_000
"""Numbers that one step of the sums over pairs of features may hold."""

PAIRS = 1024
"""Persons whose pairs of features are counted at once, in the precision of the plan."""


class Chunk(NamedTuple):
    """A chunk of persons: linear and float features (n, F), table features (n, Ft) or None, covariates (n, p) or None,
    posterior weights (n, Q), weights (n,), group, stratum.
    """

    linear: jax.Array
    tabled: jax.Array | None
    u: jax.Array | None
    p: jax.Array
    w: jax.Array
    group: Any
    stratum: Any


def _chunk(plan: Plan, phi: Natural, data: GridData, c: Any) -> Chunk:
    x, u, w = chunk_of(plan, data.rows, c)
    stratum = data.rows.stratum[c]
    group = data.group[stratum]
    log_p, linear, tabled = log_terms(plan, parts_of(phi, group, stratum), x, u, data.z.astype(plan.dtype))
    p = posterior(log_p)[1].astype(jnp.float64)
    p = jnp.where(w[:, None] > 0, p / jnp.sum(p, axis=1, keepdims=True), 0.0)
    if u is not None:
        linear = [*linear, u]
    none = jnp.zeros((plan.chunk, 0), plan.dtype)
    covariates = (u[:, 1:] if plan.scored else u) if plan.regressed and u is not None else None
    features = (
        jnp.concatenate(linear, axis=1) if linear else none,
        jnp.concatenate(tabled, axis=1) if tabled else None,
    )
    own = jax.tree.map(lambda a: a.astype(jnp.float64), (*features, covariates, p, w))
    return Chunk(own[0], own[1], own[2], own[3], own[4], group, stratum)


def _take(tree: Any, at: Any) -> Any:
    return jax.tree.map(lambda a: a[0] if a.shape[0] == 1 else a[at], tree)


def _of_chunk(steps: Chain, k: Chunk) -> Chain:
    return Chain(*(_take(a, k.stratum if name == "base" else k.group) for name, a in steps._asdict().items()))


def person_gradients(plan: Plan, k: Chunk, own: Chain, z: jax.Array, apart: bool) -> jax.Array:
    """(n, P) derivatives of log L_i in x; ``apart``: with those of what does not depend on the node."""
    n, p = k.p.shape[0], own.base.shape[-1]
    mean = k.p @ z
    g = k.p @ own.base
    if own.linear.shape[0]:
        g = g + (k.linear[:, :, None] * mean[:, None]).reshape(n, -1) @ own.linear.reshape(-1, p)
    if own.table is not None:
        ft, q, r = own.table.shape
        inside = k.p @ jnp.moveaxis(own.table, 1, 0).reshape(q, ft * r)
        g = g + (inside.reshape(n, ft, r) * k.tabled[:, :, None]).reshape(n, -1) @ own.inner.reshape(-1, p)  # type: ignore[index, union-attr]
    if apart and own.constant.shape[0]:
        g = g + k.linear[:, : own.constant.shape[0]] @ own.constant
    if apart and own.square is not None:
        assert k.u is not None
        pairs = (k.u[:, :, None] * k.u[:, None]).reshape(n, -1)
        g = g - 0.5 * pairs @ own.square.reshape(-1, p)
    return g


def _linear_covariance(plan: Plan, k: Chunk, own: Chain, z: jax.Array) -> jax.Array:
    """(P, P) ``sum_i w_i Cov_i(s_i)`` of a chunk whose features are all linear in z."""
    d, f, p = plan.n_factors, k.linear.shape[1], own.base.shape[-1]
    mean = k.p @ z
    weighted = k.p * k.w[:, None]
    rows = own.linear.reshape(f, d, p)
    total = own.base.T @ (jnp.sum(weighted, axis=0)[:, None] * own.base)
    if k.p.shape[1] <= p:
        total = total - own.base.T @ ((k.p.T @ weighted) @ own.base)
    else:
        at_nodes = k.p @ own.base
        total = total - at_nodes.T @ (at_nodes * k.w[:, None])
    for i in range(d):
        cross = k.linear.T @ (weighted * (z[:, i] - mean[:, i : i + 1]))
        half = rows[:, i].T @ (cross @ own.base)
        total = total + half + half.T
        for j in range(i + 1):
            inner = k.p @ (z[:, i] * z[:, j]) - mean[:, i] * mean[:, j] if d > 1 else _variance(k.p, z, mean)
            part = rows[:, i].T @ ((k.linear.T @ (k.linear * (k.w * inner)[:, None])) @ rows[:, j])
            total = total + (part if i == j else part + part.T)
    return total


def _variance(p: jax.Array, z: jax.Array, mean: jax.Array) -> jax.Array:
    return jnp.sum(p * (z[:, 0] - mean) ** 2, axis=1)


def _table_covariance(plan: Plan, k: Chunk, own: Chain, z: jax.Array) -> jax.Array:
    """(P, P) the same, of a chunk with tables."""
    x, local, to_x = _all_features(plan, k, own, z)
    f, q, r = local.shape
    weighted = k.p * k.w[:, None]
    pairs = _pairs(x.astype(plan.dtype), weighted.astype(plan.dtype), local).reshape(f * r, f * r)
    flat = to_x.reshape(f * r, -1)
    total = flat.T @ (pairs @ flat)
    counts = x.T @ weighted
    half = flat.T @ ((local * counts[:, :, None]).transpose(0, 2, 1).reshape(f * r, q) @ own.base)
    total = total + half + half.T + own.base.T @ (jnp.sum(weighted, axis=0)[:, None] * own.base)
    g = person_gradients(plan, k, own, z, apart=False)
    return total - g.T @ (g * k.w[:, None])


def _all_features(plan: Plan, k: Chunk, own: Chain, z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Features (n, F), their derivatives (F, Q, r) in local parameters and those (F, r, P) in x; linear ones too."""
    assert own.table is not None and own.inner is not None and k.tabled is not None
    f, r = k.linear.shape[1], own.table.shape[2]
    width = max(r, plan.n_factors)
    linear = jnp.broadcast_to(z, (f, *z.shape))
    local = [jnp.pad(linear, [(0, 0), (0, 0), (0, width - z.shape[1])])]
    to_x = [jnp.pad(own.linear, [(0, 0), (0, width - plan.n_factors), (0, 0)])]
    local.append(jnp.pad(own.table, [(0, 0), (0, 0), (0, width - r)]))
    to_x.append(jnp.pad(own.inner, [(0, 0), (0, width - r), (0, 0)]))
    x = jnp.concatenate([k.linear, k.tabled], axis=1)
    return x, jnp.concatenate(local), jnp.concatenate(to_x)


def _pairs(x: jax.Array, p: jax.Array, local: jax.Array) -> jax.Array:
    """(F, r, F, r) ``sum_q local_fqa n_fqg local_gqb`` with ``n_fqg = sum_i X_if p_iq X_ig`` of features (n, F) and
    weights (n, Q); a few persons and nodes at once, as the counts themselves may be too many to hold.
    """
    f, q, r = local.shape
    rows = min(PAIRS, x.shape[0])
    step = -(-q // -(-q // max(1, min(q, HELD // (f * max(rows, f * r))))))
    features = _blocks(x, rows, 0)
    weights = jax.vmap(lambda a: _blocks(a, step, 1))(_blocks(p, rows, 0))
    nodes = _blocks(local, step, 1)

    def over_nodes(part: tuple[jax.Array, jax.Array], total: jax.Array) -> jax.Array:
        own, here = part

        def body(total: jax.Array, block: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            weight, at = block
            both = (own[:, :, None] * weight[:, None]).reshape(rows, -1)
            counts = (both.T @ own).reshape(f, step, f).astype(local.dtype)
            half = at[:, :, :, None] * counts[:, :, None]
            return total + jnp.einsum("fqag,gqb->fagb", half, at), None

        return jax.lax.scan(body, total, (here, nodes))[0]

    zero = jnp.zeros((f, r, f, r), local.dtype)
    return jax.lax.scan(lambda total, part: (over_nodes(part, total), None), zero, (features, weights))[0]


def _blocks(a: jax.Array, step: int, axis: int) -> jax.Array:
    """Blocks of ``step`` along an axis, filled with zeros, the axis of blocks first."""
    fill = [(0, -a.shape[i] % step if i == axis else 0) for i in range(a.ndim)]
    shape = (*a.shape[:axis], -1, step, *a.shape[axis + 1 :])
    return jnp.moveaxis(jnp.pad(a, fill).reshape(shape), axis, 0)


def _sum_over(plan: Plan, first: Outer, data: GridData, phi: Natural, term: Any) -> tuple[jax.Array, Natural]:
    """``sum_c term(chunk, chain)`` (P, P), and the gradient in phi.

    The covariances are differences of much larger numbers: all but l_iq is float64.
    """
    steps, z = chain(plan, first, data), data.z
    n = steps.base.shape[-1]

    def own(data: GridData, near: Natural, steps: Chain, z: jax.Array) -> tuple[jax.Array, Natural]:
        def body(carry: tuple[jax.Array, Natural], c: Any) -> tuple[tuple[jax.Array, Natural], None]:
            k = _chunk(plan, near, data, c)
            total = carry[0] + term(k, _of_chunk(steps, k), z)
            return (total, add_to(carry[1], _gradient(phi, k, z), k.group, k.stratum)), None

        return over_chunks(data.rows, (jnp.zeros((n, n), jnp.float64), zeros_of(phi)), body)[0]

    return over_devices(plan, own, data, rounded(plan, phi), steps, z, total=True)


def _gradient(phi: Natural, k: Chunk, z: jax.Array) -> Natural:
    """What a chunk gives to the gradient in phi."""
    weighted = k.p * k.w[:, None]
    linear = k.linear.T @ (weighted @ z)
    tabled = None if k.tabled is None else k.tabled.T @ weighted

    def cut(whole: Any, parts: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        ends = np.cumsum([part.shape[1] for part in parts])
        return tuple(whole[end - part.shape[1] : end] for end, part in zip(ends, parts, strict=True))

    n_extra = 0 if phi.extra is None else phi.extra.shape[1]
    extra = None if phi.extra is None else linear[linear.shape[0] - n_extra :]
    return Natural(cut(linear, phi.directions), extra, jnp.sum(weighted, axis=0), cut(tabled, phi.tables))


def hessian(x: jax.Array, data: GridData, plan: Plan) -> jax.Array:
    """(P, P) second derivatives of the log likelihood at x (P,)."""
    phi, _, _ = natural(plan, x, data)
    covariance = _table_covariance if phi.tables else _linear_covariance
    first = outer(plan, x, data)
    total, grad = _sum_over(plan, first, data, phi, lambda k, own, z: covariance(plan, k, own, z))
    total = total + curvature_of_map(plan, x, first, data, grad)
    return 0.5 * (total + total.T)


def cross_product(x: jax.Array, data: GridData, plan: Plan) -> jax.Array:
    """(P, P) ``sum_i w_i g_i g_i'`` of the persons' gradients at x (P,)."""
    phi, _, _ = natural(plan, x, data)

    def term(k: Chunk, own: Chain, z: jax.Array) -> jax.Array:
        g = person_gradients(plan, k, own, z, apart=True)
        return g.T @ (g * k.w[:, None])

    return _sum_over(plan, outer(plan, x, data), data, phi, term)[0]


HESSIAN = Program(hessian, static=("plan",))
CROSS_PRODUCT = Program(cross_product, static=("plan",))
