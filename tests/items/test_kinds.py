"""Item response functions against their definitions in 60-digit decimals, and their derivatives."""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from jmix import runtime
from jmix.errors import ModelError
from jmix.items import KINDS, eta_derivatives, kind_of
from tests.items.exact_items import log_probabilities

INF = float("inf")
# Kind, number of categories, own parameters of three items.
CASES: dict[str, tuple[str, int, list[list[float]]]] = {
    "logistic": ("logistic", 2, [[0.3], [-4.0], [2.5]]),
    "2PL as 4PL": ("logistic4", 2, [[0.3, -INF, INF], [-4.0, -INF, INF], [2.5, -INF, INF]]),
    "3PL": ("logistic4", 2, [[0.3, -1.2, INF], [-4.0, -9.0, INF], [2.5, 0.5, INF]]),
    "4PL": ("logistic4", 2, [[0.3, -1.2, 2.0], [-4.0, -9.0, 8.0], [2.5, -INF, 1.0]]),
    "graded": ("graded", 4, [[2.0, 0.3, -1.0], [5.0, -4.0, -4.01], [1e-3, 0.0, -1e-3]]),
    "graded two": ("graded", 2, [[0.3], [-4.0], [2.5]]),
    "grsm": ("grsm", 4, [[2.0, 0.3, -1.0, 0.4, 1.3], [2.0, 0.3, -1.0, -2.0, 0.2], [1.0, 0.0, -1.0, 0.0, 4.0]]),
    "sequential": ("sequential", 4, [[2.0, 0.3, -1.0], [-1.0, 3.0, 0.5], [0.0, 0.0, 0.0]]),
    "gpcm": ("gpcm", 4, [[2.0, 0.3, -1.0], [-1.0, 3.0, 0.5], [0.0, 0.0, 0.0]]),
    "nominal": ("nominal", 3, [[0.7, 2.0, 0.3, -1.0], [-1.0, 2.0, 0.5, 0.1], [2.0, 2.0, 0.0, 0.0]]),
    "rsm": ("rsm", 4, [[-2.0, 0.3, 1.0, 0.4, 1.0], [1.0, 0.0, -1.0, -2.0, 1.0], [0.0, 0.5, 1.0, 0.0, 2.0]]),
}
ETA = np.array([-45.0, -12.0, -3.1, -0.3, 0.0, 0.7, 2.9, 11.0, 45.0])
FAR = np.array([-5000.0, -800.0, 800.0, 5000.0])


def case(name: str) -> tuple[Any, int, np.ndarray, np.ndarray]:
    kind, k, own = CASES[name]
    return kind_of(kind), k, np.broadcast_to(ETA, (3, ETA.size)).copy(), np.array(own)


@pytest.mark.parametrize("name", CASES)
def test_definition(name: str) -> None:
    kind, k, eta, own = case(name)
    table = kind.log_table(np, eta, own, k)
    assert table.shape == (3, k, ETA.size)
    exact = [[log_probabilities(kind.name, x, row, k) for x in ETA] for row in own.tolist()]
    # relative to the log probability: good in both tails; absolute near certain categories
    np.testing.assert_allclose(table, np.swapaxes(exact, 1, 2), rtol=2e-14, atol=3e-16)


DIFFERENTIATED = [name for name in CASES if name not in ("graded two", "gpcm")]
"""Cases whose JAX programs are compiled; the rating scale model's is that of partial credit."""


def wide_case(name: str) -> tuple[Any, int, np.ndarray, np.ndarray]:
    kind, k, eta, own = case(name)
    return kind, k, np.concatenate([eta, np.broadcast_to(FAR, (3, FAR.size))], axis=1), own


@functools.cache
def in_jax(name: str) -> dict[str, Any]:
    """The table, its derivatives in eta by nested jvp and by closed form, a gradient and a Hessian product."""
    import jax
    import jax.numpy as jnp

    kind, k, eta, own = wide_case(name)
    finite = np.isfinite(own)
    weight = np.random.default_rng(1).uniform(size=(3, k, eta.shape[1]))

    def total(eta: Any, free: Any) -> Any:
        return jnp.sum(kind.log_table(jnp, eta, jnp.where(finite, free, own), k) * weight)

    def derive(function: Any) -> Any:
        return lambda x: jax.jvp(function, (x,), (jnp.ones_like(x),))[1]

    def everything(eta: Any, free: Any) -> Any:
        table = lambda x: kind.log_table(jnp, x, jnp.asarray(own), k)  # noqa: E731
        gradient = jax.grad(total, argnums=(0, 1))
        product = jax.jvp(lambda y: gradient(eta, y), (free,), (jnp.ones_like(free),))[1]
        orders = [derive(table), derive(derive(table)), derive(derive(derive(table)))]
        return {
            "table": table(eta),
            "nested": [order(eta) for order in orders],
            "closed": eta_derivatives(kind, jnp, eta, jnp.asarray(own), k),
            "reverse": [*gradient(eta, free), *product],
        }

    out = runtime.Program(everything)(eta, np.where(finite, own, 0.0))
    return jax.tree_util.tree_map(np.asarray, out)


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_jax_equals_numpy_and_derivatives_are_finite(name: str) -> None:
    kind, k, eta, own = wide_case(name)
    out = in_jax(name)
    np.testing.assert_allclose(out["table"], kind.log_table(np, eta, own, k), rtol=1e-13, atol=1e-15)
    assert all(np.isfinite(part).all() for part in out["reverse"])


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_derivatives_in_eta(name: str) -> None:
    """Closed forms against JAX's own derivatives of the log probabilities."""
    kind, k, eta, own = wide_case(name)
    out = in_jax(name)
    for order, closed in enumerate(eta_derivatives(kind, np, eta, own, k)):
        np.testing.assert_allclose(closed, out["nested"][order], rtol=1e-9, atol=1e-12, err_msg=f"order {order + 1}")
        np.testing.assert_allclose(out["closed"][order], closed, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_far_out_everything_is_finite(name: str) -> None:
    """Slopes of hundreds times nodes of six: the log probabilities stay finite where probabilities underflow."""
    kind, k, _, own = case(name)
    eta = np.broadcast_to(FAR, (3, FAR.size)).copy()
    table = kind.log_table(np, eta, own, k)
    assert np.isfinite(table).all() and (table <= 0).all()
    np.testing.assert_allclose(np.exp(table).sum(axis=1), 1.0, rtol=1e-12)
    assert all(np.isfinite(part).all() for part in eta_derivatives(kind, np, eta, own, k))


def test_derivatives_against_differences() -> None:
    """And against central differences of the exact log probabilities, where no automatic derivative is involved."""
    step = 1e-4
    for name in ("3PL", "graded", "nominal", "sequential"):
        kind, k, _, own = case(name)
        first, second, _ = eta_derivatives(kind, np, np.full((3, 1), 0.4), own, k)
        for j, row in enumerate(own.tolist()):
            low, mid, high = (np.array(log_probabilities(kind.name, 0.4 + h, row, k)) for h in (-step, 0.0, step))
            np.testing.assert_allclose(first[j, :, 0], (high - low) / (2 * step), rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(second[j, :, 0], (high - 2 * mid + low) / step**2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in CASES if kind_of(CASES[name][0]).linear])
def test_linear_terms(name: str) -> None:
    kind, k, eta, own = case(name)
    factors, constants = kind.linear_terms(np, own, k)
    table = kind.log_table(np, eta, own, k)
    ratio = factors[:, :, None] * eta[:, None] + constants[:, :, None]
    np.testing.assert_allclose(table[:, 1:] - table[:, :1], ratio, rtol=1e-12, atol=1e-12)


def test_2pl_is_the_4pl_without_asymptotes_exactly() -> None:
    _, _, eta, own = case("logistic")
    wide = np.concatenate([own, np.full((3, 1), -INF), np.full((3, 1), INF)], axis=1)
    plain, bounded = kind_of("logistic").log_table(np, eta, own, 2), kind_of("logistic4").log_table(np, eta, wide, 2)
    np.testing.assert_array_equal(plain, bounded)


@pytest.mark.parametrize("name", ["graded", "sequential", "gpcm"])
def test_two_categories_are_the_2pl(name: str) -> None:
    _, _, eta, own = case("logistic")
    expected = kind_of("logistic").log_table(np, eta, own, 2)
    np.testing.assert_allclose(kind_of(name).log_table(np, eta, own, 2), expected, rtol=1e-14, atol=1e-16)


def test_trailing_axes_of_eta() -> None:
    for name in CASES:
        kind, k, _, own = case(name)
        eta = np.random.default_rng(2).normal(size=(3, 4, 5))
        whole = kind.log_table(np, eta, own, k)
        assert whole.shape == (3, k, 4, 5)
        np.testing.assert_array_equal(whole[..., 2], kind.log_table(np, eta[..., 2], own, k))


def test_graded_out_of_order_is_hopeless_but_finite() -> None:
    import jax
    import jax.numpy as jnp

    kind, eta, own = kind_of("graded"), np.zeros((1, 1)), np.array([[1.0, -1.0, -0.9]])
    table = kind.log_table(np, eta, own, 4)
    assert np.isfinite(table).all()
    assert (table < -1e6).all()
    with runtime.float64():
        slope = jax.jit(jax.grad(lambda own: jnp.sum(kind.log_table(jnp, eta, own, 4))))(jnp.asarray(own))
    slope = np.asarray(slope)
    assert np.isfinite(slope).all()
    assert slope[0, 1] > 0 > slope[0, 2], "the derivative leads back to the order"


def test_float32_stays_float32() -> None:
    import jax
    import jax.numpy as jnp

    for name in ("4PL", "graded", "sequential", "nominal", "rsm"):
        kind, k, eta, own = case(name)
        with runtime.float64():
            compiled = jax.jit(lambda eta, own, kind=kind, k=k: kind.log_table(jnp, eta, own, k))
            table = compiled(jnp.asarray(eta, jnp.float32), jnp.asarray(own, jnp.float32))
        assert table.dtype == np.float32, name
        rounded = (np.asarray(part, dtype=np.float32).astype(np.float64) for part in (eta, own))
        np.testing.assert_allclose(table, kind.log_table(np, *rounded, k), rtol=1e-5, atol=2e-6)


def test_names_match_the_own_parameters() -> None:
    for kind_name, k, own in CASES.values():
        assert len(kind_of(kind_name).names(k)) == len(own[0])
    assert set(KINDS) == {kind for kind, *_ in CASES.values()}


def test_unknown_kind() -> None:
    with pytest.raises(ModelError, match="'cubic' is not a kind of item"):
        kind_of("cubic")


def test_import_without_jax() -> None:
    code = (
        "import sys, jmix.items, jmix.spec.irt.build, jmix.spec.irt.priors; "
        "sys.exit('jax' in sys.modules or 'numpyro' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
