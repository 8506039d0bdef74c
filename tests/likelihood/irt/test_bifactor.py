"""Dimension reduction against brute-force quadrature over all factors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

from jmix.errors import ModelError
from jmix.likelihood.irt.bifactor import build_bifactor
from jmix.likelihood.irt.marginal import Integration
from jmix.likelihood.irt.nodes import grid_rule
from jmix.responses.data import Responses
from jmix.runtime import float64
from jmix.spec.irt.build import build_spec
from jmix.spec.irt.spec import IrtSpec

from .textbook import derivative, textbook

SPECIFIC = [1, 1, 2, 2, None, 1, 2]
N, NODES = 30, Integration(nodes=15, limit=5.0)


class Model:
    """Seven items, mixed or not, of two specific factors in one or two groups; all parameters moved off their start."""

    def __init__(self, kind: str, *, groups: int = 1, testlets: bool = False, regression: bool = False) -> None:
        rng = np.random.default_rng(5)
        k = [2 if kind == "2PL" or j % 2 else 3 for j in range(7)]
        table = np.stack([rng.integers(0, k[j], N) for j in range(7)], axis=1).astype(np.int8)
        table[rng.random(table.shape) < 0.1] = -1
        table[0] = -1
        self.responses = Responses(
            items=tuple(f"i{j}" for j in range(7)),
            categories=tuple(tuple(range(c)) for c in k),
            table=table,
            long=None,
            persons=pd.RangeIndex(N),
            weights=rng.integers(1, 4, N).astype(float),
            group=rng.integers(0, 2, N).astype(np.int32) if groups == 2 else None,
            groups=("a", "b")[:groups],
            data=pd.DataFrame({"w": rng.normal(0.4, 1.0, N)}),
        )
        types = kind if kind == "2PL" else ["graded" if c == 3 else "2PL" for c in k]
        structure = {"testlets" if testlets else "bifactor": SPECIFIC}
        self.spec, self.W = build_spec(self.responses, types, formula="~ w" if regression else None, **structure)
        x = self.spec.table.values[self.spec.table.free]
        self.x = x + rng.uniform(0.0, 0.3, x.size) * np.where(x >= 0, 1.0, -1.0)

    @property
    def weights(self) -> Any:
        """(N,)."""
        return self.responses.weights


MODELS: dict[str, dict[str, Any]] = {
    "2PL": {"kind": "2PL"},
    "mixed, two groups": {"kind": "mixed", "groups": 2},
    "testlets": {"kind": "2PL", "testlets": True},
}


def _param(name: str) -> Any:
    """Compiling takes seconds for each model: one runs always, the others with -m slow."""
    return pytest.param(name, marks=() if name == "mixed, two groups" else pytest.mark.slow)


@pytest.fixture(scope="module", params=map(_param, MODELS))
def model(request: pytest.FixtureRequest) -> Model:
    return Model(**MODELS[request.param])


def brute(model: Model, x: Any, integration: Integration = NODES) -> Any:
    """Over the tensor product of the nodes of all three factors."""
    rule = grid_rule(integration, 1)
    z = np.stack(np.meshgrid(*[rule.nodes[:, 0]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    logs = sum(np.meshgrid(*[rule.log_weights] * 3, indexing="ij"), np.zeros(())).reshape(-1)
    return textbook(model.spec, model.responses, x, z, logs, model.W)


def test_equals_brute_force(model: Model) -> None:
    """To rounding: the same nodes in each dimension, two at a time or all at once."""
    marginal = build_bifactor(model.spec, model.responses, NODES)
    loglik, mean, covariance = brute(model, model.x)
    np.testing.assert_allclose(marginal.by_person(model.x), loglik, atol=1e-12)
    assert marginal.value_and_grad(model.x)[0] == pytest.approx(model.weights @ loglik, rel=1e-13)
    moments = marginal.moments(model.x)
    np.testing.assert_allclose(moments.mean, mean, atol=1e-12)
    np.testing.assert_allclose(moments.covariance, covariance, atol=1e-12)


def test_derivatives(model: Model) -> None:
    marginal = build_bifactor(model.spec, model.responses, NODES)
    grad = marginal.value_and_grad(model.x)[1]
    numeric = derivative(lambda x: marginal.value_and_grad(x)[0], model.x)
    np.testing.assert_allclose(grad, numeric, atol=1e-8 * np.abs(numeric).max())
    hessian = derivative(lambda x: marginal.value_and_grad(x)[1], model.x)
    np.testing.assert_allclose(marginal.hessian(model.x), hessian, atol=1e-8 * np.abs(hessian).max())


@pytest.mark.slow
def test_traceable_density_has_the_same_derivative(model: Model) -> None:
    marginal = build_bifactor(model.spec, model.responses, NODES)
    with float64():
        traced = jax.grad(marginal.log_marginal)(jax.numpy.asarray(model.x), marginal.data)
    np.testing.assert_allclose(traced, marginal.value_and_grad(model.x)[1], atol=1e-10)


def test_cross_product_and_parts(model: Model) -> None:
    marginal = build_bifactor(model.spec, model.responses, NODES)
    by_person = derivative(marginal.by_person, model.x)
    np.testing.assert_allclose(marginal.cross_product(model.x), (by_person * model.weights) @ by_person.T, atol=1e-7)
    parts = build_bifactor(model.spec, model.responses, replace(NODES, chunk=7))
    assert parts.value_and_grad(model.x)[0] == pytest.approx(marginal.value_and_grad(model.x)[0], rel=1e-13)


def test_regression_of_the_general_factor() -> None:
    model = Model("2PL", regression=True)
    fine = Integration(nodes=41, limit=7.0)
    marginal = build_bifactor(model.spec, model.responses, fine, model.W)
    loglik, mean, _ = brute(model, model.x, Integration(nodes=31, limit=6.0))
    np.testing.assert_allclose(marginal.by_person(model.x), loglik, atol=1e-7)
    np.testing.assert_allclose(marginal.moments(model.x).mean, mean, atol=1e-6)
    numeric = derivative(lambda x: marginal.value_and_grad(x)[0], model.x)
    np.testing.assert_allclose(marginal.value_and_grad(model.x)[1], numeric, atol=1e-7)


def test_finer_has_twice_the_nodes() -> None:
    model = Model("2PL")
    finer = build_bifactor(model.spec, model.responses, Integration(nodes=16)).finer()
    assert finer.integration.nodes == 31


def test_other_structures_are_refused() -> None:
    model = Model("2PL")
    spec, responses = model.spec, model.responses

    def refused(other: IrtSpec, match: str, integration: Integration = NODES, w: Any = None) -> None:
        with pytest.raises(ModelError, match=match):
            build_bifactor(other, responses, integration, w)

    refused(replace(spec, specific=None), "bifactor=")
    refused(spec, "more than the", Integration(nodes=999))
    refused(spec, "covariates", NODES, np.zeros((N, 1)))
    assert spec.specific is not None
    swapped = spec.specific.copy()
    swapped[0] = 2
    refused(replace(spec, specific=swapped), "'i0' loads on more than one specific factor")
    free = replace(spec.table, free=np.append(spec.table.free, spec.corr[0, 0]).astype(np.int32))
    refused(replace(spec, table=free), "uncorrelated")
