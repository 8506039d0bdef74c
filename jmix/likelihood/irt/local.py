"""From the free parameters to what each item's probabilities know of them: ``eta_jq = alpha_gj + beta_gj'z_q``.

The map to (alpha, beta, own) of each group and item has no nodes in it. From there on items are independent of each
other, so that derivatives of their tables are small blocks.

With covariates W the nodes are ``theta_gq = m_g + S_g z_q`` about the group's overall mean with the overall spread,
``S S' = Sigma + B' Cov(W) B``, and the density of theta given W, ``log N(theta_q; mu + W_i B, Sigma) + log |S| -
log phi(z_q)``, enters the base, a direction for each covariate, and a constant for each person: no tables per person.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jmix.likelihood.irt.layout import GridData, Numbers, Plan
from jmix.spec.irt.spec import correlation_chol


class Local(NamedTuple):
    """What the kernel's parameters are made of, and no more.

    Attributes:
        alpha: for each block (G, Jb). beta: (G, Jb, D). own: (G, Jb, m). extra: (G, p, D) direction of each covariate,
            log_density: (G, Q), both None without covariates.
    """

    alpha: tuple[jax.Array, ...]
    beta: tuple[jax.Array, ...]
    own: tuple[jax.Array, ...]
    extra: jax.Array | None
    log_density: jax.Array | None


class Frame(NamedTuple):
    """Where the nodes lie: ``theta_gq = centre_g + scale_g z_q``.

    Attributes:
        centre: (G, D). scale: (G, D, D). precision: (G, D, D) inverse of Sigma, regression: (p, D); or None.
    """

    centre: jax.Array
    scale: jax.Array
    precision: jax.Array | None
    regression: jax.Array | None


class _Values(NamedTuple):
    slopes: tuple[jax.Array, ...]  # (G, Jb, D)
    own: tuple[jax.Array, ...]  # (G, Jb, m)
    mean: jax.Array  # (G, D)
    chol: jax.Array  # (G, D, D)
    regression: jax.Array | None  # (p, D)


def _values(plan: Plan, numbers: Numbers, x: jax.Array) -> _Values:
    """``jmix.spec.irt.spec.unpack`` from arrays, by one gather: its derivative is one scatter."""
    v = jnp.concatenate([x, numbers.values])
    for matrix, source in numbers.linear:
        v = jnp.concatenate([v, matrix @ v[source]])
    v, at = v[numbers.index], 0
    g, d = plan.n_groups, plan.n_factors

    def cut(*shape: int) -> jax.Array:
        nonlocal at
        size = math.prod(shape)
        at += size
        return v[at - size : at].reshape(shape)

    slopes, own = [], []
    for block in plan.blocks:
        slopes.append(cut(g, block.n_items, d))
        own.append(cut(g, block.n_items, len(block.item_kind.names(block.n_categories))))
    mean, sd = cut(g, d), cut(g, d)
    chol = sd[:, :, None] * correlation_chol(jnp, cut(g, d * (d - 1) // 2), d) if d > 1 else sd[:, :, None]
    regression = cut((v.size - at) // d, d) if plan.regressed else None
    return _Values(tuple(slopes), tuple(own), mean, chol, regression)


def local_at(plan: Plan, x: jax.Array, data: GridData) -> tuple[Local, Frame]:
    """The local parameters at the free ones x (P,)."""
    values = _values(plan, data.numbers, x)
    centre, scale = values.mean, values.chol
    extra = log_density = precision = None
    b = values.regression
    if b is not None:
        assert data.centre is not None
        centre = centre + data.centre @ b
        scale, root = _spread(values.chol, jnp.einsum("gpr,pd,re->gde", data.spread, b, b))
        inverse = _inverse(values.chol)
        precision = jnp.einsum("ged,gef->gdf", inverse, inverse)
        extra = jnp.einsum("pd,gde,gef->gpf", b, precision, scale)
        y = jnp.einsum("gde,qe->gqd", root, data.z)
        square = jnp.sum(data.z**2, axis=1) - jnp.sum(y**2, axis=2)
        log_density = jnp.sum(jnp.log(jnp.diagonal(root, axis1=1, axis2=2)), axis=1)[:, None] + 0.5 * square
    local = Local(
        alpha=tuple(jnp.einsum("gjd,gd->gj", a, centre) for a in values.slopes),
        beta=tuple(jnp.einsum("gjd,gde->gje", a, scale) for a in values.slopes),
        own=values.own,
        extra=extra,
        log_density=log_density,
    )
    return local, Frame(centre, scale, precision, values.regression)


def _spread(chol: jax.Array, between: jax.Array) -> tuple[jax.Array, jax.Array]:
    """S = L R with R R' = I + L^-1 Between L^-T, and R, over groups."""
    inverse = _inverse(chol)
    inner = jnp.eye(chol.shape[1], dtype=chol.dtype) + jnp.einsum("gde,gef,ghf->gdh", inverse, between, inverse)
    root = jnp.sqrt(inner) if chol.shape[1] == 1 else jnp.linalg.cholesky(inner)
    return chol @ root, root


def _inverse(chol: jax.Array) -> jax.Array:
    if chol.shape[1] == 1:
        return 1.0 / chol
    eye = jnp.broadcast_to(jnp.eye(chol.shape[1], dtype=chol.dtype), chol.shape)
    return jax.scipy.linalg.solve_triangular(chol, eye, lower=True)


def apart_of_covariates(frame: Frame, data: GridData) -> jax.Array:
    """The weighted sum over persons of the constant ``-(W_i B)' Sigma^-1 (W_i B) / 2``, W centred by group."""
    b = frame.regression
    return -0.5 * jnp.einsum("gpr,pd,re,gde->", data.square, b, b, frame.precision)
