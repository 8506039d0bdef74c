"""Collapsed equals uncollapsed; weights equal repeated rows; chunked equals whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.likelihood.irt.grid_build import build_grid
from jmix.likelihood.irt.marginal import Integration

from .textbook import Case

GRID = Integration(nodes=31)
CASES: dict[str, dict[str, Any]] = {
    "Rasch": {"kinds": [("logistic", 2, 3)], "common": True, "weights": True},
    "2PL, sex": {"kinds": [("logistic", 2, 3)], "covariates": 1, "groups": 2, "n": 400},
}
SLOW: dict[str, dict[str, Any]] = {
    "PCM, booklets, groups": {
        "kinds": [("logistic", 2, 2), ("gpcm", 3, 2)],
        "common": True,
        "missing": "pattern",
        "groups": 2,
        "n": 400,
        "weights": True,
    },
    "Rasch, regression": {"kinds": [("logistic", 2, 3)], "common": True, "covariates": 1, "n": 300},
    "graded": {"kinds": [("graded", 3, 3)], "n": 200},
}


def _case(name: str) -> Case:
    case = Case(**{**CASES, **SLOW}[name])
    if case.W is not None:
        case.W = np.round(case.W)
    return case


@pytest.mark.parametrize("name", [*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_collapsed_equals_uncollapsed(name: str) -> None:
    case = _case(name)
    merged = build_grid(case.spec, case.responses, GRID, case.W)
    plain = build_grid(case.spec, case.responses, GRID, case.W, collapse=False)
    assert merged.plan.scored == ("common" in {**CASES, **SLOW}[name])
    held = merged.data.rows.u if merged.plan.scored else merged.data.rows.x
    assert held is not None and held.shape[0] < case.responses.n_persons / 2
    x = case.x
    for ours, theirs in zip(merged.value_and_grad(x), plain.value_and_grad(x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(merged.by_person(x), plain.by_person(x), rtol=1e-11)
    for ours, theirs in zip(merged.moments(x), plain.moments(x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)
    if name != "2PL, sex":
        np.testing.assert_allclose(merged.hessian(x), plain.hessian(x), rtol=1e-9, atol=1e-8)
        np.testing.assert_allclose(merged.cross_product(x), plain.cross_product(x), rtol=1e-9, atol=1e-8)


def test_weights_equal_repeated_rows() -> None:
    case = Case([("logistic", 2, 2), ("graded", 3, 2)], groups=2, weights=True, missing=0.2)
    r = case.responses
    assert r.table is not None and r.group is not None
    times = np.repeat(np.arange(r.n_persons), case.weights.astype(int))
    again = replace(r, table=r.table[times], group=r.group[times], weights=None, persons=pd.RangeIndex(times.size))
    one, two = (build_grid(case.spec, data, GRID) for data in (r, again))
    for ours, theirs in zip(one.value_and_grad(case.x), two.value_and_grad(case.x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(one.by_person(case.x)[times], two.by_person(case.x), rtol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [7, 64])
def test_chunked_equals_whole(chunk: int) -> None:
    case = Case([("logistic", 2, 6), ("gpcm", 3, 1)], groups=3, n=200, missing="pattern", weights=True)
    whole = build_grid(case.spec, case.responses, GRID, collapse=False)
    cut = build_grid(case.spec, case.responses, replace(GRID, chunk=chunk), collapse=False)
    assert cut.data.rows.start.shape[0] > 200 // chunk
    for ours, theirs in zip(cut.value_and_grad(case.x), whole.value_and_grad(case.x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-9)
    np.testing.assert_allclose(cut.by_person(case.x), whole.by_person(case.x), rtol=1e-11)
    np.testing.assert_allclose(cut.moments(case.x).mean, whole.moments(case.x).mean, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(cut.hessian(case.x), whole.hessian(case.x), rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(cut.cross_product(case.x), whole.cross_product(case.x), rtol=1e-9, atol=1e-8)
