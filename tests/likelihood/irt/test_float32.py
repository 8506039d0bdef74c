"""float32 for what is computed per person: the sum over persons keeps the precision of float64 where it counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.likelihood.irt.grid_build import build_grid
from jmix.likelihood.irt.marginal import Integration

from .textbook import Case

N = 20_000


@pytest.fixture(scope="module", params=["logistic", pytest.param("logistic4", marks=pytest.mark.slow)])
def pair(request: pytest.FixtureRequest) -> tuple[Case, Any, Any]:
    """A simulated test of 50 items in both precisions."""
    case = Case(kinds=[(request.param, 2, 50)], n=10)
    rng = np.random.default_rng(0)
    eta = 1.2 * rng.normal(size=(N, 1)) + rng.normal(size=50)
    table = (rng.random((N, 50)) < 1 / (1 + np.exp(-eta))).astype(np.int8)
    responses = replace(case.responses, table=table, persons=pd.RangeIndex(N))
    single, double = (build_grid(case.spec, responses, Integration(precision=p)) for p in ("float32", "float64"))
    assert (single.plan.dtype, double.plan.dtype) == ("float32", "float64")
    return case, single, double


def test_value_and_gradient(pair: tuple[Case, Any, Any]) -> None:
    """The noise of the value is that of independent roundings, 2e-6 for a person; a bias would show as 1e-7 N."""
    case, single, double = pair
    rng = np.random.default_rng(1)
    difference = []
    for _ in range(5):
        x = case.x + rng.normal(0, 1e-4, case.x.size)
        (a, g), (b, h) = single.value_and_grad(x), double.value_and_grad(x)
        difference.append(a - b)
        np.testing.assert_allclose(g, h, atol=1e-5 * N)
    assert np.abs(difference).max() < 2e-8 * N * 5
    np.testing.assert_allclose(single.by_person(case.x), double.by_person(case.x), atol=5e-5)


def test_standard_errors(pair: tuple[Case, Any, Any]) -> None:
    case, single, double = pair
    h, exact = single.hessian(case.x), double.hessian(case.x)
    np.testing.assert_allclose(h, exact, atol=1e-5 * np.abs(np.diag(exact)).max())
