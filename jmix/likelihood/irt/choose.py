"""How to integrate the latent trait out, when the user does not say."""

from __future__ import annotations

from jmix.likelihood.irt.marginal import Integration
from jmix.responses.data import Responses
from jmix.spec.irt.spec import IrtSpec

FLOAT32 = 5_000_000
"""Persons times nodes from which what is computed per person is float32."""


def choose_integration(spec: IrtSpec, responses: Responses) -> Integration:
    """A grid for up to two factors, fine enough for the length of the test; adaptive points beyond."""
    nodes = {1: 61 if responses.n_items > 25 else 41, 2: 25, 3: 15}.get(spec.n_factors, 0)
    if nodes == 0:
        return Integration(method="adaptive-qmc", nodes=512)
    large = responses.n_persons * nodes**spec.n_factors > FLOAT32
    return Integration(nodes=nodes, precision="float32" if large else "float64")
