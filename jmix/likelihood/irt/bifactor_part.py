"""A bifactor or testlet model by dimension reduction: integrals over two dimensions, however many factors there are.

Given the general factor the items of different specific factors are independent, so that (Gibbons & Hedeker 1992,
Psychometrika 57, eq. 8; Cai 2010, Psychometrika 75, for several groups and any item)

    L_i = sum_q w_q prod_s sum_r w_r prod_{j in s} P_j(x_ij | theta_0q, theta_sr).

Items without a specific factor make up one more, on which they do not depend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jmix.likelihood.irt import small
from jmix.likelihood.irt.persons import Persons
from jmix.likelihood.irt.selected import indicators
from jmix.likelihood.irt.traced import Model, Shape
from jmix.likelihood.structure import Array


class Slots(NamedTuple):
    """What a bifactor likelihood shares among parts.

    Attributes:
        z: (Q,) nodes and log_weights: (Q,), for every factor. factor: (S,) the specific factor of each slot, 0 for that
            of the items without. specific: for each block (Jb,) the specific factor of each item, 0 for none.
        features: (S, Fs) rows of the features, one for each category of each item, of the items in a slot; F where a
            slot has fewer. centre: (G, p) means and spread: (G, p, p) covariances of the covariates, or None.
    """

    z: Array
    log_weights: Array
    factor: Array
    specific: tuple[Array, ...]
    features: Array
    centre: Array | None = None
    spread: Array | None = None


class Tables(NamedTuple):
    """The model on the nodes, an axis of groups first.

    Attributes:
        log_p: (G, S, Q Q, Fs) log probabilities, general factor first. general: (G, Q) its nodes. mean: (G, D), sd: (G,
            D). regression: (G, p) of the general factor or None. scale: (G,) of its nodes, centre: (G,).
    """

    log_p: jax.Array
    general: jax.Array
    mean: jax.Array
    sd: jax.Array
    regression: jax.Array | None
    centre: jax.Array
    scale: jax.Array


@dataclass(frozen=True)
class BifactorTerm:
    """A ``passes.Term``. items: shapes."""

    items: Shape

    def prepare(self, model: Model, shared: Slots) -> Tables:
        """See ``Term``."""
        values = model.values
        sd = jnp.diagonal(values.chol, axis1=1, axis2=2)
        centre, scale, b = values.mean[:, 0], sd[:, 0], None
        if values.regression is not None:
            b = values.regression[:, 0]
            between = jnp.einsum("gpr,p,r->g", shared.spread, b, b)
            centre, scale = centre + jnp.asarray(shared.centre) @ b, jnp.sqrt(scale**2 + between)
            b = jnp.broadcast_to(b, (centre.shape[0], b.shape[0]))
        z = jnp.asarray(shared.z)
        general = centre[:, None] + scale[:, None] * z
        rows = []
        for block, a, own, specific in zip(self.items.blocks, values.slopes, values.own, shared.specific, strict=True):
            of_item = jnp.take_along_axis(a, jnp.asarray(specific)[None, :, None], axis=2)[..., 0]
            of_item = jnp.where(jnp.asarray(specific) > 0, of_item, 0.0)
            trait = values.mean[:, specific, None] + sd[:, specific, None] * z
            eta = (a[:, :, :1] * general[:, None])[..., None] + (of_item[..., None] * trait)[:, :, None]
            flat = eta.reshape(-1, z.size, z.size)
            log_p = block.item_kind.log_table(jnp, flat, own.reshape(flat.shape[0], -1), block.n_categories)
            rows.append(log_p.reshape(eta.shape[0], -1, z.size**2))
        table = jnp.concatenate([*rows, jnp.zeros_like(rows[0][:, :1])], axis=1)
        log_p = jnp.swapaxes(table[:, shared.features], 2, 3)
        return Tables(log_p, general, values.mean, sd, b, centre, scale)

    def by_person(self, phi: Tables, part: Persons, shared: Slots) -> tuple[jax.Array, None]:
        """(n,) log likelihoods."""
        return logsumexp(self._general(phi, part, shared, self._specific(phi, part, shared)), axis=0), None

    def moments(self, phi: Tables, part: Persons, shared: Slots) -> tuple[jax.Array, jax.Array]:
        """Posterior means (D, n) and covariances (D, D, n) of theta, from those given the general factor."""
        joint = self._specific(phi, part, shared)
        general = self._general(phi, part, shared, joint)
        p = jnp.exp(general - logsumexp(general, axis=0))
        given = jnp.exp(joint - logsumexp(joint, axis=2, keepdims=True))
        z = jnp.asarray(shared.z)
        first = jnp.einsum("sqrn,r->sqn", given, z)
        within = jnp.einsum("sqrn,srqn->sqn", given, (z[:, None, None] - first[:, None]) ** 2)
        d, n = phi.mean.shape[0], p.shape[1]
        trait = phi.mean[shared.factor, None, None] + phi.sd[shared.factor, None, None] * first
        specific = jnp.asarray(shared.factor) > 0
        at = jnp.where(specific[:, None, None], trait, phi.general[:, None])
        place = jnp.where(specific, shared.factor, 0)
        theta = (
            jnp.broadcast_to(phi.mean[:, None, None], (d, *p.shape)).at[place].set(at).at[0].set(phi.general[:, None])
        )
        mean = jnp.sum(theta * p, axis=1)
        covariance = small.covariance(theta - mean[:, None], p)
        inner = phi.sd[shared.factor, None] ** 2 * jnp.sum(within * p, axis=1)
        variance = jnp.broadcast_to((phi.sd**2)[:, None], (d, n)).at[0].set(0.0)
        variance = variance.at[place].set(jnp.where(specific[:, None], inner, 0.0))
        return mean, covariance + jnp.eye(d, dtype=p.dtype)[:, :, None] * variance[:, None]

    def _specific(self, phi: Tables, part: Persons, shared: Slots) -> jax.Array:
        """(S, Q, Q, n) log joint probability of the responses in each slot and of its factor's node."""
        x = jnp.take(indicators(self.items, part.codes, phi.log_p.dtype), shared.features, axis=0)
        s, q = x.shape[0], phi.general.shape[0]
        joint = jnp.einsum("saf,sfn->san", phi.log_p, x).reshape(s, q, q, -1)
        return joint + jnp.asarray(shared.log_weights)[:, None]

    def _general(self, phi: Tables, part: Persons, shared: Slots, joint: jax.Array) -> jax.Array:
        """(Q, n) log joint probability of all responses and of the general factor's node."""
        out = jnp.sum(logsumexp(joint, axis=2), axis=0) + jnp.asarray(shared.log_weights)[:, None]
        if phi.regression is None:
            return out
        away = phi.general[:, None] - phi.mean[0] - phi.regression @ jnp.asarray(part.covariates)
        density = -0.5 * (away / phi.sd[0]) ** 2 - jnp.log(phi.sd[0])
        taken = -0.5 * jnp.asarray(shared.z)[:, None] ** 2 - jnp.log(phi.scale)
        return out + density - taken
