"""Responses that a family cannot have produced, and starting values."""

from __future__ import annotations

import numpy as np
import pytest

from jmix.errors import DataError
from jmix.families import check_response, inverse_link, resolve_family, sample, start_dispersion, start_eta
from jmix.families.names import LINKS, Aux, Family
from jmix.families.scale import domain


@pytest.mark.parametrize(
    ("family", "y", "size", "words"),
    [
        ("poisson", [1, 2.5, 3], None, ["whole counts", "2.5 in row 1", "offset=log(exposure)"]),
        ("nbinom2", [1, -2, -3], None, ["negative", "-2 in row 1, and 1 more"]),
        ("nbinom1", [1, np.nan], None, ["not finite", "row 1"]),
        ("bernoulli", [0, 1, 2], None, ["0 or 1", "2 in row 2", "binomial"]),
        ("binomial", [1, 5], [3, 4], ["more successes than trials", "5 in row 1", "cbind(successes, failures)"]),
        ("binomial", [0.5, 1], [3, 4], ["whole", "0.5 in row 0"]),
        ("binomial", [1, 1], None, ["trials"]),
        ("binomial", [1, 1], [1, 1.5], ["trials", "1.5 in row 1"]),
        ("binomial", [1, -1], [1, 1], ["negative"]),
        ("gamma", [1, 0], None, ["holds zeros", "Bernoulli model"]),
        ("gamma", [1, -1], None, ["positive", "gaussian"]),
        ("inverse_gaussian", [1, 0], None, ["positive", "zeros"]),
        ("beta", [0.5, 1.0], None, ["strictly between", "(y * (n - 1) + 0.5) / n"]),
        ("beta", [0.5, 50.0], None, ["between 0 and 1", "divide percentages by 100"]),
        ("gaussian", [0.5, np.inf], None, ["not finite"]),
        ("gaussian", [], None, ["no rows"]),
        ("hurdle_poisson", [0, 0], None, ["zero everywhere"]),
        ("zero_inflated_poisson", [1, 2], None, ["no zeros"]),
    ],
)
def test_bad_responses_are_named(family: str, y: list[float], size: list[float] | None, words: list[str]) -> None:
    trials = None if size is None else np.array(size, dtype=float)
    with pytest.raises(DataError) as error:
        check_response(resolve_family(family), np.array(y, dtype=float), trials, "crashes")
    for word in ["crashes", *words]:
        assert word in str(error.value)


def test_codes_of_categories() -> None:
    family = Family("cumulative", "logit", n_categories=3)
    check_response(family, np.array([0.0, 2.0]), None, "grade")
    with pytest.raises(DataError, match="codes 0 to 2"):
        check_response(family, np.array([0.0, 3.0]), None, "grade")


TRUE = Aux(np.log(0.5), -0.4, np.array([-1.0, 1.0]), 6.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "link"), [(name, link) for name, links in LINKS.items() for link in links])
def test_good_responses_pass_and_start_inside_the_domain(name: str, link: str) -> None:
    family = resolve_family(name, link)
    eta = np.full(400, -0.4 if link == "log" and name in {"binomial", "bernoulli"} else 0.6)
    size = np.full(400, 3.0)
    y = sample(family, np.random.default_rng(3), size, eta, TRUE)
    check_response(family, y, size, "y")
    start = start_eta(family, y, size)
    assert np.isfinite(start).all()
    low, high = domain(name, link)
    assert low is None or (start > low).all()
    assert high is None or (start < high).all()


@pytest.mark.parametrize(
    ("name", "link", "eta"),
    [
        ("gaussian", "identity", 1.0),
        ("student", "identity", 1.0),
        ("gamma", "log", 1.0),
        ("inverse_gaussian", "log", 0.3),
        ("nbinom2", "log", 1.5),
        ("nbinom1", "log", 2.0),
        ("beta", "logit", 0.4),
    ],
)
def test_moments_find_the_dispersion(name: str, link: str, eta: float) -> None:
    family = resolve_family(name, link)
    etas = np.full(40_000, eta)
    y = sample(family, np.random.default_rng(5), None, etas, TRUE)
    found = start_dispersion(family, y, np.asarray(inverse_link(family, etas)))
    assert found == pytest.approx(np.log(0.5), abs=0.15)


def test_moments_stay_finite_without_spread() -> None:
    for name in LINKS:
        family = resolve_family(name)
        y = np.full(5, 0.5)
        assert np.isfinite(start_dispersion(family, y, y))
