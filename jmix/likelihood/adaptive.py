"""Laplace's approximation and adaptive Gauss-Hermite quadrature for one grouping factor, over all parts of the data.

``adaptive_part`` has the mathematics. Groups are independent, so that every quantity is a sum or a stack over parts of
a few thousand rows, which stay in the cache from the search of the modes to the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from jmix.likelihood.adaptive_groups import Groups
from jmix.likelihood.adaptive_part import GroupApproximation
from jmix.likelihood.glmm_rows import RowPlan
from jmix.likelihood.implicit import Mode, over_parts
from jmix.likelihood.structure import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AdaptiveData:
    """All groups of one grouping factor, in parts of equal shape.

    Attributes:
        groups: every array with an axis of parts first. nodes: (K, q) and log_weights: (K,), shared by all parts.
    """

    groups: Groups
    nodes: Array
    log_weights: Array


@dataclass(frozen=True)
class Adaptive:
    """The plan of one grouping factor: an ``implicit.Approximation`` and ``Separable``, whose u is (parts, q, J).

    Attributes:
        plan: of the rows. laplace: leave the nodes out.
    """

    plan: RowPlan
    laplace: bool = False

    @property
    def inner(self) -> GroupApproximation:
        """The approximation of one part."""
        return GroupApproximation(self.plan, self.laplace)

    def n_parts(self, data: AdaptiveData) -> int:
        """How many parts there are."""
        return int(data.groups.multiplicity.shape[0])

    def part(self, data: AdaptiveData, i: jax.Array | int) -> Groups:
        """The data of one part."""
        own = jax.tree.map(lambda a: a[i], data.groups)
        return replace(own, nodes=data.nodes, log_weights=data.log_weights)

    def start(self, data: AdaptiveData) -> jax.Array:
        """Zeros (parts, q, J)."""
        parts, j = data.groups.multiplicity.shape
        return jnp.zeros((parts, self.plan.layout[0].q, j), data.groups.multiplicity.dtype)

    def find_mode(self, x: jax.Array, data: AdaptiveData, u0: jax.Array) -> tuple[jax.Array, Mode]:
        """The mode of every group, from u0."""
        u, mode = self._each(lambda inner, part, u: inner.find_mode(x, part, u), data, u0)
        return u, Mode(jnp.all(mode.converged), jnp.max(mode.iterations), jnp.max(mode.decrement), mode.stuck)

    def joint(self, x: jax.Array, data: AdaptiveData, u: jax.Array) -> jax.Array:
        """``h(u; x)`` over all groups, each as often as it occurs."""
        return jnp.sum(self._each(lambda inner, part, u: inner.joint(x, part, u), data, u))

    def marginal(self, x: jax.Array, data: AdaptiveData, u: jax.Array) -> jax.Array:
        """The approximate log likelihood with its centres at u."""
        return jnp.sum(self._each(lambda inner, part, u: inner.marginal(x, part, u), data, u))

    def by_group(self, x: jax.Array, data: AdaptiveData, u: jax.Array) -> jax.Array:
        """(parts, J) log likelihood of each merged group, less what ``linear`` and ``constant`` hold."""
        return self._each(lambda inner, part, u: inner.by_group(x, part, u), data, u)

    def solve(self, x: jax.Array, data: AdaptiveData, u: jax.Array, rhs: jax.Array) -> jax.Array:
        """``M^{-1} rhs``, M the negative Hessian of ``joint``."""
        return self._each(lambda inner, part, u: inner.solve(x, part, u[0], u[1]), data, (u, rhs))

    def covariances(self, x: jax.Array, data: AdaptiveData, u: jax.Array) -> jax.Array:
        """(parts, q, q, J) ``Lambda M_j^{-1} Lambda'``, the covariance of b in Laplace's approximation."""
        return self._each(lambda inner, part, u: inner.covariances(x, part, u), data, u)

    def moments(self, x: jax.Array, data: AdaptiveData, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Posterior means (parts, q, J) and covariances (parts, q, q, J) of the spherical u, by quadrature."""
        return self._each(lambda inner, part, u: inner.moments(x, part, u), data, u)

    def _each(self, own: Callable[[GroupApproximation, Groups, Any], Any], data: AdaptiveData, u: Any) -> Any:
        def mapped(inner: Any, part: Groups, at: Any) -> tuple[tuple[()], Any]:
            return (), own(inner, part, at)

        return over_parts(mapped, self, data, u)[1]
