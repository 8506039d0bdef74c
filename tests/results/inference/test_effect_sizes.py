"""ICC, R-squared, variance decomposition, empty model, collinearity, principal components; of posteriors too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import polygamma

import jmix
from jmix.design import build_design
from jmix.families import resolve_family
from jmix.results.fit import Fit
from jmix.results.glmm_fit import GlmmFit
from jmix.spec.covariance import CovarianceSpec, Term


@pytest.fixture(scope="module")
def slopes() -> Fit:
    return jmix.lmm("Reaction ~ Days + (Days | Subject)", jmix.load_data("sleepstudy"))


@pytest.fixture(scope="module")
def nested(slopes: Fit) -> Fit:
    """Casks within batches at made-up variances: what is computed from them needs no optimum."""
    design = build_design("strength ~ 1 + (1 | batch) + (1 | sample)", jmix.load_data("Pastes"))
    spec = CovarianceSpec(tuple(Term(t.group, tuple(t.names)) for t in design.terms))
    solution = replace(slopes.solution, theta=np.array([3.5, 1.6]), beta=np.array([60.0]), sigma=0.8)
    return replace(slopes, design=design, terms=design.terms, spec=spec, solution=solution)


def test_reference_values(reference: Callable[[str], Any], slopes: Fit) -> None:
    """performance's numbers; lme4's own optimum is 3e-6 away."""
    known = reference("inference")["sleepstudy"]["performance"]
    assert slopes.r2().marginal == pytest.approx(known["R2_marginal"], rel=1e-5)
    assert slopes.r2().conditional == pytest.approx(known["R2_conditional"], rel=1e-5)
    assert slopes.icc().adjusted == pytest.approx(known["ICC_adjusted"], rel=1e-5)


def test_random_slopes_by_hand(slopes: Fit) -> None:
    cov, days = slopes.cov_terms()[0], slopes.design.X[:, 1]
    rows = cov[0, 0] + 2 * days * cov[0, 1] + days**2 * cov[1, 1]
    table = slopes.variance_decomposition().table
    assert table.loc["Subject", "variance"] == pytest.approx(rows.mean(), rel=1e-12)
    assert table.loc["fixed effects", "variance"] == pytest.approx(np.var(days * slopes.beta[1], ddof=1), rel=1e-12)
    assert table["share"].sum() == pytest.approx(1.0)
    assert table["share_unexplained"].iloc[1:].sum() == pytest.approx(1.0)
    assert slopes.icc().conditional == pytest.approx(table.loc["Subject", "share"], rel=1e-12)


def test_icc_by_group_counts_coarser_levels(nested: Fit) -> None:
    report = nested.icc(by_group=True)
    batch, sample = (float(nested.cov_terms()[i][0, 0]) for i in (1, 0))
    total = batch + sample + nested.sigma**2
    assert report.table.loc["sample", "icc"] == pytest.approx(sample / total)
    assert report.table.loc["sample", "correlation"] == pytest.approx((batch + sample) / total)
    assert report.table.loc["batch", "correlation"] == pytest.approx(batch / total)
    assert report.by_group is not None and report.adjusted == pytest.approx(report.by_group.sum())


def test_the_empty_model(slopes: Fit) -> None:
    null = slopes.null_model()
    assert null is slopes.null_model() and null.formula == "Reaction ~ 1 + (1 | Subject)"
    again = jmix.lmm(null.formula, jmix.load_data("sleepstudy"))
    assert null.loglik == pytest.approx(again.loglik, abs=1e-8) and null.sigma == pytest.approx(again.sigma, rel=1e-6)
    new = jmix.load_data("sleepstudy").head(2)
    np.testing.assert_allclose(null.predict(new), again.predict(new), rtol=1e-6)
    explained = slopes.variance_explained().table
    assert explained.loc["Residual", "explained"] == pytest.approx(1 - slopes.sigma**2 / again.sigma**2, rel=1e-5)
    assert slopes.null_model("same").npar == 5
    with pytest.raises(jmix.ModelError, match="intercepts"):
        slopes.null_model("none")  # type: ignore[arg-type]


def test_principal_components(slopes: Fit) -> None:
    table = slopes.repca().table
    values = np.linalg.svd(slopes.sigma * slopes.spec.split(slopes.theta_values)[0], compute_uv=False)
    np.testing.assert_allclose(table["sd"], values, rtol=1e-12)
    # summary(rePCA(fit)) of lme4
    np.testing.assert_allclose(table["share"], [0.94605, 0.05395], atol=1e-4)
    flat = replace(slopes, solution=replace(slopes.solution, theta=np.array([1.0, 0.5, 0.0])))
    assert "the correlation of (Intercept) and Days is +1" in flat.repca().notes[0]


def test_collinearity() -> None:
    """From the definition: 1 / (1 - R^2) of a column on the others, for ordinary least squares."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=120)
    data = pd.DataFrame({"x": x, "z": x + 0.35 * rng.normal(size=120), "f": rng.choice(list("abc"), 120)})
    data["y"] = rng.normal(size=120)
    fit = jmix.lm("y ~ x + z + f", data)
    table = fit.vif().table
    X = fit.design.X
    others = np.delete(X, 1, axis=1)
    rest = X[:, 1] - others @ np.linalg.lstsq(others, X[:, 1], rcond=None)[0]
    assert table.loc["x", "vif"] == pytest.approx(np.var(X[:, 1]) / np.var(rest), rel=1e-10)
    assert table.loc["f", "df"] == 2 and table.loc["f", "vif_root"] == pytest.approx(table.loc["f", "vif"] ** 0.25)
    assert any(note.startswith("moderate collinearity: x, z") for note in fit.vif().notes)
    with pytest.raises(jmix.ModelError, match="two or more terms"):
        jmix.lm("y ~ x", data).vif()


def test_posterior(make_posterior: Callable[..., Any]) -> None:
    """Draw by draw what a fit with these parameters says."""
    post = make_posterior("Reaction ~ Days + (Days | Subject)", jmix.load_data("sleepstudy"), draws=20)
    icc, r2 = post.icc(), post.r2()
    assert icc.draws["adjusted"].shape == (4, 20)
    c, d = 1, 7
    cov, days = post.draws.chol[0][c, d] @ post.draws.chol[0][c, d].T, post.design.X[:, 1]
    random = np.mean(cov[0, 0] + 2 * days * cov[0, 1] + days**2 * cov[1, 1])
    fixed, residual = np.var(post.design.X @ post.draws.beta[c, d], ddof=1), post.draws.sigma[c, d] ** 2
    assert icc.draws["adjusted"][c, d] == pytest.approx(random / (random + residual), rel=1e-10)
    assert r2.draws["marginal"][c, d] == pytest.approx(fixed / (fixed + random + residual), rel=1e-10)
    assert r2.table.loc["conditional", "estimate"] == pytest.approx(r2.draws["conditional"].mean())
    with pytest.raises(jmix.ModelError, match="level"):
        post.icc(level=95)


# --- generalized models ----------------------------------------------------------------------------------------------
def test_binomial(glmm_fit: Callable[[str], GlmmFit]) -> None:
    """performance 0.10.2 on cbpp."""
    fit = glmm_fit("cbpp")
    assert fit.r2().marginal == pytest.approx(0.0854160549699184, rel=1e-4)
    assert fit.r2().conditional == pytest.approx(0.187314535105208, rel=1e-4)
    assert fit.icc().adjusted == pytest.approx(0.11141512016367, rel=1e-4)


@pytest.mark.slow
def test_the_delta_method_at_the_marginal_mean(glmm_fit: Callable[[str], GlmmFit]) -> None:
    fit = glmm_fit("cbpp")
    delta = fit.variance_decomposition(approximation="delta").table.loc["distribution", "variance"]
    null = fit.null_model("same")
    z, w = np.polynomial.hermite_e.hermegauss(60)
    eta = null.beta[0] + float(np.sqrt(null.cov_terms()[0][0, 0])) * z
    p = float((w / w.sum()) @ (1 / (1 + np.exp(-eta))))
    assert delta == pytest.approx(1 / (p * (1 - p)), rel=1e-8)


LAWS = [
    ("poisson", "log", None, np.log1p(1 / 4)),
    ("poisson", "log", "delta", 1 / 4),
    ("poisson", "log", "trigamma", polygamma(1, 4.0)),
    ("poisson", "sqrt", None, 0.25),
    ("nbinom2", "log", None, np.log1p(1 / 4 + 1 / 2.5)),
    ("nbinom2", "log", "delta", 1 / 4 + 1 / 2.5),
    ("nbinom2", "log", "trigamma", polygamma(1, 1 / (1 / 4 + 1 / 2.5))),
    ("nbinom1", "log", None, np.log1p(3.5 / 4)),
    ("gamma", "log", None, np.log1p(2.5)),
    ("gamma", "log", "delta", 2.5),
    ("gamma", "log", "trigamma", polygamma(1, 1 / 2.5)),
    ("gamma", "inverse", None, 2.5 / 16),
    ("inverse_gaussian", "log", None, np.log1p(2.5 * 4)),
    ("gaussian", "log", "delta", 2.5**2 / 16),
    ("beta", "logit", None, 1 / (0.4 * 0.6 * 3.5)),
    ("beta", "logit", "trigamma", polygamma(1, 0.4 * 2.5) + polygamma(1, 0.6 * 2.5)),
    ("bernoulli", "cloglog", None, np.pi**2 / 6),
    ("cumulative", "probit", None, 1.0),
]


@pytest.mark.parametrize(("name", "link", "approximation", "wanted"), LAWS)
def test_variance_of_the_distribution(
    monkeypatch: pytest.MonkeyPatch, name: str, link: str, approximation: str | None, wanted: float
) -> None:
    """Nakagawa, Johnson & Schielzeth (2017), table 2, at a mean of 4 (0.4 of a beta) and a dispersion of 2.5."""
    from types import SimpleNamespace

    from jmix.results.inference.effects import variance_decomposition_law as law

    monkeypatch.setattr(law, "_null_mean", lambda fit, mean: 0.4 if name == "beta" else 4.0)
    family = resolve_family(name, link)
    side = SimpleNamespace(intercept_only=True) if family.has_dispersion else None
    phi = 2.5 if family.has_dispersion else 1.0
    fit = SimpleNamespace(family=family, dispersion=phi, nu=None, design=SimpleNamespace(disp=side))
    assert law.distribution_variance(fit, law.Options(approximation))[0] == pytest.approx(wanted, rel=1e-10)


def test_comparisons(glmm_fit: Callable[[str], GlmmFit]) -> None:
    mixed, plain = glmm_fit("cbpp"), glmm_fit("plain")
    table = jmix.compare(mixed, plain).table
    assert table["chisq"].iloc[1] == pytest.approx(2 * (mixed.loglik - plain.loglik))
    assert table["p_value"].iloc[1] == pytest.approx(0.5 * table["p_naive"].iloc[1], rel=1e-10)
    nodes = replace(mixed, objective=replace(mixed.objective, n_agq=9))
    with pytest.raises(jmix.ModelError, match="same n_agq"):
        jmix.compare(mixed, nodes)
    ranova = mixed.ranova().table
    assert ranova["lrt"].iloc[1] == pytest.approx(table["chisq"].iloc[1], abs=1e-8)


def test_what_is_refused(glmm_fit: Callable[[str], GlmmFit], slopes: Fit) -> None:
    cbpp = glmm_fit("cbpp")
    for call, message in (
        (lambda: cbpp.icc(approximation="lognormal"), "not defined for Binomial"),
        (lambda: cbpp.icc(approximation="other"), "choose 'lognormal'"),  # type: ignore[arg-type]
        (lambda: cbpp.r2(mean="median"), "choose 'marginal'"),  # type: ignore[arg-type]
        (lambda: glmm_fit("plain").icc(), "needs random effects"),
        (lambda: slopes.variance_explained(cbpp), "same kind"),
        (lambda: glmm_fit("plain").repca(), "this model has none"),
    ):
        with pytest.raises(jmix.ModelError, match=message):
            call()


@pytest.mark.slow
def test_other_families(glmm_fit: Callable[[str], GlmmFit]) -> None:
    with pytest.raises(jmix.ModelError, match="mixes its zeros"):
        glmm_fit("zinb").r2()
    crossed = glmm_fit("crossed")
    report = crossed.icc(by_group=True)
    variances = [float(c[0, 0]) for c in crossed.cov_terms()]
    mean = np.exp(crossed.beta[0] + 0.5 * sum(variances))
    assert report.adjusted == pytest.approx(sum(variances) / (sum(variances) + np.log1p(1 / mean)), rel=1e-8)
    intercept = crossed.icc(mean="intercept").adjusted
    assert intercept == pytest.approx(sum(variances) / (sum(variances) + np.log1p(np.exp(-crossed.beta[0]))), rel=1e-8)
    assert glmm_fit("ordinal").r2().conditional > glmm_fit("ordinal").r2().marginal
    assert glmm_fit("disp").variance_decomposition().table.index[-1] == "residual"
