"""Laplace's approximation and adaptive Gauss-Hermite quadrature for one grouping factor.

For each group, with the mode u^_j of its log integrand h_j and ``M_j = C_j C_j'`` the negative Hessian there,

    log L_j = -log|M_j| / 2 + log sum_k omega_k exp(h_j(u^_j + C_j^{-T} x_k) + |x_k|^2 / 2)

over nodes x_k with weights omega_k for N(0, I) (Pinheiro & Bates 1995, J. Comput. Graph. Stat. 4(1), section 2.4;
Rabe-Hesketh, Skrondal & Pickles 2002, Stata J. 2(1)). One node at zero is Laplace's approximation; random nodes
are importance sampling around ``u^_j``, their weights the ratio of N(0, I) to the density they come from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jmix.likelihood import adaptive_groups as groups
from jmix.likelihood import glmm_rows
from jmix.likelihood.adaptive_groups import Fixed, Groups
from jmix.likelihood.adaptive_mode import find_mode
from jmix.likelihood.glmm_rows import RowPlan
from jmix.likelihood.implicit import Mode
from jmix.likelihood.rowsum import spread, sum_blocks

CHUNK = 1 << 22
"""Rows times nodes that are evaluated at once; with fewer in all, there is no loop over nodes."""


@dataclass(frozen=True)
class GroupApproximation:
    """An ``implicit.Approximation`` of one part, whose u is (q, J)."""

    plan: RowPlan
    laplace: bool = False

    def start(self, data: Groups) -> jax.Array:
        """Zeros (q, J)."""
        return jnp.zeros((self.plan.layout[0].q, data.n_groups), data.multiplicity.dtype)

    def find_mode(self, x: jax.Array, data: Groups, u0: jax.Array) -> tuple[jax.Array, Mode]:
        """The mode of every group, from u0 (q, J)."""
        x = jax.lax.stop_gradient(x)
        return find_mode(groups.fixed(x, data, self.plan), data, u0, self.plan)

    def joint(self, x: jax.Array, data: Groups, u: jax.Array) -> jax.Array:
        """``h(u; x)`` over all groups, each as often as it occurs."""
        h = groups.integrand(groups.fixed(x, data, self.plan), data, u, self.plan)
        return data.multiplicity @ h + self._outside(x, data)

    def marginal(self, x: jax.Array, data: Groups, u: jax.Array) -> jax.Array:
        """The approximate log likelihood with its centres at u."""
        return data.multiplicity @ self.by_group(x, data, u) + self._outside(x, data)

    def by_group(self, x: jax.Array, data: Groups, u: jax.Array) -> jax.Array:
        """(J,) log likelihood of each merged group, less what ``linear`` and ``constant`` hold."""
        at = groups.fixed(x, data, self.plan)
        c = self._factor(at, data, u)
        if self.laplace:
            return groups.integrand(at, data, u, self.plan) - 0.5 * groups.logdet(c)
        return log_mean(at, data, u, groups.inverse_transpose(c), self.plan) - 0.5 * groups.logdet(c)

    def solve(self, x: jax.Array, data: Groups, u: jax.Array, rhs: jax.Array) -> jax.Array:
        """``M^{-1} rhs`` for rhs (q, J), M the negative Hessian of ``joint``."""
        c = self._factor(groups.fixed(x, data, self.plan), data, u)
        return jnp.stack(groups.backward(c, groups.forward(c, rhs))) / data.multiplicity

    def covariances(self, x: jax.Array, data: Groups, u: jax.Array) -> jax.Array:
        """(q, q, J) ``Lambda M_j^{-1} Lambda'``, the covariance of b given the data in Laplace's approximation."""
        at = groups.fixed(x, data, self.plan)
        root = groups.apply(at.lam, groups.inverse_transpose(self._factor(at, data, u)))
        return jnp.sum(root[:, None] * root[None], axis=2)

    def moments(self, x: jax.Array, data: Groups, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Posterior means (q, J) and covariances (q, q, J) of u given the data, by the same quadrature.

        They are derivatives of ``log int exp(h_j(v) + s'v) dv`` in s. Laplace's approximation gives the mode and
        ``M_j^{-1}``.
        """
        at = groups.fixed(x, data, self.plan)
        root = groups.inverse_transpose(self._factor(at, data, u))
        if self.laplace:
            return u, jnp.sum(root[:, None] * root[None], axis=2)
        mean = jax.grad(lambda s: jnp.sum(log_mean(at, data, u, root, self.plan, s)))
        zero = jnp.zeros_like(u)
        columns = [jax.jvp(mean, (zero,), (zero.at[i].set(1.0),))[1] for i in range(u.shape[0])]
        return mean(zero), jnp.stack(columns, axis=1)

    def _factor(self, at: Fixed, data: Groups, u: jax.Array) -> groups.Triangle:
        eta = groups.linear_predictor(at, data, u)
        w = glmm_rows.row_curvature(eta, data.rows, at.extra, self.plan)
        return groups.cholesky(groups.precision(at.lam, groups.weighted_squares(data, w)))

    def _outside(self, x: jax.Array, data: Groups) -> jax.Array:
        return data.constant if data.linear is None else data.constant + data.linear @ x[: self.plan.p]


def log_mean(
    at: Fixed, data: Groups, u: jax.Array, root: jax.Array, plan: RowPlan, tilt: jax.Array | None = None
) -> jax.Array:
    """(J,) ``log sum_k omega_k exp(h_j(v_k) + tilt_j'v_k + |x_k|^2 / 2)`` at ``v_k = u_j + root_j x_k``."""
    scores = _scores(at, data, u, root, plan, tilt)
    nodes, logs = data.nodes, data.log_weights + 0.5 * jnp.sum(data.nodes**2, axis=1)
    count, rows = nodes.shape[0], data.Z.shape[1] * data.Z.shape[2]
    size = max(1, min(count, CHUNK // rows))
    if size == count:
        return jax.nn.logsumexp(scores(nodes) + logs[:, None], axis=0)
    # whole chunks: nodes of weight zero fill the last one
    fill = -count % size
    nodes = jnp.concatenate([nodes, jnp.zeros((fill, nodes.shape[1]), nodes.dtype)]).reshape(-1, size, nodes.shape[1])
    logs = jnp.concatenate([logs, jnp.full(fill, -jnp.inf, logs.dtype)]).reshape(-1, size)

    @jax.checkpoint
    def chunk(part: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jax.nn.logsumexp(scores(part[0]) + part[1][:, None], axis=0)

    return jax.nn.logsumexp(jax.lax.map(chunk, (nodes, logs)), axis=0)


def _scores(
    at: Fixed, data: Groups, u: jax.Array, root: jax.Array, plan: RowPlan, tilt: jax.Array | None
) -> Callable[[jax.Array], jax.Array]:
    """The tilted integrand of every group at several nodes: (B, q) to (B, J)."""
    # eta at a node is the product of (1, x_k) with these rows
    scaled = spread(groups.apply(at.lam, root), data.owner)
    columns = jnp.sum(data.Z[:, None] * scaled[:, :, None], axis=0)
    stack = jnp.concatenate([groups.linear_predictor(at, data, u)[None], columns])

    def scores(nodes: jax.Array) -> jax.Array:
        eta = jnp.tensordot(jnp.concatenate([jnp.ones_like(nodes[:, :1]), nodes], axis=1), stack, 1)
        density = glmm_rows.row_log_density(eta, data.rows, at.extra, plan)
        moved = u[:, None] + jnp.sum(root[:, None] * nodes[:, :, None], axis=2)
        total = sum_blocks(density, data.owner, data.n_groups) + groups.prior(at, data, moved)
        return total if tilt is None else total + jnp.sum(tilt[:, None] * moved, axis=0)

    return scores
