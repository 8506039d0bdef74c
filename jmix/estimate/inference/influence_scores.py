"""Exact derivatives of the marginal log likelihood of each group of a generalized linear mixed model.

With one grouping factor the groups are independent: ``log L(x) = sum_j F_j(x, u_j^(x))``. For each group, as in
``likelihood.implicit``, ``F_j(x, u) + t_j' h_{j,u}(x, u)`` with ``t_j = M_j^{-1} F_{j,u}`` fixed has along ``(e_a,
du^/dx_a)`` the first and second derivatives of the group's log likelihood. All groups share one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate.glmm_objective import GlmmObjective, build_glmm_objective
from jmix.likelihood import adaptive_groups as grouped
from jmix.likelihood import glmm_rows
from jmix.likelihood.adaptive_build import build_adaptive
from jmix.likelihood.glmm_rows import flat_rows, row_plan
from jmix.likelihood.implicit import over_parts
from jmix.numerics.quadrature import sobol_normal
from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]
QMC_SEED = 20


def _pairs(count: int) -> tuple[FloatArray, FloatArray]:
    """The unit vectors (P, d) of every pair a <= b."""
    unit = np.eye(count)
    first, second = np.triu_indices(count)
    return unit[first], unit[second]


def _along(
    corrected: Callable[..., jax.Array], at: tuple[Any, ...], move: Callable[[jax.Array], tuple[Any, ...]], count: int
) -> tuple[jax.Array, jax.Array]:
    """First derivatives (d, ...) and second ones (P, ...) of a function along ``move`` of the unit vectors."""

    def first(direction: jax.Array) -> jax.Array:
        return jax.jvp(corrected, at, move(direction))[1]

    def second(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        left, right = move(pair[0]), move(pair[1])
        return jax.jvp(lambda *here: jax.jvp(corrected, here, left)[1], at, right)[1]

    return jax.lax.map(first, jnp.eye(count)), jax.lax.map(second, tuple(map(jnp.asarray, _pairs(count))))


def _by_group(x: jax.Array, data: Any, u0: Any, approx: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of every part and group: log likelihood (parts, J), its gradient (parts, d, J) and Hessian (parts, P, J)."""

    def own(inner: Any, part: Any, start: Any) -> tuple[tuple[()], Any]:
        u, _ = inner.find_mode(x, part, start)
        u = jax.lax.stop_gradient(u)
        slope = jax.grad(inner.joint, argnums=2)
        t = inner.solve(x, part, u, jax.grad(inner.marginal, argnums=2)(x, part, u))

        def corrected(at: jax.Array, v: jax.Array) -> jax.Array:
            def integrand(w: jax.Array) -> jax.Array:
                return grouped.integrand(grouped.fixed(at, part, inner.plan), part, w, inner.plan)

            return inner.by_group(at, part, v) + jax.jvp(integrand, (v,), (t,))[1]

        def move(direction: jax.Array) -> tuple[jax.Array, jax.Array]:
            rhs = jax.jvp(lambda at: slope(at, part, u), (x,), (direction,))[1]
            return direction, inner.solve(x, part, u, rhs)

        return (), (inner.by_group(x, part, u), *_along(corrected, (x, u), move, x.shape[0]))

    out: tuple[jax.Array, jax.Array, jax.Array] = over_parts(own, approx, data, u0)[1]
    return out


def _by_row(x: jax.Array, rows: Any, plan: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of every row: log density (n,), its gradient (d, n) and Hessian (P, n)."""

    def density(at: jax.Array) -> jax.Array:
        eta = glmm_rows.fixed_eta(at, rows, plan)
        return glmm_rows.row_log_density(eta, rows, glmm_rows.aux(at, rows, plan), plan)

    return density(x), *_along(density, (x,), lambda direction: (direction,), x.shape[0])


_GROUPS = runtime.Program(_by_group, static=("approx",))
_ROWS = runtime.Program(_by_row, static=("plan",))


def group_derivatives(objective: GlmmObjective, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gradients (J, d) and Hessians (J, d, d) of the log likelihood of each level of the one grouping factor."""
    approx, data, restore = _unmerged(objective, None)
    with runtime.float64():
        start = approx.start(runtime.put(data))
    _, first, second = _GROUPS(np.asarray(x, dtype=np.float64), data, start, approx=approx)
    (gradient,) = restore.blocks(first).values()
    (hessian,) = restore.blocks(second).values()
    gradient = np.array(gradient)
    if objective.design.family.canonical:
        rows = flat_rows(objective.design)
        wy = rows.y if rows.weight is None else rows.weight * rows.y
        codes = objective.terms[0].codes
        for k in range(rows.X.shape[0]):
            gradient[:, k] += np.bincount(codes, rows.X[k] * wy, gradient.shape[0])
    return gradient, _full(hessian, x.size)


def row_derivatives(objective: GlmmObjective, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gradients (n, d) and Hessians (n, d, d) of the log likelihood of each row of a model without random effects."""
    plan = row_plan(objective.design, CovarianceSpec(()), ())
    _, first, second = _ROWS(np.asarray(x, dtype=np.float64), flat_rows(objective.design), plan=plan)
    return np.asarray(first).T, _full(np.asarray(second).T, x.size)


def _full(packed: FloatArray, d: int) -> FloatArray:
    """(m, d, d) symmetric matrices from their upper triangles (m, P)."""
    out = np.empty((packed.shape[0], d, d))
    first, second = np.triu_indices(d)
    out[:, first, second] = out[:, second, first] = packed
    return out


def _unmerged(objective: GlmmObjective, weights: FloatArray | None) -> tuple[Any, Any, Any]:
    """The approximation with no groups merged, so that its shapes do not depend on the weights."""
    design = objective.design if weights is None else replace(objective.design, weights=weights)
    spec, points = objective.spec, None
    if objective.method == "qmc":
        points = sobol_normal(objective.n_points, spec.group_q(spec.groups[0]), QMC_SEED)
    n_agq = None if points is not None else objective.n_agq
    return build_adaptive(design, spec, objective.terms, n_agq, points, merge=False)


def weighted_objective(objective: GlmmObjective, weights: FloatArray) -> GlmmObjective:
    """The objective with other weights (n,) of the rows, zeros allowed, in programs of the same shapes."""
    design = replace(objective.design, weights=weights)
    if len(objective.spec.groups) != 1:
        return build_glmm_objective(
            design,
            objective.spec,
            objective.terms,
            n_agq=max(objective.n_agq, 1),
            method=objective.method,
            n_points=objective.n_points or None,
        )
    approx, data, restore = _unmerged(objective, weights)
    return replace(objective, design=design, approx=approx, data=data, restore=restore, _warm=type(objective._warm)())
