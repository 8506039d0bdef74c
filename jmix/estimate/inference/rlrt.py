"""Finite-sample distributions of likelihood-ratio statistics for one variance component, by simulation.

With mu the eigenvalues of ``Z'P0Z`` (P0 the projection off X), xi those of ``Z'Z`` and w standard normal,

    RLRT = sup_lambda (n - p) log(1 + N / D) - sum log(1 + lambda mu),
    N = sum lambda mu w^2 / (1 + lambda mu),    D = sum w^2 / (1 + lambda mu) + chi2(n - p - K),

and LRT has n for n - p and xi for mu in the last sum (Crainiceanu & Ruppert 2004, J. R. Stat. Soc. B 66, 165-185,
theorem 1). Equal eigenvalues are drawn together as one chi-squared variable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix import runtime

FloatArray = npt.NDArray[np.float64]

GRID = 72
"""Values of lambda at which every statistic is computed before the best is refined."""

NEWTON = 6
"""Newton steps from the best value of the grid."""

BATCH_NUMBERS = 4_000_000
"""Simulated numbers held at a time."""


@dataclass(frozen=True)
class Spectrum:
    """Distinct eigenvalues and how often they occur.

    Attributes:
        values: (m,) positive. counts: (m,).
    """

    values: FloatArray
    counts: FloatArray

    @property
    def total(self) -> int:
        """Number of eigenvalues."""
        return int(self.counts.sum())


def spectrum(matrix: FloatArray) -> Spectrum:
    """The positive eigenvalues of a symmetric matrix (J, J), or of a diagonal one given as (J,)."""
    values = np.sort(matrix if matrix.ndim == 1 else np.linalg.eigvalsh(matrix))
    values = values[values > 1e-10 * max(float(values[-1]), 1e-300)]
    new = np.concatenate([[True], np.diff(values) > 1e-9 * values[1:]])
    place = np.cumsum(new) - 1
    counts = np.bincount(place).astype(np.float64)
    return Spectrum(np.bincount(place, values) / counts, counts)


def _statistic(t: Any, w: Any, rest: Any, mu: Any, xi: Any, counts: Any, nu: Any) -> Any:
    """The criterion at ``lambda = exp(t)``, less that at 0."""
    lam = jnp.exp(t)
    taken = jnp.sum(w * (lam * mu / (1.0 + lam * mu)))
    return nu * jnp.log1p(taken / (jnp.sum(w) + rest - taken)) - jnp.sum(counts * jnp.log1p(lam * xi))


def _refine(t: Any, low: Any, high: Any, w: Any, rest: Any, mu: Any, xi: Any, counts: Any, nu: Any) -> Any:
    """The largest value near the best one of the grid."""
    first = jax.grad(_statistic)
    second = jax.grad(first)

    def step(_: Any, at: Any) -> Any:
        args = (at, w, rest, mu, xi, counts, nu)
        slope, curvature = first(*args), second(*args)
        move = jnp.where(curvature < 0, -slope / jnp.where(curvature < 0, curvature, -1.0), 0.0)
        return jnp.clip(at + move, low, high)

    return _statistic(jax.lax.fori_loop(0, NEWTON, step, t), w, rest, mu, xi, counts, nu)


def _suprema(w: Any, rest: Any, mu: Any, xi: Any, counts: Any, nu: Any, grid: Any) -> Any:
    """(R,) suprema over lambda >= 0 for R simulations, w (R, m) and rest (R,)."""
    lam = jnp.exp(grid)
    taken = w @ (lam * mu[:, None] / (1.0 + lam * mu[:, None]))
    left = (jnp.sum(w, axis=1) + rest)[:, None] - taken
    value = nu * jnp.log1p(taken / left) - jnp.sum(counts[:, None] * jnp.log1p(lam * xi[:, None]), axis=0)
    best = jnp.argmax(value, axis=1)
    at, low = grid[best], grid[jnp.maximum(best - 1, 0)]
    high = grid[jnp.minimum(best + 1, grid.shape[0] - 1)]
    refined = jax.vmap(_refine, in_axes=(0, 0, 0, 0, 0, None, None, None, None))(
        at, low, high, w, rest, mu, xi, counts, nu
    )
    return jnp.maximum(0.0, jnp.maximum(refined, jnp.max(value, axis=1)))


_SUPREMA = runtime.Program(_suprema)


def simulate_lrt(projected: Spectrum, plain: FloatArray | None, n: int, p: int, draws: int, seed: int) -> FloatArray:
    """(draws,) statistics under the null hypothesis.

    Args:
        projected: of ``Z'P0Z``. plain: (J,) eigenvalues of ``Z'Z`` for the likelihood ratio; None for the restricted.
        n: rows. p: fixed effects.
    """
    rng = np.random.default_rng(seed)
    mu, counts, k = projected.values, projected.counts, projected.total
    nu = float(n - p if plain is None else n)
    values = mu if plain is None else np.sort(plain)
    size = max(mu.size, values.size)
    spread = np.log([1e-4 / mu[-1], 1e4 / mu[0]])
    grid = np.linspace(spread[0], min(spread[1], spread[0] + 40.0), GRID)
    padded = _pad(mu, size), _pad(values, size), _pad(counts if plain is None else np.ones(values.size), size)
    step = max(64, min(draws, BATCH_NUMBERS // (size + GRID)))
    out = np.empty(draws)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        w = np.zeros((step, size))
        w[:rows, : mu.size] = _chi_squared(rng, counts, rows)
        rest = np.ones(step)
        rest[:rows] = rng.chisquare(n - p - k, rows) if n - p > k else 0.0
        out[start : start + rows] = np.asarray(_SUPREMA(w, rest, *padded, nu, grid))[:rows]
    return out


def _pad(values: FloatArray, size: int) -> FloatArray:
    return np.concatenate([values, np.zeros(size - values.size)])


def _chi_squared(rng: np.random.Generator, counts: FloatArray, rows: int) -> FloatArray:
    if np.all(counts == 1.0):
        return np.square(rng.standard_normal((rows, counts.size)))
    return np.asarray(rng.chisquare(counts, (rows, counts.size)))
