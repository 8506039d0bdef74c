"""Exact derivatives of a marginal likelihood whose centres are modes, by the implicit function theorem.

An approximation of ``log L(x) = log int exp(h(u; x)) du`` is a smooth function ``F(x, u)`` of the parameters and of the
centres u, taken
at the mode ``u^(x)``, where ``h_u(x, u^) = 0``. With ``M = -h_uu`` the total derivative is

    d log L / dx = F_x + t' h_ux,        t = M^{-1} F_u,

(Kristensen, Nielsen, Berg, Skaug & Bell 2016, J. Stat. Softw. 70(5), section 2; Wood 2011, J. R. Stat. Soc. B 73).
The right-hand side is
again an explicit function ``G(x, u)``, whose derivative along ``(e_i, du^/dx_i)`` is a column of the exact Hessian. No
Newton iteration is ever differentiated.

Where the log likelihood is a sum over independent parts of the data (groups of one grouping factor), all of this is
done part by part, so that what is in flight fits in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

Tree = Any
"""A pytree of arrays: the data of an approximation, or its spherical random effects u."""


class Mode(NamedTuple):
    """How the search for the mode ended.

    Attributes:
        converged: scalar bool. iterations: scalar int, passes over the data. decrement: scalar, the largest Newton
            decrement ``g'M^{-1}g`` before the last step. stuck: (J,) bool, the groups that did not converge, or None
            where the search is joint.
    """

    converged: jax.Array
    iterations: jax.Array
    decrement: jax.Array
    stuck: jax.Array | None = None


class Approximation(Protocol):
    """A frozen, hashable plan whose methods are pure functions of the parameters, the data and u."""

    def start(self, data: Tree) -> Tree:
        """Spherical random effects to start from: zeros."""
        ...

    def find_mode(self, x: jax.Array, data: Tree, u0: Tree) -> tuple[Tree, Mode]:
        """The maximum of ``joint`` in u, from u0; not to be differentiated."""
        ...

    def joint(self, x: jax.Array, data: Tree, u: Tree) -> jax.Array:
        """``h(u; x)``, the sum of the row log densities less ``u'u / 2``."""
        ...

    def marginal(self, x: jax.Array, data: Tree, u: Tree) -> jax.Array:
        """The approximate log likelihood with its centres at u."""
        ...

    def solve(self, x: jax.Array, data: Tree, u: Tree, rhs: Tree) -> Tree:
        """``M^{-1} rhs`` with M the negative Hessian of ``joint`` in u."""
        ...


@runtime_checkable
class Separable(Protocol):
    """An approximation that is a sum over parts of the data; every array of u has an axis of parts first."""

    @property
    def inner(self) -> Approximation:
        """The approximation of one part."""
        ...

    def n_parts(self, data: Tree) -> int:
        """How many there are."""
        ...

    def part(self, data: Tree, i: jax.Array | int) -> Tree:
        """The data of one part, for ``inner``."""
        ...


def value_and_grad(
    approx: Approximation, x: jax.Array, data: Tree, u0: Tree
) -> tuple[jax.Array, jax.Array, Tree, Mode]:
    """The approximate log likelihood at x (d,), its exact gradient (d,), the mode found from u0, and how."""

    def own(inner: Approximation, part: Tree, start: Tree) -> tuple[Tree, Tree]:
        u, mode = inner.find_mode(x, part, start)
        return _explicit(inner, x, part, jax.lax.stop_gradient(u)), (u, mode)

    (out, gradient), (u, mode) = over_parts(own, approx, data, u0)
    return out, gradient, u, _merged(mode)


def value(approx: Approximation, x: jax.Array, data: Tree, u0: Tree) -> tuple[jax.Array, Tree, Mode]:
    """The approximate log likelihood alone."""

    def own(inner: Approximation, part: Tree, start: Tree) -> tuple[Tree, Tree]:
        u, mode = inner.find_mode(x, part, start)
        return inner.marginal(x, part, u), (u, mode)

    out, (u, mode) = over_parts(own, approx, data, u0)
    return out, u, _merged(mode)


def hessian(approx: Approximation, x: jax.Array, data: Tree, u: Tree, batch: int | None = None) -> jax.Array:
    """The exact Hessian (d, d) of the approximate log likelihood at x, whose mode u is.

    Args:
        batch: directions that are pushed forward together, sharing one evaluation; None for all of them, as always
            where the data come in parts.
    """
    directions = jnp.eye(x.shape[0], dtype=x.dtype)

    def own(inner: Approximation, part: Tree, at: Tree) -> tuple[Tree, Tree]:
        whole = batch is None or batch >= x.shape[0] or inner is not approx

        def each(function: Callable[[Tree], Tree], items: Tree) -> Tree:
            if whole:
                return jax.vmap(function)(items)
            return jax.lax.map(function, items, batch_size=batch if batch is not None and batch > 1 else None)

        return _second(inner, x, part, at, directions, each), ()

    columns, _ = over_parts(own, approx, data, u)
    return 0.5 * (columns + columns.T)


def log_marginal(approx: Approximation, x: jax.Array, data: Tree, u0: Tree) -> jax.Array:
    """The approximate log likelihood as a function of x that can be differentiated once, in either mode."""

    @jax.custom_jvp
    def at(x: jax.Array, data: Tree, u0: Tree) -> jax.Array:
        return value(approx, x, data, u0)[0]

    @at.defjvp
    def push(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
        out, gradient, _, _ = value_and_grad(approx, *primals)
        return out, jnp.vdot(gradient, tangents[0])

    return at(x, data, u0)


def over_parts(
    own: Callable[[Approximation, Tree, Tree], tuple[Tree, Tree]], approx: Approximation, data: Tree, u: Tree
) -> tuple[Tree, Tree]:
    """``own`` of every part: its first result summed over the parts, its second stacked."""
    if not isinstance(approx, Separable):
        return own(approx, data, u)
    inner, count = approx.inner, approx.n_parts(data)
    if count == 1:
        total, each = own(inner, approx.part(data, 0), jax.tree.map(lambda a: a[0], u))
        return total, jax.tree.map(lambda a: a[None], each)

    def step(total: Tree, item: tuple[jax.Array, Tree]) -> tuple[Tree, Tree]:
        more, each = own(inner, approx.part(data, item[0]), item[1])
        return jax.tree.map(jnp.add, total, more), each

    like = jax.eval_shape(lambda: own(inner, approx.part(data, 0), jax.tree.map(lambda a: a[0], u))[0])
    zero = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), like)
    return jax.lax.scan(step, zero, (jnp.arange(count), u))


def _merged(mode: Mode) -> Mode:
    """The searches of several parts as one: the slowest, and all of their groups."""
    return Mode(jnp.all(mode.converged), jnp.max(mode.iterations), jnp.max(mode.decrement), mode.stuck)


def _explicit(approx: Approximation, x: jax.Array, data: Tree, u: Tree) -> tuple[jax.Array, jax.Array]:
    """``F(x, u)`` and ``G(x, u)``: the total derivative where u is the mode."""
    out, (partial, pull) = jax.value_and_grad(approx.marginal, argnums=(0, 2))(x, data, u)
    t = approx.solve(x, data, u, pull)

    def along(at: jax.Array) -> jax.Array:
        return jax.jvp(lambda mode: approx.joint(at, data, mode), (u,), (t,))[1]

    return out, partial + jax.grad(along)(x)


def _second(
    approx: Approximation,
    x: jax.Array,
    data: Tree,
    u: Tree,
    directions: jax.Array,
    each: Callable[[Callable[[Tree], Tree], Tree], Tree],
) -> jax.Array:
    """The Hessian, not yet symmetric, by rows of ``directions`` (d, d).

    ``h_u`` being zero at every mode, ``log L(x) = F(x, u^(x)) + t' h_u(x, u^(x))`` for any fixed t; with ``t = M^{-1}
    F_u`` its derivative in u vanishes, so that its second derivatives along ``(e_i, du^/dx_i)`` are the Hessian.
    """
    slope = jax.grad(approx.joint, argnums=2)

    def solve(rhs: Tree) -> Tree:
        return approx.solve(x, data, u, rhs)

    def push(direction: jax.Array) -> Tree:
        return jax.jvp(lambda at: slope(at, data, u), (x,), (direction,))[1]

    pull = jax.grad(approx.marginal, argnums=2)(x, data, u)
    rhs = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), pull, each(push, directions))
    solved = each(solve, rhs) if jax.tree.leaves(rhs) else rhs
    t, moves = jax.tree.map(lambda a: a[0], solved), jax.tree.map(lambda a: a[1:], solved)

    def corrected(at: jax.Array, mode: Tree) -> jax.Array:
        return approx.marginal(at, data, mode) + jax.jvp(lambda v: approx.joint(at, data, v), (mode,), (t,))[1]

    def row(along: tuple[jax.Array, Tree]) -> jax.Array:
        own, centre = jax.jvp(jax.grad(corrected, argnums=(0, 1)), (x, u), along)[1]
        parts = jax.tree.map(lambda a, b: jnp.tensordot(a, b, b.ndim), moves, centre)
        return jax.tree.reduce(jnp.add, parts, own)

    return each(row, (directions, moves))
