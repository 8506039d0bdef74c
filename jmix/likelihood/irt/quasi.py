"""Quasi-Monte Carlo points of z ~ N(0, I) shared by all persons: for four factors and more, and short tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jmix.errors import ModelError
from jmix.likelihood.irt.grid_build import build_grid
from jmix.likelihood.irt.grid_marginal import GridMarginal
from jmix.likelihood.irt.marginal import FloatArray, Integration, Marginal
from jmix.numerics.quadrature import LARGEST_GRID, Rule
from jmix.responses.data import Responses
from jmix.runtime import put
from jmix.spec.irt.spec import IrtSpec


def quasi_rule(integration: Integration, n_factors: int) -> Rule:
    """Scrambled Sobol points (Owen 1998) mapped to N(0, I), with equal weights and their mirror images beside them,
    rescaled so that their mean and covariance are 0 and I.

    Args:
        integration: ``nodes`` points, rounded up to a power of two, of scrambling ``seed``.

    Raises:
        ModelError: there are fewer points than their covariance needs, or too many.
    """
    from scipy.special import ndtri
    from scipy.stats import qmc

    n = integration.nodes
    if not 4 * n_factors <= n <= LARGEST_GRID:
        raise ModelError(f"nodes={n} is out of range: use {4 * n_factors} to {LARGEST_GRID:,} quasi-Monte Carlo points")
    power = int(np.ceil(np.log2(n)))
    uniform = qmc.Sobol(n_factors, scramble=True, seed=integration.seed).random_base2(power - 1)
    half = ndtri(np.clip(uniform, 2.0**-54, 1.0 - 2.0**-53))
    points = np.concatenate([half, -half])
    covariance = points.T @ points / points.shape[0]
    points = np.linalg.solve(np.linalg.cholesky(covariance), points.T).T
    return Rule(np.ascontiguousarray(points), np.full(points.shape[0], -np.log(points.shape[0])))


def build_quasi(
    spec: IrtSpec, responses: Responses, integration: Integration, W: FloatArray | None = None
) -> GridMarginal:
    """The grid likelihood with quasi-Monte Carlo points for nodes (method "qmc").

    The points do not follow a person's posterior: with many items use "adaptive-qmc".

    Args:
        W: (N, p) covariates of the latent regression.

    Raises:
        ModelError: the number of points is impossible.
    """
    rule = quasi_rule(integration, spec.n_factors)
    chunk = integration.chunk or int(np.clip(2**20 // rule.nodes.shape[0], 32, 16_384))
    one = replace(integration, method="grid", rule="gh", nodes=1, chunk=chunk, precision="float64")
    grid = build_grid(spec, responses, one, W, collapse=False)

    def rebuild(other: Integration) -> Marginal:
        return build_quasi(spec, responses, replace(other, method="qmc"), W)

    nodes, log_weights = put((rule.nodes, rule.log_weights))
    data = replace(grid.data, z=nodes, log_weights=log_weights)
    return replace(grid, integration=integration, data=data, rebuild=rebuild)
