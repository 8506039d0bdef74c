"""Linking constants: exact where the truth is known, and against a plain minimisation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from jmix.errors import DataError, ModelError
from jmix.items.bank import ItemBank
from jmix.results.irt.linking import METHODS, link
from jmix.results.irt.linking_tables import bank_table, transformed

A, B = 1.3, -0.4


def mixed() -> pd.DataFrame:
    """Items of several kinds on the target's scale."""
    rows = [
        {"item": "x1", "itemtype": "2PL", "a": 1.1, "d": 0.3},
        {"item": "x2", "itemtype": "3PL", "a": 1.6, "d": -0.7, "c": 0.2},
        {"item": "x3", "itemtype": "graded", "a": 1.4, "d1": 1.5, "d2": 0.2, "d3": -1.0},
        {"item": "x4", "itemtype": "gpcm", "a": 0.8, "d1": 0.9, "d2": 1.0, "d3": -0.3},
        {"item": "x5", "itemtype": "sequential", "a": 1.0, "d1": 1.2, "d2": -0.6, "d3": 0.1},
        {"item": "x6", "itemtype": "2PL", "a": 0.7, "d": -0.2},
    ]
    return pd.DataFrame(rows).set_index("item")


def on_old_scale(bank: ItemBank) -> ItemBank:
    return bank.rescaled(1 / A, -B / A)


@pytest.fixture(scope="module")
def banks():
    target = ItemBank.from_frame(mixed())
    return on_old_scale(target), target


@pytest.mark.parametrize("method", METHODS)
def test_exact_for_the_same_items(banks, method):
    found = link(*banks, method=method)
    np.testing.assert_allclose([found.A, found.B], [A, B], atol=1e-7)
    assert found.curves["rmsd"].max() < 1e-7
    np.testing.assert_allclose(found.theta([0.0, 1.0]), [B, A + B], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_items_that_are_carried_give_the_same_probabilities(banks, method):
    source, target = banks
    table = bank_table(source)
    carried = link(source, target, method=method).items(table)
    np.testing.assert_allclose(carried, bank_table(target), atol=1e-6)


def test_tables_of_items_move_with_the_scale():
    """Intercepts of every kind: a carried table makes a bank with the same curves."""
    frame = mixed()
    bank = ItemBank.from_frame(frame)
    with_b = frame.join(bank_table(bank).drop(columns="a"))
    moved = ItemBank.from_frame(transformed(with_b, A, B))
    theta = np.linspace(-3, 3, 9)
    np.testing.assert_allclose(
        moved.probabilities((A * theta + B)[:, None]), bank.probabilities(theta[:, None]), atol=1e-10
    )


def noisy(seed: int = 0):
    rng = np.random.default_rng(seed)
    frame = mixed()
    other = frame.copy()
    for name in ("a", "d", "d1", "d2", "d3"):
        other[name] += rng.normal(0, 0.03, len(frame))
    return on_old_scale(ItemBank.from_frame(other)), ItemBank.from_frame(frame)


@pytest.mark.parametrize("method", ["haebara", "stocking-lord"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_curve_methods_equal_a_plain_minimisation(method, symmetric):
    source, target = noisy()
    z = np.linspace(-8, 8, 61)
    w = np.exp(-z * z / 2)
    w /= w.sum()

    def curves(bank, theta):
        p = bank.probabilities(theta[:, None])
        score = np.einsum("jkq,k->q", p, np.arange(p.shape[1]))[None]
        return score if method == "stocking-lord" else p.reshape(-1, theta.size)

    def criterion(v):
        a, b = v
        out = (((curves(source, (z - b) / a) - curves(target, z)) ** 2) @ w).sum()
        if symmetric:
            out += (((curves(target, a * z + b) - curves(source, z)) ** 2) @ w).sum()
        return out

    want = minimize(
        criterion, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-16, "maxiter": 4000}
    )
    found = link(source, target, method=method, symmetric=symmetric)
    np.testing.assert_allclose([found.A, found.B], want.x, atol=1e-6)
    np.testing.assert_allclose(found.criterion, want.fun, rtol=1e-6)


def test_moments_by_hand():
    source, target = noisy(1)
    one, two = bank_table(source), bank_table(target)
    b_from, b_to = (f.filter(regex="^b").to_numpy() for f in (one, two))
    b_from, b_to = b_from[np.isfinite(b_from)], b_to[np.isfinite(b_to)]
    found = link(source, target, method="mean-sigma")
    np.testing.assert_allclose(found.A, b_to.std() / b_from.std())
    np.testing.assert_allclose(found.B, b_to.mean() - found.A * b_from.mean())
    found = link(source, target, method="mean-mean")
    np.testing.assert_allclose(found.A, one["a"].mean() / two["a"].mean())


def test_linking_back_is_the_inverse():
    source, target = noisy(2)
    there, back = link(source, target), link(target, source)
    np.testing.assert_allclose([there.A * back.A, there.A * back.B + there.B], [1, 0], atol=0.01)


def test_names_of_anchors(banks):
    source, target = banks
    some = link(source, target, anchors=["x1", "x3"])
    assert some.anchors == ("x1", "x3")
    np.testing.assert_allclose([some.A, some.B], [A, B], atol=1e-7)
    with pytest.raises(DataError, match="'y9'"):
        link(source, target, anchors={"x1": "y9"})
    with pytest.raises(DataError, match="categories"):
        link(source, target, anchors={"x1": "x3"})
    with pytest.raises(DataError, match="at least two"):
        link(source, target, anchors=["x1"], method="mean-sigma")
    with pytest.raises(ModelError, match="choose from"):
        link(source, target, method="equipercentile")
    with pytest.raises(ModelError, match="a fit, an ItemBank"):
        link([1], target)


def test_an_item_that_drifted_shows(banks):
    source, _ = banks
    frame = mixed()
    frame.loc["x1", "d"] += 1.5
    found = link(source, ItemBank.from_frame(frame), method="haebara")
    assert found.curves["rmsd"].idxmax() == "x1"
    assert "theta_to" in str(found)
