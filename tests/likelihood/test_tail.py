"""Crossed factors: the sparse and the dense coupling are the same model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmix.likelihood import tail
from jmix.likelihood.structure import DenseTail, SparseTail


@pytest.mark.parametrize("name", ["crossed vectors", "three crossed", "nested and crossed"])
@given(seed=st.integers(0, 2**32 - 1), weighted=st.booleans())
def test_sparse_tail_equals_dense_tail(name: str, case: Any, near: Any, seed: int, weighted: bool) -> None:
    points, sides = [], []
    for price, kind in ((0.0, SparseTail), (float("inf"), DenseTail)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tail, "PAIR_COST", price)
            drawn = case(name, seed, weighted=weighted)
            stats = drawn.model.objective.reduced.stats
        assert stats.tail_sizes
        assert all(isinstance(block.tail, kind) for block in stats.blocks)
        points.append(drawn.model.objective.first(drawn.phi, True))
        sides.append(drawn.model.objective.covariances(drawn.phi))
    sparse, dense = points
    near(sparse.value, dense.value, 1e-11)
    near(sparse.gradient, dense.gradient, 1e-9)
    near(sparse.extra, dense.extra, 1e-10)
    for group, blocks in sides[0].items():
        near(blocks, sides[1][group], 1e-9)
