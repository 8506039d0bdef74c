"""Draws from the priors alone have the distribution that the priors say."""

from __future__ import annotations

import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import jmix

DRAWS = 2000


@pytest.fixture(scope="module")
def sleep():
    return jmix.load_data("sleepstudy")


def uniform(values, cdf):
    """Whether values have a distribution, by Kolmogorov and Smirnov."""
    return stats.kstest(np.ravel(values), cdf).pvalue > 1e-4


def test_scalar_priors(sleep):
    priors = {
        "Intercept": "normal(300, 20)",
        "b": "student_t(4, 0, 10)",
        "sd_Subject__Intercept": "gamma(2, 3) on precision",
        "sd_Subject__Days": "normal(1, 2)",
        "cor": "lkj(3)",
        "sigma": "uniform(5, 50)",
    }
    model = jmix.model("Reaction ~ Days + (Days | Subject)", sleep, priors=priors)
    post = model.sample_prior(DRAWS, seed=2)
    assert uniform(post["(Intercept)"] + post["Days"] * sleep["Days"].mean(), stats.norm(300, 20).cdf)
    assert uniform(post["Days"], stats.t(4, 0, 10).cdf)
    assert uniform(post["sd_Subject__Intercept"] ** -2.0, stats.gamma(2, scale=1 / 3).cdf)
    assert uniform(post["sd_Subject__Days"], stats.truncnorm(-0.5, np.inf, 1, 2).cdf)
    assert uniform(post["cor_Subject__Intercept__Days"], stats.beta(3, 3, -1, 2).cdf)
    assert uniform(post["sigma"], stats.uniform(5, 45).cdf)
    assert not uniform(post["sigma"], stats.uniform(5, 50).cdf)
    np.testing.assert_array_equal(post.frame(), model.sample_prior(DRAWS, seed=2).frame())


@pytest.mark.parametrize("inverse", [False, True])
def test_matrix_priors(sleep, inverse):
    scale = np.array([[2.0, 0.5], [0.5, 1.0]])
    given = dist.InverseWishart(5.0, scale) if inverse else dist.Wishart(5.0, scale)
    priors = {"b": "normal(0, 10)", "cov_Subject": jmix.prior(given, on="precision")}
    post = jmix.model("Reaction ~ Days + (Days | Subject)", sleep, priors=priors).sample_prior(DRAWS)
    chol = post.draws.chol[0][0]
    precision = np.linalg.inv(chol @ np.swapaxes(chol, 1, 2))
    expected = scale / (5 - 2 - 1) if inverse else 5 * scale
    spread = precision.std(axis=0) / np.sqrt(DRAWS)
    np.testing.assert_array_less(np.abs(precision.mean(axis=0) - expected), 5 * spread)


def test_what_cannot_be_drawn_is_named(sleep):
    with pytest.raises(jmix.ModelError, match="b_Days has a flat prior"):
        jmix.model("Reaction ~ Days + (1 | Subject)", sleep).sample_prior()
    far = jmix.model("Reaction ~ 1 + (1 | Subject)", sleep, priors={"sigma": "normal(-1000, 1)"})
    with pytest.raises(jmix.ModelError, match="hardly ever falls"):
        far.sample_prior()
