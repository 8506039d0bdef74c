"""The likelihood of sparse data against one that goes person by person in plain NumPy, and against the dense one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jmix.errors import ModelError
from jmix.likelihood.irt.build import build_marginal
from jmix.likelihood.irt.marginal import Integration
from jmix.likelihood.irt.sparse import SparseMarginal, build_sparse
from jmix.likelihood.irt.sparse_layout import lay_out
from jmix.likelihood.irt.sparse_plan import plan_tree, tree_widths

from .sparse_cases import Case

CASES = {"two groups": {"groups": 2}}
MORE = {
    "covariates": {"p": 2, "n": 30},
    "one group": {},
    "two factors": {"d": 2, "groups": 2},
    "one slope": {"rasch": True},
    "covariates, groups, factors": {"p": 2, "groups": 2, "d": 2},
}
NODES = {1: Integration(nodes=41), 2: Integration(nodes=21, limit=5.0)}
H = 1e-5


def rule(integration, d):
    """The rectangle rule, written out."""
    z = np.linspace(-integration.limit, integration.limit, integration.nodes)
    nodes = np.stack(np.meshgrid(*[z] * d, indexing="ij"), axis=-1).reshape(-1, d)
    logs = -0.5 * np.sum(nodes**2, axis=1)
    return nodes, logs - np.logaddexp.reduce(logs)


@pytest.fixture(scope="module", params=[*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)])
def built(request):
    case = Case(**(CASES | MORE)[request.param])
    return case, build_sparse(case.spec, case.responses(), NODES[case.d], case.W)


def test_value_is_the_textbooks(built):
    case, marginal = built
    # two factors: the grid leaves its corners out; covariates: the nodes stand about another centre
    tolerance = 1e-10 if case.d == 1 and not case.p else 2e-5
    nodes, logs = rule(NODES[case.d], case.d)
    own = marginal.by_person(case.x)
    assert np.allclose(own, case.by_person(case.x, nodes, logs), atol=tolerance, rtol=0)
    assert marginal.value_and_grad(case.x)[0] == pytest.approx(float(case.weights @ own), abs=1e-9)


def test_first_derivatives(built):
    case, marginal = built
    _, gradient = marginal.value_and_grad(case.x)
    for k in range(case.x.size):
        step = H * np.eye(case.x.size)[k]
        up, down = marginal.value_and_grad(case.x + step)[0], marginal.value_and_grad(case.x - step)[0]
        assert gradient[k] == pytest.approx((up - down) / (2 * H), abs=1e-6)


def test_second_derivatives_and_scores(built):
    case, marginal = built
    steps = H * np.eye(case.x.size)
    slopes = [marginal.value_and_grad(case.x + s)[1] - marginal.value_and_grad(case.x - s)[1] for s in steps]
    hessian = marginal.hessian(case.x)
    assert np.allclose(hessian, np.array(slopes) / (2 * H), atol=1e-6)
    scores = [(marginal.by_person(case.x + s) - marginal.by_person(case.x - s)) / (2 * H) for s in steps]
    assert np.allclose(marginal.cross_product(case.x), (scores * case.weights) @ np.transpose(scores), atol=1e-6)
    for places, block in marginal.item_blocks(case.x):
        assert np.allclose(block, hessian[np.ix_(places, places)], atol=1e-10)


def test_the_same_as_dense(built):
    case, marginal = built
    dense = build_marginal(case.spec, case.responses(wide=True), NODES[case.d], case.W)
    # with covariates the two place their nodes about slightly different centres
    tolerance = 1e-9 if not case.p else 1e-6
    found, other = marginal.moments(case.x), dense.moments(case.x)
    assert np.allclose(found.mean, other.mean, atol=tolerance)
    assert np.allclose(found.covariance, other.covariance, atol=tolerance)
    value, gradient = dense.value_and_grad(case.x)
    assert marginal.value_and_grad(case.x)[0] == pytest.approx(value, abs=tolerance)
    assert np.allclose(marginal.value_and_grad(case.x)[1], gradient, atol=10 * tolerance)


def test_parts_of_any_size_give_the_same():
    case = Case(n=40, groups=2)
    whole = build_sparse(case.spec, case.responses(), Integration(nodes=41))
    value, gradient = whole.value_and_grad(case.x)
    for chunk in (7, 19):
        parts = build_sparse(case.spec, case.responses(), Integration(nodes=41, chunk=chunk))
        assert parts.layout.n_parts == -(-40 // chunk)
        found = parts.value_and_grad(case.x)
        assert found[0] == pytest.approx(value, abs=1e-10)
        assert np.allclose(found[1], gradient, atol=1e-10)
        assert np.allclose(parts.by_person(case.x), whole.by_person(case.x), atol=1e-12)


def test_float32_persons():
    case = Case(n=60)
    exact = build_sparse(case.spec, case.responses(), Integration(nodes=41)).value_and_grad(case.x)
    single = build_sparse(case.spec, case.responses(), Integration(nodes=41, precision="float32"))
    found = single.value_and_grad(case.x)
    assert found[0] == pytest.approx(exact[0], rel=1e-6)
    assert np.allclose(found[1], exact[1], atol=1e-4)


def test_more_nodes():
    case = Case()
    coarse = build_sparse(case.spec, case.responses(), Integration(nodes=21))
    finer = coarse.finer()
    assert isinstance(finer, SparseMarginal)
    assert finer.integration.nodes == 41
    nodes, logs = rule(Integration(nodes=41), 1)
    assert np.allclose(finer.by_person(case.x), case.by_person(case.x, nodes, logs), atol=1e-10)


def test_memory_grows_with_the_responses():
    def size(j):
        case = Case(n=200, n_binary=j, n_graded=0, rate=10 / j)
        layout = lay_out(case.spec, case.responses(), 21)
        return sum(level.nbytes for level in (*layout.by_person, *layout.by_row)) / layout.long.n

    assert size(200) < 2.5 * size(20) < 400.0


def test_what_is_refused():
    case = Case()
    with pytest.raises(ModelError, match="grid"):
        build_sparse(case.spec, case.responses(), Integration(method="adaptive"))
    with pytest.raises(ModelError, match="clusters"):
        build_sparse(replace(case.spec, cluster_sd=case.spec.sd[0]), case.responses(), Integration())
    with pytest.raises(ModelError, match="model matrix"):
        build_sparse(replace(case.spec, regression=case.spec.mean), case.responses(), Integration())


@pytest.mark.parametrize("largest", [1, 3, 40, 3000])
def test_trees_add_up(largest):
    rng = np.random.default_rng(largest)
    sizes = rng.integers(0, largest + 1, (3, 7)).astype(np.int64)
    sizes[0, 0] = largest
    table = np.append(rng.standard_normal(50), 0.0)
    rows = rng.integers(0, 50, int(sizes.sum())).astype(np.int32)
    tree = plan_tree(rows, sizes, tree_widths(sizes), 50)
    ends = np.cumsum(sizes.ravel())
    wanted = [table[rows[end - size : end]].sum() for end, size in zip(ends, sizes.ravel(), strict=True)]
    found = []
    for part in range(3):
        values = table
        for level in tree.levels:
            values = values[level[part]].sum(axis=0)
        found.append(values)
    assert np.allclose(np.concatenate(found), wanted)
