"""The trust-region step of large problems, from a Cholesky factor, is the step from the eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest

from jmix.estimate import trust_region
from jmix.estimate.trust_region import propose

SIZE = 24


def problem(smallest: float) -> tuple[np.ndarray, np.ndarray]:
    """A gradient and a Hessian with eigenvalues from ``smallest`` to 10."""
    rng = np.random.default_rng(4)
    vectors = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0]
    values = np.linspace(smallest, 10.0, SIZE)
    return rng.normal(size=SIZE), (vectors * values) @ vectors.T


@pytest.mark.parametrize("radius", [np.inf, 0.1])
@pytest.mark.parametrize("smallest", [0.5, 1e-14, -1.0])
def test_both_ways_agree(monkeypatch: pytest.MonkeyPatch, smallest: float, radius: float) -> None:
    gradient, hessian = problem(smallest)
    found = propose(np, gradient, hessian, radius)
    monkeypatch.setattr(trust_region, "LARGE", SIZE + 1)
    by_eigenvalues = propose(np, gradient, hessian, radius)
    for name in ("step", "predicted", "decrement", "length"):
        np.testing.assert_allclose(getattr(found, name), getattr(by_eigenvalues, name), rtol=1e-12)


def test_the_model_falls_as_predicted() -> None:
    gradient, hessian = problem(0.5)
    found = propose(np, gradient, hessian, 0.1)
    fall = -(gradient @ found.step + 0.5 * found.step @ hessian @ found.step)
    assert found.predicted == pytest.approx(fall, rel=1e-12)
    assert found.length == pytest.approx(np.linalg.norm(found.step), rel=1e-12)
    assert found.decrement == pytest.approx(0.5 * gradient @ np.linalg.solve(hessian, gradient), rel=1e-12)
