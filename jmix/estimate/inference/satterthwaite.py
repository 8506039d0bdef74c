"""What Satterthwaite's degrees of freedom need: how the covariance of the fixed effects moves with the parameters.

The variance parameters are ``(theta, sigma)``, as in lmerTest (Kuznetsova, Brockhoff & Christensen 2017, J. Stat.
Softw. 82(13)). Everything follows from the reduced cross-product ``[X y]'V^{-1}[X y]`` and its k derivatives in theta;
no row of the data is touched.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate.lmm import LmmSolution
from jmix.estimate.objective import GaussianObjective
from jmix.likelihood.gaussian import reduce
from jmix.likelihood.structure import GaussianStats, Layout

FloatArray = npt.NDArray[np.float64]

FLAT = 1e-8
"""Share of the largest curvature, each parameter scaled to curvature one, below which a direction is flat: the
likelihood does not identify it, so it carries no information about the covariance of the fixed effects."""


@dataclass(frozen=True)
class CovarianceCurve:
    """The covariance of the fixed effects as a function of the variance parameters, at the estimates.

    Attributes:
        vcov: (p, p) at the estimates. gradients: (k + 1, p, p) its derivatives in theta and sigma.
        parameters: (k + 1, k + 1) asymptotic covariance of theta and sigma.
    """

    vcov: FloatArray
    gradients: FloatArray
    parameters: FloatArray

    def df(self, L: FloatArray) -> FloatArray:
        """(m,) Satterthwaite's degrees of freedom of the rows of L (m, p).

        ``2 v^2 / (g'A g)`` with ``v = l'V l``, g its gradient and A the covariance of the parameters (Giesbrecht &
        Burns 1985, Biometrics 41, eq. 4.2; Fai & Cornelius 1996, J. Stat. Comput. Simul. 54).
        """
        variance = np.sum((L @ self.vcov) * L, axis=1)
        gradient = np.sum((L @ self.gradients) * L, axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = gradient / variance
            return np.asarray(2.0 / np.sum(relative * (self.parameters @ relative), axis=0))


def covariance_curve(objective: GaussianObjective, solution: LmmSolution, *, reml: bool) -> CovarianceCurve:
    """The covariance of the fixed effects with its derivatives, from k forward derivatives of the reduction.

    Args:
        solution: an optimum of the restricted (``reml``) or full likelihood.
    """
    fixed, p, back = objective.reduced.fixed, objective.p, objective.to_phi
    gram, slopes = _SLOPES(solution.phi, objective.device_stats, layout=objective.reduced.layout)
    gram, slopes = np.asarray(gram), np.einsum("jab,ji->iab", np.asarray(slopes), back)
    sigma, inverse = solution.sigma, np.linalg.inv(gram[:p, :p])
    root = fixed.inverse @ inverse
    in_theta = -(sigma**2) * (root @ slopes[:, :p, :p] @ root.T)
    vcov = sigma**2 * root @ fixed.inverse.T
    contrast = np.append(-inverse @ gram[:p, p], 1.0)
    rss_slopes = (fixed.y_scale / sigma) ** 2 * (slopes @ contrast @ contrast)
    nu = objective.n - p if reml else objective.n
    hessian = joint_hessian(profiled_hessian(objective, solution, reml=reml), rss_slopes, nu)
    unit = np.append(np.ones(len(solution.theta)), sigma)
    return CovarianceCurve(
        vcov=vcov,
        gradients=np.concatenate([in_theta, 2.0 / sigma * vcov[None]]),
        parameters=2.0 * unit[:, None] * generalized_inverse(hessian) * unit[None, :],
    )


def profiled_hessian(objective: GaussianObjective, solution: LmmSolution, *, reml: bool) -> FloatArray:
    """(k, k) exact Hessian of the profiled criterion in theta; computed where the search was cut short before it."""
    k = objective.spec.n_theta
    known = solution.hessian
    if known.shape == (k, k) and np.all(np.isfinite(known)) and not solution.status.interrupted:
        return known
    at, back = objective.full(solution.phi, reml), objective.to_phi
    assert at.hessian is not None
    return np.asarray(back.T @ at.hessian @ back)


def joint_hessian(profiled: FloatArray, rss_slopes: FloatArray, nu: int) -> FloatArray:
    """(k + 1, k + 1) Hessian of the deviance in theta and sigma over its estimate, from the one profiled in theta.

    With ``d = l(theta) + nu log sigma^2 + r(theta) / sigma^2`` and ``sigma^2 = r / nu``. In these units it does not
    depend on those of the response.

    Args:
        rss_slopes: (k,) derivatives of the penalised residual sum of squares r, over sigma^2. nu: n, or n - p after
            REML.
    """
    k = profiled.shape[0]
    out = np.empty((k + 1, k + 1))
    out[:k, :k] = profiled + np.outer(rss_slopes, rss_slopes) / nu
    out[:k, k] = out[k, :k] = -2.0 * rss_slopes
    out[k, k] = 4.0 * nu
    return out


def generalized_inverse(hessian: FloatArray) -> FloatArray:
    """The inverse over the directions of positive curvature; a direction without any is left out, as in lmerTest."""
    size = np.sqrt(np.abs(np.diag(hessian)))
    scale = 1.0 / np.where(size > FLAT * float(size.max(initial=0.0)), size, 1.0)
    values, vectors = np.linalg.eigh(scale[:, None] * hessian * scale[None, :])
    kept = values > FLAT * max(float(values[-1]), 1.0)
    roots = (scale[:, None] * vectors[:, kept]) / np.sqrt(values[kept])
    return np.asarray(roots @ roots.T)


def _slopes(phi: jax.Array, stats: GaussianStats, layout: Layout) -> tuple[jax.Array, jax.Array]:
    """The reduced cross-product (p + 1, p + 1) and its derivatives (k, p + 1, p + 1)."""
    gram, push = jax.linearize(lambda t: reduce(t, stats, layout)[1], phi)
    return gram, jax.lax.map(push, jnp.eye(phi.shape[0], dtype=phi.dtype))


_SLOPES = runtime.Program(_slopes, static=("layout",))
