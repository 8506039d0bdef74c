"""Models that are not identified are refused, and only those."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jmix.errors import ModelError
from jmix.spec.irt import build_spec
from tests.spec.irt.tables import responses


@pytest.mark.parametrize("itemtype", ["Rasch", "1PL"])
def test_exploratory_needs_free_slopes(itemtype: str) -> None:
    with pytest.raises(ModelError, match=f"'Item.1' is of type {itemtype}, whose slopes are not free"):
        build_spec(responses(), itemtype, model=2)


def test_more_parameters_than_patterns() -> None:
    with pytest.raises(ModelError, match=r"2 items have 3 free probabilities of response patterns.*4 parameters"):
        build_spec(responses(n_items=2), "2PL")
    assert build_spec(responses(n_items=2), "Rasch")[0].n_free == 3
    priors = {"a": "lognormal(0, 0.5)"}
    assert build_spec(responses(n_items=2), "2PL", priors=priors)[0].n_free == 4


def rank_by_complex_step(model: Any, n_items: int, covariances: Any) -> int:
    """Deficiency of the Jacobian of ``A Phi A'``, from the pattern alone."""
    pattern = np.asarray(model)
    d = pattern.shape[1]
    pairs = [(i, j) for i in range(d) for j in range(i)] if covariances else []
    rng = np.random.default_rng(5)
    a, r = rng.uniform(0.5, 1.5, pattern.sum()), rng.uniform(-0.2, 0.2, len(pairs))

    def covariance(x: Any) -> Any:
        loadings = np.zeros(pattern.shape, dtype=complex)
        loadings[pattern == 1] = x[: a.size]
        phi = np.eye(d, dtype=complex)
        for (i, j), value in zip(pairs, x[a.size :], strict=True):
            phi[i, j] = phi[j, i] = value
        return (loadings @ phi @ loadings.T)[np.tril_indices(n_items, -1)]

    x = np.concatenate([a, r])
    columns = [covariance(x + 1e-20j * (np.arange(x.size) == p)).imag / 1e-20 for p in range(x.size)]
    return x.size - int(np.linalg.matrix_rank(np.stack(columns, axis=1), tol=1e-9))


@pytest.mark.parametrize("covariances", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_rotation_is_seen_where_the_jacobian_is_deficient(seed: int, covariances: bool) -> None:
    rng = np.random.default_rng(seed)
    pattern = (rng.uniform(size=(8, 2)) < rng.choice([0.5, 0.8, 1.0])).astype(int)
    pattern[pattern.sum(axis=1) == 0, 0] = 1
    deficient = rank_by_complex_step(pattern, 8, covariances) > 0
    if deficient or (pattern.sum(axis=0) < 2).any():
        with pytest.raises(ModelError, match=r"not identified|has only the item"):
            build_spec(responses(n_items=8), "2PL", model=pattern, covariances=covariances)
    else:
        build_spec(responses(n_items=8), "2PL", model=pattern, covariances=covariances)


def test_rotation_among_many_items() -> None:
    pattern = np.ones((200, 3), dtype=int)
    with pytest.raises(ModelError, match=r"slopes are not identified: .*or use an exploratory model"):
        build_spec(responses(n_items=200), "2PL", model=pattern)
    simple = np.repeat(np.eye(3, dtype=int), 67, axis=0)[:200]
    assert build_spec(responses(n_items=200), "2PL", model=simple, covariances=True)[0].n_free == 403


def test_many_correlated_factors_are_identified() -> None:
    simple = np.repeat(np.eye(12, dtype=int), 10, axis=0)
    spec, _ = build_spec(responses(n_items=120), "2PL", model=simple, covariances=True)
    assert spec.n_free == 240 + 66
    crossed = simple.copy()
    crossed[np.arange(120), (np.arange(120) // 10 + 1) % 12] |= np.arange(120) % 3 == 0
    assert build_spec(responses(n_items=120), "2PL", model=crossed, covariances=True)[0].n_free == 240 + 66 + 40
