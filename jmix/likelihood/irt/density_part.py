"""One trait on a grid whose weights are estimated, for the persons of one part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jmix.likelihood.irt.density_curve import Discrete, davidian, standardised
from jmix.likelihood.irt.persons import Persons
from jmix.likelihood.irt.selected import indicators
from jmix.likelihood.irt.traced import Model, Shape
from jmix.likelihood.structure import Array


class Nodes(NamedTuple):
    """z: (Q,) nodes. log_weights: (Q,) of N(0, 1), or of the histogram. angles: (k,) places in ``v`` of the curve's, or
    None for a histogram.
    """

    z: Array
    log_weights: Array
    angles: Array | None


class OneTrait(NamedTuple):
    """The model on the nodes, an axis of groups first: log_p (G, Q, F) of the categories, theta (G, Q), log_weights
    (G, Q).
    """

    log_p: jax.Array
    theta: jax.Array
    log_weights: jax.Array


@dataclass(frozen=True)
class DensityTerm:
    """A ``passes.Term``. items: shapes."""

    items: Shape

    def prepare(self, model: Model, shared: Nodes) -> OneTrait:
        """See ``Term``."""
        values, at = model.values, self.density(shared, model.angles)
        theta = values.mean[:, :1] + values.chol[:, 0] * at.points
        rows = []
        for block, a, own in zip(self.items.blocks, values.slopes, values.own, strict=True):
            g, j, _ = a.shape
            eta = (a * theta[:, None]).reshape(g * j, -1)
            log_p = block.item_kind.log_table(jnp, eta, own.reshape(g * j, -1), block.n_categories)
            rows.append(log_p.reshape(g, j * block.n_categories, -1))
        log_weights = jnp.broadcast_to(at.log_weights, theta.shape)
        return OneTrait(jnp.swapaxes(jnp.concatenate(rows, axis=1), 1, 2), theta, log_weights)

    def density(self, shared: Nodes, angles: jax.Array | None) -> Discrete:
        """The density of the standardised trait."""
        if angles is None:
            return standardised(jnp.asarray(shared.z), jnp.asarray(shared.log_weights))
        return davidian(angles, jnp.asarray(shared.z), shared.log_weights)

    def by_person(self, phi: OneTrait, part: Persons, shared: Nodes) -> tuple[jax.Array, None]:
        """(n,) log likelihoods."""
        return logsumexp(self._joint(phi, part), axis=0), None

    def moments(self, phi: OneTrait, part: Persons, shared: Nodes) -> tuple[jax.Array, jax.Array]:
        """Posterior means (1, n) and variances (1, 1, n) of theta."""
        p = self.posterior(phi, part)
        mean = phi.theta @ p
        return mean[None], jnp.sum(p * (phi.theta[:, None] - mean) ** 2, axis=0)[None, None]

    def posterior(self, phi: OneTrait, part: Persons) -> jax.Array:
        """(Q, n) probabilities of the nodes given the responses."""
        joint = self._joint(phi, part)
        return jnp.exp(joint - logsumexp(joint, axis=0))

    def _joint(self, phi: OneTrait, part: Persons) -> jax.Array:
        x = indicators(self.items, part.codes, phi.log_p.dtype)[:-1]
        return phi.log_p @ x + phi.log_weights[:, None]
