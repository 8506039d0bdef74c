"""``Z'V^{-1}Z`` and ``Z'V^{-1}X`` by blocks against n x n matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.likelihood.marginal_cross import by_level, cells, lower_factors, marginal_cross


@pytest.mark.parametrize(
    ("formula", "sparse"),
    [("y ~ x + (x | g)", True), ("y ~ x + (1 | g / h)", True), ("y ~ x + (1 | g) + (x || c)", False)],
)
def test_blocks_are_those_of_the_whole(formula: str, sparse: bool) -> None:
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(9), 8 + np.arange(9) % 3)
    data = pd.DataFrame({"g": g, "h": rng.integers(0, 3, g.size), "c": rng.integers(0, 4, g.size)}).astype(str)
    data["x"], data["w"] = rng.normal(size=g.size), rng.uniform(0.5, 2.0, g.size)
    data["y"] = rng.normal(size=g.size) + rng.normal(size=9)[g]
    model = jmix.model(formula, data, weights="w")
    reduced, n = model.objective.reduced, g.size
    phi = 0.3 + rng.uniform(size=model.spec.n_theta)
    found = marginal_cross(reduced, phi)
    factors = reduced.elimination.factors
    z = []
    for f in factors:
        columns, indicator = f.transformed(slice(0, n)), np.eye(f.n_levels)[f.codes]
        z.append((columns.T[:, None, :] * indicator[:, :, None]).reshape(n, -1))
    z = np.hstack(z)
    omega = by_level([v @ v.T for v in lower_factors(phi, reduced.layout)], [f.n_levels for f in factors]).toarray()
    inverse = np.linalg.inv(np.diag(1.0 / model.design.weights) + z @ omega @ z.T)
    x = model.design.X @ reduced.fixed.inverse
    zz = found.zz if isinstance(found.zz, np.ndarray) else found.zz.toarray()
    assert isinstance(found.zz, np.ndarray) != sparse
    for ours, theirs in ((zz, z.T @ inverse @ z), (found.zx, z.T @ inverse @ x), (found.xx, x.T @ inverse @ x)):
        assert ours == pytest.approx(theirs, abs=1e-11 * np.abs(theirs).max())
    assert cells(reduced) >= np.count_nonzero(zz)
