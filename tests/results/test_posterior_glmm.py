"""What a posterior of a generalized mixed model says, from draws that no sampler had to make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

import jmix
from jmix.design_response import build_glmm_design
from jmix.errors import ModelError
from jmix.families import resolve_family
from jmix.models_glmm import GlmmModel
from jmix.results.posterior_glmm import GlmmPosterior

DRAWS = 60


def _rows() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    n = 24
    g = np.arange(n) // 6
    x = rng.normal(size=n)
    eta = 0.2 + 0.4 * x + 0.5 * rng.normal(size=4)[g]
    data = pd.DataFrame({"g": [f"g{i}" for i in g], "x": x, "k": rng.integers(2, 6, n)})
    data["m"] = rng.binomial(data.k, expit(eta))
    data["count"] = rng.poisson(np.exp(eta)) * rng.binomial(1, 0.7, n)
    data["size"] = rng.gamma(2.0, np.exp(eta))
    data["grade"] = pd.Categorical.from_codes(np.digitize(eta, [-0.1, 0.4]), ["low", "mid", "high"])
    data["real"] = eta + rng.standard_t(5, n)
    return data


DATA = _rows()
WEAK = {"b": "normal(0, 0.5)", "Intercept": "normal(0, 0.5)", "sd": "half_normal(1)"}
MODELS: dict[str, tuple[str, str, dict[str, str], dict[str, str]]] = {
    "binomial": ("cbind(m, k - m) ~ x + (1 | g)", "binomial", {}, {}),
    "nbinom2": ("count ~ x + (1 | g)", "nbinom2", {"shape": "gamma(4, 2)"}, {"zi": "~ x"}),
    "gamma": ("size ~ x + (1 | g)", "gamma(log)", {"shape": "gamma(4, 2)"}, {}),
    "cumulative": ("grade ~ x + (1 | g)", "cumulative", {}, {}),
    "student": ("real ~ x + (1 | g)", "student", {"nu": "gamma(20, 2)", "sigma": "exponential(1)"}, {}),
}


@dataclass(frozen=True)
class Drawn:
    """Draws of the prior that pass for draws of the posterior."""

    name: str
    post: GlmmPosterior
    prior: GlmmPosterior


def _draw(name: str) -> Drawn:
    formula, family, priors, options = MODELS[name]
    design = build_glmm_design(formula, DATA, resolve_family(family), **options)
    if options:
        priors = priors | {"b_zi": "normal(0, 0.5)"}
    prior = GlmmModel(design, given_priors=WEAK | priors).sample_prior(DRAWS, seed=4)
    settings = replace(prior.draws.settings, chain_method="threads")
    draws = replace(prior.draws, settings=settings)
    post = GlmmPosterior(design.base, prior.spec, prior.terms, prior.objective, prior.priors, draws)
    return Drawn(name, post, prior)


@pytest.fixture(scope="module", params=MODELS)
def drawn(request: pytest.FixtureRequest) -> Drawn:
    return _draw(request.param)


def _eta(post: GlmmPosterior) -> np.ndarray:
    """(n, N) linear predictors with the drawn effects."""
    effects = post.effects()["g"][0][:, :, 0]
    codes = post.terms[0].codes
    return post.design.X @ post.draws.beta[0].T + effects[:, codes].T


def _log_density(drawn: Drawn, eta: np.ndarray) -> np.ndarray:
    post, data = drawn.post, DATA
    y = post.design.y[:, None]
    if drawn.name == "binomial":
        return stats.binom(data.k.to_numpy()[:, None], expit(eta)).logpmf(y)
    if drawn.name == "nbinom2":
        shape, mu = post["shape"][0], np.exp(eta)
        pi = expit(post["zi_Intercept"][0] + data.x.to_numpy()[:, None] * post["zi_x"][0])
        return np.log(pi * (y == 0) + (1 - pi) * stats.nbinom(shape, shape / (shape + mu)).pmf(y))
    if drawn.name == "gamma":
        return stats.gamma(post["shape"][0], scale=np.exp(eta) / post["shape"][0]).logpdf(y)
    if drawn.name == "student":
        return stats.t(post["nu"][0], eta, post["sigma"][0]).logpdf(y)
    return np.log(np.take_along_axis(_probabilities(drawn, eta), y.astype(int)[:, :, None], axis=2)[:, :, 0])


def _probabilities(drawn: Drawn, eta: np.ndarray) -> np.ndarray:
    """(n, N, 3) of the categories."""
    cuts = [expit(drawn.post[f"Intercept[{k}]"][0] - eta) for k in (1, 2)]
    return np.stack([cuts[0], cuts[1] - cuts[0], 1 - cuts[1]], axis=2)


def _expected(drawn: Drawn, eta: np.ndarray) -> np.ndarray:
    if drawn.name == "nbinom2":
        pi = expit(drawn.post["zi_Intercept"][0] + DATA.x.to_numpy()[:, None] * drawn.post["zi_x"][0])
        return (1 - pi) * np.exp(eta)
    return {"binomial": expit, "gamma": np.exp, "student": np.asarray}[drawn.name](eta)


def test_the_conditional_log_likelihood_is_that_of_scipy(drawn: Drawn) -> None:
    ours = drawn.post.log_likelihood()[0]
    np.testing.assert_allclose(ours.T, _log_density(drawn, _eta(drawn.post)), rtol=1e-8, atol=1e-10)


def test_expected_responses_and_linear_predictors(drawn: Drawn) -> None:
    eta = _eta(drawn.post)
    linear = drawn.post.predict(kind="linear", summary=False)
    np.testing.assert_allclose(linear, eta.T, rtol=1e-10, atol=1e-12)
    expected: Any = drawn.post.predict(summary=False)
    if drawn.name == "cumulative":
        np.testing.assert_allclose(np.moveaxis(expected, 0, 1), _probabilities(drawn, eta), rtol=1e-9, atol=1e-12)
        table: Any = drawn.post.predict()
        assert list(table["fit"].columns) == ["low", "mid", "high"]
        np.testing.assert_allclose(table["fit"].sum(axis=1), 1.0)
        return
    np.testing.assert_allclose(expected, _expected(drawn, eta).T, rtol=1e-9)
    np.testing.assert_allclose(drawn.post.fitted(), expected.mean(axis=0), rtol=1e-10)


def test_new_rows_and_new_levels(drawn: Drawn) -> None:
    new = DATA.iloc[[0, 7]].assign(g=["g0", "other"])
    seen: Any = drawn.post.predict(new.iloc[:1], kind="linear", summary=False)
    np.testing.assert_allclose(seen[:, 0], drawn.post.predict(kind="linear", summary=False)[:, 0])
    drawn_level: Any = drawn.post.predict(new, new_levels="sample", kind="linear", summary=False)
    fixed: Any = drawn.post.predict(new, conditional=False, kind="linear", summary=False)
    gap = (drawn_level - fixed)[:, 1] / drawn.post["sd_g__Intercept"][0]
    assert 0.6 < gap.std() < 1.5


def test_responses_are_of_the_kind_of_the_data(drawn: Drawn) -> None:
    many: Any = drawn.post.predict(kind="response", summary=False)
    simulated = drawn.prior.simulate(20, seed=1).to_numpy()
    for values in (many, simulated.T):
        assert np.all(np.isfinite(values)) and values.shape[1] == len(DATA)
        if drawn.name in ("binomial", "nbinom2", "cumulative"):
            assert np.all(values == np.round(values)) and values.min() >= 0
        if drawn.name == "binomial":
            assert np.all(values <= DATA.k.to_numpy())
        if drawn.name == "cumulative":
            assert values.max() <= 2
    if drawn.name == "binomial":
        with pytest.raises(ModelError, match="give the trials of the new rows"):
            drawn.post.predict(DATA, kind="response")
        assert np.all(drawn.post.predict(DATA, kind="response", weights="k", summary=False) <= DATA.k.to_numpy())


def test_the_summary_is_that_of_brms(drawn: Drawn) -> None:
    text = repr(drawn.post)
    assert text == str(drawn.post.summary())
    links = {
        "binomial": ("binomial", "mu = logit"),
        "nbinom2": ("zero_inflated_negbinomial", "mu = log; shape = identity; zi = logit"),
        "gamma": ("gamma", "mu = log; shape = identity"),
        "cumulative": ("cumulative", "mu = logit"),
        "student": ("student", "mu = identity; sigma = identity; nu = identity"),
    }[drawn.name]
    assert "by Laplace's approximation" in " ".join(text.split())
    assert f"Family: {links[0]}\n" in text and f"Links: {links[1]}\n" in text
    assert "sd(Intercept)" in text and "Number of levels: 4" in text
    order = [text.index(name) for name in ("Multilevel Hyper", "Regression Coef")]
    assert order == sorted(order)
    coefficients = text.partition("Regression Coefficients")[2].partition("Further")[0]
    if drawn.name == "nbinom2":
        assert "zi_x" in coefficients and "shape" not in coefficients
    if drawn.name == "cumulative":
        assert coefficients.index("Intercept[1]") < coefficients.index("Intercept[2]") < coefficients.index("x ")


def test_tables_have_every_parameter_once(drawn: Drawn) -> None:
    post = drawn.post
    tidy = post.tidy()
    assert len(tidy) == len(post.parameters)
    assert ("Residual" in set(post.varcorr().grp)) == (drawn.name == "student")
    assert post.glance()["nobs"].item() == len(DATA)
    assert set(post.ranef()) == {"g"} and len(post.ranef_table()) == 4
    post.hypothesis("x > 0")


def test_a_model_without_random_effects_has_the_same_tables() -> None:
    design = build_glmm_design("count ~ x", DATA, resolve_family("nbinom2"))
    priors = {"b": "normal(0, 0.5)", "Intercept": "normal(0, 0.5)", "shape": "gamma(4, 2)"}
    prior = GlmmModel(design, given_priors=priors).sample_prior(DRAWS, seed=1)
    assert prior.integration == "ML" and len(prior.varcorr()) == 0
    assert prior.tidy().term.tolist() == ["(Intercept)", "x", "shape__Observation"]
    assert "generalized linear model" in prior.summary().content.title
    assert prior.simulate(3).shape == (len(DATA), 3)


def test_more_nodes_show_the_error_of_laplace() -> None:
    post = _draw("binomial").post
    fine = replace(post, objective=GlmmModel(post.data, given_priors=WEAK).objective(15))
    assert fine.integration_error(draws=5) < 1e-4 < post.integration_error(draws=5) < 0.5


def test_residuals(drawn: Drawn) -> None:
    if drawn.name == "cumulative":
        with pytest.raises(ModelError, match="ordinal"):
            drawn.post.residuals()
        return
    eta = _eta(drawn.post)
    y = drawn.post.design.y / (DATA.k.to_numpy() if drawn.name == "binomial" else 1)
    raw = y - _expected(drawn, eta).mean(axis=1)
    np.testing.assert_allclose(drawn.post.residuals(), raw, rtol=1e-8, atol=1e-12)
    if drawn.name == "binomial":
        variance = (expit(eta) * expit(-eta)).mean(axis=1) / DATA.k.to_numpy()
        np.testing.assert_allclose(drawn.post.residuals("pearson"), raw / np.sqrt(variance), rtol=1e-8)


def test_saved_and_loaded_it_is_the_same(drawn: Drawn, tmp_path: Path) -> None:
    path = tmp_path / "post.npz"
    drawn.post.save(path)
    same = jmix.load_posterior(path)
    assert isinstance(same, GlmmPosterior) and same.family == drawn.post.family
    assert str(same.summary()) == str(drawn.post.summary())
    assert repr(same.priors) == repr(drawn.post.priors)
    np.testing.assert_array_equal(same.predict(summary=False), drawn.post.predict(summary=False))


def test_draws_of_the_prior_follow_it() -> None:
    formula, family, *_ = MODELS["nbinom2"]
    design = build_glmm_design(formula, DATA, resolve_family(family), zi="~ 1", disp="~ x")
    given = WEAK | {"Intercept_shape": "normal(1, 2)", "shape_x": "normal(0, 3)", "zi": "beta(2, 5)"}
    prior = GlmmModel(design, given_priors=given).sample_prior(4000, seed=1)
    assert stats.kstest(prior["zi"][0], stats.beta(2, 5).cdf).pvalue > 1e-3
    level = prior["shape_Intercept"][0] + DATA.x.mean() * prior["shape_x"][0]
    assert stats.kstest(level, stats.norm(1, 2).cdf).pvalue > 1e-3
    assert stats.kstest(prior["sd_g__Intercept"][0], stats.halfnorm().cdf).pvalue > 1e-3
    ordinal = _draw("cumulative").prior
    centred = ordinal["Intercept[1]"][0] - DATA.x.mean() * ordinal["x"][0]
    assert np.all(ordinal["Intercept[1]"] < ordinal["Intercept[2]"]) and np.all(np.isfinite(centred))
    with pytest.raises(ModelError, match="no data"):
        ordinal.effects()
