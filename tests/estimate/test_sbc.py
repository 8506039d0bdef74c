"""Simulation-based calibration with ``benchmarks/sbc.py``: ranks are uniform, and planted errors show."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

LEVEL = 0.01
"""Probability of a false alarm of all tests of a design together."""


@pytest.fixture(scope="module")
def benchmarks(repo: Path) -> Any:
    """The modules of the benchmarks by name; pytest's import mode leaves the repository off the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repo))
        yield lambda name: importlib.import_module(f"benchmarks.{name}")


def _p_value(benchmarks: Any, found: Any) -> float:
    return float(benchmarks("uniformity").table({"": found}).corrected.min())


def test_the_tests_of_uniformity_hold_their_level(benchmarks: Any) -> None:
    uniformity = benchmarks("uniformity")
    rng, n = np.random.default_rng(0), 200
    envelope = uniformity.Envelope(n, simulations=4000)
    ranks = rng.integers(0, 100, (600, n))
    for p_value in (envelope.p_value, uniformity.chi_square):
        share = np.mean([p_value(own) < 0.05 for own in ranks])
        assert 0.02 < share < 0.09
    low, high = envelope.band(0.95)
    differences = np.array([envelope.counts(own) / n - envelope.share for own in ranks])
    inside = np.mean(np.all((differences >= low - 1e-9) & (differences <= high + 1e-9), axis=1))
    assert 0.91 < inside < 0.98


@pytest.mark.parametrize("wrong", ["narrow", "shifted"])
def test_ranks_that_are_not_uniform_are_told(benchmarks: Any, wrong: str) -> None:
    rng = np.random.default_rng(0)
    centre, spread = (0.0, 0.7) if wrong == "narrow" else (0.35, 1.0)
    draws = centre + spread * rng.normal(size=(300, 99))
    ranks = (draws < rng.normal(size=(300, 1))).sum(axis=1)
    assert benchmarks("uniformity").Envelope(300).p_value(ranks) < 1e-3
    assert benchmarks("uniformity").chi_square(ranks) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("design", ["random intercept", "correlated slope", "crossed"])
def test_ranks_of_the_truth_are_uniform(benchmarks: Any, design: str) -> None:
    calibration = benchmarks("calibration")
    found = calibration.calibrate(calibration.DESIGNS[design], 250, 31)
    assert found.ess > 50
    assert _p_value(benchmarks, found) > LEVEL


@pytest.mark.slow
@pytest.mark.parametrize("error", ["the Jacobian is left out", "a prior is half as wide"])
def test_a_planted_error_shows(benchmarks: Any, error: str) -> None:
    assert _p_value(benchmarks, benchmarks("sbc").planted(error, 250, 31)) < 1e-3
