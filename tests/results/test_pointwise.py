"""Pointwise log likelihoods and their way to ArviZ: leave one row out, leave one group out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm, t

import jmix
from jmix.errors import ModelError
from jmix.results import posterior_effects
from jmix.results.posterior import Posterior

SLEEP = jmix.load_data("sleepstudy")


def test_conditional_likelihood_by_row(fake_posterior: Posterior) -> None:
    post = fake_posterior
    found = post.log_likelihood()
    mean, sigma = post.predict(summary=False), post.draws.sigma.reshape(-1, 1)
    expected = norm.logpdf(post.design.y, mean, sigma)
    np.testing.assert_allclose(found.reshape(1000, 180), expected, rtol=1e-10)
    weights = np.linspace(0.5, 2.0, 180)
    kept = replace(post.draws, effects=post.effects())
    scaled = replace(post, design=replace(post.design, weights=weights), draws=kept)
    expected = norm.logpdf(post.design.y, mean, sigma / np.sqrt(weights))
    np.testing.assert_allclose(scaled.log_likelihood(thin=10)[1], expected[250:500:10], rtol=1e-10)
    nu = np.exp(np.linspace(1.0, 3.0, 1000)).reshape(4, 250)
    student = replace(scaled, draws=replace(scaled.draws, nu=nu), family="student")
    expected = t.logpdf(post.design.y, nu.reshape(-1, 1), mean, sigma / np.sqrt(weights))
    np.testing.assert_allclose(student.log_likelihood().reshape(1000, 180), expected, rtol=1e-10)
    with pytest.raises(ModelError, match=r"student.*closed form"):
        student.log_likelihood("marginal")


def test_arrays_that_do_not_fit_are_refused(fake_posterior: Posterior, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posterior_effects, "LARGEST", 8 * 1000 * 100)
    with pytest.raises(ModelError, match=r"conditional log likelihood would take .* GiB.*thin="):
        fake_posterior.log_likelihood()
    assert fake_posterior.log_likelihood(thin=2).shape == (4, 125, 180)
    assert fake_posterior.log_likelihood("marginal").shape == (4, 250, 18)
    with pytest.raises(ModelError, match="'marginal'"):
        fake_posterior.log_likelihood("both")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def known_variances(make_posterior: Any) -> Posterior:
    """Exact draws of the fixed effects under a flat prior, with the covariance parameters known."""
    post = make_posterior("Reaction ~ Days + (Days | Subject)", SLEEP, draws=1000)
    fit = jmix.lmm("Reaction ~ Days + (Days | Subject)", SLEEP)
    rng, shape = np.random.default_rng(7), post.draws.shape
    root = np.linalg.cholesky(fit.vcov().to_numpy())
    beta = fit.beta + rng.normal(size=(*shape, 2)) @ root.T
    chol = tuple(np.broadcast_to(fit.sigma * lam, (*shape, 2, 2)) for lam in fit.spec.split(fit.solution.theta))
    return replace(post, draws=replace(post.draws, beta=beta, chol=chol, sigma=np.full(shape, fit.sigma)))


def test_leaving_a_group_out_agrees_with_the_closed_form(known_variances: Posterior) -> None:
    """p(y_j | y_-j) is normal with the fixed effects integrated out; PSIS estimates it from draws given all of y."""
    arviz = pytest.importorskip("arviz")
    post, design = known_variances, known_variances.design
    z = np.zeros((180, 36))
    for i, column in enumerate(post.terms[0].columns):
        z[np.arange(180), post.terms[0].codes * 2 + i] = column
    chol, sigma = post.draws.chol[0][0, 0], post.draws.sigma[0, 0]
    v = z @ np.kron(np.eye(18), chol @ chol.T) @ z.T + sigma**2 * np.eye(180)
    exact = []
    for level in range(18):
        out, kept = (np.flatnonzero(post.terms[0].codes == level), np.flatnonzero(post.terms[0].codes != level))
        x, inverse = design.X[kept], np.linalg.inv(v[np.ix_(kept, kept)])
        covariance = np.linalg.inv(x.T @ inverse @ x)
        mean = design.X[out] @ covariance @ x.T @ inverse @ design.y[kept]
        own = v[np.ix_(out, out)] + design.X[out] @ covariance @ design.X[out].T
        exact.append(multivariate_normal.logpdf(design.y[out], mean, own))
    loo = arviz.loo(post.to_arviz("marginal"), pointwise=True)
    found = np.asarray(loo.elpd_i if hasattr(loo, "elpd_i") else loo.loo_i)
    np.testing.assert_allclose(found, exact, atol=0.05)
    assert float(np.asarray(loo.pareto_k).max()) < 0.7


def test_what_arviz_gets(fake_posterior: Posterior) -> None:
    arviz = pytest.importorskip("arviz")
    post = fake_posterior
    data = post.to_arviz("both", effects=True, posterior_predictive=True, prior={"sigma": np.ones(10)}, thin=2)
    assert set(getattr(data, "children", None) or data.groups()) == {
        "posterior", "sample_stats", "log_likelihood", "posterior_predictive", "observed_data", "prior",
    }  # fmt: skip
    assert set(data["posterior"].data_vars) == {*post.parameters, "r_Subject"}
    np.testing.assert_array_equal(data["posterior"]["Days"], post["Days"][:, ::2])
    own = data["posterior"]["r_Subject"].sel(Subject_level="309", Subject_column="Days")
    np.testing.assert_array_equal(own, post.effects()["Subject"][:, ::2, 1, 1])
    assert data["log_likelihood"]["Reaction"].dims == ("chain", "draw", "obs_id")
    assert data["log_likelihood"]["Subject"].shape == (4, 125, 18)
    assert data["posterior_predictive"]["Reaction"].shape == (4, 125, 180)
    np.testing.assert_array_equal(data["observed_data"]["Reaction"], SLEEP["Reaction"])
    stats = data["sample_stats"]
    assert {"lp", "diverging", "energy", "n_steps", "tree_depth", "acceptance_rate", "step_size"} <= set(
        stats.data_vars
    )
    assert (stats["tree_depth"] == 3).all()  # seven steps
    summary = arviz.summary(data["posterior"].dataset if hasattr(data["posterior"], "dataset") else data.posterior)
    assert {"Days", "sd_Subject__Days", "r_Subject[309, Days]"} <= set(summary.index)
    other = arviz.loo(data, var_name="Reaction")
    groups = arviz.loo(data, var_name="Subject")
    by_row = other.elpd if hasattr(other, "elpd") else other.elpd_loo
    by_group = groups.elpd if hasattr(groups, "elpd") else groups.elpd_loo
    assert by_group < by_row
    with pytest.raises(ModelError, match="log_likelihood='all'"):
        post.to_arviz("all")  # type: ignore[arg-type]


def test_models_are_compared(fake_posterior: Posterior, make_posterior: Any) -> None:
    arviz = pytest.importorskip("arviz")
    small = make_posterior("Reaction ~ 1 + (1 | Subject)", SLEEP)
    pair = {"slopes": fake_posterior.to_arviz("marginal"), "mean": small.to_arviz("marginal")}
    assert list(arviz.compare(pair).index) == ["slopes", "mean"]


def test_names_that_files_cannot_hold(make_posterior: Any, tmp_path: Any) -> None:
    pytest.importorskip("arviz")
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": rng.uniform(1, 2, 40), "year": np.tile([1990, 1991, 1992, 1993], 10)})
    data["y"] = data["x"] + np.array([0, 1, 2, 3])[data["year"] - 1990] + rng.normal(size=40)
    data.index = pd.Index([f"row {i}" for i in range(40)])
    post = make_posterior("y ~ I(x/2) + year + (1 | year) + (0 + x | year)", data, chains=2, draws=20)
    exported = post.to_arviz("both", effects=True)
    assert "I(x÷2)" in exported["posterior"].data_vars
    assert exported["posterior"]["r_year"].shape == (2, 20, 4, 2)
    assert exported["log_likelihood"]["obs_id"].values[1] == "row 1"
    prior = replace(post, draws=replace(post.draws, settings=replace(post.settings, chain_method="prior")))
    alone = prior.to_arviz(posterior_predictive=True)
    assert set(getattr(alone, "children", None) or alone.groups()) == {"prior", "prior_predictive", "observed_data"}
