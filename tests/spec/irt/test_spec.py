"""The map from free parameters to everything else."""

from __future__ import annotations

import numpy as np
import pytest

from jmix import runtime
from jmix.spec.irt import build_spec, full_vector, unpack
from jmix.spec.irt.spec import correlation_chol
from tests.spec.irt.tables import responses


@pytest.mark.parametrize("d", [1, 2, 3, 6])
def test_correlation_chol_is_lapacks(d: int) -> None:
    rng = np.random.default_rng(d)
    factor = rng.normal(size=(3, d, d + 1))
    r = factor @ factor.transpose(0, 2, 1)
    scale = np.sqrt(np.diagonal(r, axis1=1, axis2=2))
    r = r / scale[:, :, None] / scale[:, None, :]
    corr = r[:, *np.tril_indices(d, -1)]
    np.testing.assert_allclose(correlation_chol(np, corr, d), np.linalg.cholesky(r), rtol=1e-12, atol=1e-14)


def test_correlations_that_no_matrix_has_are_nan() -> None:
    with np.errstate(invalid="ignore"):
        found = correlation_chol(np, np.array([[0.9, 0.9, -0.9]]), 3)
    assert np.isnan(found).any()


def test_unpack_in_jax_with_its_derivative() -> None:
    import jax.numpy as jnp

    data = responses([2, 3, 2, 2, 2, 2], groups=("x", "y"))
    spec, _ = build_spec(data, model="F1 = 1-3\nF2 = 4-6\nCOV = F1*F2")
    rng = np.random.default_rng(2)
    x = spec.table.values[spec.table.free] + rng.uniform(-0.2, 0.2, spec.n_free)
    weight = rng.normal(size=(2, 2, 2))

    def both(x: object) -> object:
        import jax

        def total(x: object) -> object:
            values = unpack(jnp, spec, x)
            return jnp.sum(weight * values.chol) + jnp.sum(values.mean**2) + jnp.sum(values.slopes[0] ** 2)

        return unpack(jnp, spec, x), jax.value_and_grad(total)(x)

    found, (_, gradient) = runtime.Program(both)(x)
    expected = unpack(np, spec, x)
    for one, other in zip((*found.slopes, *found.own, found.mean, found.chol), _parts(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)

    def value(x: np.ndarray) -> float:
        values = unpack(np, spec, x)
        return float((weight * values.chol).sum() + (values.mean**2).sum() + (values.slopes[0] ** 2).sum())

    steps = 1e-6 * np.eye(x.size)
    numeric = [(value(x + h) - value(x - h)) / 2e-6 for h in steps]
    np.testing.assert_allclose(gradient, numeric, atol=1e-8)


def _parts(values: object) -> list[np.ndarray]:
    return [*values.slopes, *values.own, values.mean, values.chol]  # type: ignore[attr-defined]


def test_numbers_leave_the_specification_alone() -> None:
    spec, _ = build_spec(responses(), "2PL")
    before = spec.table.values.copy()
    v = spec.numbers(np.full(spec.n_free, 3.0))
    np.testing.assert_array_equal(spec.table.values, before)
    np.testing.assert_array_equal(v[spec.table.free], 3.0)
    np.testing.assert_array_equal(full_vector(np, spec, before[spec.table.free]), before)
