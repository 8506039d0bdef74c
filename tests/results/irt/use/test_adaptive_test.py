"""Adaptive tests: step by step by hand, and what holds of any simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jmix.errors import DataError, ModelError
from jmix.items.bank import ItemBank
from jmix.results.irt.adaptive_test import AdaptiveTest
from jmix.results.irt.adaptive_test_simulation import simulate_cat
from jmix.results.irt.latent_grid import normal_grid


@pytest.fixture(scope="module")
def bank():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.8, 2.2, 60), rng.normal(size=60)
    frame = pd.DataFrame({"a": a, "d": -a * b, "itemtype": "2PL"}, index=[f"i{j}" for j in range(60)])
    return ItemBank.from_frame(frame)


@pytest.fixture(scope="module")
def polytomous():
    frame = pd.DataFrame(
        {"a": [1.0, 1.5, 0.8, 1.2], "d1": [1, 2, 0.5, 1.4], "d2": [-1, 0, -0.5, 0.2], "itemtype": "graded"},
        index=list("pqrs"),
    )
    return ItemBank.from_frame(frame)


def test_by_hand(bank):
    """Items and estimates of one test, from the formulas of the 2PL."""
    a, d = bank.slopes[:, 0], np.concatenate([block.own[:, 0] for block in bank.blocks])
    z = np.linspace(-8, 8, 2001)
    posterior = np.exp(-z * z / 2)
    test, asked, rng = AdaptiveTest(bank, se=0.35, max_items=25), [], np.random.default_rng(1)
    while not test.done:
        p = 1 / (1 + np.exp(-(a * test.theta + d)))
        information = a**2 * p * (1 - p)
        information[asked] = -1
        name = test.next_item()
        assert name == f"i{np.argmax(information)}"
        asked.append(int(name[1:]))
        answer = int(rng.random() < 1 / (1 + np.exp(-(a[asked[-1]] * 0.7 + d[asked[-1]]))))
        test.record(name, answer)
        right = 1 / (1 + np.exp(-(a[asked[-1]] * z + d[asked[-1]])))
        posterior = posterior * (right if answer else 1 - right)
        mean = posterior @ z / posterior.sum()
        np.testing.assert_allclose(test.theta, mean, atol=1e-9)
        np.testing.assert_allclose(test.se, np.sqrt(posterior @ (z - mean) ** 2 / posterior.sum()), atol=1e-9)
    assert test.se <= 0.35 or len(asked) == 25


def test_a_simulated_test_is_the_single_one(bank):
    rng = np.random.default_rng(2)
    p = bank.probabilities(np.array([[0.3], [-1.2], [2.0]]))[:, 1].T
    answers = (rng.random(p.shape) < p).astype(int)
    found = simulate_cat(bank, responses=answers, se=0.4, max_items=20)
    for i in range(3):
        test = AdaptiveTest(bank, se=0.4, max_items=20)
        while not test.done:
            name = test.next_item()
            test.record(name, answers[i, int(name[1:])])
        n = len(test.administered)
        assert found.persons["n_items"][i] == n
        assert found.administered[i, :n].tolist() == test.administered
        assert (found.administered[i, n:] == -1).all()
        np.testing.assert_allclose([found.persons["estimate"][i], found.persons["se"][i]], [test.theta, test.se])


def test_simulation(bank):
    theta = np.random.default_rng(3).normal(size=400)
    found = simulate_cat(bank, theta, se=0.35, max_items=30, seed=1)
    summary, persons = found.summary(), found.persons
    assert (persons["se"][persons["n_items"] < 30] <= 0.35).all()
    assert abs(summary["bias"]) < 0.06
    assert 0.9 < summary["rmse"] / summary["mean_se"] < 1.1
    assert 0.92 < summary["coverage_95"] < 0.98
    for row in found.administered:
        used = row[row >= 0]
        assert len(set(used)) == len(used)
    np.testing.assert_allclose(found.exposure.sum() * 400, persons["n_items"].sum())
    again = simulate_cat(bank, theta, se=0.35, max_items=30, seed=1)
    np.testing.assert_array_equal(found.administered, again.administered)
    random = simulate_cat(bank, theta, se=0.35, max_items=60, select="random", seed=1)
    assert random.summary()["mean_items"] > summary["mean_items"] + 3


def test_exposure(bank):
    theta = np.random.default_rng(4).normal(size=200)
    plain = simulate_cat(bank, theta, se=None, max_items=10, seed=2)
    capped = simulate_cat(bank, theta, se=None, max_items=10, max_exposure=0.3, seed=2)
    spread = simulate_cat(bank, theta, se=None, max_items=10, randomesque=5, seed=2)
    assert plain.exposure.max() == 1.0
    assert capped.exposure.max() <= 0.3
    assert spread.exposure.max() < 0.7
    assert (capped.persons["n_items"] == 10).all()
    assert len({row[0] for row in spread.administered}) == 5


def test_items_with_several_categories(polytomous):
    found = simulate_cat(polytomous, [-2.0, 0.0, 2.0] * 20, se=None, seed=0)
    assert set(np.unique(found.responses)) == {0, 1, 2}
    assert (found.persons["n_items"] == 4).all()
    assert found.persons.groupby("theta")["estimate"].mean().is_monotonic_increasing


def test_responses_follow_the_model(polytomous):
    found = simulate_cat(polytomous, np.full(4000, 0.4), se=None, seed=5)
    p = polytomous.probabilities(np.array([[0.4]]))[:, :, 0]
    for j in range(4):
        share = np.bincount(found.responses[found.administered == j], minlength=3) / 4000
        np.testing.assert_allclose(share, p[j], atol=4 * np.sqrt(0.25 / 4000))


def test_missing_responses_are_not_asked(bank):
    answers = np.full((2, 60), -1)
    answers[0, :5] = 1
    found = simulate_cat(bank, responses=answers, se=None)
    assert found.persons["n_items"].tolist() == [5, 0]
    np.testing.assert_allclose(found.persons["se"][1], 1.0, atol=1e-9)


def test_prior(polytomous):
    wide, narrow = (simulate_cat(polytomous, [3.0] * 50, prior=normal_grid(0, v), se=None, seed=0) for v in (4.0, 0.25))
    assert wide.persons["estimate"].mean() > narrow.persons["estimate"].mean() + 0.5


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"se": -1.0}, "se="),
        ({"min_items": 5, "max_items": 3}, "min_items"),
        ({"randomesque": 0}, "randomesque"),
        ({"select": "best"}, "select"),
        ({"max_exposure": 0.0}, "max_exposure"),
    ],
)
def test_rules_that_make_no_sense(bank, options, match):
    with pytest.raises(ModelError, match=match):
        simulate_cat(bank, [0.0], **options)


def test_bad_input(bank):
    with pytest.raises(DataError, match="either"):
        simulate_cat(bank)
    with pytest.raises(DataError, match="finite"):
        simulate_cat(bank, [np.nan])
    with pytest.raises(DataError, match="responses"):
        simulate_cat(bank, responses=np.full((3, 60), 2))
    with pytest.raises(DataError, match="administrations"):
        simulate_cat(bank, np.zeros(100), min_items=20, max_exposure=0.1)
    test = AdaptiveTest(bank)
    with pytest.raises(DataError, match="not in the bank"):
        test.record("nope", 0)
    with pytest.raises(DataError, match="categories"):
        test.record("i0", 2)
    test.record("i0", 1)
    with pytest.raises(DataError, match="before"):
        test.record("i0", 1)


def test_information_from_a_table(bank):
    from jmix.results.irt.adaptive_test_simulation import _Information

    theta = np.random.default_rng(0).normal(scale=2, size=500)
    exact, tabled = (_Information(bank, tabled=t)(theta) for t in (False, True))
    np.testing.assert_allclose(tabled, exact, atol=5e-5)
    np.testing.assert_allclose(_Information(bank, tabled=True)(np.array([9.0])), bank.information(np.array([[9.0]])).T)
