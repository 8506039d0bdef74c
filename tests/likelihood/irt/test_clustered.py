"""Two-level models against brute-force quadrature over persons and clusters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from scipy.special import logsumexp

from jmix.errors import DataError, ModelError
from jmix.likelihood.irt.clustered import ClusterMarginal, build_clustered, cluster_nodes
from jmix.likelihood.irt.marginal import Integration
from jmix.likelihood.irt.nodes import grid_rule
from jmix.runtime import float64

from .textbook import Case, derivative, textbook

CASES: dict[str, dict[str, Any]] = {
    "2PL, two groups, regression": {"kinds": [("logistic", 2, 5)], "groups": 2, "covariates": 2, "weights": True},
    "mixed": {"kinds": [("graded", 3, 2), ("logistic4", 2, 2)], "missing": 0.1, "n": 30},
}
NODES = Integration(nodes=61, limit=7.0)


class Clustered(Case):
    """A ``Case`` in seven clusters of unequal size, across groups, with a standard deviation between them."""

    def __init__(self, sd: tuple[float, ...] = (0.6,), **options: Any) -> None:
        super().__init__(**options)
        m, d = self.x.size, len(sd)
        self.x = np.append(self.x, sd)
        places = np.arange(m, m + d, dtype=np.int32)
        table = replace(
            self.spec.table,
            names=(*self.spec.table.names, *["tau"] * d),
            values=self.x.copy(),
            free=np.arange(m + d, dtype=np.int32),
        )
        self.spec = replace(self.spec, table=table, cluster_sd=places)
        n = self.responses.n_persons
        codes = np.minimum(np.random.default_rng(1).geometric(0.3, n) - 1, 6).astype(np.int32)
        codes[:7] = np.arange(7)
        self.responses = replace(self.responses, cluster=codes)

    def brute(self, x: Any, nodes: int = 41, limit: float = 7.0) -> Any:
        """(C,) log likelihoods, the mean shifted to each node of the clusters; and the posterior means of theta."""
        rule = grid_rule(Integration(nodes=nodes, limit=limit), self.spec.n_factors)
        cluster = self.responses.cluster
        assert cluster is not None and self.spec.cluster_sd is not None
        joint = np.tile(rule.log_weights, (cluster.max() + 1, 1))
        means = []
        for r, u in enumerate(rule.nodes * x[self.spec.cluster_sd]):
            shifted = np.asarray(x, dtype=float).copy()
            shifted[self.spec.mean] += u
            loglik, mean, _ = textbook(self.spec, self.responses, shifted, rule.nodes, rule.log_weights, self.W)
            np.add.at(joint[:, r], cluster, self.weights * loglik)
            means.append(mean)
        total = logsumexp(joint, axis=1)
        p = np.exp(joint - total[:, None])
        return total, np.einsum("nr,rnd->nd", p[cluster], np.array(means))


def _param(name: str) -> Any:
    """Compiling takes seconds for each case: one runs always, the other with -m slow."""
    return pytest.param(name, marks=() if "regression" in name else pytest.mark.slow)


@pytest.fixture(scope="module", params=map(_param, CASES))
def case(request: pytest.FixtureRequest) -> Clustered:
    return Clustered(**CASES[request.param])


@pytest.fixture(scope="module")
def marginal(case: Clustered) -> ClusterMarginal:
    return build_clustered(case.spec, case.responses, NODES, case.W)


def test_equals_brute_force(case: Clustered, marginal: ClusterMarginal) -> None:
    loglik, mean = case.brute(case.x)
    np.testing.assert_allclose(marginal.by_cluster(case.x), loglik, atol=1e-7)
    assert marginal.value_and_grad(case.x)[0] == pytest.approx(loglik.sum(), abs=1e-6)
    np.testing.assert_allclose(marginal.moments(case.x).mean, mean, atol=1e-6)


def test_derivatives(case: Clustered, marginal: ClusterMarginal) -> None:
    grad = marginal.value_and_grad(case.x)[1]
    numeric = derivative(lambda x: marginal.value_and_grad(x)[0], case.x)
    np.testing.assert_allclose(grad, numeric, atol=1e-8 * np.abs(numeric).max())
    hessian = derivative(lambda x: marginal.value_and_grad(x)[1], case.x)
    np.testing.assert_allclose(marginal.hessian(case.x), hessian, atol=1e-7 * np.abs(hessian).max())
    by_cluster = derivative(marginal.by_cluster, case.x)
    np.testing.assert_allclose(marginal.cross_product(case.x), by_cluster @ by_cluster.T, atol=1e-6)


@pytest.mark.slow
def test_traceable_density_has_the_same_derivative(case: Clustered, marginal: ClusterMarginal) -> None:
    with float64():
        traced = jax.grad(marginal.log_marginal)(jax.numpy.asarray(case.x), marginal.data)
    np.testing.assert_allclose(traced, marginal.value_and_grad(case.x)[1], atol=1e-9)


def test_parts_do_not_matter(case: Clustered, marginal: ClusterMarginal) -> None:
    parts = build_clustered(case.spec, case.responses, replace(NODES, chunk=6), case.W)
    assert parts.value_and_grad(case.x)[0] == pytest.approx(marginal.value_and_grad(case.x)[0], rel=1e-13)


def test_clusters_of_one_are_a_wider_trait(case: Clustered) -> None:
    """The variances add up, and a cluster's effect is the share of the posterior deviation that is due to it."""
    n = case.responses.n_persons
    alone = replace(case.responses, cluster=np.arange(n, dtype=np.int32), weights=None)
    marginal = build_clustered(case.spec, alone, NODES, case.W)
    x = case.x.copy()
    tau, place = x[-1], case.spec.sd[:, 0]
    within = x[place] ** 2
    x[place] = np.sqrt(within + tau**2)
    rule = grid_rule(Integration(nodes=81, limit=8.0), 1)
    loglik, mean, _ = textbook(case.spec, alone, x, rule.nodes, rule.log_weights, case.W)
    np.testing.assert_allclose(marginal.by_cluster(case.x), loglik, atol=1e-7)
    np.testing.assert_allclose(marginal.by_person(case.x), loglik, atol=1e-7)
    np.testing.assert_allclose(marginal.moments(case.x).mean, mean, atol=1e-6)
    group = np.zeros(n, dtype=int) if alone.group is None else alone.group
    expected = 0.0 if case.W is None else case.W @ x[case.spec.regression[:, 0]]  # type: ignore[index]
    share = tau**2 / (tau**2 + within[group])
    effect = share * (mean[:, 0] - x[case.spec.mean[group, 0]] - expected)
    np.testing.assert_allclose(marginal.cluster_moments(case.x).mean[:, 0], effect, atol=1e-6)


def test_weights_equal_repeated_persons() -> None:
    case = Clustered(**CASES["mixed"])
    repeated = np.repeat(np.arange(30), 2)
    table, cluster = case.responses.table, case.responses.cluster
    assert table is not None and cluster is not None
    doubled = replace(case.responses, weights=np.full(30, 2.0))
    long = replace(
        case.responses, table=table[repeated], cluster=cluster[repeated], persons=case.responses.persons[repeated]
    )
    a, b = (build_clustered(case.spec, r, NODES).value_and_grad(case.x) for r in (doubled, long))
    assert a[0] == pytest.approx(b[0], rel=1e-12)
    np.testing.assert_allclose(a[1], b[1], atol=1e-9)


def test_two_factors() -> None:
    case = Clustered((0.6, 0.4), kinds=[("logistic", 2, 4)], d=2, n=12)
    marginal = build_clustered(case.spec, case.responses, Integration(nodes=31, limit=6.0))
    np.testing.assert_allclose(marginal.by_cluster(case.x), case.brute(case.x, 21, 6.0)[0], atol=2e-5)


def test_large_cluster_gets_nearer_nodes() -> None:
    assert cluster_nodes(5, 1, 6.0) == 31
    assert cluster_nodes(400, 1, 6.0) > 150
    assert cluster_nodes(10**6, 1, 6.0) == 401
    case = Clustered(kinds=[("logistic", 2, 3)], n=400)
    one = replace(case.responses, cluster=np.zeros(400, dtype=np.int32))
    marginal = build_clustered(case.spec, one, NODES)
    finer = marginal.finer()
    assert finer.by_cluster(case.x)[0] == pytest.approx(marginal.by_cluster(case.x)[0], abs=1e-6)


def test_what_is_impossible_is_said() -> None:
    case = Clustered(**CASES["mixed"])
    with pytest.raises(DataError, match="which cluster"):
        build_clustered(case.spec, replace(case.responses, cluster=None), NODES)
    with pytest.raises(ModelError, match="cluster="):
        build_clustered(replace(case.spec, cluster_sd=None), case.responses, NODES)
    with pytest.raises(ModelError, match="grid"):
        build_clustered(case.spec, case.responses, Integration("adaptive", nodes=5))
    three = Clustered((0.5, 0.5, 0.5), kinds=[("logistic", 2, 3)], d=3, n=10)
    with pytest.raises(ModelError, match="3"):
        build_clustered(three.spec, three.responses, NODES)
