"""Nodes and log weights of integrals over z ~ N(0, I) that all persons share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jmix.errors import ModelError
from jmix.likelihood.irt.marginal import FloatArray, Integration
from jmix.numerics.quadrature import LARGEST, LARGEST_GRID, Rule, gauss_hermite

CORNER = 0.5
"""How far, in standard deviations of z, nodes may lie beyond the limit in the diagonals of a tensor grid."""

FINEST = 300_000
"""Most nodes of the finer grid by which the quadrature error is judged."""

GRAIN = 2.0**-16
"""Of what the spacing of nodes is a multiple."""


def grid_rule(integration: Integration, n_factors: int) -> Rule:
    """Nodes (Q, D) and log weights (Q,) of a grid; the weights sum to one.

    Equally spaced nodes are the trapezoidal rule, whose error for a smooth integrand on the whole line falls
    exponentially in 1 / spacing (Trefethen & Weideman 2014, SIAM Rev. 56, theorem 5.1), so that it stays exact for
    posteriors as narrow as the spacing, where Gauss-Hermite nodes do not. In several dimensions the corners of the
    grid, further than ``limit + CORNER`` from the origin, are left out. The spacing is a multiple of ``GRAIN``, so that
    float32 has the same nodes.

    Raises:
        ModelError: nodes, limit or rule are out of range, or the grid is too large.
    """
    n, limit = integration.nodes, integration.limit
    if integration.rule not in ("rectangle", "gh"):
        raise ModelError(f'rule="{integration.rule}" is not a rule of a grid: use "rectangle" or "gh"')
    if n**n_factors > LARGEST_GRID:
        raise ModelError(
            f"{n} nodes in each of {n_factors} dimensions make {n**n_factors:,} nodes: use fewer nodes, "
            'method="adaptive" or method="adaptive-qmc"'
        )
    if integration.rule == "gh":
        return gauss_hermite(n, n_factors)
    if n < 2 or not np.isfinite(limit) or limit <= 0:
        raise ModelError(f"a grid of {n} nodes on ±{limit} is impossible: use two nodes or more and a positive limit")
    spacing = max(1.0, np.rint(2 * limit / (n - 1) / GRAIN)) * GRAIN
    z = spacing * (np.arange(n) - (n - 1) / 2)
    nodes = np.stack(np.meshgrid(*[z] * n_factors, indexing="ij"), axis=-1).reshape(-1, n_factors)
    square = np.sum(nodes**2, axis=1)
    if n_factors > 1:
        kept = square <= (limit + CORNER) ** 2
        nodes, square = nodes[kept], square[kept]
    return Rule(nodes, _normalised(-0.5 * square))


def finer(integration: Integration, n_factors: int) -> Integration:
    """Twice the nodes per dimension, as far as the grid stays below ``FINEST`` nodes; equally spaced where there is no
    Gauss-Hermite rule.
    """
    own = integration
    nodes = max(own.nodes + 2, min(2 * own.nodes - 1, int(FINEST ** (1.0 / n_factors))))
    rule = "rectangle" if nodes > LARGEST else own.rule
    return replace(
        own, nodes=nodes, rule=rule, limit=own.limit if rule == own.rule else max(own.limit, 8.0), chunk=None
    )


def rounded(rule: Rule, precision: str) -> Rule:
    """The rule with nodes that the precision represents exactly, so that float32 and float64 mean the same sum."""
    nodes = rule.nodes.astype(precision).astype(np.float64)
    return Rule(nodes, rule.log_weights)


def _normalised(logs: FloatArray) -> FloatArray:
    return np.asarray(logs - np.log(np.sum(np.exp(logs))))
