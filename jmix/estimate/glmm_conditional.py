"""Draws of the random effects of a generalized model from their distribution given the data and the parameters.

Scalar effects of one grouping factor are drawn by inverting their distribution function, which is known on a grid about
the mode: exact but for the grid. Vector effects, and those of several factors, are drawn from a distribution near
theirs, a multivariate t or normal one about the mode, and one of ``PROPOSALS`` is kept with a probability in proportion
to its importance weight (Rubin 1987, J. Am. Stat. Assoc. 82): the bias vanishes as one over their number, and with the
variance of the weights.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jmix.estimate.coordinates import lower_inverse
from jmix.likelihood import adaptive_groups as groups
from jmix.likelihood.backward import effects
from jmix.likelihood.glmm_rows import aux, fixed_eta, lambdas, row_derivatives, row_log_density, split_x
from jmix.likelihood.implicit import over_parts
from jmix.likelihood.reweighted import collect, spread, weighted_stats

PROPOSALS = 32
"""Proposals for a draw of vector effects."""

HALF_DF = 4
"""Half the degrees of freedom of the proposals by group."""

GRID, FINE = 33, 4
"""Points of the grid of a scalar effect, and cells into which each of its intervals is divided."""

PROBES = (2.0, 3.5, 5.0, 6.5, 9.0, 13.0, 20.0)
"""Where, in Laplace's standard deviations from the mode, the density is looked at to find how far the grid must go."""

DEEP = 18.0
"""Log density below its maximum at which it is left out."""


class Drawn(NamedTuple):
    """Effects on the data scale: draws, and means and variances given the parameters."""

    draws: Any
    mean: Any
    variance: Any


# --- scalar effects of one factor -------------------------------------------------------------------------------------
def scalar_effects(x: jax.Array, data: Any, centres: Any, uniform: jax.Array, approx: Any) -> Drawn:
    """Draws (parts, R, J), means and variances (parts, J), of the effects of the merged groups.

    Args:
        uniform: (parts, R, J) uniform numbers, R for each place.
    """
    u, _ = approx.find_mode(x, data, centres)

    def own(inner: Any, part: Any, at: Any) -> tuple[tuple[()], Drawn]:
        return (), _inverted(inner, part, x, *at)

    return over_parts(own, approx, data, (u, uniform))[1]


def _inverted(inner: Any, part: Any, x: jax.Array, u: jax.Array, uniform: jax.Array) -> Drawn:
    """Draws of one part, u (1, J) its modes, by inverting the distribution function."""
    plan = inner.plan
    at = groups.fixed(x, part, plan)

    def height(v: jax.Array) -> jax.Array:
        return groups.integrand(at, part, v[None], plan)

    curvature = groups.precision(at.lam, groups.expand(at, part, u, plan).safe)[0][0]
    sd, centre, top = jax.lax.rsqrt(curvature), u[0], height(u[0])
    low, high = (_reach(height, centre, sd, top, sign) for sign in (-1.0, 1.0))
    share = jnp.linspace(0.0, 1.0, GRID)[:, None]
    t = -low + (low + high) * share
    h = jax.lax.map(height, centre + sd * t) if part.rows.y.size > 4096 else jax.vmap(height)(centre + sd * t)
    # relative to the normal approximation the log density is nearly flat
    rest = jnp.maximum(jnp.where(jnp.isnan(h), -jnp.inf, h) - top, -4.0 * DEEP) + 0.5 * t * t
    fine = jnp.linspace(0.0, 1.0, FINE * (GRID - 1) + 1)[:, None]
    s = -low + (low + high) * fine
    log_density = _refined(rest) - 0.5 * s * s
    v = centre + sd * s
    draws, mean, variance = _from_cells(v, log_density, uniform)
    lam = at.lam[0, 0]
    return Drawn(lam * draws, lam * mean, lam**2 * variance)


def _reach(height: Any, centre: jax.Array, sd: jax.Array, top: jax.Array, sign: float) -> jax.Array:
    """(J,) how many standard deviations the grid goes to one side."""
    found = jnp.full_like(centre, PROBES[0])
    for near, far in pairwise(PROBES):
        found = jnp.where(height(centre + sign * near * sd) > top - DEEP, far, found)
    return found


def _refined(values: jax.Array) -> jax.Array:
    """Values at ``FINE`` times as many points: quadratic within each interval, with the mean of the second differences
    at its ends, limited where these differ much, so that nothing overshoots.
    """
    weights = jnp.arange(FINE)[:, None] / FINE
    inner = values[2:] - 2.0 * values[1:-1] + values[:-2]
    bend = jnp.concatenate([inner[:1], inner, inner[-1:]])
    left, right = bend[:-1], bend[1:]
    least = jnp.where(left * right > 0, jnp.minimum(jnp.abs(left), jnp.abs(right)), 0.0)
    mean = 0.5 * (left + right)
    bend = jnp.sign(mean) * jnp.minimum(jnp.abs(mean), 2.0 * least)
    between = values[:-1, None] * (1.0 - weights) + values[1:, None] * weights
    between -= 0.5 * bend[:, None] * weights * (1.0 - weights)
    return jnp.concatenate([between.reshape(-1, values.shape[1]), values[-1:]])


def _from_cells(v: jax.Array, log_density: jax.Array, uniform: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Draws (R, J), means and variances (J,) of densities (F, J) that are log-linear between their points v."""
    a, b = log_density[:-1], log_density[1:]
    width, slope = v[1:] - v[:-1], b - a
    flat = jnp.abs(slope) < 1e-6
    safe = jnp.where(flat, 1.0, slope)
    mass = width * jnp.exp(a) * jnp.where(flat, 1.0 + 0.5 * slope, jnp.expm1(safe) / safe)
    total = jnp.sum(mass, axis=0)
    cdf = jnp.cumsum(mass, axis=0) / total
    cell = jnp.minimum(jax.vmap(jnp.searchsorted, 1, 1)(cdf, uniform), mass.shape[0] - 1)

    def pick(values: jax.Array) -> jax.Array:
        return jnp.take_along_axis(values, cell, axis=0)

    before = pick(jnp.concatenate([jnp.zeros_like(cdf[:1]), cdf[:-1]]))
    share = jnp.clip((uniform - before) * total / pick(mass), 0.0, 1.0)
    slope = pick(jnp.where(flat, 0.0, slope))
    steep = jnp.where(slope == 0.0, 1.0, slope)
    within = jnp.where(slope == 0.0, share, jnp.log1p(share * jnp.expm1(steep)) / steep)
    middle, weight = 0.5 * (v[1:] + v[:-1]), mass / total
    mean = jnp.sum(weight * middle, axis=0)
    variance = jnp.sum(weight * (jnp.square(middle - mean) + jnp.square(width) / 12.0), axis=0)
    return pick(v[:-1]) + pick(width) * within, mean, variance


# --- vector effects of one factor -------------------------------------------------------------------------------------
def vector_effects(x: jax.Array, data: Any, centres: Any, key: jax.Array, approx: Any) -> Drawn:
    """Draws, means and variances (parts, q, J) of the effects of groups of which none is merged."""
    u, _ = approx.find_mode(x, data, centres)
    keys = jax.random.split(key, u.shape[0])

    def own(inner: Any, part: Any, at: Any) -> tuple[tuple[()], Drawn]:
        return (), _resampled_by_group(inner, part, x, *at)

    return over_parts(own, approx, data, (u, keys))[1]


def _resampled_by_group(inner: Any, part: Any, x: jax.Array, u: jax.Array, key: jax.Array) -> Drawn:
    plan, (q, j) = inner.plan, u.shape
    at = groups.fixed(x, part, plan)
    c = groups.cholesky(groups.precision(at.lam, groups.expand(at, part, u, plan).safe))
    root = groups.inverse_transpose(c)
    first, second, third = jax.random.split(key, 3)
    chi2 = -2.0 * jnp.sum(jnp.log1p(-jax.random.uniform(first, (PROPOSALS, HALF_DF, j))), axis=1)
    unit = jax.random.normal(second, (PROPOSALS, q, j)) * jnp.sqrt(2.0 * HALF_DF / chi2)[:, None]
    v = u + jnp.einsum("acj,kcj->kaj", root, unit)
    h = jax.lax.map(lambda one: groups.integrand(at, part, one, plan), v)
    log_weight = h + 0.5 * (2.0 * HALF_DF + q) * jnp.log1p(jnp.sum(unit * unit, axis=1) / (2.0 * HALF_DF))
    log_weight = jnp.where(jnp.isnan(log_weight), -jnp.inf, log_weight)
    chosen = jnp.argmax(log_weight + jax.random.gumbel(third, (PROPOSALS, j)), axis=0)
    b = jnp.einsum("ab,kbj->kaj", at.lam, v)
    weight = jax.nn.softmax(log_weight, axis=0)[:, None]
    mean = jnp.sum(weight * b, axis=0)
    variance = jnp.sum(weight * jnp.square(b - mean), axis=0)
    return Drawn(jnp.take_along_axis(b, chosen[None, None], axis=0)[0], mean, variance)


# --- several factors --------------------------------------------------------------------------------------------------
def joint_effects(x: jax.Array, data: Any, centres: Any, key: jax.Array, approx: Any) -> Drawn:
    """Draws, means and variances, (q, J) of each factor in elimination order.

    Proposals come from the Gaussian approximation ``N(u^, M^{-1})``. With ``b = Lambda u`` its log density is
    ``-|u - u^|^2 / 2 - |W^{1/2} Z (b - b^)|^2 / 2`` up to a constant.
    """
    plan, lams = approx.plan, lambdas(x, approx.plan)
    mode, _ = approx.find_mode(x, data, centres)
    fixed, extra = fixed_eta(x, data.rows, plan), aux(x, data.rows, plan)
    centre = [lam @ u for lam, u in zip(lams, mode, strict=True)]
    zb = spread(data.crossing, centre)
    _, slope, weights = row_derivatives(fixed + zb, data.rows, extra, plan)
    stats = weighted_stats(data.crossing, weights, collect(data.crossing, slope + weights * zb))
    inverses = [lower_inverse(lam) for lam in lams]
    theta = split_x(x, plan).theta

    def propose(key: jax.Array) -> tuple[Any, jax.Array]:
        keys = jax.random.split(key, len(lams))
        noise = [jax.random.normal(k, b.shape) for k, b in zip(keys, centre, strict=True)]
        b = effects(theta, stats, jnp.ones(1), plan.layout, noise)
        moved = spread(data.crossing, b)
        density = jnp.sum(row_log_density(fixed + moved, data.rows, extra, plan))
        prior = gap = jnp.zeros(())
        for inverse, own, at in zip(inverses, b, mode, strict=True):
            u = inverse @ own
            prior, gap = prior + jnp.sum(u * u), gap + jnp.sum(jnp.square(u - at))
        return b, density - 0.5 * prior + 0.5 * gap + 0.5 * jnp.sum(weights * jnp.square(moved - zb))

    first, second = jax.random.split(key)
    b, log_weight = jax.lax.map(propose, jax.random.split(first, PROPOSALS))
    log_weight = jnp.where(jnp.isnan(log_weight), -jnp.inf, log_weight)
    chosen = jnp.argmax(log_weight + jax.random.gumbel(second, (PROPOSALS,)))
    weight = jax.nn.softmax(log_weight)[:, None, None]
    mean = [jnp.sum(weight * own, axis=0) for own in b]
    variance = [jnp.sum(weight * jnp.square(own - m), axis=0) for own, m in zip(b, mean, strict=True)]
    return Drawn([own[chosen] for own in b], mean, variance)


def places(position: Any) -> tuple[Any, int]:
    """(J,) which of the draws of its merged group each level takes, and how many the largest group needs."""
    order = np.argsort(position, kind="stable")
    ordered = position[order]
    first = np.searchsorted(ordered, ordered, side="left")
    rank = np.empty(position.size, dtype=np.int64)
    rank[order] = np.arange(position.size) - first
    return rank, int(rank.max(initial=0)) + 1
