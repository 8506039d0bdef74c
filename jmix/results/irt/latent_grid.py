"""Nodes and masses that stand for a latent distribution where fit statistics average over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError

FloatArray = npt.NDArray[np.float64]

NODES = {1: 121, 2: 41, 3: 21}
"""Nodes per dimension; beyond three dimensions quasi-Monte Carlo points."""
POINTS = 8192
LIMIT = 8.0


@dataclass(frozen=True, eq=False)
class LatentGrid:
    """A discrete latent distribution.

    Attributes:
        theta: (Q, D) nodes. weights: (Q,) their masses, that sum to one.
    """

    theta: FloatArray
    weights: FloatArray

    def mean(self, values: FloatArray) -> FloatArray:
        """Average over the nodes, the last axis of ``values`` (..., Q)."""
        return values @ self.weights


def normal_grid(mean: Any, covariance: Any, *, nodes: int | None = None) -> LatentGrid:
    """A multivariate normal distribution by equally spaced nodes on eight standard deviations either side.

    The trapezoidal rule converges faster than any power for such integrands. Beyond three dimensions the points are
    Sobol's, scrambled with a fixed seed, through the normal quantile function.

    Args:
        mean: (D,). covariance: (D, D). nodes: per dimension, or in all beyond three dimensions.

    Raises:
        DataError: shapes that do not agree, or a covariance that is not positive semidefinite.
    """
    mu = np.atleast_1d(np.asarray(mean, dtype=np.float64))
    cov = np.atleast_2d(np.asarray(covariance, dtype=np.float64))
    if cov.shape != (mu.size, mu.size):
        raise DataError(f"latent mean {mu.shape} and covariance {cov.shape}: give (D,) and (D, D)")
    z, weights = _spherical(mu.size, nodes)
    return LatentGrid(mu + z @ _root(cov).T, weights)


def spherical_grid(d: int, *, nodes: int | None = None) -> LatentGrid:
    """The standard normal distribution in D dimensions, as of ``normal_grid``."""
    return LatentGrid(*_spherical(d, nodes))


def _spherical(d: int, nodes: int | None) -> tuple[FloatArray, FloatArray]:
    if d > max(NODES):
        from scipy.special import ndtri
        from scipy.stats import qmc

        n = nodes or POINTS
        points = qmc.Sobol(d, scramble=True, rng=np.random.default_rng(0)).random(n)
        return ndtri(np.clip(points, 1e-12, 1 - 1e-12)), np.full(n, 1 / n)
    line = np.linspace(-LIMIT, LIMIT, nodes or NODES[d])
    z = np.stack([axis.ravel() for axis in np.meshgrid(*[line] * d, indexing="ij")], axis=-1)
    log = -0.5 * (z * z).sum(axis=1)
    keep = log > -0.5 * LIMIT**2 - 1e-9
    weights = np.exp(log[keep])
    return z[keep], weights / weights.sum()


def _root(cov: FloatArray) -> FloatArray:
    """(D, D) R with R R' = cov: Cholesky's, or where cov is singular the symmetric one."""
    try:
        return np.asarray(np.linalg.cholesky(cov), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(cov)
        if not (np.isfinite(values).all() and values.min() > -1e-8 * max(1.0, values.max())):
            raise DataError("the latent covariance is not positive semidefinite") from None
        return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)), dtype=np.float64)
