"""Maximum a posteriori: flat priors give maximum likelihood, others the mode of a density written out with SciPy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import jmix

FLAT = {"Intercept": "flat", "sd": "uniform(0, 1e6)", "sigma": "uniform(0, 1e6)"}


@pytest.fixture(scope="module")
def data():
    return jmix.load_data("sleepstudy")


@pytest.fixture(scope="module")
def informed(data):
    priors = {
        "b_(Intercept)": "normal(240, 10)",
        "b_Days": "normal(0, 5)",
        "sd": "gamma(2, 0.1)",
        "cor": "lkj(2)",
        "sigma": "half_student_t(4, 10)",
    }
    return jmix.model("Reaction ~ Days + (Days | Subject)", data, priors=priors).fit("map")


def log_posterior(values, data):
    """The density of (beta, sds, correlation, sigma) by a dense multivariate normal."""
    beta, sd, rho, sigma = values[:2], values[2:4], values[4], values[5]
    if np.any(sd <= 0) or sigma <= 0 or abs(rho) >= 1:
        return -np.inf
    omega = np.array([[sd[0] ** 2, rho * sd[0] * sd[1]], [rho * sd[0] * sd[1], sd[1] ** 2]])
    total = 0.0
    for _, part in data.groupby("Subject", observed=True):
        z = np.column_stack([np.ones(len(part)), part["Days"]])
        cov = z @ omega @ z.T + sigma**2 * np.eye(len(part))
        total += stats.multivariate_normal(z @ beta, cov).logpdf(part["Reaction"])
    total += stats.norm(240, 10).logpdf(beta[0]) + stats.norm(0, 5).logpdf(beta[1])
    total += stats.gamma(2, scale=10).logpdf(sd).sum() + stats.t(4, 0, 10).logpdf(sigma)
    return total + np.log1p(-(rho**2))


def parameters(fit):
    table = fit.varcorr()["sdcor"].to_numpy()
    return np.concatenate([fit.beta, table])


def test_mode_and_laplace_covariance_of_a_dense_density(informed, data):
    at = parameters(informed)
    scale = np.sqrt(np.diag(informed.laplace()))

    def negative(u):
        return -log_posterior(at + scale * u, data)

    found = optimize.minimize(negative, np.full(6, 0.1), method="BFGS", options={"gtol": 1e-6})
    np.testing.assert_allclose(found.x, 0.0, atol=2e-4)
    step, eye = 1e-3, np.eye(6)
    hessian = np.array(
        [
            [
                (
                    negative(step * (a + b))
                    - negative(step * (a - b))
                    - negative(step * (b - a))
                    + negative(-step * (a + b))
                )
                / (4 * step**2)
                for b in eye
            ]
            for a in eye
        ]
    )
    expected = np.linalg.inv(hessian) * np.outer(scale, scale)
    np.testing.assert_allclose(
        informed.laplace().to_numpy(), expected, rtol=2e-3, atol=2e-3 * np.outer(scale, scale).max()
    )
    np.testing.assert_allclose(informed.se(), np.sqrt(np.diag(expected))[:2], rtol=1e-3)
    assert informed.converged and not informed.singular


def test_flat_priors_give_maximum_likelihood(data):
    model = jmix.model("Reaction ~ Days + (Days | Subject)", data, priors=FLAT)
    mode, likelihood = model.fit("map"), model.fit("ml")
    np.testing.assert_allclose(mode.theta, likelihood.theta, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mode.beta, likelihood.beta, rtol=1e-6)
    np.testing.assert_allclose(mode.sigma, likelihood.sigma, rtol=1e-6)
    np.testing.assert_allclose(mode.loglik, likelihood.loglik, rtol=1e-9)
    np.testing.assert_allclose(mode.se(), likelihood.se(), rtol=1e-5)


def test_accessors_agree_with_the_mode(informed, data, tmp_path):
    assert "maximum a posteriori" in str(informed.summary())
    modes = informed.ranef()["Subject"]
    assert modes.shape == (18, 2)
    fitted = informed.predict(data.head(3))
    np.testing.assert_allclose(fitted, informed.fitted()[:3])
    informed.save(tmp_path / "map.npz")
    loaded = jmix.load_fit(tmp_path / "map.npz")
    assert loaded.method == "MAP"
    np.testing.assert_array_equal(loaded.laplace(), informed.laplace())
    with pytest.raises(jmix.ModelError, match="refit is for REML"):
        informed.refit(data["Reaction"].to_numpy())


def test_a_vanished_variance_is_zero_and_said_so():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(10), 6)
    y = rng.normal(size=60)
    y -= pd.Series(y).groupby(group).transform("mean")
    fit = jmix.model("y ~ 1 + (1 | g)", {"y": y, "g": group}).fit("map")
    assert fit.singular and fit.converged
    assert "sd_g__Intercept is zero" in fit.status.messages[0]
    assert fit.varcorr()["sdcor"][0] == 0.0
    assert np.isnan(fit.laplace().loc["sd_g__Intercept", "sd_g__Intercept"])
    assert np.isfinite(fit.se()).all()
    avoided = jmix.model("y ~ 1 + (1 | g)", {"y": y, "g": group}, priors={"sd": "gamma(2, 0.1)"}).fit("map")
    assert not avoided.singular and avoided.varcorr()["sdcor"][0] > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.fit("MAP"), "choose 'reml', 'ml' or 'map'"),
        (lambda m: m.fit("map", start=[1.0, 0.0, 1.0]), "MAP starts from moment estimates"),
        (lambda m: m.fit("ml").laplace(), r"laplace\(\) is for fit\('map'\)"),
    ],
)
def test_mistakes_are_named(data, call, message):
    with pytest.raises(jmix.ModelError, match=message):
        call(jmix.model("Reaction ~ Days + (Days | Subject)", data))


def test_a_parameter_at_a_bound_of_its_prior_has_no_standard_error(data):
    priors = {"b_Days": "uniform(0, 5)", "sd": "uniform(50, 90)"}
    fit = jmix.model("Reaction ~ Days + (1 | Subject)", data, priors=priors).fit("map")
    assert fit.singular and fit.converged
    np.testing.assert_allclose([fit.beta[1], fit.varcorr()["sdcor"][0]], [5.0, 50.0], rtol=1e-9)
    assert np.isnan(fit.se()["Days"]) and fit.se()["(Intercept)"] > 0
    assert sorted(m.split(": ")[1].split(" is ")[0] for m in fit.status.messages) == ["Days", "sd_Subject__Intercept"]
