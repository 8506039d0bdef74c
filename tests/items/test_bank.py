"""Item banks: mirt's test information, numerical derivatives, and the same items from other sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.errors import ModelError
from jmix.items import ItemBank
from jmix.items.bank import BankBlock

NODES = np.linspace(-3, 3, 13)
INF = np.inf


@pytest.fixture(scope="module")
def mixed() -> ItemBank:
    """Nine items of all kinds on one factor, the columns of the blocks interleaved."""
    blocks = [
        ("logistic", 2, [0, 4], [[1.2], [0.7]], [[0.3], [-1.0]]),
        ("logistic4", 2, [1], [[1.5]], [[-0.2, -1.5, 3.0]]),
        ("graded", 4, [2], [[1.1]], [[2.0, 0.1, -1.3]]),
        ("gpcm", 3, [3], [[0.9]], [[0.4, -0.2]]),
        ("nominal", 3, [5], [[0.8]], [[0.6, 2.0, 0.5, -0.4]]),
        ("sequential", 4, [6], [[1.3]], [[1.0, -0.5, 0.2]]),
        ("rsm", 3, [7], [[1.0]], [[-0.5, 0.7, 0.3, 1.0]]),
        ("grsm", 3, [8], [[1.4]], [[0.9, -0.6, 0.2, 1.4]]),
    ]
    made = tuple(BankBlock(kind, np.array(c), k, np.array(a), np.array(own)) for kind, k, c, a, own in blocks)
    names = tuple(f"i{j}" for j in range(9))
    return ItemBank(names, ("F1",), tuple("?" * 9), made)


def test_shapes_and_padding(mixed: ItemBank) -> None:
    p, log_p = mixed.probabilities(NODES), mixed.log_probabilities(NODES)
    assert p.shape == (9, 4, 13)
    assert mixed.n_categories.tolist() == [2, 2, 4, 3, 2, 3, 4, 3, 3]
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-14)
    beyond = np.arange(4) >= mixed.n_categories[:, None]
    assert (p[beyond] == 0).all() and np.isneginf(log_p[beyond]).all()
    assert all((part[beyond] == 0).all() for part in mixed.derivatives(NODES))
    np.testing.assert_array_equal(np.isnan(mixed.scores), beyond)


@pytest.mark.parametrize(("model", "itemtype"), [("Science_graded", "graded"), ("Science_gpcm", "gpcm")])
def test_information_is_mirts(reference: Callable[[str], Any], model: str, itemtype: str) -> None:
    found = reference("irt")["mirt_1.47"][model]
    frame = pd.DataFrame(found["items"]).set_index("_row").assign(itemtype=itemtype)
    total = ItemBank.from_frame(frame).information(NODES).sum(axis=0)
    np.testing.assert_allclose(total, found["testinfo_m3_3"], rtol=1e-9)


def test_derivatives_expected_scores_and_information(mixed: ItemBank) -> None:
    """By central differences of the probabilities."""
    h = 1e-5
    p = mixed.probabilities(NODES)
    low, high = mixed.probabilities(NODES - h), mixed.probabilities(NODES + h)
    slope = mixed.slopes[:, :, None]
    first, second, _ = mixed.derivatives(NODES)
    np.testing.assert_allclose(p * first * slope, (high - low) / (2 * h), atol=1e-9)
    curved = p * (second + first**2) * slope**2
    np.testing.assert_allclose(curved, (high - 2 * p + low) / h**2, atol=1e-5)
    with np.errstate(invalid="ignore"):
        expected = np.nansum(((high - low) / (2 * h)) ** 2 / np.where(p > 0, p, np.nan), axis=1)
    np.testing.assert_allclose(mixed.information(NODES), expected, rtol=1e-7)
    np.testing.assert_allclose(mixed.expected(NODES), (p * np.arange(4)[None, :, None]).sum(axis=1), rtol=1e-14)


def test_third_derivative(mixed: ItemBank) -> None:
    h = 1e-4
    ends = [mixed.derivatives(NODES + sign * h)[1] for sign in (-1, 1)]
    expected = (ends[1] - ends[0]) / (2 * h) / mixed.slopes[:, :, None]
    np.testing.assert_allclose(mixed.derivatives(NODES)[2], expected, atol=1e-7)


def test_several_factors() -> None:
    a = np.array([[1.0, 0.5], [0.3, 1.2]])
    bank = ItemBank(
        ("x", "y"), ("F1", "F2"), ("2PL",) * 2, (BankBlock("logistic", np.arange(2), 2, a, np.zeros((2, 1))),)
    )
    theta = np.array([[0.0, 0.0], [1.0, -2.0], [0.3, 0.4]])
    p = 1 / (1 + np.exp(-theta @ a.T)).T
    np.testing.assert_allclose(bank.probabilities(theta)[:, 1], p, rtol=1e-14)
    along = np.array([3.0, 4.0]) / 5
    np.testing.assert_allclose(bank.information(theta, [3, 4]), p * (1 - p) * (a @ along)[:, None] ** 2, rtol=1e-13)
    matrix = bank.information_matrix(theta)
    np.testing.assert_allclose(along @ matrix @ along, bank.information(theta, along).sum(axis=0), rtol=1e-13)
    with pytest.raises(ModelError, match="needs a direction"):
        bank.information(theta)
    with pytest.raises(ModelError, match="must hold 2 numbers"):
        bank.information(theta, [0, 0])
    with pytest.raises(ModelError, match=r"it must be \(Q, 2\)"):
        bank.probabilities(np.zeros((3, 3)))


def test_subset_keeps_order(mixed: ItemBank) -> None:
    chosen = ["i6", "i0", "i3", "i4"]
    part = mixed.subset(chosen)
    assert part.items == tuple(chosen)
    np.testing.assert_array_equal(part.probabilities(NODES), mixed.probabilities(NODES)[[6, 0, 3, 4]])
    np.testing.assert_array_equal(mixed.subset([6, 0, 3, 4]).slopes, part.slopes)
    assert mixed.subset(["i0"]).probabilities(NODES).shape == (1, 2, 13)
    with pytest.raises(ModelError, match="the bank has no item 'q'"):
        mixed.subset(["q"])


def test_rescaled_items_say_the_same(mixed: ItemBank) -> None:
    moved = mixed.rescaled(1.7, -0.6)
    np.testing.assert_allclose(moved.probabilities(1.7 * NODES - 0.6), mixed.probabilities(NODES), rtol=1e-12)
    with pytest.raises(ModelError, match="positive slope"):
        mixed.rescaled(-1.0, 0.0)


def test_from_frame() -> None:
    frame = pd.DataFrame(
        {
            "itemtype": ["2PL", "3PL", "4PL", "graded", "nominal", "PCM", "Rasch"],
            "a": [1.0, 1.2, 0.8, 1.5, 0.7, 1.0, 1.0],
            "d": [0.5, 0.1, -1.0, np.nan, np.nan, np.nan, 0.3],
            "d1": [np.nan, np.nan, np.nan, 1.0, 0.2, 0.5, np.nan],
            "d2": [np.nan, np.nan, np.nan, -1.0, -0.3, 0.1, np.nan],
            "ak1": [np.nan] * 4 + [0.6] + [np.nan] * 2,
            "ak2": [np.nan] * 4 + [2.0] + [np.nan] * 2,
            "c": [0.0, 0.2, 0.1] + [np.nan] * 4,
            "u": [1.0, 1.0, 0.9] + [np.nan] * 4,
            "se_a": 0.1,
        },
        index=list("pqrstuv"),
    )
    bank = ItemBank.from_frame(frame)
    assert bank.n_categories.tolist() == [2, 2, 2, 3, 3, 3, 2]
    at = bank.probabilities(np.zeros(1))[:, :, 0]
    s = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    assert at[0, 1] == pytest.approx(s(0.5))
    assert at[1, 1] == pytest.approx(0.2 + 0.8 * s(0.1))
    assert at[2, 1] == pytest.approx(0.1 + 0.8 * s(-1.0))
    np.testing.assert_allclose(at[3], [1 - s(1.0), s(1.0) - s(-1.0), s(-1.0)], rtol=1e-13)
    np.testing.assert_allclose(at[4] / at[4, 0], np.exp([0, 0.2, -0.3]), rtol=1e-13)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"itemtype": None}, "no column 'itemtype'"),
        ({"a": None}, "no slopes"),
        ({"d": None}, "item 'p' has no intercepts"),
        ({"itemtype": "cubic"}, "unknown itemtype 'cubic'"),
        ({"a": np.nan}, "item 'p' has no slope"),
        ({"itemtype": "nominal", "d1": 0.0, "d2": 1.0}, "needs the columns 'ak1', ..., 'ak2'"),
        ({"itemtype": "3PL", "d1": 0.0, "d2": 1.0}, "has 3 categories; it may have two"),
    ],
)
def test_frame_errors(change: dict[str, Any], message: str) -> None:
    frame = pd.DataFrame({"itemtype": ["2PL"], "a": [1.0], "d": [0.0]}, index=["p"])
    for name, value in change.items():
        frame = frame.drop(columns=name) if value is None else frame.assign(**{name: value})
    with pytest.raises(ModelError, match=message):
        ItemBank.from_frame(frame)


def test_from_spec_is_the_model_of_a_group() -> None:
    """Against the tables that the specification's own arrays give."""
    from jmix.items import kind_of
    from jmix.spec.irt import build_spec, unpack
    from tests.spec.irt.tables import responses

    types = ["3PL", "graded", "rsm", "2PL", "nominal", "rsm"]
    data = responses([2, 4, 3, 2, 3, 3], groups=("x", "y"))
    spec, _ = build_spec(data, types, equal_items=["Item.1"])
    rng = np.random.default_rng(4)
    x = spec.table.values[spec.table.free] + rng.uniform(-0.2, 0.2, spec.n_free)
    values = unpack(np, spec, x)
    for g, name in enumerate("xy"):
        bank = ItemBank.from_spec(spec, x, name)
        assert bank.group == name and bank.itemtypes == tuple(types)
        found = bank.log_probabilities(NODES)
        for block, slopes, own in zip(spec.blocks, values.slopes, values.own, strict=True):
            eta = slopes[g] * NODES
            table = kind_of(block.kind).log_table(np, eta, own[g], block.n_categories)
            np.testing.assert_array_equal(found[list(block.columns), : block.n_categories], table)
        np.testing.assert_array_equal(ItemBank.from_spec(spec, x, g).slopes, bank.slopes)
    with pytest.raises(ModelError, match="'z' is not a group; there are x, y"):
        ItemBank.from_spec(spec, x, "z")
