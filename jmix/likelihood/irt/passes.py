"""Passes over persons in parts: sums with their own derivative rule, stacks, and sums by group.

A ``Term`` says what one part contributes. The value and the gradient of a sum come from one pass, part by part, so
that nothing of the size of persons by nodes is ever kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from jmix.likelihood.irt.traced import Model, Numbers, Shape, model_of

Tree = Any


class Prepared(Protocol):
    """What is computed from the parameters once in a pass."""

    @property
    def items(self) -> Shape:
        """What the program knows of the model."""
        ...

    def prepare(self, model: Model, shared: Any) -> Any:
        """Parameters as the parts take them, an axis of groups first."""
        ...


class Term(Prepared, Protocol):
    """A frozen, hashable plan of a likelihood that is a sum over persons."""

    def by_person(self, phi: Any, part: Any, shared: Any) -> tuple[jax.Array, Any]:
        """(n,) log likelihood of the persons of a part, and what the next pass may begin with; phi of their group."""
        ...

    def moments(self, phi: Any, part: Any, shared: Any) -> tuple[jax.Array, jax.Array]:
        """(D, n) means and (D, D, n) covariances of theta."""
        ...


def prepared(term: Prepared, numbers: Numbers, x: jax.Array, shared: Tree) -> Tree:
    """``term.prepare`` at the free parameters x."""
    return term.prepare(model_of(term.items, numbers, x), shared)


def of_group(phi: Tree, group: jax.Array) -> Tree:
    """The parameters of one group."""
    return jax.tree.map(lambda a: a[group], phi)


def stack(own: Callable[[Tree, Tree], Tree], phi: Tree, parts: Tree) -> Tree:
    """``own(phi of the part's group, part)`` of all parts, an axis of parts first."""
    return jax.lax.map(lambda part: own(of_group(phi, part.group), part), parts)


def total(term: Term, phi: Tree, parts: Tree, shared: Tree) -> jax.Array:
    """The weighted log likelihood; differentiable once in phi, in reverse mode, by one pass."""
    return _total(term, phi, parts, shared)


def value_and_grad(term: Term, phi: Tree, parts: Tree, shared: Tree) -> tuple[jax.Array, Tree, Tree]:
    """The weighted log likelihood, its gradient in phi, and (parts, ...) what the next pass may begin with."""

    def step(carry: Tree, part: Tree) -> tuple[Tree, Tree]:
        (value, aux), gradient = jax.value_and_grad(partial(_weighted, term), has_aux=True)(phi, part, shared)
        return jax.tree.map(jnp.add, carry, (value, gradient)), aux

    zero = (jnp.zeros((), parts.weights.dtype), jax.tree.map(jnp.zeros_like, phi))
    (value, gradient), aux = jax.lax.scan(step, zero, parts)
    return value, gradient, aux


def _weighted(term: Term, phi: Tree, part: Tree, shared: Tree) -> tuple[jax.Array, Tree]:
    by_person, aux = term.by_person(of_group(phi, part.group), part, shared)
    return jnp.sum(part.weights * by_person), aux


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _total(term: Term, phi: Tree, parts: Tree, shared: Tree) -> jax.Array:
    def step(carry: jax.Array, part: Tree) -> tuple[jax.Array, None]:
        return carry + _weighted(term, phi, part, shared)[0], None

    return jax.lax.scan(step, jnp.zeros((), parts.weights.dtype), parts)[0]


def _total_forward(term: Term, phi: Tree, parts: Tree, shared: Tree) -> tuple[jax.Array, Tree]:
    value, gradient, _ = value_and_grad(term, phi, parts, shared)
    return value, gradient


def _total_backward(term: Term, kept: Tree, cotangent: jax.Array) -> tuple[Tree, None, None]:
    return jax.tree.map(lambda g: cotangent * g, kept), None, None


_total.defvjp(_total_forward, _total_backward)
