"""Adaptive quadrature, person by person: for long tests and several dimensions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.likelihood.irt import adaptive_curvature
from jmix.likelihood.irt.adaptive_part import AdaptiveTerm, data_of
from jmix.likelihood.irt.marginal import Integration, Marginal
from jmix.likelihood.irt.person_marginal import PersonData, PersonMarginal
from jmix.likelihood.irt.persons import arrange
from jmix.likelihood.irt.traced import numbers_of, shape_of
from jmix.numerics.quadrature import LARGEST, Rule, gauss_hermite, sobol_normal
from jmix.responses.data import Responses
from jmix.runtime import put
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]

LARGEST_RULE = 200_000
"""Most nodes of a person."""


def adaptive_rule(integration: Integration, n_factors: int) -> Rule:
    """Nodes (S, D) and log weights of a person, about the mode: the tensor product of Gauss-Hermite rules of
    ``integration.nodes`` each, or for "adaptive-qmc" that many points in all.

    Raises:
        ModelError: there are too many, or none.
    """
    n = integration.nodes
    if integration.method == "adaptive-qmc":
        return sobol_normal(n, n_factors, integration.seed)
    if not 1 <= n <= LARGEST:
        raise ModelError(f"nodes={n} is out of range: use 1 to {LARGEST} adaptive nodes per dimension")
    if n**n_factors > LARGEST_RULE:
        raise ModelError(
            f"{n} adaptive nodes in each of {n_factors} dimensions make {n**n_factors:,} nodes per person: use fewer "
            'nodes (3 to 7 often do), or method="adaptive-qmc"'
        )
    return gauss_hermite(n, n_factors)


class AdaptiveMarginal(PersonMarginal):
    """Adaptive quadrature; the Hessian and the cross-product by Louis (1982), see ``adaptive_curvature``."""

    def __init__(
        self, spec: IrtSpec, responses: Responses, integration: Integration, covariates: FloatArray | None
    ) -> None:
        rule = adaptive_rule(integration, spec.n_factors)
        cells = rule.nodes.shape[0] * len(spec.items)
        persons, arrangement = arrange(spec, responses, cells, covariates, integration.chunk)
        parts, size = persons.weights.shape
        persons = replace(persons, start=np.zeros((parts, spec.n_factors, size)))
        term = AdaptiveTerm(shape_of(spec))
        data = put(PersonData(numbers_of(spec), persons, data_of(rule)))
        super().__init__(spec, integration, term, data, arrangement, responses.weights)
        self.responses, self.covariates = responses, covariates

    def finer(self) -> AdaptiveMarginal:
        """The same with more nodes: of Gauss-Hermite's twice as many in one dimension, half as many more in two, two
        more in each of several, which divides the error by about ten; of quasi-Monte Carlo points twice as many.
        """
        n, d = self.integration.nodes, self.spec.n_factors
        if self.integration.method == "adaptive-qmc":
            more = 2 * n
        else:
            more = {1: 2 * n, 2: n + (n + 1) // 2}.get(d, n + 2)
            more = max(min(more, LARGEST, int(LARGEST_RULE ** (1.0 / d) + 1e-9)), n)
        finer = replace(self.integration, nodes=more, chunk=None)
        return AdaptiveMarginal(self.spec, self.responses, finer, self.covariates)

    def hessian(self, x: FloatArray) -> FloatArray:
        """(P, P) second derivatives, exact but for the error of the quadrature."""
        return adaptive_curvature.hessian(self, x)

    def cross_product(self, x: FloatArray) -> FloatArray:
        """(P, P) ``sum_i w_i g_i g_i'``, exact but for the error of the quadrature."""
        return adaptive_curvature.cross_product(self, x)


def build_adaptive(
    spec: IrtSpec, responses: Responses, integration: Integration, W: FloatArray | None = None
) -> Marginal:
    """The marginal likelihood by adaptive quadrature (method "adaptive" or "adaptive-qmc"), or on quasi-Monte Carlo
    points shared by all persons ("qmc").

    Args:
        W: (N, p) covariates of the latent regression.

    Raises:
        ModelError: the number of nodes, the groups or the size are impossible.
    """
    if (spec.regression is None) != (W is None):
        raise ModelError("covariates of persons are given if and only if the model has a latent regression")
    if integration.method == "qmc":
        from jmix.likelihood.irt.quasi import build_quasi

        return build_quasi(spec, responses, integration, W)
    return AdaptiveMarginal(spec, responses, integration, W)
