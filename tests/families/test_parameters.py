"""Derivatives in the dispersion, the zero probability, the thresholds and the degrees of freedom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jmix.families import Aux, Family, log_density, resolve_family
from jmix.runtime import Program

CASES = [
    (resolve_family("gaussian"), [-1.0, 0.4, 3.0]),
    (resolve_family("student"), [-1.0, 0.4, 3.0]),
    (resolve_family("gamma", "log"), [0.1, 1.0, 3.0]),
    (resolve_family("inverse_gaussian", "log"), [0.1, 1.0, 3.0]),
    (resolve_family("beta"), [0.1, 0.5, 0.97]),
    (resolve_family("nbinom2", zero="inflated"), [0.0, 1.0, 12.0]),
    (resolve_family("nbinom2", zero="hurdle"), [0.0, 1.0, 12.0]),
    (resolve_family("nbinom1", zero="inflated"), [0.0, 1.0, 12.0]),
    (resolve_family("nbinom1", zero="hurdle"), [0.0, 1.0, 12.0]),
    (resolve_family("cumulative"), [0.0, 1.0, 2.0]),
    (resolve_family("cumulative", "probit"), [0.0, 1.0, 2.0]),
    (resolve_family("cumulative", "cloglog"), [0.0, 1.0, 2.0]),
    (resolve_family("cumulative", "cauchit"), [0.0, 1.0, 2.0]),
]
POINT = np.array([0.3, -0.4, -0.6, 0.9, 3.5, 0.2])
USED = {"student": [0, 4, 5], "cumulative": [2, 3, 5]}


def _total(x: Any, y: Any, *, family: Family) -> Any:
    """Log density of three rows, whose linear predictors move with the last coordinate."""
    import jax.numpy as jnp

    eta = x[5] * jnp.array([1.0, -2.0, 3.0])
    return jnp.sum(log_density(family, y, jnp.ones(3), eta, Aux(x[0], x[1], x[2:4], x[4])))


def _both(x: Any, y: Any, *, family: Family) -> Any:
    import jax

    gradient = jax.grad(_total)
    return gradient(x, y, family=family), jax.jacfwd(gradient)(x, y, family=family)


VALUE, BOTH = Program(_total, static=("family",)), Program(_both, static=("family",))


@pytest.mark.parametrize(("family", "y"), CASES, ids=lambda part: part.title if isinstance(part, Family) else "")
def test_gradient_and_hessian(family: Family, y: list[float]) -> None:
    rows = np.array(y)
    gradient, hessian = (np.asarray(part) for part in BOTH(POINT, rows, family=family))
    steps = 1e-5 * np.eye(6)
    ups = [float(VALUE(POINT + step, rows, family=family)) for step in steps]
    downs = [float(VALUE(POINT - step, rows, family=family)) for step in steps]
    np.testing.assert_allclose(gradient, (np.array(ups) - np.array(downs)) / 2e-5, rtol=1e-7, atol=1e-8)
    used = USED.get(family.name, [0, 1, 5] if family.zero else [0, 5])
    assert (gradient[used] != 0).all()
    assert set(np.flatnonzero(gradient)) == set(used)
    rises = [np.asarray(BOTH(POINT + step, rows, family=family)[0]) for step in steps]
    falls = [np.asarray(BOTH(POINT - step, rows, family=family)[0]) for step in steps]
    np.testing.assert_allclose(hessian, (np.array(rises) - np.array(falls)) / 2e-5, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["nbinom2", "nbinom1", "gamma", "beta", "gaussian"])
@pytest.mark.parametrize("log_phi", [-60.0, -20.0, 20.0, 60.0])
def test_extreme_dispersions_stay_finite(name: str, log_phi: float) -> None:
    """A line search passes through such values; they must be refusable, not NaN."""
    family = resolve_family(name, "log" if name == "gamma" else None)
    x = POINT.copy()
    x[0] = log_phi
    rows = np.array([0.1, 0.5, 0.9]) if name in {"beta", "gamma"} else np.array([0.0, 1.0, 12.0])
    assert np.isfinite(VALUE(x, rows, family=family))
    gradient, hessian = (np.asarray(part) for part in BOTH(x, rows, family=family))
    assert np.isfinite(gradient).all()
    assert np.isfinite(hessian).all()
