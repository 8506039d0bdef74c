"""Adaptive quadrature for the persons of one part: nodes at each person's mode, scaled by the curvature there.

With ``h(z) = sum_j log P_j(x_ij | m_i + L z) - z'z / 2``, its mode z^ and ``C C' = M^{-1}``, M the negative Hessian,

    log L_i = log |C| + log sum_s w_s exp(h(z^ + C t_s) + t_s't_s / 2),

w_s and t_s a rule for N(0, I): Gauss-Hermite (Naylor & Smith 1982, Appl. Stat. 31; Schilling & Bock 2005, Psychometrika
70, eq. 11) or quasi-Monte Carlo points with importance weights. The mode and the curvature move with the parameters,
and are differentiated: the gradient is exact for the sum that is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jmix.likelihood.irt import small
from jmix.likelihood.irt.adaptive_items import Loadings, centres, loadings_of, origins
from jmix.likelihood.irt.adaptive_mode import curvature_at, find_mode, gradient_at
from jmix.likelihood.irt.persons import Persons
from jmix.likelihood.irt.selected import chosen, log_normaliser, log_probability
from jmix.likelihood.irt.traced import Model, Shape
from jmix.likelihood.structure import Array


class Points(NamedTuple):
    """A rule for N(0, I): nodes (D, S), log_weights (S,)."""

    nodes: Array
    log_weights: Array


@dataclass(frozen=True)
class AdaptiveTerm:
    """A ``passes.Term``.

    Attributes:
        items: shapes.
    """

    items: Shape

    def prepare(self, model: Model, shared: Points) -> Loadings:
        """See ``Term``."""
        return loadings_of(model.values)

    def by_person(self, phi: Loadings, part: Persons, shared: Points) -> tuple[jax.Array, jax.Array]:
        """(n,) log likelihoods, and the modes (D, n)."""
        z, log_weights, mode = self.nodes(phi, part, shared)
        return logsumexp(log_weights + self.joint(phi, part, z), axis=0), jax.lax.stop_gradient(mode)

    def moments(self, phi: Loadings, part: Persons, shared: Points) -> tuple[jax.Array, jax.Array]:
        """Posterior means (D, n) and covariances (D, D, n) of theta."""
        z, p, _ = self.posterior(phi, part, shared)
        mean = jnp.sum(p * z, axis=1)
        covariance = small.covariance(z - mean[:, None], p)
        return centres(phi, part) + phi.chol @ mean, jnp.einsum("ad,den,be->abn", phi.chol, covariance, phi.chol)

    def posterior(self, phi: Loadings, part: Persons, shared: Points) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Nodes z (D, S, n), their posterior probabilities (S, n), and the log likelihoods (n,)."""
        z, log_weights, _ = self.nodes(phi, part, shared)
        joint = log_weights + self.joint(phi, part, z)
        value = logsumexp(joint, axis=0)
        return z, jnp.exp(joint - value), value

    def nodes(self, phi: Loadings, part: Persons, shared: Points) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Nodes z (D, S, n), log weights (S, n) of ``exp(h)`` there, and the modes (D, n)."""
        mode = self._differentiable(phi, part)
        lower, _ = small.cholesky(curvature_at(self.items, phi, part, mode))
        t = jnp.asarray(shared.nodes)[:, :, None]
        z = mode[:, None] + small.backward(lower, t)
        log_weights = jnp.asarray(shared.log_weights)[:, None] + 0.5 * jnp.sum(t**2, axis=0)
        return z, log_weights - small.log_determinant(lower), mode

    def joint(self, phi: Loadings, part: Persons, z: jax.Array) -> jax.Array:
        """``h`` (S, n) at nodes z (D, S, n)."""
        out = -0.5 * jnp.sum(z**2, axis=0)
        for k, (block, origin) in enumerate(zip(self.items.blocks, origins(phi, part), strict=True)):
            codes, own, a = part.codes[k], phi.own[k], phi.loadings[k]
            eta = origin[:, None] + sum(a[:, d, None, None] * z[d] for d in range(z.shape[0]))
            if not block.linear:
                out = out + jnp.sum(log_probability(block, eta, own, codes), axis=0)
                continue
            factor, constant = chosen(block, own, codes)
            out = out + jnp.sum(factor * origin + constant, axis=0) + jnp.sum((a.T @ factor)[:, None] * z, axis=0)
            given = (codes >= 0)[:, None]
            out = out - jnp.sum(jnp.where(given, log_normaliser(block, eta, own), 0.0), axis=0)
        return out

    def _differentiable(self, phi: Loadings, part: Persons) -> jax.Array:
        """The modes (D, n), by one more Newton step of which the derivative is that of the mode itself."""
        found = find_mode(self.items, jax.lax.stop_gradient(phi), part)
        lower, good = small.cholesky(found.observed)
        step = small.solve(lower, gradient_at(self.items, phi, part, found.mode))
        near = good & (jnp.max(jnp.abs(jax.lax.stop_gradient(step)), axis=0) < 1e-3)
        return found.mode + jnp.where(near, step, 0.0)


def data_of(points: Any) -> Points:
    """Nodes (K, D) and log weights of a ``Rule``, nodes transposed."""
    return Points(points.nodes.T.copy(), points.log_weights)
