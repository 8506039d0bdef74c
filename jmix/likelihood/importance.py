"""The exact marginal likelihood of any random structure, by quasi-Monte Carlo about the Laplace approximation.

With the mode u^, ``M = C C'`` and ``u = u^ + C^{-T} z``, the likelihood is Laplace's approximation times

    E_z exp( sum_i r_i ),   r_i = l_i(eta_i) - l_i(eta^_i) - l_i' (eta_i - eta^_i) + W_i (eta_i - eta^_i)^2 / 2,

over standard normal z, because the terms of first and second order of ``h`` at its maximum are those of the normal
density (Shun & McCullagh 1995, J. R. Stat. Soc. B 57, 749-760; Durbin & Koopman 1997, Biometrika 84, 669-684). Back
substitution draws the tail of crossed factors first and then each chain factor given the later ones, so that

- the chain is integrated by adaptive Gauss-Hermite quadrature, level within level, as for a nested model: exactly, but
  for the nodes; without a tail nothing random is left;
- only the tail's z, of dimension Q2, is sampled: scrambled Sobol points mapped to a multivariate t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.likelihood.backward import back_substitute
from jmix.likelihood.gaussian import Eliminated, eliminate, segment_sum_last
from jmix.likelihood.glmm_rows import aux, row_derivatives, row_log_density, split_x
from jmix.likelihood.laplace import Laplace, LaplaceData
from jmix.likelihood.laplace_solve import Effects
from jmix.likelihood.reweighted import Crossing, spread, weighted_stats
from jmix.numerics.quadrature import Rule, gauss_hermite

FloatArray = npt.NDArray[np.float64]

GRID = 256
"""Nodes of the whole chain, all its random effects together, at most by default."""

NODES = 15
"""Nodes of one random effect at most by default."""

NUMBERS = 1 << 22
"""Rows times nodes that are evaluated at once."""

DEGREES = 10
"""Degrees of freedom of the sampled t, above twice its dimension: few enough to bound the weights."""

SOBOL_MAX = 21_200
"""Most dimensions of a Sobol sequence, one of which scales the t."""

RELIABLE = 0.1
"""Share of the draws that the effective sample size must reach."""


class Proposal(NamedTuple):
    """What all draws share: the linear predictor, and to second order the rows' log densities about the mode."""

    done: Eliminated
    eta: jax.Array
    density: jax.Array
    slope: jax.Array
    weights: jax.Array


def propose(approx: Laplace, x: jax.Array, data: LaplaceData, u: Effects) -> Proposal:
    """The normal approximation at the mode u."""
    eta = approx.linear_predictor(x, data, u)
    density, slope, weights = row_derivatives(eta, data.rows, aux(x, data.rows, approx.plan), approx.plan)
    zeros = [jnp.zeros(size, eta.dtype) for size in approx.sizes]
    stats = weighted_stats(data.crossing, weights, zeros)
    return Proposal(eliminate(split_x(x, approx.plan).theta, stats, approx.plan.layout), eta, density, slope, weights)


def log_ratio(
    approx: Laplace, x: jax.Array, data: LaplaceData, at: Proposal, tail: jax.Array, rules: Sequence[Rule]
) -> jax.Array:
    """Log of the exact integrand over the normal one, the chain integrated out, at one draw of the tail.

    Args:
        tail: (Q2,) standard normal, or what takes its place. rules: nodes of each chain factor.
    """
    n_chain = len(data.crossing.parents)
    sizes = () if data.crossing.tail is None else data.crossing.tail.sizes
    extra, noise, start = aux(x, data.rows, approx.plan), [], 0
    for q, j in sizes:
        noise.append(tail[start : start + q * j].reshape(j, q).T)
        start += q * j

    def remainder(*nodes: jax.Array) -> jax.Array:
        """(J,) sums by level of the finest factor, for one node of each chain factor."""
        own = [jnp.broadcast_to(z[:, None], s) for z, s in zip(nodes, approx.sizes[:n_chain], strict=True)]
        moved = spread(data.crossing, back_substitute(at.done, sizes, own + noise))
        density = row_log_density(at.eta + moved, data.rows, extra, approx.plan)
        rest = density - at.density - moved * (at.slope - 0.5 * at.weights * moved)
        return data.crossing.factors[0].total(rest)

    # the axes of the result: nodes of each chain factor, finest last, then levels of the finest
    grid = remainder
    for i in range(n_chain):
        grid = jax.vmap(grid, in_axes=tuple(0 if k == i else None for k in range(n_chain)))
    return _integrate(grid(*(jnp.asarray(rule.nodes) for rule in rules)), rules, data.crossing)


def _integrate(values: jax.Array, rules: Sequence[Rule], crossing: Crossing) -> jax.Array:
    """Sum over the nodes of each chain factor in turn, and over its levels into those of the next."""
    for i, rule in enumerate(rules):
        values = jax.nn.logsumexp(values + jnp.asarray(rule.log_weights)[:, None], axis=-2)
        if i + 1 < len(rules):
            values = segment_sum_last(values, crossing.parents[i][0], crossing.factors[i + 1].total.size)
    return jnp.sum(values)


def log_ratios(
    approx: Laplace, x: jax.Array, data: LaplaceData, u: Effects, tails: jax.Array, rules: Sequence[Rule], batch: int
) -> jax.Array:
    """``log_ratio`` (D,) at D draws of the tail (D, Q2), ``batch`` of them at once."""
    at = propose(approx, x, data, u)
    return jax.lax.map(lambda z: log_ratio(approx, x, data, at, z, rules), tails, batch_size=batch)


@dataclass(frozen=True)
class Importance:
    """A log likelihood by importance sampling.

    Attributes:
        loglik: the estimate. se: its standard error from independent scramblings; 0 where nothing is sampled.
        laplace: Laplace's approximation at the same parameters. effective: effective sample size as a share of the
            draws. draws: their number, all scramblings together. nodes: of the grid over each chain factor.
        warning: why the estimate is not to be relied on, or "".
    """

    loglik: float
    se: float
    laplace: float
    effective: float
    draws: int
    nodes: tuple[int, ...]
    warning: str


def chain_rules(approx: Laplace, n_chain: int, nodes: int | None = None) -> tuple[Rule, ...]:
    """Gauss-Hermite rules of each chain factor.

    Args:
        nodes: of each random effect; None for as many as make ``GRID`` in all, 3 to ``NODES``.

    Raises:
        ModelError: too many nodes in all.
    """
    qs = [q for q, _ in approx.sizes[:n_chain]]
    if nodes is None:
        nodes = int(np.clip(GRID ** (1.0 / sum(qs)) + 1e-9, 3, NODES))
    rules = tuple(gauss_hermite(nodes, q) for q in qs)
    total = float(np.prod([float(r.nodes.shape[0]) for r in rules]))
    if total > 100 * GRID:
        raise ModelError(
            f"{nodes} nodes for each of {sum(qs)} random effects make {total:.3g} nodes; use fewer nodes, or fewer "
            "columns in the random terms"
        )
    return rules


def tail_points(n: int, size: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Scrambled Sobol points of a multivariate t: (N, Q2) points, and (N,) log of the normal over the t density.

    Args:
        n: draws, rounded up to a power of two. size: Q2.

    Raises:
        ModelError: more dimensions than a Sobol sequence has.
    """
    from scipy.special import gammaln, ndtri
    from scipy.stats import chi2, qmc

    if size > SOBOL_MAX:
        raise ModelError(f"{size} crossed random effects are more than the {SOBOL_MAX} that can be sampled")
    uniform = qmc.Sobol(size + 1, scramble=True, seed=seed).random_base2(max(0, int(np.ceil(np.log2(n)))))
    uniform = np.clip(uniform, 2.0**-54, 1.0 - 2.0**-53)
    degrees = DEGREES + 2 * size
    points = ndtri(uniform[:, :size]) * np.sqrt(degrees / chi2.ppf(uniform[:, size:], degrees))
    square = np.sum(points**2, axis=1)
    constant = gammaln((degrees + size) / 2) - gammaln(degrees / 2) - 0.5 * size * np.log(degrees / 2)
    return points, 0.5 * (degrees + size) * np.log1p(square / degrees) - 0.5 * square - constant


def summarise(laplace: float, logs: FloatArray, nodes: tuple[int, ...]) -> Importance:
    """The estimate from the log weights (R, N) of R scramblings of N draws each."""
    top = float(np.max(logs))
    weights = np.exp(logs - top)
    means = weights.mean(axis=1)
    mean = float(means.mean())
    count = logs.shape[0]
    se = float(np.std(means, ddof=1) / mean / np.sqrt(count)) if count > 1 else 0.0
    effective = float(weights.sum() ** 2 / np.sum(weights**2) / weights.size)
    warning = ""
    if not np.isfinite(mean):
        warning = "the importance weights are not finite; the mode or the parameters are out of range"
    elif effective < RELIABLE and logs.size > 1:
        warning = (
            f"the effective sample size is {100 * effective:.2g}% of {logs.size} draws: the estimate and its standard "
            "error are not reliable; the crossed factor has too many levels, or too few rows a level, for importance "
            "sampling: compare with .sample(marginal=False)"
        )
    return Importance(laplace + top + float(np.log(mean)), se, laplace, effective, logs.size, nodes, warning)
