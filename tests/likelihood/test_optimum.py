"""Fits: what must not matter does not, and every route leads to the same optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jmix

FORMULAS = {
    "slope": "y ~ x + (1 + x | a)",
    "nested": "y ~ x + (1 | a/b)",
    "crossed": "y ~ x + (1 + x | d) + (1 | e)",
    "nested and crossed": "y ~ x + (1 | a/b) + (x || e)",
}
ROWS = 160


def _frame(seed: int) -> pd.DataFrame:
    """Unequal groups; every level of ``d`` meets every level of ``e``."""
    rng = np.random.default_rng(seed)
    a = np.repeat(np.arange(10), (4, 6, 8, 12, 14, 16, 20, 22, 26, 32))
    i = np.arange(ROWS)
    b, d, e = i // 2 % 3, i % 12, i // 12 % 7
    x = rng.normal(size=ROWS) + 2.0
    effect = rng.normal(size=10)[a] + 0.7 * rng.normal(size=30)[3 * a + b]
    effect += rng.normal(size=12)[d] + 0.6 * rng.normal(size=12)[d] * x + 0.8 * rng.normal(size=7)[e]
    y = 3.0 + 0.5 * x + effect + rng.normal(size=10)[a] * 0.5 * x + rng.normal(size=ROWS)
    names = {k: [f"{k}{v:02d}" for v in values] for k, values in {"a": a, "b": b, "d": d, "e": e}.items()}
    return pd.DataFrame({"y": y, "x": x, **names})


def _same(left: Any, right: Any, tolerance: float = 1e-6) -> None:
    assert abs(left.criterion - right.criterion) <= 1e-9 * abs(right.criterion)
    np.testing.assert_allclose(left.theta, right.theta, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(left.fixef(), right.fixef(), rtol=tolerance, atol=tolerance * right.sigma)
    np.testing.assert_allclose(left.sigma, right.sigma, rtol=tolerance)
    assert left.converged and right.converged
    assert left.singular == right.singular


@given(seed=st.integers(0, 2**32 - 1), formula=st.sampled_from(list(FORMULAS.values())))
def test_row_order_level_order_and_level_names_do_not_matter(seed: int, formula: str) -> None:
    data = _frame(seed)
    rng = np.random.default_rng(seed)
    fit = jmix.lmm(formula, data)
    other = data.iloc[rng.permutation(ROWS)].copy()
    renamed = {}
    for name in "abde":
        old = sorted(set(data[name]))
        renamed[name] = dict(zip(old, [f"level {k}" for k in rng.permutation(len(old))], strict=True))
        labels = rng.permutation(list(renamed[name].values()))
        other[name] = pd.Categorical(other[name].map(renamed[name]), categories=labels)
    again = jmix.lmm(formula, other)
    _same(again, fit)
    np.testing.assert_allclose(again.fitted().sort_index(), fit.fitted(), rtol=1e-6, atol=1e-6 * fit.sigma)
    for group, frame in fit.ranef().items():
        if ":" not in group:
            expected = frame.rename(index=renamed[group])
            found = again.ranef()[group].loc[expected.index]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * fit.sigma)
            sds = again.ranef_sd()[group].loc[expected.index]
            np.testing.assert_allclose(sds, fit.ranef_sd()[group].rename(index=renamed[group]), rtol=1e-5)


@pytest.mark.parametrize("structure", ["slope", "nested", "crossed"])
def test_many_refits_are_single_refits(structure: str) -> None:
    fit = jmix.lmm(FORMULAS[structure], _frame(11))
    rng = np.random.default_rng(2)
    responses = fit.simulate(5, seed=3).to_numpy().copy()
    responses[:, 4] = rng.normal(size=ROWS)
    responses[:, 3] = 1e4 * responses[:, 3] - 1e6
    many = fit.refit(responses)
    for r in range(5):
        single = fit.refit(responses[:, r])
        assert abs(many.solutions.criterion[r] - single.criterion) <= 1e-9 * abs(single.criterion)
        np.testing.assert_allclose(many.theta.iloc[r], single.theta, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(many.fixef().iloc[r], single.fixef(), rtol=1e-6)
        np.testing.assert_allclose(many.sigma.iloc[r], single.sigma, rtol=1e-6)
        assert bool(many.converged.iloc[r]) and single.converged
        assert bool(many.singular.iloc[r]) == single.singular


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS.keys())
@pytest.mark.parametrize("seed", [5, 6])
def test_lbfgs_and_newton_find_the_same_optimum(formula: str, seed: int) -> None:
    data = _frame(seed)
    _same(jmix.lmm(formula, data, control={"optimizer": "lbfgs"}), jmix.lmm(formula, data))


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS.keys())
def test_the_start_does_not_matter(formula: str) -> None:
    model = jmix.model(formula, _frame(8))
    fit = model.fit()
    rng = np.random.default_rng(0)
    k = model.spec.n_theta
    for start in (np.zeros(k), np.full(k, 0.01), rng.normal(size=k), 20.0 * rng.normal(size=k)):
        _same(model.fit(start=start), fit)


def test_a_start_at_a_stationary_zero_is_left() -> None:
    """At theta = 0 the gradient vanishes by symmetry; the curvature says where to go."""
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(12), 5)
    data = pd.DataFrame({"y": rng.normal(size=12)[g] * 2 + rng.normal(size=60), "g": g.astype(str)})
    model = jmix.model("y ~ 1 + (1 | g)", data)
    fit = model.fit(start=[0.0])
    assert fit.converged and not fit.singular
    _same(fit, model.fit())
