"""Kenward and Roger's adjusted covariance of the fixed effects and their F test (1997, Biometrics 53, 983-997).

The covariance of the response is linear in the variance parameters, ``Sigma = sum_i gamma_i G_i``. With ``G_i = Z E_i
Z'`` everything needs the cross-products ``Z'V^{-1}Z`` and ``Z'V^{-1}X`` only. In place of the residual's ``G`` stands V
itself, the same tangent space: the adjustment does not depend on the basis in which Sigma is linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.lmm import LmmSolution
from jmix.estimate.objective import GaussianObjective
from jmix.likelihood.marginal_cross import MarginalCross, by_level, cells, marginal_cross
from jmix.likelihood.structure import Layout

FloatArray = npt.NDArray[np.float64]

MEMORY_GIB = 4.0
"""Most memory that the cross-products of the random effects may take."""

COPIES = 6
"""Matrices of the size of ``Z'V^{-1}Z`` that are held at once."""

SINGULAR = 1e-10
"""Reciprocal condition number of the information below which it is inverted over its range only."""


@dataclass(frozen=True)
class KenwardRoger:
    """The adjusted covariance, with what the F tests need.

    Attributes:
        phi: (p, p) covariance as estimated. adjusted: (p, p) with the correction for estimating the variances.
        slopes: (r, p, p) ``Phi P_i Phi``, minus the derivative of ``phi`` in each variance parameter. parameters: (r,
            r) covariance of the variance parameters from the expected information.
    """

    phi: FloatArray
    adjusted: FloatArray
    slopes: FloatArray
    parameters: FloatArray

    def df(self, L: FloatArray) -> FloatArray:
        """(m,) degrees of freedom of the t-test of each row of L (m, p); the scale of a single row is one."""
        variance = np.sum((L @ self.phi) * L, axis=1)
        slope = np.sum((L @ self.slopes) * L, axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(2.0 * variance**2 / np.sum(slope * (self.parameters @ slope), axis=0))

    def scaled_f(self, L: FloatArray) -> tuple[float, float]:
        """The scale of the Wald F statistic and its denominator's degrees of freedom, for L (r, p) of full row rank.

        Kenward & Roger (1997), section 3.2, in the version of their equations for A1, A2, B and g.
        """
        r = L.shape[0]
        middle = np.linalg.inv(L @ self.phi @ L.T)
        u = middle @ (L @ self.slopes @ L.T)
        traces = np.einsum("kaa->k", u)
        a1 = float(traces @ self.parameters @ traces)
        a2 = float(np.einsum("kab,lba,kl->", u, u, self.parameters))
        return f_scale(r, a1, a2)


def f_scale(r: int, a1: float, a2: float) -> tuple[float, float]:
    """Scale and denominator's degrees of freedom that match two moments of the Wald F statistic on r rows."""
    if not a2 > 0.0:
        return 1.0, float("inf")
    b = (a1 + 6.0 * a2) / (2.0 * r)
    g = ((r + 1.0) * a1 - (r + 4.0) * a2) / ((r + 2.0) * a2)
    base = 3.0 * r + 2.0 * (1.0 - g)
    c1, c2, c3 = g / base, (r - g) / base, (r + 2.0 - g) / base
    v0, v1, v2 = 1.0 + c1 * b, 1.0 - c2 * b, 1.0 - c3 * b
    shrink = 1.0 - a2 / r
    v0 = 0.0 if abs(v0) < 1e-10 else v0
    ratio = 1.0 if abs(shrink) < 1e-10 and abs(v1) < 1e-10 else shrink / v1
    rho = ratio**2 * v0 / (r * v2)
    df = 4.0 + (r + 2.0) / (r * rho - 1.0)
    return (1.0 if abs(df - 2.0) < 1e-2 else df * shrink / (df - 2.0)), df


def kenward_roger(objective: GaussianObjective, solution: LmmSolution) -> KenwardRoger:
    """The adjustment at a REML estimate.

    Raises:
        ModelError: the cross-products of the random effects would not fit into memory.
    """
    check_memory(objective)
    fixed, reduced = objective.reduced.fixed, objective.reduced
    cross = marginal_cross(reduced, solution.phi)
    basis = [by_level(parts, [f.n_levels for f in reduced.elimination.factors]) for parts in _basis(reduced.layout)]
    p_slopes, q_cross, traces = _products(cross, basis)
    phi: FloatArray = np.asarray(np.linalg.inv(cross.xx))  # over sigma^2, in the orthonormal basis, as everything here
    slopes = phi @ p_slopes @ phi
    information = traces - 2.0 * np.einsum("ab,klba->kl", phi, q_cross) + np.einsum("kab,lba->kl", slopes, p_slopes)
    parameters = 2.0 * _inverse(0.5 * (information + information.T))
    inner = q_cross - (p_slopes @ phi)[:, None] @ p_slopes[None]
    correction = 2.0 * phi @ np.einsum("kl,klab->ab", parameters, inner) @ phi
    correction = 0.5 * (correction + correction.T)
    back, scale = fixed.inverse, solution.sigma**2

    def restore(values: FloatArray) -> FloatArray:
        return np.asarray(scale * (back @ values @ back.T))

    return KenwardRoger(restore(phi), restore(phi + correction), restore(slopes), parameters)


def check_memory(objective: GaussianObjective) -> None:
    """Raise ModelError where the cross-products would take more than ``MEMORY_GIB``."""
    needed = COPIES * 8.0 * cells(objective.reduced) / 2**30
    if needed > MEMORY_GIB:
        size = sum(f.q * f.n_levels for f in objective.reduced.elimination.factors)
        raise ModelError(
            f"df='kenward-roger' needs the covariance between all {size:,} random effects, about {needed:,.1f} GiB "
            f"(the limit is {MEMORY_GIB:g}); use df='satterthwaite', which in samples of this size gives the same"
        )


def _basis(layout: Layout) -> list[list[FloatArray]]:
    """For each covariance parameter, its symmetric (q, q) pattern in every factor, zero in all but its own."""
    found = []
    for i, factor in enumerate(layout):
        for row, column in zip(factor.rows, factor.cols, strict=True):
            patterns = [np.zeros((f.q, f.q)) for f in layout]
            patterns[i][row, column] = patterns[i][column, row] = 1.0
            found.append(patterns)
    return found


def _products(cross: MarginalCross, basis: list[Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """``-P_i`` (r, p, p), ``Q_ij`` (r, r, p, p) and the traces (r, r), V first, all over powers of sigma."""
    r, p = len(basis) + 1, cross.xx.shape[0]
    en = [e @ cross.zx for e in basis]
    me = [_times(cross.zz, e) for e in basis]
    slopes, q, traces = np.zeros((r, p, p)), np.zeros((r, r, p, p)), np.zeros((r, r))
    slopes[0] = q[0, 0] = cross.xx
    traces[0, 0] = cross.n
    for i in range(1, r):
        slopes[i] = q[0, i] = q[i, 0] = cross.zx.T @ en[i - 1]
        traces[0, i] = traces[i, 0] = me[i - 1].trace()
        for j in range(1, i + 1):
            q[i, j] = en[i - 1].T @ (cross.zz @ en[j - 1])
            q[j, i] = q[i, j].T
            traces[i, j] = traces[j, i] = _trace(me[i - 1], me[j - 1])
    return slopes, q, traces


def _times(zz: Any, e: Any) -> Any:
    """``zz e``, dense or sparse as ``zz`` is."""
    return zz @ e if not isinstance(zz, np.ndarray) else np.asarray((e.T @ zz.T).T)


def _trace(a: Any, b: Any) -> float:
    """Trace of ``a b``."""
    if isinstance(a, np.ndarray):
        return float(np.sum(a * b.T))
    return float(a.multiply(b.T).sum())


def _inverse(information: FloatArray) -> FloatArray:
    """The inverse of the information, over its range where it is singular."""
    size = np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information / np.outer(size, size)
    values, vectors = np.linalg.eigh(scaled)
    kept = values > SINGULAR * values[-1]
    roots = (vectors[:, kept] / np.sqrt(values[kept])) / size[:, None]
    return np.asarray(roots @ roots.T)
