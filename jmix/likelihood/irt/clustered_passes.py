"""Sums over clusters: one pass over the persons for the clusters' posteriors, one for the gradient."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jmix.likelihood.irt import passes, small
from jmix.likelihood.irt.clustered_part import ClusterTerm, Grid
from jmix.likelihood.irt.person_marginal import PersonData


class Clusters(NamedTuple):
    """log_l: (C,) log likelihood of each cluster. p: (C + 1, R) posterior probabilities of its nodes, zero in the last
    row, which is that of what fills up parts.
    """

    log_l: jax.Array
    p: jax.Array


def clusters(term: ClusterTerm, phi: Grid, data: PersonData) -> Clusters:
    """The integral of each cluster."""
    shared = data.shared

    def step(carry: jax.Array, part: Any) -> tuple[jax.Array, None]:
        persons, cluster = part
        log_l = term.inner(passes.of_group(phi, persons.group), persons).log_l
        return carry.at[cluster].add((persons.weights * log_l).T), None

    zero = jnp.zeros((shared.count.shape[0] + 1, shared.log_v.shape[0]), shared.log_v.dtype)
    sums, _ = jax.lax.scan(step, zero, (data.persons, shared.cluster))
    joint = sums + shared.log_v
    log_l = logsumexp(joint, axis=1)
    p = jnp.exp(joint - log_l[:, None]).at[-1].set(0.0)
    return Clusters(log_l[:-1], p)


def value_and_grad(term: ClusterTerm, x: jax.Array, data: PersonData) -> tuple[jax.Array, jax.Array]:
    """The log likelihood and its gradient (P,)."""
    phi, pull = jax.vjp(lambda x: passes.prepared(term, data.numbers, x, data.shared), x)
    value, gradient = _value_and_grad(term, phi, data)
    return value, pull(gradient)[0]


def _value_and_grad(term: ClusterTerm, phi: Grid, data: PersonData) -> tuple[jax.Array, Grid]:
    found = clusters(term, phi, data)

    def own(phi: Grid, persons: Any, p: jax.Array) -> jax.Array:
        return jnp.sum(persons.weights * p * term.inner(passes.of_group(phi, persons.group), persons).log_l)

    def step(carry: Grid, part: Any) -> tuple[Grid, None]:
        persons, cluster = part
        return jax.tree.map(jnp.add, carry, jax.grad(own)(phi, persons, found.p[cluster].T)), None

    gradient, _ = jax.lax.scan(step, jax.tree.map(jnp.zeros_like, phi), (data.persons, data.shared.cluster))
    return jnp.sum(found.log_l), gradient


def log_marginal(term: ClusterTerm, x: Any, data: PersonData) -> jax.Array:
    """The log likelihood at x (P,); differentiable once, in reverse mode."""
    return _total(term, passes.prepared(term, data.numbers, x, data.shared), data)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _total(term: ClusterTerm, phi: Grid, data: PersonData) -> jax.Array:
    return jnp.sum(clusters(term, phi, data).log_l)


def _forward(term: ClusterTerm, phi: Grid, data: PersonData) -> tuple[jax.Array, Grid]:
    return _value_and_grad(term, phi, data)


def _backward(term: ClusterTerm, kept: Grid, cotangent: jax.Array) -> tuple[Grid, None]:
    return jax.tree.map(lambda g: cotangent * g, kept), None


_total.defvjp(_forward, _backward)


def curvature_along(term: ClusterTerm, x: jax.Array, directions: jax.Array, data: PersonData) -> jax.Array:
    """(k, P) derivatives of the gradient along each of the directions (k, P)."""
    return jax.vmap(lambda v: jax.jvp(lambda x: value_and_grad(term, x, data)[1], (x,), (v,))[1])(directions)


def by_cluster(term: ClusterTerm, x: jax.Array, data: PersonData) -> jax.Array:
    """(C,) log likelihood of each cluster."""
    return clusters(term, passes.prepared(term, data.numbers, x, data.shared), data).log_l


def clusters_along(term: ClusterTerm, x: jax.Array, directions: jax.Array, data: PersonData) -> jax.Array:
    """(k, C) derivatives of the clusters' log likelihoods along each of the directions (k, P)."""
    return jax.vmap(lambda v: jax.jvp(lambda x: by_cluster(term, x, data), (x,), (v,))[1])(directions)


def by_person(term: ClusterTerm, x: jax.Array, data: PersonData) -> jax.Array:
    """(parts, n) log probability of each person's own responses."""
    phi, log_v = passes.prepared(term, data.numbers, x, data.shared), jnp.asarray(data.shared.log_v)[:, None]
    return passes.stack(lambda phi, part: logsumexp(term.inner(phi, part).log_l + log_v, axis=0), phi, data.persons)


def moments(term: ClusterTerm, x: jax.Array, data: PersonData) -> tuple[jax.Array, ...]:
    """(parts, D, n) means and (parts, D, D, n) covariances of theta given all responses; the same of u, by cluster
    (C, D) and (C, D, D).
    """
    phi = passes.prepared(term, data.numbers, x, data.shared)
    found = clusters(term, phi, data)

    def own(part: Any) -> tuple[jax.Array, jax.Array]:
        persons, cluster = part
        mine = passes.of_group(phi, persons.group)
        inner = term.inner(mine, persons)
        p = inner.scaled * (mine.kernel.T @ (found.p[cluster].T / inner.sums))
        total = jnp.sum(p, axis=0)
        p = p / jnp.where(total > 0, total, 1.0)
        mean = mine.theta.T @ p
        away = mine.theta.T[:, :, None] - mean[:, None]
        return mean, small.covariance(away, p)

    mean, covariance = jax.lax.map(own, (data.persons, data.shared.cluster))
    p, u = found.p[:-1], phi.u[0]
    at = p @ u
    away = u - at[:, None]
    return mean, covariance, at, jnp.einsum("crd,cre,cr->cde", away, away, p)
