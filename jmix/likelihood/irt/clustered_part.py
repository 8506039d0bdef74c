"""Two-level item response models: persons in clusters that share a random effect.

With ``theta_i = mu + B'W_i + u_c + L z_i`` and ``u_c ~ N(0, diag(tau^2))`` (Fox & Glas 2001, Psychometrika 66, eq. 3),

    L_c = int prod_{i in c} [ int prod_j P_j(x_ij | theta) N(theta; mu + B'W_i + u, Sigma) dtheta ] N(u; 0, tau^2) du.

The nodes theta_q are shared by all clusters and cover the distribution over all levels, so that the responses meet each
node once; the inner integral at all nodes u_r = tau v_r is one product with the matrix ``N(theta_q; mu + u_r, Sigma)``.
A person's covariates enter through ``exp(L^-1 (theta_q - mu - u_r) . L^-1 B'W_i)``, a factor for q times one for r.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from jmix.likelihood.irt.selected import indicators
from jmix.likelihood.irt.traced import Model, Shape
from jmix.likelihood.structure import Array
from jmix.spec.irt.spec import Values

TINY = 1e-300
"""Where an inner integral underflows: so far from a person's responses that no cluster's posterior reaches there."""


class Levels(NamedTuple):
    """What a cluster likelihood shares among parts.

    Attributes:
        z: (Q, D) nodes of theta, standardised, and log_weights: (Q,) of N(0, I). v: (R, D) and log_v: (R,) of the
            clusters. cluster: (parts, n) code of each person's cluster, C in what fills up a part. count: (C,) zeros.
            centre: (G, p) means of the covariates and spread: (G, p, p) their covariances, or None.
    """

    z: Array
    log_weights: Array
    v: Array
    log_v: Array
    cluster: Array
    count: Array
    centre: Array | None = None
    spread: Array | None = None


class Grid(NamedTuple):
    """The model on the nodes, an axis of groups first.

    Attributes:
        log_p: (G, Q, F) log probabilities of the categories. theta: (G, Q, D). kernel: (G, R, Q) density of theta_q at
            u_r, times the cell. y: (G, Q, D) and y_u: (G, R, D): ``L^-1 (theta_q - mu)`` and ``L^-1 u_r``.
        across: (G, D, p) ``L^-1 B'`` or None. centre: (G, p) or None. u: (G, R, D).
    """

    log_p: jax.Array
    theta: jax.Array
    kernel: jax.Array
    y: jax.Array
    y_u: jax.Array
    across: jax.Array | None
    centre: jax.Array | None
    u: jax.Array


class Inner(NamedTuple):
    """Of the persons of a part: log_l (R, n), the log likelihood at each u_r; scaled (Q, n), what the kernel was
    multiplied with, and sums (R, n), the products.
    """

    log_l: jax.Array
    scaled: jax.Array
    sums: jax.Array


@dataclass(frozen=True)
class ClusterTerm:
    """The inner integrals. items: shapes."""

    items: Shape

    def prepare(self, model: Model, shared: Levels) -> Grid:
        """The model on the nodes."""
        values = model.values
        mean, between = values.mean, jnp.diag(values.cluster_sd**2)
        b, across, centre = values.regression, None, None
        if b is not None:
            mean = mean + jnp.asarray(shared.centre) @ b
            between = between + jnp.einsum("gpr,pd,re->gde", shared.spread, b, b)
            centre = jnp.asarray(shared.centre)
        scale = _root(jnp.einsum("gde,gfe->gdf", values.chol, values.chol) + between)
        theta = mean[:, None] + jnp.einsum("gde,qe->gqd", scale, shared.z)
        inverse = _inverse(values.chol)
        y = jnp.einsum("gde,gqe->gqd", inverse, theta - mean[:, None])
        u = jnp.broadcast_to(values.cluster_sd * shared.v, (mean.shape[0], *shared.v.shape))
        y_u = jnp.einsum("gde,gre->grd", inverse, u)
        log_cell = jnp.asarray(shared.log_weights) + 0.5 * jnp.sum(jnp.asarray(shared.z) ** 2, axis=1)
        log_volume = _log_det(scale) - _log_det(values.chol)
        square = jnp.sum((y[:, None] - y_u[:, :, None]) ** 2, axis=-1)
        kernel = jnp.exp(log_volume[:, None, None] + log_cell - 0.5 * square)
        if b is not None:
            across = jnp.einsum("gde,pe->gdp", inverse, b)
        return Grid(self._table(values, theta), theta, kernel, y, y_u, across, centre, u)

    def inner(self, phi: Grid, part: Any) -> Inner:
        """The inner integrals of the persons of a part; phi of their group."""
        e = phi.log_p @ indicators(self.items, part.codes, phi.log_p.dtype)[:-1]
        shift = None
        if phi.across is not None:
            shift = phi.across @ (part.covariates - jnp.asarray(phi.centre)[:, None])
            e = e + phi.y @ shift
        top = jax.lax.stop_gradient(jnp.max(e, axis=0))
        scaled = jnp.exp(e - top)
        sums = jnp.maximum(phi.kernel @ scaled, TINY)
        log_l = jnp.log(sums) + top
        if shift is not None:
            log_l = log_l - phi.y_u @ shift - 0.5 * jnp.sum(shift**2, axis=0)
        return Inner(log_l, scaled, sums)

    def _table(self, values: Values, theta: jax.Array) -> jax.Array:
        rows = []
        for block, a, own in zip(self.items.blocks, values.slopes, values.own, strict=True):
            g, j, _ = a.shape
            eta = jnp.einsum("gjd,gqd->gjq", a, theta).reshape(g * j, -1)
            log_p = block.item_kind.log_table(jnp, eta, own.reshape(g * j, -1), block.n_categories)
            rows.append(log_p.reshape(g, j * block.n_categories, -1))
        return jnp.swapaxes(jnp.concatenate(rows, axis=1), 1, 2)


def _root(m: jax.Array) -> jax.Array:
    return jnp.sqrt(m) if m.shape[-1] == 1 else jnp.linalg.cholesky(m)


def _inverse(chol: jax.Array) -> jax.Array:
    eye = jnp.broadcast_to(jnp.eye(chol.shape[-1], dtype=chol.dtype), chol.shape)
    return 1.0 / chol if chol.shape[-1] == 1 else solve_triangular(chol, eye, lower=True)


def _log_det(lower: jax.Array) -> jax.Array:
    return jnp.sum(jnp.log(jnp.diagonal(lower, axis1=1, axis2=2)), axis=1)
