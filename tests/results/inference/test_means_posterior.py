"""Means of posteriors of generalized models, from draws of the prior."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special

import jmix
from jmix.errors import ModelError

PRIORS = {"b": "normal(0, 0.5)", "Intercept": "normal(0, 0.5)", "sd": "half_normal(1)"}


@cache
def data() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"g": [f"g{i // 6}" for i in range(24)], "x": rng.normal(size=24), "f": ["a", "b", "c"] * 8})
    frame["yes"] = rng.integers(0, 2, 24)
    frame["count"] = rng.poisson(2.0, 24) * rng.integers(0, 2, 24)
    return frame.assign(grade=pd.Categorical.from_codes(rng.integers(0, 3, 24), ["low", "mid", "high"], ordered=True))


def drawn(formula: str, family: str, **options: Any) -> Any:
    more = options.pop("priors", {})
    return jmix.model(formula, data(), family=family, priors={**PRIORS, **more}, **options).sample_prior(40)


def test_averages_over_the_random_effects() -> None:
    post = drawn("yes ~ f + x + (1 + x || g)", "bernoulli")
    beta = post.draws.beta.reshape(-1, 4)
    x = data()["x"].mean()
    L = np.array([[1, 0, 0, x], [1, 1, 0, x], [1, 0, 1, x]])
    own = post.means("f", type="response")
    np.testing.assert_allclose(own.draws, special.expit(beta @ L.T), rtol=1e-10)
    np.testing.assert_allclose(own.pairs().draws[:, 0], np.exp(beta @ (L[0] - L[1])), rtol=1e-9)
    averaged = post.means("f", type="response", population_averaged=True)
    s1, s2 = (post[f"sd_g__{name}"].reshape(-1) for name in ("Intercept", "x"))
    sd = np.sqrt(s1**2 + x**2 * s2**2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    p = special.expit((beta @ L.T)[:, :, None] + sd[:, None, None] * nodes) @ weights / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(averaged.draws, p, rtol=1e-6)
    slope = post.slopes("x", average=True, type="response").draws[:, 0]
    eta = beta @ post.design.X.T
    np.testing.assert_allclose(slope, (beta[:, 3:] * special.expit(eta) * special.expit(-eta)).mean(axis=1), rtol=1e-8)


def test_zero_inflated_counts() -> None:
    post = drawn("count ~ f + (1 | g)", "poisson", zi="~ x", priors={"zi_x": "normal(0, 1)"})
    own = post.predictions("f").draws
    x = post.draws.x.reshape(post.n_draws, -1)
    places = post.objective.slices
    zero = special.expit(x[:, places["zi"]] @ np.column_stack([np.ones(24), data()["x"]]).T)
    mean = (1 - zero) * np.exp(x[:, places["beta"]] @ post.design.X.T)
    for i, level in enumerate("abc"):
        np.testing.assert_allclose(own[:, i], mean[:, data()["f"] == level].mean(axis=1), rtol=1e-9)


def test_probabilities_of_categories() -> None:
    post = drawn("grade ~ f + (1 | g)", "cumulative")
    means = post.means("f", type="response")
    assert means.by == ("category",) and means.labels["category"].tolist() == ["low"] * 3 + ["mid"] * 3 + ["high"] * 3
    np.testing.assert_allclose(means.draws.reshape(-1, 3, 3).sum(axis=1), 1.0)
    tau = post.draws.tau.reshape(post.n_draws, -1)
    np.testing.assert_allclose(means.draws[:, 0], special.expit(tau[:, 0]), rtol=1e-9)
    np.testing.assert_allclose(post.means("f").draws[:, 0], -tau.mean(axis=1), rtol=1e-10)
    with pytest.raises(ModelError, match="not for this family"):
        post.means("f", type="response", population_averaged=True)
    with pytest.raises(ModelError, match="posterior has 'link' and 'response'"):
        post.means("f", type="zi")
