"""Posteriors of awkward data: finite and sensible, or refused with a reason. One program serves all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats

import jmix
from jmix.errors import JmixError

GROUPS, EACH = 8, 6
FORMULA = "y ~ x + x2 + (1 | g)"
OPTIONS = {"draws": 500, "tune": 500, "seed": 2, "progress": False}


def _rows(**changed: Any) -> pd.DataFrame:
    """A well-behaved data set, its response on a scale at which the default priors scale with it."""
    rng = np.random.default_rng(21)
    g = np.repeat(np.arange(GROUPS), EACH)
    data = pd.DataFrame({"g": g, "x": rng.normal(size=g.size), "x2": rng.normal(size=g.size), "w": np.ones(g.size)})
    data["between"], data["within"] = 10 * rng.normal(size=GROUPS)[g], 10 * rng.normal(size=g.size)
    data["y"] = 10 + 20 * data.x + data.between + data.within
    return data.assign(**changed)


def _sample(data: pd.DataFrame, formula: str = FORMULA, **options: Any) -> Any:
    return jmix.model(formula, data, **options).sample(**OPTIONS)


def _healthy(post: Any) -> None:
    for name, draws in post.parameters.items():
        assert np.isfinite(draws).all(), name
        assert array_stats.rhat(draws) < 1.02, name
    assert post.draws.stats.diverging.mean() < 0.005


@pytest.fixture(scope="module")
def plain() -> Any:
    post = _sample(_rows())
    _healthy(post)
    return post


def _agree(post: Any, plain: Any, scale: dict[str, float], shift: dict[str, float] | None = None) -> None:
    for name, draws in plain.parameters.items():
        wanted = draws * scale.get(name, scale["all"]) + (shift or {}).get(name, 0.0)
        for label, statistic, how in (("mean", np.mean, {"method": "mean"}), ("sd", np.std, {"method": "sd"})):
            error = np.hypot(array_stats.mcse(post[name], **how), array_stats.mcse(wanted, **how))
            assert abs(statistic(post[name]) - statistic(wanted)) < 4.5 * error, (name, label)


def test_a_response_of_size_a_million(plain: Any) -> None:
    post = _sample(_rows(y=_rows().y * 1e6))
    _healthy(post)
    _agree(post, plain, {"all": 1e6})


def test_a_response_of_size_a_millionth() -> None:
    """The default priors, at least 2.5 wide, are then flat: the posterior is near the likelihood."""
    data = _rows(y=_rows().y * 1e-6)
    post, fit = _sample(data), jmix.model(FORMULA, data).fit()
    _healthy(post)
    assert post["sigma"].mean() == pytest.approx(fit.sigma, rel=0.1)
    assert post["x"].mean() == pytest.approx(fit.fixef()["x"], abs=0.2 * fit.se()["x"])
    assert 0.7 < post["sd_g__Intercept"].mean() / fit.varcorr().sdcor.iloc[0] < 2.0


def test_a_response_far_from_zero(plain: Any) -> None:
    post = _sample(_rows(y=_rows().y + 1e6))
    _healthy(post)
    _agree(post, plain, {"all": 1.0}, {"(Intercept)": 1e6})


def test_a_predictor_of_size_a_million(plain: Any) -> None:
    post = _sample(_rows(x=_rows().x * 1e6))
    _healthy(post)
    _agree(post, plain, {"all": 1.0, "x": 1e-6})


def test_predictors_that_are_nearly_the_same() -> None:
    noise = np.random.default_rng(3).normal(size=GROUPS * EACH)
    data = _rows(x2=_rows().x + 1e-5 * noise)
    post, alone = _sample(data), jmix.model("y ~ x + (1 | g)", data).fit()
    _healthy(post)
    assert post["x"].std() > 1e4
    assert (post["x"] + post["x2"]).mean() == pytest.approx(alone.fixef()["x"], abs=alone.se()["x"])


def test_groups_far_apart() -> None:
    data = _rows(y=_rows().within + 1e3 * _rows().between)
    post = _sample(data)
    _healthy(post)
    means = data.groupby("g").y.mean()
    assert 0.5 < post["sd_g__Intercept"].mean() / means.std() < 2.0
    assert post["sigma"].mean() == pytest.approx(10.0, rel=0.3)


def test_no_difference_between_groups() -> None:
    data = _rows()
    data["y"] -= data.groupby("g").y.transform("mean")
    post = _sample(data)
    _healthy(post)
    error_of_a_mean = post["sigma"].mean() / np.sqrt(EACH)
    assert post["sd_g__Intercept"].mean() < error_of_a_mean


def test_weights_over_eight_orders_of_magnitude() -> None:
    rng = np.random.default_rng(4)
    data = _rows(w=10.0 ** rng.uniform(-4, 4, GROUPS * EACH))
    data["y"] = 10 + 20 * data.x + data.between + data.within / np.sqrt(data.w)
    post = _sample(data, weights="w")
    _healthy(post)
    assert post["sigma"].mean() == pytest.approx(10.0, rel=0.35)
    assert abs(post["x"].mean() - 20.0) < 5 * post["x"].std()


def test_two_groups() -> None:
    data = _rows().query("g < 2")
    post = _sample(data, "y ~ x + (1 | g)")
    for name, draws in post.parameters.items():
        assert np.isfinite(draws).all() and array_stats.rhat(draws) < 1.05, name
    assert np.quantile(post["sd_g__Intercept"], 0.975) > 15, "two groups say little about how much groups differ"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"g": 1}, "only one level"),
        ({"g": np.arange(GROUPS * EACH)}, "as many|one row|each level"),
        ({"y": 3.5}, "constant"),
        ({"y": _rows().between + 2 * _rows().x}, "exactly"),
        ({"y": np.full(GROUPS * EACH, np.nan)}, "no rows are left"),
        ({"y": np.r_[np.inf, np.ones(GROUPS * EACH - 1)]}, "y"),
    ],
)
def test_what_has_no_posterior_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(JmixError, match=message):
        _sample(_rows(**change))
