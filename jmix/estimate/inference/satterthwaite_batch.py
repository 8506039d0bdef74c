"""Satterthwaite's degrees of freedom of thousands of refits of one design, in one vmapped program.

As ``satterthwaite.covariance_curve``, without the data of each response: the covariance of the fixed effects depends
on the response through the parameters alone, and where the profiled criterion is stationary the slope of the residual
sum of squares is ``-sigma^2`` times that of the log determinants.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate.inference.satterthwaite import generalized_inverse, joint_hessian
from jmix.estimate.objective import GaussianObjective
from jmix.estimate.refit import RefitSolutions, batch_size
from jmix.likelihood.gaussian import reduce
from jmix.likelihood.structure import GaussianStats, Layout

FloatArray = npt.NDArray[np.float64]


def batch_df(objective: GaussianObjective, solutions: RefitSolutions, L: FloatArray, *, reml: bool) -> FloatArray:
    """(R, m) degrees of freedom of the rows of L (m, p) for every response.

    Args:
        objective: of the design, with any response. solutions: optima of the restricted (``reml``) or full likelihood.
    """
    size = max(1, batch_size(objective) // max(1, objective.spec.n_theta))
    count = len(solutions)
    width = min(size, 1 << max(count - 1, 0).bit_length())
    parts = []
    for start in range(0, count, width):
        phi = solutions.phi[np.minimum(np.arange(start, start + width), count - 1)]
        found = _SLOPES(phi, objective.device_stats, layout=objective.reduced.layout, p=objective.p)
        parts.append([np.asarray(a)[: count - start] for a in found])
    gram, slopes, log_slopes = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return _degrees(objective, solutions, L, reml, (gram, slopes, log_slopes))


def _degrees(
    objective: GaussianObjective,
    solutions: RefitSolutions,
    L: FloatArray,
    reml: bool,
    curves: tuple[FloatArray, FloatArray, FloatArray],
) -> FloatArray:
    gram, slopes, log_slopes = curves
    back, sigma = objective.to_phi, solutions.sigma
    slopes = np.einsum("rjab,ji->riab", slopes, back)
    inverse = np.linalg.inv(gram)
    log_slopes = log_slopes @ back
    if reml:
        log_slopes = log_slopes + np.einsum("rab,riba->ri", inverse, slopes)
    # in the basis of the reduction l'V l is a quadratic form in (F'l)' G^{-1}
    root = np.einsum("ma,rab->rmb", L @ objective.reduced.fixed.inverse, inverse)
    in_theta = -np.einsum("rma,riab,rmb->rmi", root, slopes, root)
    variance = np.einsum("mi,rij,mj->rm", L, solutions.vcov / sigma[:, None, None] ** 2, L)
    gradient = np.concatenate([in_theta, 2.0 * variance[:, :, None]], axis=2)
    nu = objective.n - objective.p if reml else objective.n
    out = np.empty(variance.shape)
    for r in range(len(solutions)):
        hessian = joint_hessian(solutions.hessian[r], -log_slopes[r], nu)
        spread = 2.0 * np.einsum("mk,kl,ml->m", gradient[r], generalized_inverse(hessian), gradient[r])
        with np.errstate(divide="ignore", invalid="ignore"):
            out[r] = 2.0 * variance[r] ** 2 / spread
    return out


def _slopes(phi: jax.Array, stats: GaussianStats, layout: Layout, p: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of all phi (R, k): ``X'V^{-1}X`` (R, p, p), its derivatives (R, k, p, p), those of log|M| (R, k)."""

    def curve(at: jax.Array) -> tuple[jax.Array, jax.Array]:
        logdet, gram = reduce(at, stats, layout)
        return gram[:p, :p], logdet

    def one(at: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        (gram, _), push = jax.linearize(curve, at)
        slopes, logs = jax.vmap(push)(jnp.eye(at.shape[0], dtype=at.dtype))
        return gram, slopes, logs

    return jax.vmap(one)(phi)


_SLOPES = runtime.Program(_slopes, static=("layout", "p"))
