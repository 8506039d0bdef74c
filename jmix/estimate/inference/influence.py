"""Groups of rows left out of a linear mixed model, all at once.

Leaving out the rows of group g leaves the profiled criterion ``f_g`` of the remaining ones, with its exact gradient and
Hessian at the estimates. One Newton step from there in theta, followed by the closed form of beta and sigma given
theta, approximates a refit to second order; a full search in vmapped lanes is the refit.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate.objective import GaussianObjective
from jmix.likelihood.gaussian import reduce
from jmix.likelihood.structure import GaussianStats, Layout

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

LANE_BYTES = 1 << 27
"""Cross-products of the lanes that are worked on together."""

CURVED = 1e-8
"""Least eigenvalue of a Hessian, relative to its largest, for a Newton step."""

RADIUS = 2.0
"""Longest step in the basis of the objective."""

NEAR_ZERO = 1e-2
"""Scale of a column of Lambda up to which it steps as it is."""

APART = 0.03
"""Standard errors of theta by which steps in theta and in its logarithm may differ before a refit is better."""

RANK = 1e-9
"""Least eigenvalue of the fixed effects' cross-product without a group, relative to that of all rows."""


def _reduce_all(phi: jax.Array, stats: GaussianStats, layout: Layout) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(lambda t: reduce(t, stats, layout))(phi)


_REDUCE_ALL = runtime.Program(_reduce_all, static=("layout",))


@dataclass(frozen=True)
class LeftOut:
    """The fit without each of G groups.

    Attributes:
        phi: (G, k), theta in the basis of the objective. gamma: (G, p + 1), coefficients of ``[X~ e]`` that give the
            residuals over y_scale. inverse: (G, p, p) of X~'V^{-1}X~. rss: (G,), over y_scale^2. n: (G,) rows left.
        doubt: (G,) of one step, see ``steps``; zero for refits, NaN for groups not yet worked on.
        converged: (G,). logdet: (G,) and gram: (G, p + 1, p + 1), ``log|M|`` and the reduced cross-product of all rows
            at phi; NaN where they are still to be evaluated.
    """

    phi: FloatArray
    gamma: FloatArray
    inverse: FloatArray
    rss: FloatArray
    n: IntArray
    doubt: FloatArray
    converged: BoolArray
    logdet: FloatArray
    gram: FloatArray


def steps(
    phi: FloatArray, gradient: FloatArray, hessian: FloatArray, whole: FloatArray, diagonal: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Newton steps (G, k) and how doubtful each is (G,).

    Scales of columns of Lambda step in their logarithms, in which the criterion is nearer to a parabola. The doubt is
    the distance, in standard errors of theta, from where the plain step in theta ends; infinite where the criterion is
    not convex.

    Args:
        gradient: (G, k). hessian: (G, k, k). whole: (k, k) Hessian of all rows, where that of a lane is not positive
            definite. diagonal: (k,) entries that are scales of columns of Lambda.
    """
    if phi.size == 0:
        return np.zeros_like(gradient), np.zeros(gradient.shape[0])
    plain, bad = _newton(gradient, hessian, whole)
    logs = diagonal & (phi > NEAR_ZERO)
    jacobian = np.where(logs, phi, 1.0)
    curved = hessian * jacobian[:, None] * jacobian
    place = np.arange(phi.size)
    curved[:, place, place] += np.where(logs, gradient * phi, 0.0)
    own, other = _newton(gradient * jacobian, curved, whole * jacobian[:, None] * jacobian)
    moved = np.where(logs, phi * np.expm1(np.clip(own, -3.0, 3.0)), own)
    difference = moved - plain
    far = np.einsum("ga,ab,gb->g", difference, whole, difference)
    return moved, np.where(bad | other, np.inf, np.sqrt(0.5 * np.maximum(far, 0.0)))


def _newton(gradient: FloatArray, hessian: FloatArray, whole: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Newton steps, and where the Hessian is not positive definite or the step is out of all proportion."""
    usable = np.all(np.isfinite(hessian), axis=(1, 2)) & np.all(np.isfinite(gradient), axis=1)
    safe = np.where(usable[:, None, None], hessian, whole)
    values = np.linalg.eigvalsh(safe)
    convex = values[:, 0] > CURVED * np.abs(values[:, -1])
    top = np.linalg.eigvalsh(whole)
    fallback = whole + np.eye(whole.shape[0]) * max(0.0, 1e-6 * abs(float(top[-1])) - float(top[0]))
    safe = np.where(convex[:, None, None], safe, fallback)
    step = -np.linalg.solve(safe, np.where(usable[:, None], gradient, 0.0)[:, :, None])[:, :, 0]
    length = np.linalg.norm(step, axis=1)
    step *= np.minimum(1.0, RADIUS / np.maximum(length, 1e-300))[:, None]
    return step, ~usable | ~convex | (length > RADIUS)


def scales(objective: GaussianObjective) -> BoolArray:
    """(k,) which entries of phi are diagonal entries of Lambda."""
    spec = objective.spec
    return np.asarray(spec.join([np.eye(t.q) for t in spec.terms]) == 1.0)


def closed_form(gram: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Coefficients gamma (G, p + 1), the inverse of the fixed block (G, p, p) and the residual sum of squares (G,).

    NaN where the remaining rows do not determine the fixed effects.
    """
    p = gram.shape[1] - 1
    block = 0.5 * (gram[:, :p, :p] + np.swapaxes(gram[:, :p, :p], 1, 2))
    inverse = np.full(block.shape, np.nan)
    finite = np.all(np.isfinite(block), axis=(1, 2))
    if p:
        values = np.linalg.eigvalsh(np.where(finite[:, None, None], block, np.eye(p)))
        finite &= values[:, 0] > RANK * values[:, -1]
    inverse[finite] = np.linalg.inv(block[finite])
    coefficients = np.einsum("gab,gb->ga", inverse, gram[:, :p, p])
    gamma = np.concatenate([-coefficients, np.ones((gram.shape[0], 1))], axis=1)
    rss = np.einsum("ga,gab,gb->g", gamma, gram, gamma)
    return gamma, inverse, rss


def nothing_yet(objective: GaussianObjective, counts: IntArray) -> LeftOut:
    """Arrays of NaN for groups with so many rows (G,)."""
    g, k, p = counts.size, objective.spec.n_theta, objective.p
    return LeftOut(
        np.full((g, k), np.nan),
        np.full((g, p + 1), np.nan),
        np.full((g, p, p), np.nan),
        np.full(g, np.nan),
        objective.n - counts,
        np.full(g, np.nan),
        np.zeros(g, dtype=bool),
        np.full(g, np.nan),
        np.full((g, p + 1, p + 1), np.nan),
    )


def fill(
    out: LeftOut, part: IntArray, phi: FloatArray, gram: FloatArray, doubt: FloatArray, done: BoolArray | None = None
) -> None:
    """Enter what follows from phi and the reduced cross-product of the remaining rows, for the groups ``part``."""
    m = part.size
    gamma, inverse, rss = closed_form(gram[:m])
    out.phi[part], out.gamma[part], out.inverse[part], out.rss[part] = phi[:m], gamma, inverse, rss
    out.doubt[part] = doubt[:m]
    out.converged[part] = np.isfinite(rss) & (np.isfinite(doubt[:m]) if done is None else done[:m])


def criteria(objective: GaussianObjective, out: LeftOut, sigma2: FloatArray, *, reml: bool) -> FloatArray:
    """(G,) -2 times the log likelihood of all rows at the estimates without each group; restricted after REML.

    Args:
        sigma2: (G,) residual variances over y_scale^2.
    """
    _evaluate_all_rows(objective, out)
    p, n = objective.p, objective.n
    gamma = closed_form(out.gram)[0] if reml else out.gamma
    rss = np.einsum("ga,gab,gb->g", gamma, out.gram, gamma)
    nu = n - p if reml else n
    value = nu * np.log(sigma2) + rss / sigma2 + out.logdet
    return value + (np.linalg.slogdet(out.gram[:, :p, :p])[1] if reml else 0.0)


def _evaluate_all_rows(objective: GaussianObjective, out: LeftOut) -> None:
    """Fill in ``logdet`` and ``gram`` where they are missing."""
    known = np.flatnonzero(np.all(np.isfinite(out.phi), axis=1) & np.isfinite(out.rss) & np.isnan(out.logdet))
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(objective.reduced.stats))
    step = max(1, min(256, LANE_BYTES // max(1, size)))
    for start in range(0, known.size, step):
        part = known[start : start + step]
        lanes = np.resize(part, min(step, 1 << max(part.size - 1, 0).bit_length()))
        logdet, gram = _REDUCE_ALL(out.phi[lanes], objective.device_stats, layout=objective.reduced.layout)
        out.logdet[part], out.gram[part] = np.asarray(logdet)[: part.size], np.asarray(gram)[: part.size]
