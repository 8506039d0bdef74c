"""Nodes and log weights for integrals over a standard normal vector.

A rule of K nodes x_k in q dimensions with weights omega_k approximates ``E f(z) = sum_k omega_k f(x_k)``, ``z ~ N(0,
I)``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError

FloatArray = npt.NDArray[np.float64]

LARGEST = 100
"""Most nodes per dimension: beyond about 180, the outermost weights underflow."""

DEGREES = 5.0
"""Degrees of freedom of the points of quasi-Monte Carlo."""

LARGEST_GRID = 2_000_000
"""Most nodes of a tensor grid."""


class Rule(NamedTuple):
    """Nodes (K, q) and the logs of their weights (K,)."""

    nodes: FloatArray
    log_weights: FloatArray


def gauss_hermite(n: int, q: int = 1, prune: float = 0.0) -> Rule:
    """The tensor product of n-point Gauss-Hermite rules for N(0, I), exact for polynomials to degree 2n - 1 in each
    coordinate.

    Args:
        n: nodes per dimension. q: dimensions. prune: leave out nodes whose weight is below this share of the largest
            (Jaeckel 2005); 0 keeps all.

    Raises:
        ModelError: n or the grid is out of range.
    """
    if not 1 <= n <= LARGEST:
        raise ModelError(f"n_agq={n} is out of range: use 1 to {LARGEST} nodes per dimension")
    if n**q > LARGEST_GRID:
        raise ModelError(
            f"{n} nodes in each of {q} dimensions make {n**q:,} nodes: use fewer (n_agq), n_agq=1 (Laplace), or "
            'method="qmc"'
        )
    x, w = np.polynomial.hermite_e.hermegauss(n)
    x, log_w = 0.5 * (x - x[::-1]), np.log(w / w.sum())
    nodes = np.stack(np.meshgrid(*[x] * q, indexing="ij"), axis=-1).reshape(-1, q)
    logs = sum(np.meshgrid(*[log_w] * q, indexing="ij"), np.zeros(())).reshape(-1)
    if prune > 0:
        kept = logs >= logs.max() + np.log(prune)
        nodes, logs = nodes[kept], logs[kept]
        logs = logs - np.log(np.exp(logs).sum())
    return Rule(np.ascontiguousarray(nodes), np.asarray(logs))


def sobol_normal(n: int, q: int, seed: int) -> Rule:
    """Randomised quasi-Monte Carlo for N(0, I): scrambled Sobol points (Owen 1998) mapped to Student's t, reweighted.

    Centred at a mode and scaled by its curvature, a normal has lighter tails than most posteriors, and importance
    weights without variance. Independent t variables of ``DEGREES`` degrees of freedom bound the weights.

    Args:
        n: points, rounded up to a power of two. q: dimensions. seed: of the scrambling; rules of different seeds are
            independent and unbiased.

    Raises:
        ModelError: n is out of range.
    """
    from scipy.special import gammaln, stdtrit
    from scipy.stats import qmc

    if n < 1 or n > LARGEST_GRID:
        raise ModelError(f"n_points={n} is out of range: use 1 to {LARGEST_GRID:,} points")
    power = max(0, int(np.ceil(np.log2(n))))
    uniform = qmc.Sobol(q, scramble=True, seed=seed).random_base2(power)
    nodes = stdtrit(DEGREES, np.clip(uniform, 2.0**-54, 1.0 - 2.0**-53))
    constant = gammaln((DEGREES + 1.0) / 2) - gammaln(DEGREES / 2) - 0.5 * np.log(DEGREES / 2)
    ratio = -0.5 * nodes**2 + 0.5 * (DEGREES + 1.0) * np.log1p(nodes**2 / DEGREES) - constant
    return Rule(np.ascontiguousarray(nodes), ratio.sum(axis=1) - np.log(nodes.shape[0]))


def scrambling_error(estimates: FloatArray) -> float:
    """Standard error of the mean of log likelihoods computed with R independent scramblings (R,)."""
    count = estimates.shape[0]
    return float(np.std(estimates, ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
