"""A marginal likelihood that is a sum over persons in parts, behind the face of ``marginal.Marginal``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.likelihood.irt import passes
from jmix.likelihood.irt.marginal import Integration, Moments
from jmix.likelihood.irt.passes import Term, Tree
from jmix.likelihood.irt.persons import Arrangement, Persons
from jmix.likelihood.irt.traced import Numbers
from jmix.runtime import Program
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]

DIRECTIONS = 8
"""Directions in which derivatives are taken at a time."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PersonData:
    """All arrays. numbers: of the specification. persons: in parts. shared: nodes and the like."""

    numbers: Numbers
    persons: Persons
    shared: Tree


def log_marginal(term: Term, x: Any, data: PersonData) -> jax.Array:
    """The weighted log likelihood at x (P,); differentiable once, in reverse mode."""
    phi = passes.prepared(term, data.numbers, x, data.shared)
    return passes.total(term, phi, data.persons, data.shared)


def value_and_grad(term: Term, x: Any, data: PersonData) -> tuple[jax.Array, jax.Array, Tree]:
    """The log likelihood, its gradient (P,), and what the next pass may begin with."""
    phi, pull = jax.vjp(lambda x: passes.prepared(term, data.numbers, x, data.shared), x)
    value, gradient, aux = passes.value_and_grad(term, phi, data.persons, data.shared)
    return value, pull(gradient)[0], aux


def by_person(term: Term, x: Any, data: PersonData) -> jax.Array:
    """(parts, n) log likelihoods."""
    phi = passes.prepared(term, data.numbers, x, data.shared)
    return passes.stack(lambda phi, part: term.by_person(phi, part, data.shared)[0], phi, data.persons)


def moments(term: Term, x: Any, data: PersonData) -> tuple[jax.Array, jax.Array]:
    """(parts, D, n) means and (parts, D, D, n) covariances."""
    phi = passes.prepared(term, data.numbers, x, data.shared)
    return passes.stack(lambda phi, part: term.moments(phi, part, data.shared), phi, data.persons)


def curvature_along(term: Term, x: Any, directions: Any, data: PersonData) -> jax.Array:
    """(k, P) derivatives of the gradient along each of the directions (k, P)."""

    def gradient(x: jax.Array) -> jax.Array:
        return value_and_grad(term, x, data)[1]

    return jax.vmap(lambda v: jax.jvp(gradient, (x,), (v,))[1])(directions)


def persons_along(term: Term, x: Any, directions: Any, data: PersonData) -> jax.Array:
    """(k, parts, n) derivatives of each person's log likelihood along each of the directions (k, P)."""
    return jax.vmap(lambda v: jax.jvp(lambda x: by_person(term, x, data), (x,), (v,))[1])(directions)


VALUE_AND_GRAD = Program(lambda x, data, term: value_and_grad(term, x, data), static=("term",))
BY_PERSON = Program(lambda x, data, term: by_person(term, x, data), static=("term",))
MOMENTS = Program(lambda x, data, term: moments(term, x, data), static=("term",))
CURVATURE_ALONG = Program(lambda x, v, data, term: curvature_along(term, x, v, data), static=("term",))
PERSONS_ALONG = Program(lambda x, v, data, term: persons_along(term, x, v, data), static=("term",))


class PersonMarginal:
    """A ``Marginal`` of a ``Term``; see there for the methods.

    Args:
        term: what a part contributes. data: on the device. arrangement: of persons in parts. weights: (N,) or None.
    """

    def __init__(
        self,
        spec: IrtSpec,
        integration: Integration,
        term: Term,
        data: PersonData,
        arrangement: Arrangement,
        weights: FloatArray | None,
    ) -> None:
        self.spec, self.integration, self.term = spec, integration, term
        self.data, self.arrangement, self.weights = data, arrangement, weights

    def log_marginal(self, x: Any, data: PersonData) -> jax.Array:
        """Scalar; see ``Marginal``."""
        return log_marginal(self.term, jnp.asarray(x), data)

    def value_and_grad(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log likelihood and gradient (P,)."""
        value, gradient, aux = VALUE_AND_GRAD(x, self.data, term=self.term)
        out = float(value), np.asarray(gradient)
        if self.data.persons.start is not None and np.isfinite(out[0]):
            self.data = replace(self.data, persons=replace(self.data.persons, start=aux))
        return out

    def by_person(self, x: FloatArray) -> FloatArray:
        """(N,) log likelihood of each person, without the weight."""
        return self.arrangement.unravel(np.asarray(BY_PERSON(x, self.data, term=self.term)))

    def moments(self, x: FloatArray) -> Moments:
        """Posterior means (N, D) and covariances (N, D, D)."""
        mean, covariance = MOMENTS(x, self.data, term=self.term)
        return Moments(self.arrangement.unravel(mean), self.arrangement.unravel(covariance))

    def hessian(self, x: FloatArray) -> FloatArray:
        """(P, P) second derivatives, a few directions at a time."""
        rows = [np.asarray(CURVATURE_ALONG(x, v, self.data, term=self.term)) for v in directions(x.size)]
        hessian = np.concatenate(rows)[: x.size]
        return np.asarray(0.5 * (hessian + hessian.T))

    def cross_product(self, x: FloatArray) -> FloatArray:
        """(P, P) ``sum_i w_i g_i g_i'``."""
        rows = [np.asarray(PERSONS_ALONG(x, v, self.data, term=self.term)) for v in directions(x.size)]
        by_person = np.concatenate(rows)[: x.size].reshape(x.size, -1)[:, self.arrangement.place]
        weighted = by_person if self.weights is None else by_person * self.weights
        return np.asarray(weighted @ by_person.T)

    def finer(self) -> PersonMarginal:
        """The same with twice the nodes."""
        raise NotImplementedError


def directions(p: int) -> list[FloatArray]:
    """Unit vectors (k, P) in batches of equal size, the last filled up with zeros."""
    k = min(DIRECTIONS, p)
    eye = np.zeros((-(-p // k) * k, p))
    np.fill_diagonal(eye, 1.0)
    return list(eye.reshape(-1, k, p))
