"""Sparse likelihood equals the dense one for every kind of item, with its Hessian and scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from jmix.likelihood.irt.build import build_marginal
from jmix.likelihood.irt.marginal import Integration
from jmix.responses.convert import as_long
from jmix.responses.read import read_responses
from jmix.spec.irt.build import build_spec


def answers(n_categories, j, n=40):
    rng = np.random.default_rng(n_categories)
    theta = rng.standard_normal((n, 1))
    top = n_categories - 1
    table = np.clip(np.round((theta + rng.standard_normal((n, j))) * n_categories / 4 + top / 2), 0, top)
    table[rng.random(table.shape) < 0.4] = np.nan
    table[:n_categories] = np.arange(n_categories)[:, None]
    return table


BINARY, THREE = answers(2, 4), answers(3, 3)
MIXED = ["3PL", "4PL", "Rasch", "2PL", "graded", "gpcm", "nominal"]
CASES = {
    "mixed": (np.hstack([BINARY, THREE]), MIXED, {}),
    "rsm": (THREE, "rsm", {}),
    "grsm": (THREE, "grsm", {}),
    "sequential": (THREE, "sequential", {}),
    "PCM": (THREE, "PCM", {}),
    "two factors": (np.hstack([BINARY, THREE]), ["2PL"] * 4 + ["graded"] * 3, {"model": 2}),
    "LLTM": (BINARY, "2PL", {"item_formula": "~ pos + z"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_sparse_is_dense(name):
    table, itemtype, options = CASES[name]
    wide = read_responses(table)
    if "item_formula" in options:
        wide = replace(wide, item_data=pd.DataFrame({"pos": np.arange(4.0), "z": [1.0, 0, 0, 1]}))
    spec, _ = build_spec(wide, itemtype, **options)
    long = replace(wide, table=None, long=as_long(wide))
    grid = Integration(nodes=31 if spec.n_factors == 1 else 13, limit=5.0)
    sparse, dense = build_marginal(spec, long, grid), build_marginal(spec, wide, grid)
    x = spec.table.values[spec.table.free] + 0.05 * np.random.default_rng(0).standard_normal(spec.n_free)
    value, gradient = sparse.value_and_grad(x)
    other, slope = dense.value_and_grad(x)
    assert value == pytest.approx(other, abs=1e-10)
    assert np.allclose(gradient, slope, atol=1e-9)
    hessian = sparse.hessian(x)
    assert np.allclose(hessian, dense.hessian(x), atol=1e-8)
    assert np.allclose(sparse.cross_product(x), dense.cross_product(x), atol=1e-8)
    for places, block in sparse.item_blocks(x):
        assert np.allclose(block, hessian[np.ix_(places, places)], atol=1e-9)
