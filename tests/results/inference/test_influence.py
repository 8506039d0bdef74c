"""Influence of groups and rows: one step against true refits, refits against fits of the data without the group."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.errors import ModelError
from jmix.estimate.inference import influence_independent as independent
from jmix.estimate.inference import influence_lanes as lanes

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return jmix.load_data("sleepstudy")


@pytest.fixture(scope="module")
def fit(sleep: pd.DataFrame) -> Any:
    return jmix.lmm(SLEEP, sleep)


@pytest.fixture(scope="module")
def exact(fit: Any) -> Any:
    return fit.influence("Subject", exact=True)


def in_standard_errors(fit: Any, one: Any, true: Any) -> np.ndarray:
    """(G,) distance of theta in standard errors."""
    difference = (one.theta - true.theta).to_numpy()
    return np.sqrt(np.einsum("ga,ab,gb->g", difference, fit.solution.hessian, difference) / 2)


def test_refits_are_fits_of_the_other_rows(sleep: pd.DataFrame, fit: Any, exact: Any) -> None:
    for level in ("308", "309"):
        other = jmix.lmm(SLEEP, sleep[sleep["Subject"] != level])
        np.testing.assert_allclose(exact.fixef().loc[level], other.fixef(), rtol=1e-7)
        np.testing.assert_allclose(exact.theta.loc[level], other.theta, atol=1e-5)
        assert exact.sigma[level] == pytest.approx(other.sigma, rel=1e-6)
        move = fit.beta - other.beta
        distance = move @ np.linalg.solve(fit.vcov(), move) / 2
        assert exact.cooks_distance[level] == pytest.approx(distance, rel=1e-5)
        np.testing.assert_allclose(exact.dfbetas().loc[level], -move / other.se(), rtol=1e-4)
        ratio = np.linalg.det(other.vcov()) / np.linalg.det(fit.vcov())
        assert exact.table.loc[level, "covratio"] == pytest.approx(ratio, rel=1e-4)
        value = fit.objective.log_marginal(other.theta.to_numpy(), None, other.sigma, True)
        assert exact.table.loc[level, "displacement"] == pytest.approx(2 * (fit.loglik - value), abs=1e-5)


def test_known_distances(exact: Any) -> None:
    """cooks.distance(influence(fit, "Subject")) of lme4 is (G - p) / G of this definition."""
    found = exact.cooks_distance[["308", "309", "332"]] * (18 - 2) / 18
    np.testing.assert_allclose(found, LME4_COOKS, rtol=1e-5)


LME4_COOKS = (0.08214847978, 0.13202204184, 0.00561348515)


def test_one_step_is_near_the_refits(fit: Any, exact: Any) -> None:
    one = fit.influence("Subject")
    assert (~one.table["refitted"]).sum() >= 10
    assert in_standard_errors(fit, one, exact).max() < 0.05
    np.testing.assert_allclose(one.sigma, exact.sigma, rtol=1e-3)
    np.testing.assert_allclose(one.fixef(), exact.fixef(), rtol=1e-6)
    np.testing.assert_allclose(one.table["displacement"], exact.table["displacement"], rtol=0.15, atol=0.005)


def test_the_step_alone_is_second_order(fit: Any, exact: Any) -> None:
    """Without refits of what is doubtful: small moves are followed to a few percent of their size."""
    counts = np.bincount(fit.terms[0].codes)
    owners = independent.owners_of(fit.objective, fit.terms[0].codes)
    assert owners is not None
    to_theta = fit.objective.to_theta
    hessian = to_theta.T @ fit.solution.hessian @ to_theta
    args = fit.objective, fit.solution.phi, fit.terms[0].codes, counts
    joint = independent.independent_one_step(*args, owners, hessian, reml=True)
    theta = joint.phi @ to_theta.T
    move = np.linalg.norm(exact.theta.to_numpy() - fit.theta_values, axis=1)
    error = np.linalg.norm(exact.theta.to_numpy() - theta, axis=1)
    assert np.corrcoef(np.log(move), np.log(error))[0, 1] > 0.5
    assert np.median(error / move) < 0.1
    each = lanes.one_step(*args, hessian, reml=True)
    np.testing.assert_allclose(joint.phi, each.phi, atol=1e-6)
    np.testing.assert_allclose(joint.doubt, each.doubt, atol=1e-6)
    np.testing.assert_allclose(joint.gamma[:, :2], each.gamma[:, :2], atol=0.01)


@pytest.mark.slow
def test_maximum_likelihood(sleep: pd.DataFrame) -> None:
    fit = jmix.lmm(SLEEP, sleep, reml=False)
    one, true = fit.influence("Subject"), fit.influence("Subject", exact=True)
    assert in_standard_errors(fit, one, true).max() < 0.05
    other = jmix.lmm(SLEEP, sleep[sleep["Subject"] != "335"], reml=False)
    value = fit.objective.log_marginal(other.theta.to_numpy(), other.beta, other.sigma, False)
    assert true.table.loc["335", "displacement"] == pytest.approx(2 * (fit.loglik - value), abs=1e-5)


def test_rows_given_theta_as_dense_algebra(fit: Any) -> None:
    rows = fit.influence()
    x, y = fit.design.X, fit.design.y
    lam, term = fit.spec.split(fit.theta_values)[0], fit.terms[0]
    z = np.stack(term.columns, axis=1)
    v = np.eye(180) + (term.codes[:, None] == term.codes) * (z @ lam @ lam.T @ z.T)
    for i in (0, 17, 100):
        kept = np.arange(180) != i
        w = np.linalg.inv(v[np.ix_(kept, kept)])
        m = np.linalg.inv(x[kept].T @ w @ x[kept])
        beta = m @ x[kept].T @ w @ y[kept]
        rest = y[kept] - x[kept] @ beta
        sigma2 = rest @ w @ rest / (179 - 2)
        np.testing.assert_allclose(rows.fixef().iloc[i], beta, rtol=1e-10)
        np.testing.assert_allclose(rows.deleted.vcov[i], sigma2 * m, rtol=1e-9)
        assert rows.sigma.iloc[i] == pytest.approx(np.sqrt(sigma2), rel=1e-10)
    pearson, hat = fit.residuals("pearson"), fit.leverage()
    expected = (pearson / (1 - hat)) ** 2 * hat / (fit.sigma**2 * 2)
    np.testing.assert_allclose(rows.table["cooks_conditional"], expected, rtol=1e-10)


def test_least_squares_is_exact(sleep: pd.DataFrame) -> None:
    fit = jmix.lmm("Reaction ~ Days", sleep)
    found = fit.influence(sleep["Subject"])
    other = jmix.lmm("Reaction ~ Days", sleep[sleep["Subject"] != "309"])
    np.testing.assert_allclose(found.fixef().loc["309"], other.fixef(), rtol=1e-10)
    np.testing.assert_allclose(found.deleted.vcov[1], other.vcov(), rtol=1e-9)
    rows = fit.influence()
    hat = fit.leverage().to_numpy()
    expected = fit.residuals("pearson").to_numpy() ** 2 * hat / (2 * fit.sigma**2 * (1 - hat) ** 2)
    np.testing.assert_allclose(rows.cooks_distance, expected, rtol=1e-9)


def test_a_group_without_which_nothing_can_be_estimated(sleep: pd.DataFrame) -> None:
    fit = jmix.lmm("Reaction ~ odd", sleep.assign(odd=(sleep["Subject"] == "310").astype(float)))
    found = fit.influence(sleep["Subject"])
    assert np.isnan(found.fixef().loc["310"]).all() and np.isfinite(found.fixef().loc["309"]).all()
    assert "without 310" in str(found)


def test_what_is_printed_and_named(fit: Any, exact: Any) -> None:
    text = str(exact)
    assert "levels of Subject" in text and "309" in text and "cooks_distance" in text
    assert list(exact.estimates().columns)[2:] == [
        "sd_Subject__Intercept",
        "sd_Subject__Days",
        "cor_Subject__Intercept__Days",
        "sigma",
    ]
    change = exact.variance_changes().loc["308", "sigma"]
    assert change == pytest.approx((exact.sigma["308"] / fit.sigma) ** 2 - 1)
    axes = exact.plot(statistic="Days").axes[0]
    assert "DFBETAS of Days" in axes.get_xlabel() and len(axes.get_yticks()) == 18
    with pytest.raises(ModelError, match="cooks_distance"):
        exact.plot(statistic="cook_distance")


def test_refusals(sleep: pd.DataFrame, fit: Any) -> None:
    with pytest.raises(ModelError, match="not a grouping factor"):
        fit.influence("Days")
    with pytest.raises(ModelError, match="one group only"):
        fit.influence(np.zeros(180))
    with pytest.raises(ModelError, match="no fixed effects"):
        jmix.lmm("Reaction ~ 0 + (1 | Subject)", sleep).influence("Subject")


# --- other designs --------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize(
    ("formula", "name", "group"),
    [
        ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", "plate"),
        ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", "sample"),
        ("strength ~ cask + (1 | batch / cask)", "Pastes", "batch"),
        ("strength ~ cask + (1 | batch / cask)", "Pastes", "cask:batch"),
        ("MathAch ~ SES * Minority + (SES | School)", "MathAchieve", "School"),
    ],
)
def test_one_step_of_crossed_and_nested_designs(formula: str, name: str, group: str) -> None:
    data = jmix.load_data(name)
    fit = jmix.lmm(formula, data)
    one, true = fit.influence(group), fit.influence(group, exact=True)
    assert true.deleted.converged.all()
    assert in_standard_errors(fit, one, true).max() < 0.1
    assert ((one.fixef() - true.fixef()).abs() / fit.se()).max().max() < 0.02
    if group in data:
        level = true.cooks_distance.idxmax()
        other = jmix.lmm(formula, data[data[group].astype(str) != level])
        np.testing.assert_allclose(true.fixef().loc[level], other.fixef(), rtol=1e-5)
        assert true.sigma[level] == pytest.approx(other.sigma, rel=1e-5)


@pytest.mark.slow
def test_crossed_clusters_are_refused() -> None:
    fit = jmix.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", jmix.load_data("Penicillin"))
    with pytest.raises(ModelError, match="crossed"):
        fit.robust()


@pytest.mark.slow
def test_many_refits_in_lanes_are_those_one_by_one(fit: Any, exact: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FEW", 0)
    many = fit.influence("Subject", exact=True)
    np.testing.assert_allclose(many.estimates(), exact.estimates(), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_expanded_likelihood_of_all_rows(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = fit.influence("Subject")
    monkeypatch.setattr(independent, "EXPENSIVE", 0)
    np.testing.assert_allclose(fit.influence("Subject").table["displacement"], one.table["displacement"], atol=0.02)


@pytest.mark.slow
def test_generalized_models() -> None:
    data = jmix.load_data("cbpp")
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fit = jmix.glmm(formula, data, family="binomial")
    one, true = fit.influence("herd"), fit.influence("herd", exact=True)
    move, error = (true.fixef() - fit.beta) / fit.se(), (one.fixef() - true.fixef()) / fit.se()
    assert move.abs().max().max() > 1.0 and error.abs().max().max() < 0.1
    assert np.corrcoef(true.cooks_distance, one.cooks_distance)[0, 1] > 0.99
    other = jmix.glmm(formula, data[data["herd"].astype(str) != "11"], family="binomial")
    np.testing.assert_allclose(true.fixef().loc["11"], other.fixef(), rtol=1e-5)
    np.testing.assert_allclose(true.theta.loc["11"], other.theta, rtol=1e-4)
    value = fit.objective.loglik(other.solution.x)
    assert true.table.loc["11", "displacement"] == pytest.approx(2 * (fit.loglik - value), rel=1e-4)
    np.testing.assert_allclose(true.deleted.vcov[true.table.index.get_loc("11")], other.vcov(), rtol=1e-3)


@pytest.mark.slow
def test_generalized_models_with_crossed_factors() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 8, 120), rng.integers(0, 6, 120)
    x = rng.normal(size=120)
    y = rng.poisson(np.exp(0.5 + 0.4 * x + 0.5 * rng.normal(size=8)[a] + 0.5 * rng.normal(size=6)[b]))
    data = pd.DataFrame({"y": y, "x": x, "a": a.astype(str), "b": b.astype(str)})
    fit = jmix.glmm("y ~ x + (1 | a) + (1 | b)", data, family="poisson")
    one, true = fit.influence("a"), fit.influence("a", exact=True)
    assert ((one.fixef() - true.fixef()).abs() / fit.se()).max().max() < 0.1
    other = jmix.glmm("y ~ x + (1 | a) + (1 | b)", data[data["a"] != "3"], family="poisson")
    np.testing.assert_allclose(true.fixef().loc["3"], other.fixef(), rtol=1e-4)


@pytest.mark.r
@pytest.mark.slow
def test_live_lme4(rscript: str, tmp_path: Path, exact: Any) -> None:
    script = """
    for (p in c("lme4", "jsonlite")) if (!requireNamespace(p, quietly = TRUE)) quit(status = 77)
    suppressMessages(library(lme4))
    f <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
    i <- influence(f, "Subject", data = sleepstudy)
    cat(jsonlite::toJSON(list(cooks = cooks.distance(i), dfbeta = dfbeta(i), dfbetas = dfbetas(i)), digits = 12))
    """
    done = subprocess.run([rscript, "-e", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("lme4 or jsonlite is not installed")
    r = json.loads(done.stdout)
    np.testing.assert_allclose(exact.cooks_distance * 16 / 18, r["cooks"], rtol=1e-4)
    np.testing.assert_allclose(exact.dfbeta(), r["dfbeta"], rtol=1e-4)
    np.testing.assert_allclose(exact.dfbetas(), r["dfbetas"], rtol=1e-3, atol=1e-5)
