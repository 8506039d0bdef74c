"""Models without random effects: the posterior of sigma is one integral, that of the coefficients a mixture over it."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import stats

import jmix


@pytest.fixture(scope="module")
def model():
    priors = {"Intercept": "flat", "sigma": "half_normal(30)"}
    return jmix.model("Reaction ~ Days", jmix.load_data("sleepstudy"), priors=priors)


def test_posterior_of_a_linear_regression(model):
    post = model.sample(draws=1500, tune=500, seed=4, progress=False)
    x = model.design.X
    n, p = x.shape
    fit = model.fit("ml")
    rss = float(np.sum(fit.residuals() ** 2))
    sigma = np.linspace(30, 70, 4001)
    log = -(n - p) * np.log(sigma) - rss / (2 * sigma**2) + stats.halfnorm(0, 30).logpdf(sigma)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    mean = float(weight @ sigma)
    expected = {
        "sigma": (mean, np.sqrt(weight @ (sigma - mean) ** 2)),
        "Days": (fit.beta[1], np.sqrt(weight @ sigma**2 * np.linalg.inv(x.T @ x)[1, 1])),
    }
    for name, (center, spread) in expected.items():
        draws = post[name]
        assert abs(draws.mean() - center) < 4.5 * float(array_stats.mcse(draws, method="mean")), name
        assert abs(draws.std() - spread) < 4.5 * float(array_stats.mcse(draws, method="sd")), name
    assert post.ngrps() == post.ranef() == post.effects() == post.coef() == {}
    assert post.ranef_table().empty
    assert "Multilevel" not in str(post)


def test_its_likelihood_and_mode(model):
    fit = model.fit("ml")
    parameters = {"beta": fit.beta, "sigma": fit.sigma}
    np.testing.assert_allclose(model.log_marginal(parameters), fit.loglik, rtol=1e-12)
    mode = model.fit("map")
    assert "maximum a posteriori" in str(mode)
    np.testing.assert_allclose(mode.beta, fit.beta, rtol=1e-8)
    assert mode.sigma < fit.sigma
