"""The compiled part of ``profile_lmm``: the deviance in the coordinates of an axis, with exact derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmix import runtime
from jmix.estimate.inference.profile_factors import lower
from jmix.likelihood.gaussian import reduce
from jmix.likelihood.one_factor_jet import reduce_one
from jmix.likelihood.structure import GaussianStats, Layout
from jmix.numerics.dense import logdet_quad


@dataclass(frozen=True)
class Plan:
    """The static part of a program.

    Attributes:
        q: columns of each term. members: the terms of each factor in elimination order. layout: of full, not
            triangular, factors. p: fixed effects. one_by_one: directions of the Hessian one after another.
    """

    q: tuple[int, ...]
    members: tuple[tuple[int, ...], ...]
    layout: Layout
    p: int
    one_by_one: bool
    one_factor: bool

    @property
    def offsets(self) -> list[int]:
        """Place of each term's first coordinate, and of log sigma."""
        return [0, *np.cumsum([q * (q + 1) // 2 for q in self.q]).tolist()]


def deviance(w: jax.Array, axis: Any, stats: GaussianStats, n: jax.Array, plan: Plan) -> tuple[jax.Array, jax.Array]:
    """The deviance at the coordinates w with the axis's parameter held, and the reduced cross-product."""
    at = plan.offsets
    log_sigma, held = w[at[-1]], w[at[-1] + 1]
    lams = [
        axis["basis"][t] @ lower(w[at[t] : at[t + 1]], axis["kind"][t], q) * jnp.exp(-log_sigma)
        for t, q in enumerate(plan.q)
    ]
    blocks = [jax.scipy.linalg.block_diag(*(lams[t] for t in own)) for own in plan.members]
    if plan.one_factor:
        logdet, gram = reduce_one(blocks[0], stats)
    else:
        logdet, gram = reduce(jnp.concatenate([b.ravel() for b in blocks]), stats, plan.layout)
    p = plan.p
    rss = gram[p, p]
    if p:
        right = jnp.concatenate([gram[:p, p:], axis["direction"][:, None]], axis=1)
        _, quad = logdet_quad(gram[:p, :p], right)
        rss = rss - quad[0, 0] + axis["fixed"] * (held - quad[0, 1]) ** 2 / quad[1, 1]
    return 2.0 * n * log_sigma + logdet + rss * jnp.exp(-2.0 * log_sigma), gram


def _evaluate(w: jax.Array, axis: Any, stats: GaussianStats, n: jax.Array, plan: Plan) -> Any:
    """Value, gradient, Hessian and reduced cross-product of each of m points."""

    def one(w: jax.Array, axis: Any) -> Any:
        def first(v: jax.Array) -> Any:
            (value, gram), gradient = jax.value_and_grad(deviance, has_aux=True)(v, axis, stats, n, plan)
            return value, gradient, gram

        (value, gradient, gram), push = jax.linearize(first, w)
        directions = jnp.eye(w.shape[0], dtype=w.dtype)

        def along(direction: jax.Array) -> jax.Array:
            return jnp.asarray(push(direction)[1])

        hessian = jax.lax.map(along, directions) if plan.one_by_one else jax.vmap(along)(directions)
        return value, gradient, 0.5 * (hessian + hessian.T), gram

    return jax.vmap(one)(w, axis)


EVALUATE = runtime.Program(_evaluate, static=("plan",))
