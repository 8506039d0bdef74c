"""The variance of linear predictors: of the estimates, of the modes that follow from them, and of the modes' error.

With ``g(x)`` the linear predictor of a row as a function of all parameters, its random effects at their modes b^(x),

    Var = g'(x) V g'(x)' + z' Lambda M^{-1} Lambda' z,    g'(x) = d(x'beta)/dx + z' db^/dx,

V the covariance of the estimates and M the negative Hessian of the log joint density at the modes (Kass & Steffey
1989, J. Am. Stat. Assoc. 84, 717-726, equation 3.2; Kristensen et al. 2016, J. Stat. Softw. 70(5), section 2.2). The
modes move by ``du^/dx = M^{-1} h_ux``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate.filtered import FilteredCovariance
from jmix.estimate.objective import GaussianObjective
from jmix.likelihood import glmm_rows
from jmix.likelihood.suffstats import reduce_data
from jmix.results.rows import Rows, blocks_of_rows, prior_covariances, random_variance

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]


def _moves(x: Any, data: Any, u: Any, approx: Any) -> Any:
    """``du^/dx``: u with a leading axis over the parameters."""
    slope = jax.grad(approx.joint, argnums=2)

    def column(direction: jax.Array) -> Any:
        rhs = jax.jvp(lambda at: slope(at, data, u), (x,), (direction,))[1]
        return approx.solve(x, data, u, rhs)

    return jax.lax.map(column, jnp.eye(x.shape[0], dtype=x.dtype))


def _curvature(eta: Any, x: Any, rows: Any, plan: Any) -> Any:
    return glmm_rows.row_curvature(eta, rows, glmm_rows.aux(x, rows, plan), plan)


_MOVES = runtime.Program(_moves, static=("approx",))
_CURVATURE = runtime.Program(_curvature, static=("plan",))


def mode_derivatives(fit: GlmmFit) -> dict[str, FloatArray]:
    """(d, J, q) derivatives of the conditional modes b^(x) of each grouping factor in the parameters.

    With ``b = Lambda u`` both factors move.
    """
    objective, x = fit.objective, fit.solution.x
    u = objective.at(x).u
    leaves, tree = jax.tree_util.tree_flatten(
        _MOVES(x, objective.device_data, u, approx=objective.approx)  # every leaf begins with the axis of x
    )
    leaves = [np.asarray(leaf) for leaf in leaves]
    spherical, lams = objective.restore.levels(u), objective.lambdas(x)
    out = {g: np.empty((x.size, *values.shape)) for g, values in spherical.items()}
    place = fit.parts.slices["theta"]
    for i in range(x.size):
        moved = objective.restore.levels(jax.tree_util.tree_unflatten(tree, [leaf[i] for leaf in leaves]))
        for g, values in moved.items():
            out[g][i] = values @ lams[g].T
    for g, values in spherical.items():
        for index, row, col in zip(*fit.spec.group_entries(g), strict=True):
            out[g][place.start + index][:, row] += values[:, col]
    return out


def jacobian(fit: GlmmFit, rows: Rows) -> FloatArray:
    """(n, d) derivatives of the linear predictors in the parameters, random effects at their modes.

    A level without estimates stays at zero.
    """
    out = np.zeros((rows.n, fit.solution.x.size))
    out[:, fit.parts.slices["cond"]] = rows.X
    if not rows.columns:
        return out
    for g, columns in rows.columns.items():
        known = rows.codes[g] >= 0
        moves = np.moveaxis(fit.mode_derivatives[g], 0, -1)
        for a, column in enumerate(columns):
            part = column[:, None] * moves[rows.codes[g], a]
            out += part if known.all() else np.where(known[:, None], part, 0.0)
    return out


def mode_variance(fit: GlmmFit, rows: Rows) -> FloatArray:
    """(n,) ``z' Lambda M^{-1} Lambda' z``; a level without estimates contributes its prior variance.

    Exact for one grouping factor. With several, rows whose observed weight is negative, which a family that is not
    log-concave may have, count as uninformative.
    """
    if not rows.columns:
        return np.zeros(rows.n)
    prior = prior_covariances(fit)
    if len(rows.columns) == 1 and len(fit.spec.groups) == 1:
        (group,) = rows.columns
        blocks = np.concatenate([fit.mode_covariances[group], prior[group][None]])
        z = np.stack(rows.columns[group], axis=1)
        return np.einsum("ia,iab,ib->i", z, blocks[rows.codes[group]], z, optimize=True)
    out = np.empty(rows.n)
    for part in blocks_of_rows(rows):
        parts = {g: np.stack([c[part] for c in columns], axis=1) for g, columns in rows.columns.items()}
        out[part] = random_variance(fit.filtered, parts, {g: c[part] for g, c in rows.codes.items()}, prior)
    return out


def filtered(fit: GlmmFit) -> FilteredCovariance:
    """``Lambda M^{-1} Lambda'`` block by block: that of a linear model with the observed weights at the modes."""
    plan, x, n = fit.objective.approx.plan, fit.solution.x, fit.nobs
    rows = glmm_rows.flat_rows(fit.design)
    weights = np.maximum(np.asarray(_CURVATURE(fit.linear_parts[1], x, rows, plan=plan)), 0.0)
    reduced = reduce_data(np.zeros((n, 0), order="F"), np.ones(n), fit.terms, fit.spec, weights)
    linear = GaussianObjective(reduced, fit.spec, n, 0, 0.0)
    return FilteredCovariance(linear, linear.to_phi @ fit.theta_values)
