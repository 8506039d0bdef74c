"""Marginal likelihood of two-level item response models, persons within clusters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.errors import DataError, ModelError
from jmix.likelihood.irt import clustered_passes
from jmix.likelihood.irt.bifactor import group_moments
from jmix.likelihood.irt.clustered_part import ClusterTerm, Levels
from jmix.likelihood.irt.marginal import Integration, Moments
from jmix.likelihood.irt.nodes import grid_rule
from jmix.likelihood.irt.person_marginal import PersonData, directions
from jmix.likelihood.irt.persons import arrange
from jmix.likelihood.irt.traced import numbers_of, shape_of
from jmix.responses.data import Responses
from jmix.runtime import Program, put
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]

MOST_FACTORS = 2
LEAST, MOST = 31, 401
"""Nodes per dimension of the clusters' effects."""

PART_OF_BETWEEN = 0.5
"""Largest ratio of the variance between clusters to that of a person's estimate for which the nodes of the clusters are
spaced by the posterior standard deviation of the largest cluster.
"""

VALUE_AND_GRAD = Program(lambda x, data, term: clustered_passes.value_and_grad(term, x, data), static=("term",))
BY_PERSON = Program(lambda x, data, term: clustered_passes.by_person(term, x, data), static=("term",))
BY_CLUSTER = Program(lambda x, data, term: clustered_passes.by_cluster(term, x, data), static=("term",))
MOMENTS = Program(lambda x, data, term: clustered_passes.moments(term, x, data), static=("term",))
CURVATURE_ALONG = Program(lambda x, v, data, term: clustered_passes.curvature_along(term, x, v, data), static=("term",))
CLUSTERS_ALONG = Program(lambda x, v, data, term: clustered_passes.clusters_along(term, x, v, data), static=("term",))


def cluster_nodes(largest: int, n_factors: int, limit: float, finer: bool = False) -> int:
    """Nodes per dimension of the clusters' effects, their spacing that of the posterior of a cluster of ``largest``."""
    n = int(2.0 * limit * np.sqrt(1.0 + PART_OF_BETWEEN * largest)) | 1
    most = MOST if n_factors == 1 else LEAST
    n = min(max(n, LEAST), most)
    return 2 * n - 1 if finer else n


class ClusterMarginal:
    """A ``Marginal`` of persons in clusters: see there for the methods.

    The independent terms are the clusters: ``cross_product`` sums over them, and ``by_person`` gives the log
    probability of a person's own responses, whose sum is not the log likelihood.
    """

    def __init__(
        self,
        spec: IrtSpec,
        responses: Responses,
        integration: Integration,
        covariates: FloatArray | None,
        fine: bool = False,
    ) -> None:
        _check(spec, responses)
        assert responses.cluster is not None
        d = spec.n_factors
        sizes = np.bincount(responses.cluster)
        inner = grid_rule(integration, d)
        outer = grid_rule(
            replace(integration, nodes=cluster_nodes(int(sizes.max()), d, integration.limit, fine), rule="rectangle"), d
        )
        features = sum(block.n_categories * len(block.columns) for block in spec.blocks)
        cells = 2 * inner.nodes.shape[0] + 2 * outer.nodes.shape[0] + features
        persons, self.arrangement = arrange(spec, responses, cells, covariates, integration.chunk)
        cluster = np.full(persons.weights.size, sizes.size, np.int32)
        cluster[self.arrangement.place] = responses.cluster
        centre, spread = (None, None) if covariates is None else group_moments(responses, covariates)
        levels = Levels(
            inner.nodes,
            inner.log_weights,
            outer.nodes,
            outer.log_weights,
            cluster.reshape(persons.weights.shape),
            np.zeros(sizes.size),
            centre,
            spread,
        )
        self.spec, self.integration, self.term = spec, integration, ClusterTerm(shape_of(spec))
        self.data = put(PersonData(numbers_of(spec), persons, levels))
        self.responses, self.covariates, self.fine = responses, covariates, fine

    def log_marginal(self, x: Any, data: PersonData) -> jax.Array:
        """Scalar; see ``Marginal``."""
        return clustered_passes.log_marginal(self.term, jnp.asarray(x), data)

    def value_and_grad(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log likelihood and gradient (P,)."""
        value, gradient = VALUE_AND_GRAD(x, self.data, term=self.term)
        return float(value), np.asarray(gradient)

    def by_person(self, x: FloatArray) -> FloatArray:
        """(N,) log probability of each person's own responses, whatever the others of the cluster answered."""
        return self.arrangement.unravel(np.asarray(BY_PERSON(x, self.data, term=self.term)))

    def by_cluster(self, x: FloatArray) -> FloatArray:
        """(C,) log likelihood of each cluster; they sum to the log likelihood."""
        return np.asarray(BY_CLUSTER(x, self.data, term=self.term))

    def moments(self, x: FloatArray) -> Moments:
        """Posterior of theta (N, D), (N, D, D) given the responses of all persons of the cluster."""
        mean, covariance, _, _ = MOMENTS(x, self.data, term=self.term)
        return Moments(self.arrangement.unravel(mean), self.arrangement.unravel(covariance))

    def cluster_moments(self, x: FloatArray) -> Moments:
        """Posterior of the clusters' effects u: means (C, D), covariances (C, D, D)."""
        _, _, mean, covariance = MOMENTS(x, self.data, term=self.term)
        return Moments(np.asarray(mean), np.asarray(covariance))

    def hessian(self, x: FloatArray) -> FloatArray:
        """(P, P) exact second derivatives, a few directions at a time."""
        rows = [np.asarray(CURVATURE_ALONG(x, v, self.data, term=self.term)) for v in directions(x.size)]
        hessian = np.concatenate(rows)[: x.size]
        return np.asarray(0.5 * (hessian + hessian.T))

    def cross_product(self, x: FloatArray) -> FloatArray:
        """(P, P) ``sum_c g_c g_c'`` over clusters."""
        rows = [np.asarray(CLUSTERS_ALONG(x, v, self.data, term=self.term)) for v in directions(x.size)]
        by_cluster = np.concatenate(rows)[: x.size]
        return np.asarray(by_cluster @ by_cluster.T)

    def finer(self) -> ClusterMarginal:
        """The same with twice the nodes on both levels."""
        finer = replace(self.integration, nodes=2 * self.integration.nodes - 1, chunk=None)
        return ClusterMarginal(self.spec, self.responses, finer, self.covariates, fine=True)


def build_clustered(
    spec: IrtSpec, responses: Responses, integration: Integration, W: FloatArray | None = None
) -> ClusterMarginal:
    """The marginal likelihood of a model with ``spec.cluster_sd`` for persons in ``responses.cluster``.

    Args:
        integration: nodes per dimension of theta, over the distribution of all levels; those of the clusters follow
            from the size of the largest. W: (N, p) covariates of persons.

    Raises:
        DataError: persons have no clusters. ModelError: the structure or the integration is not possible.
    """
    if (spec.regression is None) != (W is None):
        raise ModelError("covariates of persons are given if and only if the model has a latent regression")
    if integration.method != "grid":
        raise ModelError(f'method="{integration.method}" is not possible with clusters of persons: use method="grid"')
    return ClusterMarginal(spec, responses, integration, W)


def _check(spec: IrtSpec, responses: Responses) -> None:
    if spec.cluster_sd is None:
        raise ModelError("the model has no standard deviation between clusters: give cluster= to jmix.irt")
    if spec.specific is not None:
        raise ModelError("clusters of persons and specific factors together are not implemented: leave one out")
    if spec.n_factors > MOST_FACTORS:
        raise ModelError(f"clusters of persons are possible with up to {MOST_FACTORS} factors, not {spec.n_factors}")
    if responses.cluster is None:
        raise DataError("the model has clusters of persons, but the responses say of none which cluster it is in")
