"""Programs of the grid likelihood: the sum over persons, and what is wanted of each person."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jmix.likelihood.irt.features import chunk_of, linear_features, over_chunks
from jmix.likelihood.irt.kernel import grid_sum, log_terms, parts_of, posterior, rounded
from jmix.likelihood.irt.layout import GridData, Plan
from jmix.likelihood.irt.local import Frame
from jmix.likelihood.irt.natural import Natural, natural, offset
from jmix.likelihood.irt.sharding import over_devices
from jmix.runtime import Program


def log_marginal(x: jax.Array, data: GridData, plan: Plan) -> jax.Array:
    """The log likelihood at x (P,): pure, differentiable once."""
    phi, constants, frame = natural(plan, x, data)
    return grid_sum(plan, phi, data) + offset(plan, constants, frame, data)


def by_place(x: jax.Array, data: GridData, plan: Plan) -> jax.Array:
    """(C, n) log likelihood of each place of each chunk; of rows that are scored, less t_i."""
    phi, constants, frame = natural(plan, x, data)

    def own(data: GridData, near: Natural, constants: tuple[jax.Array, ...], frame: Frame) -> jax.Array:
        def body(carry: None, c: Any) -> tuple[None, jax.Array]:
            features, u, log_p, group = _terms(plan, near, data, c)
            value = posterior(log_p)[0]
            return None, value + _apart(plan, constants, frame, features, u, group)

        return over_chunks(data.rows, None, body)[1]

    return over_devices(plan, own, data, rounded(plan, phi), constants, frame, total=False)


def moments_by_place(x: jax.Array, data: GridData, plan: Plan) -> tuple[jax.Array, jax.Array]:
    """(C, n, D) means and (C, n, D, D) covariances of theta given the responses, for each place of each chunk."""
    phi, _, frame = natural(plan, x, data)
    d = plan.n_factors
    pairs = (data.z[:, :, None] * data.z[:, None, :]).reshape(-1, d * d)

    def own(data: GridData, near: Natural, frame: Frame) -> tuple[jax.Array, jax.Array]:
        def body(carry: None, c: Any) -> tuple[None, tuple[jax.Array, jax.Array]]:
            _, _, log_p, group = _terms(plan, near, data, c)
            _, p, share = posterior(log_p.astype(jnp.float64))
            p = p * share[:, None]
            mean, scale = p @ data.z, frame.scale[group]
            inner = (p @ pairs).reshape(-1, d, d) - mean[:, :, None] * mean[:, None, :]
            theta = frame.centre[group] + mean @ scale.T
            return None, (theta, jnp.einsum("de,nef,hf->ndh", scale, inner, scale))

        return over_chunks(data.rows, None, body)[1]

    return over_devices(plan, own, data, rounded(plan, phi), frame, total=False)


def _terms(plan: Plan, near: Natural, data: GridData, c: Any) -> tuple[Any, Any, jax.Array, Any]:
    """Responses, float features, l and group of a chunk, in the precision of the plan."""
    x, u, _ = chunk_of(plan, data.rows, c)
    stratum = data.rows.stratum[c]
    group = data.group[stratum]
    own = parts_of(near, group, stratum)
    return x, u, log_terms(plan, own, x, u, data.z.astype(plan.dtype))[0], group


def _apart(plan: Plan, constants: tuple[jax.Array, ...], frame: Frame, x: Any, u: Any, group: Any) -> Any:
    """(n,) what of a person's log likelihood does not depend on the node."""
    total: Any = 0.0
    if x is not None:
        linear = [b for b in plan.blocks if b.linear]
        for block, c in zip(linear, constants, strict=True):
            total = total + linear_features(plan, block, x).astype(jnp.float64) @ c[group]
    if u is not None and plan.regressed:
        at = u[:, 1:] if plan.scored else u
        shift = at.astype(jnp.float64) @ frame.regression
        assert frame.precision is not None
        total = total - 0.5 * jnp.einsum("nd,de,ne->n", shift, frame.precision[group], shift)
    return total


def _value_and_grad(x: jax.Array, data: GridData, plan: Plan) -> tuple[jax.Array, jax.Array]:
    return jax.value_and_grad(log_marginal)(x, data, plan)


VALUE = Program(log_marginal, static=("plan",))
VALUE_AND_GRAD = Program(_value_and_grad, static=("plan",))
BY_PLACE = Program(by_place, static=("plan",))
MOMENTS = Program(moments_by_place, static=("plan",))
