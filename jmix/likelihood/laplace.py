"""The Laplace approximation of a generalized linear mixed model with any random structure.

``log L = h(u^) - log|M| / 2`` with ``h(u) = sum_i w_i l_i(eta_i) - u'u / 2``, u^ its maximum and ``M = I + Lambda'Z'WZ
Lambda`` with the observed weights ``W = -w l''`` (Pinheiro & Bates 1995, J. Comput. Graph. Stat. 4, 12-35; Bates et
al. 2015, section 3). M has the pattern of the linear model's, so that the same elimination factorises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.design import RandomTerm
from jmix.errors import ModelError
from jmix.likelihood import conditional, laplace_mode
from jmix.likelihood.elimination import Elimination, plan
from jmix.likelihood.gaussian import reduce
from jmix.likelihood.glmm_rows import (
    RowData,
    RowPlan,
    aux,
    fixed_eta,
    flat_rows,
    lambdas,
    row_curvature,
    row_derivatives,
    row_log_density,
    row_plan,
    split_x,
    total_constant,
)
from jmix.likelihood.implicit import Mode
from jmix.likelihood.laplace_solve import Effects, System, dot, iterate, new_effects, scale, solve
from jmix.likelihood.random import gather_factors
from jmix.likelihood.reweighted import Crossing, collect, spread, weighted_stats
from jmix.likelihood.reweighted_plan import build_crossing, sort_rows
from jmix.likelihood.structure import Array
from jmix.spec.covariance import CovarianceSpec

if TYPE_CHECKING:
    from jmix.design_response import GlmmDesign

FloatArray = npt.NDArray[np.float64]

ITERATIVE_TAIL = 600
"""Tail size from which the mode is found by conjugate gradients instead of one factorisation a step."""

FORCING = 1e-6
"""Relative residual of a Newton step by conjugate gradients."""

TIGHT = 1e-13
"""Relative residual of a linear system by conjugate gradients that enters a derivative."""


class LaplaceData(NamedTuple):
    """Rows in the order of ``sort_rows``, their cross-products, and the constant of the log likelihood."""

    rows: RowData
    crossing: Crossing
    constant: Array


@dataclass(frozen=True)
class Laplace:
    """The approximation as pure functions of the parameters x, the data and u (``implicit.Approximation``).

    Attributes:
        plan: of the rows. sizes: (q, J) of each factor in elimination order. iterative: whether linear systems are
            solved by conjugate gradients.
    """

    plan: RowPlan
    sizes: tuple[tuple[int, int], ...]
    iterative: bool = False

    def start(self, data: LaplaceData) -> Effects:
        """Zeros."""
        return tuple(jnp.zeros(size, data.rows.y.dtype) for size in self.sizes)

    def joint(self, x: jax.Array, data: LaplaceData, u: Effects) -> jax.Array:
        """``h(u; x)`` with the constants of the densities."""
        eta = self.linear_predictor(x, data, u)
        density = row_log_density(eta, data.rows, aux(x, data.rows, self.plan), self.plan)
        return jnp.sum(density) - 0.5 * dot(u, u) + data.constant

    def marginal(self, x: jax.Array, data: LaplaceData, u: Effects) -> jax.Array:
        """``h(u; x) - log|M(u; x)| / 2``."""
        at = self._system(x, data, u)
        logdet, _ = reduce(at.theta, weighted_stats(at.crossing, at.weights), self.plan.layout)
        return self.joint(x, data, u) - 0.5 * logdet

    def solve(self, x: jax.Array, data: LaplaceData, u: Effects, rhs: Effects) -> Effects:
        """``M^{-1} rhs``."""
        at = self._system(x, data, u)
        return iterate(at, rhs, TIGHT) if self.iterative else solve(at, rhs, self.plan.layout)

    def covariances(self, x: jax.Array, data: LaplaceData, u: Effects) -> list[jax.Array]:
        """(q, q, J) blocks of ``Lambda M^{-1} Lambda'`` of each factor in elimination order."""
        at = self._system(x, data, u)
        return conditional.covariances(at.theta, weighted_stats(at.crossing, at.weights), self.plan.layout)

    def find_mode(self, x: jax.Array, data: LaplaceData, u0: Effects) -> tuple[Effects, Mode]:
        """The mode of ``h`` from u0, which is zero or the mode at parameters nearby."""
        x, lams = jax.lax.stop_gradient(x), lambdas(x, self.plan)
        fixed, extra = fixed_eta(x, data.rows, self.plan), aux(x, data.rows, self.plan)

        def rows(random: jax.Array) -> laplace_mode.Derivatives:
            return row_derivatives(fixed + random, data.rows, extra, self.plan)

        def newton(u: Effects, random: jax.Array, slope: jax.Array, weights: jax.Array) -> laplace_mode.Step:
            at = System(split_x(x, self.plan).theta, lams, data.crossing, weights)
            return self._newton(at, u, random, slope)

        problem = laplace_mode.Problem(rows, newton, self.plan.family.log_concave)
        return laplace_mode.find_mode(problem, u0, spread(data.crossing, scale(lams, u0)))

    def linear_predictor(self, x: jax.Array, data: LaplaceData, u: Effects) -> jax.Array:
        """Eta (n,), rows in the order of ``data``."""
        return fixed_eta(x, data.rows, self.plan) + spread(data.crossing, scale(lambdas(x, self.plan), u))

    def numbers(self, data: LaplaceData) -> int:
        """Numbers that one direction of a derivative holds at once: rows, and the matrix of the tail."""
        tail = data.crossing.tail
        width = 0 if tail is None else sum(q * j for q, j in tail.sizes)
        return int(data.rows.y.shape[0]) + width**2

    def _newton(self, at: System, u: Effects, random: jax.Array, slope: jax.Array) -> laplace_mode.Step:
        """``d = M^{-1} g``, ``Z Lambda d`` and ``g'd`` for the gradient g of h.

        By elimination, ``M (u + d) = Lambda'Z'(slope + W Z Lambda u)`` gives the new effects b on the data scale, and
        the same equation again ``u + d = Lambda'Z'(slope - W (Z b - Z Lambda u))``.
        """
        gradient = _pull(at, slope, u)
        if self.iterative:
            step = iterate(at, gradient, FORCING)
            random_step = spread(at.crossing, scale(at.lams, step))
        else:
            b = new_effects(at, slope + at.weights * random, self.plan.layout)
            random_step = spread(at.crossing, b) - random
            step = _pull(at, slope - at.weights * random_step, u)
        return step, random_step, dot(gradient, step)

    def _system(self, x: jax.Array, data: LaplaceData, u: Effects) -> System:
        eta = self.linear_predictor(x, data, u)
        weights = row_curvature(eta, data.rows, aux(x, data.rows, self.plan), self.plan)
        return System(split_x(x, self.plan).theta, lambdas(x, self.plan), data.crossing, weights)


def _pull(at: System, r: jax.Array, u: Effects) -> Effects:
    """``Lambda'Z'r - u``."""
    return tuple(lam.T @ w - v for lam, w, v in zip(at.lams, collect(at.crossing, r), u, strict=True))


@dataclass(frozen=True)
class Restore:
    """The way back from elimination order to the user's order of levels."""

    elimination: Elimination

    @property
    def group_count(self) -> dict[str, int]:
        """Levels of each grouping factor."""
        return {f.group: f.n_levels for f in self.elimination.factors}

    def levels(self, u: Sequence[Any]) -> dict[str, FloatArray]:
        """(q, J) arrays, spherical or not, as (J, q) by grouping factor."""
        return {f.group: self._own_order(np.asarray(v), i).T for i, (f, v) in self._each(u)}

    def blocks(self, blocks: Sequence[Any]) -> dict[str, FloatArray]:
        """(q, q, J) blocks as (J, q, q) by grouping factor."""
        return {f.group: np.moveaxis(self._own_order(np.asarray(v), i), -1, 0) for i, (f, v) in self._each(blocks)}

    def internal(self, levels: dict[str, FloatArray]) -> tuple[FloatArray, ...]:
        """The inverse of ``levels``."""
        out = []
        for i, f in enumerate(self.elimination.factors):
            values = np.asarray(levels[f.group]).T
            order = self.elimination.order
            out.append(values[:, order[i]] if i < len(order) else values)
        return tuple(out)

    def _each(self, values: Sequence[Any]) -> Any:
        return enumerate(zip(self.elimination.factors, values, strict=True))

    def _own_order(self, values: FloatArray, i: int) -> FloatArray:
        if i >= len(self.elimination.order):
            return values
        out = np.empty_like(values)
        out[..., self.elimination.order[i]] = values
        return out


def build_laplace(
    design: GlmmDesign, spec: CovarianceSpec, terms: Sequence[RandomTerm]
) -> tuple[Laplace, LaplaceData, Restore]:
    """The Laplace approximation of a design with random terms.

    Args:
        terms: the random terms in the order of ``spec.terms``.

    Raises:
        ModelError: no random terms; or crossed factors with too many levels for memory.
    """
    if not terms:
        raise ModelError("the Laplace approximation needs a random term such as (1 | group)")
    elimination = plan(list(gather_factors(terms, spec, None).values()))
    rows = flat_rows(design)
    own = row_plan(design, spec, [f.group for f in elimination.factors])
    order = sort_rows(elimination)
    constant = np.asarray(total_constant(rows, design.family))
    data = LaplaceData(_take(rows, order), build_crossing(elimination, order), constant)
    sizes = tuple((f.q, f.n_levels) for f in elimination.factors)
    tail = sum(f.q * f.n_levels for f in elimination.tail)
    return Laplace(own, sizes, tail >= ITERATIVE_TAIL), data, Restore(elimination)


def _take(rows: RowData, order: npt.NDArray[np.int64]) -> RowData:
    """The rows in another order."""
    parts = {f.name: getattr(rows, f.name) for f in fields(rows)}
    return RowData(**{k: None if v is None else np.ascontiguousarray(v[..., order]) for k, v in parts.items()})
