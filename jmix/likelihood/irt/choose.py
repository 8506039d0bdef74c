"""How to integrate the latent trait out, when the user does not say."""

from __future__ import annotations

import numpy as np

from jmix.likelihood.irt.marginal import FloatArray, Integration
from jmix.responses.data import Responses
from jmix.spec.irt.spec import IrtSpec

FLOAT32 = 5_000_000
"""Persons times nodes from which what is computed per person is float32."""

STEEP = 1.7
"""Slope that the grid is made for, in logits per standard deviation; the quadrature error after the fit tells when
items are steeper."""

SPACING = 1.15
"""Distance of nodes in posterior standard deviations, where the trapezoidal rule's error, ``2 exp(-2 pi^2 / 1.15^2)``
for a normal posterior, is below 1e-6."""

LEAST = 31
"""Fewest nodes in one dimension."""

ADAPTIVE = 7
"""Nodes per dimension of the adaptive rule."""

EXPLAINED = 2.0
"""Precision that covariates may add to a posterior, in units of the total variance: a share of two thirds."""


BALL = {1: 1.0, 2: 0.8, 3: 0.55}
"""Share of the nodes of a tensor grid that are not in its corners."""


def choose_integration(spec: IrtSpec, responses: Responses) -> Integration:
    """Equally spaced nodes, near enough for the length of the test, in up to three dimensions as long as they cost no
    more than adaptive ones; adaptive beyond.

    The narrowest posterior of a test whose items have information I_j has the standard deviation ``1 / sqrt(1 + sum_j
    I_j)``; nodes must be about as near, or the likelihood of persons between two nodes is lost.
    """
    d = spec.n_factors
    answered = responses.n_responses / max(1, responses.n_persons * responses.n_items)
    share = min(1.0, 2.0 * answered) if responses.long is not None else 1.0
    information = max(1e-9, float(np.max(share * _information(spec))))
    prior = 1.0 if spec.regression is None else 1.0 + EXPLAINED
    spacing = SPACING / np.sqrt(prior + information)
    limit = 6.0 if d == 1 else 5.0
    nodes = max(LEAST, 10 * int(np.ceil(2 * limit / spacing / 10)) + 1)
    if spec.cluster_sd is not None or spec.specific is not None:
        return Integration(nodes=min(nodes, 61), limit=limit)
    if d > 3:
        return Integration(method="adaptive-qmc", nodes=512)
    # a node of a shared grid takes one exponential, one of a person's own a term for each item
    if float(nodes) ** d * BALL[d] > 2.0 * responses.n_items * ADAPTIVE**d and d > 1:
        return Integration(method="adaptive", nodes=ADAPTIVE)
    large = responses.n_persons * float(nodes) ** d * BALL[d] > FLOAT32
    return Integration(nodes=nodes, limit=limit, precision="float32" if large else "float64")


def _information(spec: IrtSpec) -> FloatArray:
    """(D,) most information that the items can have on each factor, for slopes of ``STEEP``."""
    free = np.zeros(spec.table.values.size, dtype=bool)
    free[spec.table.free] = True
    for part in spec.linear:
        free[part.target] = True
    total = np.zeros(spec.n_factors)
    for block in spec.blocks:
        loads = (free | (spec.table.values != 0))[block.slopes].any(axis=0)
        each = 0.2 if block.n_categories == 2 else 0.33
        total += each * STEEP**2 * loads.sum(axis=0)
    return total
