"""The rows of a generalized linear mixed model: parameters to linear predictors to log densities.

The flat parameter vector is ``x = [beta | theta | disp | zi | thresholds | shape]``: fixed effects; lower triangles of
the absolute
factors Lambda term by term (order of ``CovarianceSpec``); coefficients of log phi; coefficients of the logit of the
zero probability; tau_1 and the logs of the differences of the thresholds; log(nu - 1). Rows lie in any shape on the
trailing axes; the leading axis of X, D and V counts columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.families import Aux, Family, log_density
from jmix.likelihood.gaussian import unpack
from jmix.likelihood.structure import Array, FactorLayout, Layout
from jmix.spec.covariance import CovarianceSpec

if TYPE_CHECKING:
    from jmix.design_response import GlmmDesign, Side

FloatArray = npt.NDArray[np.float64]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RowData:
    """Rows of data in one shape R, NumPy or JAX.

    Attributes:
        y: R responses. X: (p, *R) columns of the fixed effects. weight: R log-likelihood multipliers, 0 for padding;
            None for ones. offset: R or None. size: R numbers of trials or None. D: (p_disp, *R) columns of the
            dispersion, None where it is an intercept alone or absent. V: (p_zi, *R) columns of the zero part, likewise.
    """

    y: Array
    X: Array
    weight: Array = None
    offset: Array = None
    size: Array = None
    D: Array = None
    V: Array = None


@dataclass(frozen=True)
class RowPlan:
    """Family and sizes of the parts of x; hashable, a static argument.

    Attributes:
        family: with ``n_categories`` set. p, k, p_disp, p_zi, n_tau, n_shape: parameters of each part. layout: of
            Lambda, in elimination order.
    """

    family: Family
    p: int
    k: int
    p_disp: int
    p_zi: int
    n_tau: int
    n_shape: int
    layout: Layout

    @property
    def size(self) -> int:
        """Length of x."""
        return self.p + self.k + self.p_disp + self.p_zi + self.n_tau + self.n_shape


class Parts(NamedTuple):
    """The pieces of x, as they lie in it."""

    beta: Any
    theta: Any
    disp: Any
    zi: Any
    tau: Any
    shape: Any


def split_x(x: Any, plan: RowPlan) -> Parts:
    """The pieces of a flat parameter vector; ``tau`` and ``shape`` untransformed."""
    sizes = (plan.p, plan.k, plan.p_disp, plan.p_zi, plan.n_tau, plan.n_shape)
    ends = np.cumsum(sizes)
    return Parts(*(x[end - size : end] for end, size in zip(ends.tolist(), sizes, strict=True)))


def lambdas(x: jax.Array, plan: RowPlan) -> list[jax.Array]:
    """The absolute (q, q) factor of each grouping factor in elimination order."""
    return unpack(split_x(x, plan).theta, plan.layout)


def aux(x: jax.Array, rows: RowData, plan: RowPlan) -> Aux:
    """What the row log densities need beside eta."""
    parts = split_x(x, plan)
    tau = parts.tau
    return Aux(
        log_phi=_linear(parts.disp, rows.D) if plan.p_disp else None,
        zi=_linear(parts.zi, rows.V) if plan.p_zi else None,
        tau=jnp.cumsum(jnp.concatenate([tau[:1], jnp.exp(tau[1:])])) if plan.n_tau else None,
        shape=1.0 + jnp.exp(parts.shape[0]) if plan.n_shape else None,
    )


def fixed_eta(x: jax.Array, rows: RowData, plan: RowPlan) -> jax.Array:
    """``X beta + offset``, in the shape of the rows."""
    eta = jnp.tensordot(x[: plan.p], rows.X, 1)
    return eta if rows.offset is None else eta + rows.offset


def row_log_density(eta: jax.Array, rows: RowData, extra: Aux, plan: RowPlan) -> jax.Array:
    """Weighted log densities, without the constants that ``log_constant`` holds.

    Args:
        eta: in the shape of the rows, with any axes before it. extra: from ``aux``.
    """
    density = log_density(plan.family, rows.y, rows.size, eta, extra)
    return density if rows.weight is None else rows.weight * density


def row_slope(eta: jax.Array, rows: RowData, extra: Aux, plan: RowPlan) -> jax.Array:
    """First derivatives of ``row_log_density`` in eta."""
    return jax.grad(lambda e: jnp.sum(row_log_density(e, rows, extra, plan)))(eta)


def row_curvature(eta: jax.Array, rows: RowData, extra: Aux, plan: RowPlan) -> jax.Array:
    """Observed weights W: second derivatives of ``row_log_density`` in eta, negated."""
    return -jax.jvp(lambda e: row_slope(e, rows, extra, plan), (eta,), (jnp.ones_like(eta),))[1]


def row_derivatives(eta: jax.Array, rows: RowData, extra: Aux, plan: RowPlan) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Log densities, their slopes in eta, and the observed weights W, sharing their terms."""

    def both(e: jax.Array) -> tuple[jax.Array, jax.Array]:
        density, pull = jax.vjp(lambda at: row_log_density(at, rows, extra, plan), e)
        return density, pull(jnp.ones_like(density))[0]

    (density, slope), (_, second) = jax.jvp(both, (eta,), (jnp.ones_like(eta),))
    return density, slope, -second


def _linear(coefficients: jax.Array, columns: Array) -> jax.Array:
    return coefficients[0] if columns is None else jnp.tensordot(coefficients, columns, 1)


def row_plan(design: GlmmDesign, spec: CovarianceSpec, groups: Sequence[str]) -> RowPlan:
    """The plan of a design whose grouping factors are eliminated in the order of ``groups``."""
    family = design.family
    return RowPlan(
        family=family,
        p=design.base.X.shape[1],
        k=spec.n_theta,
        p_disp=_columns(design.disp) if family.has_dispersion else 0,
        p_zi=_columns(design.zi) if family.zero else 0,
        n_tau=family.n_thresholds,
        n_shape=family.n_shape,
        layout=tuple(_factor_layout(spec, g) for g in groups),
    )


def _columns(side: Side | None) -> int:
    return 1 if side is None else side.X.shape[1]


def _factor_layout(spec: CovarianceSpec, group: str) -> FactorLayout:
    index, rows, cols = spec.group_entries(group)
    return FactorLayout(spec.group_q(group), tuple(index), tuple(rows), tuple(cols))


def flat_rows(design: GlmmDesign) -> RowData:
    """The rows of a design as NumPy arrays (n,) and (columns, n), without copies where the design allows it."""
    family, base = design.family, design.base

    def columns(side: Side | None) -> FloatArray | None:
        return None if side is None or side.intercept_only else np.asarray(side.X.T)

    return RowData(
        y=np.asarray(design.response.y, dtype=np.float64),
        X=np.asarray(base.X.T),
        weight=design.weights,
        offset=base.offset,
        size=design.response.size,
        D=columns(design.disp) if family.has_dispersion else None,
        V=columns(design.zi) if family.zero else None,
    )


def total_constant(rows: RowData, family: Family) -> float:
    """The weighted sum of what the log densities leave out because no parameter enters it."""
    from jmix.families import log_constant

    constants = np.broadcast_to(log_constant(family, rows.y, rows.size), rows.y.shape)
    return float(np.sum(constants)) if rows.weight is None else float(np.dot(rows.weight, constants))
