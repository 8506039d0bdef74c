"""Paths that ordinary data do not take: large tails, many levels in a chunk, saddle points, collinear slopes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.estimate.newton import Point, newton
from jmix.likelihood import suffstats, tail

CROSSED = "y ~ x + (1 + x | a) + (1 | d)"
THETA = [0.8, 0.2, 0.5, 0.6]


def crossed() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    n = 120
    frame = pd.DataFrame({"a": rng.integers(0, 12, n), "d": rng.integers(0, 5, n), "x": rng.normal(size=n)})
    frame["y"] = rng.normal(size=12)[frame.a] + rng.normal(size=5)[frame.d] + rng.normal(size=n)
    return frame


def log_marginal() -> float:
    return jmix.model(CROSSED, crossed()).log_marginal({"theta": THETA})


@pytest.mark.parametrize(("module", "name"), [(tail, "TABLE_MAX"), (suffstats, "SPARSE_LEVELS")])
def test_both_ways_of_counting_agree(module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "PAIR_COST", 0.0)
    expected = log_marginal()
    monkeypatch.setattr(module, name, 0)
    assert log_marginal() == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(("name", "words"), [("MEMORY_MAX", "crossing of a and d"), ("TAIL_MAX", r"d \(5 levels\)")])
def test_a_crossing_that_is_too_large_is_refused(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, name, 1)
    with pytest.raises(jmix.ModelError, match=words):
        log_marginal()


def test_memory_decides_where_only_one_coupling_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    small = jmix.model(CROSSED, crossed()).objective.reduced.elimination
    monkeypatch.setattr(tail, "MEMORY_MAX", 1000)
    assert tail._prefer_dense(1e6, 10.0, 10.0, small.chain, small.tail)
    assert not tail._prefer_dense(10.0, 1e3, 10.0, small.chain, small.tail)


def test_a_saddle_point_is_left() -> None:
    def double_well(t: np.ndarray) -> Point:
        x, y = t
        hessian = np.diag([12 * x**2 - 2, 2.0])
        return Point(float(x**4 - x**2 + y**2), np.array([4 * x**3 - 2 * x, 2 * y]), hessian)

    found = newton(double_well, np.zeros(2))
    assert found.converged
    assert abs(found.theta[0]) == pytest.approx(np.sqrt(0.5), rel=1e-6)


def test_a_year_and_its_square_as_random_slopes() -> None:
    """Collinear to twelve digits as they are; the same model as with centred decades."""
    rng = np.random.default_rng(5)
    g, year = np.arange(600) % 30, rng.integers(1990, 2021, 600).astype(float)
    t, b = (year - 2005) / 10, rng.normal(size=(30, 3)) * [2, 1, 0.7]
    y = 5 + t + 0.3 * t**2 + b[g, 0] + b[g, 1] * t + b[g, 2] * t**2 + rng.normal(size=600)
    data = pd.DataFrame({"y": y, "year": year, "t": t, "g": g})
    raw = jmix.lmm("y ~ year + I(year^2) + (1 + year + I(year^2) | g)", data)
    centred = jmix.lmm("y ~ t + I(t^2) + (1 + t + I(t^2) | g)", data)
    assert raw.converged and not raw.singular
    assert raw.sigma == pytest.approx(centred.sigma, rel=1e-7)
    assert raw.criterion - centred.criterion == pytest.approx(2 * np.log(1000), abs=1e-6)
    np.testing.assert_allclose(raw.fitted(), centred.fitted(), rtol=1e-6)
