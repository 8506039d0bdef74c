"""Cluster-robust covariance: against clubSandwich and sandwich, and against dense textbook formulas."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.errors import DataError, ModelError
from jmix.results.inference.checks import sandwich

CLUB = [
    ("CR0", (6.546513593, 1.352213416, 7.2094293), (16.9106628, 16.4704698, 15.8382364), (24.2392128, 15.154222)),
    ("CR1", (6.736306913, 1.391416126, 7.418441548), (16.9106628, 16.4704698, 15.8382364), (22.8925899, 15.154222)),
    ("CR1S", (6.782289064, 1.400913957, 7.469079962), (16.9106628, 16.4704698, 15.8382364), (22.5832305, 15.154222)),
    ("CR1p", (7.171346336, 1.481275581, 7.897534109), (16.9106628, 16.4704698, 15.8382364), (20.199344, 15.154222)),
    ("CR2", (6.741109466, 1.392933573, 7.449616395), (16.9046971, 16.4528609, 15.7933578), (22.8593454, 15.133729)),
]
"""clubSandwich 0.5.8: standard errors, Satterthwaite df, and F and its df of the HTZ test of both slopes."""

CLUB_OLS = [
    ("CR0", (6.880775029, 1.223069642, 9.24029146), (16.2911941, 16.140431, 16.0512433), (29.896134, 15.2427831)),
    ("CR2", (7.10227799, 1.265293863, 9.624824042), (16.242095, 16.1204284, 16.0126153), (28.0581539, 15.2153156)),
]

SLOPES = np.eye(3)[1:]


def unbalanced() -> pd.DataFrame:
    """Sleepstudy with rows left out, and a predictor that varies within subjects."""
    data = jmix.load_data("sleepstudy")
    data = data[(np.arange(180) % 7 != 0) & ~((data["Subject"] == "308") & (data["Days"] > 3))].copy()
    data["late"] = (data["Days"] > 4).astype(float)
    return data


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return unbalanced()


@pytest.fixture(scope="module")
def fit(data: pd.DataFrame) -> Any:
    return jmix.lmm("Reaction ~ Days + late + (Days | Subject)", data)


def check_against(tests: Any, ses: Any, dfs: Any, joint: Any, tolerance: float) -> None:
    table = tests.contrasts(np.eye(3))
    np.testing.assert_allclose(table["std_error"], ses, rtol=tolerance)
    np.testing.assert_allclose(table["df"], dfs, rtol=tolerance)
    found = tests.joint(SLOPES)
    np.testing.assert_allclose((found.statistic, found.df2), joint, rtol=tolerance)
    assert found.df1 == 2


@pytest.mark.parametrize(("kind", "ses", "dfs", "joint"), CLUB, ids=[c[0] for c in CLUB])
def test_mixed_models_as_clubsandwich(fit: Any, kind: Any, ses: Any, dfs: Any, joint: Any) -> None:
    check_against(fit.robust_tests(type=kind), ses, dfs, joint, 1e-6)


@pytest.mark.parametrize(("kind", "ses", "dfs", "joint"), CLUB_OLS, ids=[c[0] for c in CLUB_OLS])
def test_least_squares_as_clubsandwich(data: pd.DataFrame, kind: Any, ses: Any, dfs: Any, joint: Any) -> None:
    fit = jmix.lmm("Reaction ~ Days + late", data)
    check_against(fit.robust_tests(data["Subject"], kind), ses, dfs, joint, 1e-7)


def test_rows_as_clusters_are_hc(data: pd.DataFrame) -> None:
    fit = jmix.lmm("Reaction ~ Days + late", data)
    found = {kind: np.sqrt(np.diag(fit.vcov_robust(type=kind))) for kind in ("CR0", "CR1S", "CR2")}
    np.testing.assert_allclose(found["CR0"], (6.357102, 2.671694, 14.76788), rtol=1e-6)
    np.testing.assert_allclose(found["CR1S"], (6.422083, 2.699004, 14.91883), rtol=1e-6)
    np.testing.assert_allclose(found["CR2"], (6.434815, 2.706366, 14.94738), rtol=1e-6)


def dense_cr2(fit: Any, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CR2 and the Satterthwaite df of every coefficient, with n x n matrices; symmetric roots for D."""
    x, n = fit.design.X, fit.nobs
    v = np.diag(1.0 / weights)
    for term, lam in zip(fit.terms, fit.spec.split(fit.theta_values), strict=True):
        z = np.stack(term.columns, axis=1)
        v += (term.codes[:, None] == term.codes) * (z @ lam @ lam.T @ z.T)
    w, e = np.linalg.inv(v), fit.design.y - x @ fit.beta
    m = np.linalg.inv(x.T @ w @ x)
    hat = np.eye(n) - x @ m @ x.T @ w
    codes = fit.terms[-1].codes
    p, meat, parts = x.shape[1], 0.0, []
    for g in np.unique(codes):
        own = np.flatnonzero(codes == g)
        values, vectors = np.linalg.eigh(v[np.ix_(own, own)])
        root = vectors * np.sqrt(values) @ vectors.T
        inner = root @ (hat @ v @ hat.T)[np.ix_(own, own)] @ root
        values, vectors = np.linalg.eigh(inner)
        a = root @ (vectors * values**-0.5 @ vectors.T) @ root
        score = x[own].T @ w[np.ix_(own, own)] @ a
        meat = meat + np.outer(score @ e[own], score @ e[own])
        parts.append(score @ hat[own])
    df = []
    for c in np.eye(p):
        rows = np.array([c @ m @ part for part in parts])
        cov = rows @ v @ rows.T
        df.append(np.trace(cov) ** 2 / np.sum(cov**2))
    return m @ meat @ m, np.array(df)


@pytest.fixture(scope="module")
def nested() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    a = np.repeat(np.arange(6), [5, 9, 6, 12, 8, 10])
    b = a * 10 + rng.integers(0, 3, a.size)
    x, w = rng.normal(size=a.size), rng.uniform(0.5, 2.0, a.size)
    y = 1 + x + rng.normal(size=6)[a] + rng.normal(size=80)[b] + rng.normal(size=a.size) * np.exp(0.5 * x)
    return pd.DataFrame({"y": y, "x": x, "w": w, "a": a.astype(str), "b": b.astype(str)})


@pytest.mark.slow
def test_nested_and_weighted_as_dense_algebra(nested: pd.DataFrame) -> None:
    fit = jmix.lmm("y ~ x + (1 | b) + (1 | a)", nested, weights="w")
    tests = fit.robust_tests()
    assert tests.cluster == "a" and tests.n_clusters == 6
    vcov, df = dense_cr2(fit, nested["w"].to_numpy())
    np.testing.assert_allclose(tests.vcov, vcov, rtol=1e-8)
    np.testing.assert_allclose(tests.df(np.eye(2)), df, rtol=1e-8)


def test_large_clusters_are_worked_on_in_their_own_space(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit.robust_tests()
    monkeypatch.setattr(sandwich, "SMALL", 5)
    reduced = fit.robust_tests()
    np.testing.assert_allclose(reduced.vcov, whole.vcov, rtol=1e-9)
    np.testing.assert_allclose(reduced.df(np.eye(3)), whole.df(np.eye(3)), rtol=1e-9)


def test_generalized_models_without_random_effects_as_sandwich(data: pd.DataFrame) -> None:
    slow = data.assign(slow=(data["Reaction"] > 300).astype(int))
    fit = jmix.glmm("slow ~ Days", slow, family="binomial")
    found = np.sqrt(np.diag(fit.vcov_robust(data["Subject"], "CR0")))
    np.testing.assert_allclose(found, (0.4470084, 0.08594876), rtol=1e-6)


@pytest.fixture(scope="module")
def cbpp() -> Any:
    data = jmix.load_data("cbpp")
    return jmix.glmm("cbind(incidence, size - incidence) ~ period + (1 | herd)", data, family="binomial")


@pytest.mark.slow
def test_scores_of_clusters_are_differences_of_the_likelihood(cbpp: Any) -> None:
    from jmix.estimate.inference.influence_scores import weighted_objective
    from jmix.results.inference.checks.check_groups import row_groups
    from jmix.results.inference.checks.influence_glmm import separable

    groups = row_groups(cbpp, "herd", what="test")
    parts = separable(cbpp, groups)
    assert parts is not None
    scores, hessians = parts
    np.testing.assert_allclose(scores.sum(axis=0), cbpp.solution.gradient, atol=1e-9)
    np.testing.assert_allclose(-hessians.sum(axis=0), cbpp.solution.hessian, rtol=1e-5, atol=1e-4)
    x = cbpp.solution.x
    only = weighted_objective(cbpp.objective, (groups.codes == 3).astype(float))
    for k, unit in enumerate(np.eye(x.size)):
        slope = (only.loglik(x + 1e-5 * unit) - only.loglik(x - 1e-5 * unit)) / 2e-5
        assert scores[3, k] == pytest.approx(slope, abs=1e-5)


@pytest.mark.slow
def test_generalized_sandwich(cbpp: Any) -> None:
    from jmix.results.inference.checks.check_groups import row_groups
    from jmix.results.inference.checks.influence_glmm import cluster_scores

    scores = cluster_scores(cbpp, row_groups(cbpp, "herd", what="test"))
    bread = np.linalg.inv(cbpp.solution.hessian)
    expected = (bread @ scores.T @ scores @ bread)[:4, :4]
    np.testing.assert_allclose(cbpp.vcov_robust(type="CR0"), expected, rtol=1e-6)
    np.testing.assert_allclose(cbpp.vcov_robust(), expected * 15 / 14, rtol=1e-6)
    report = cbpp.robust()
    assert np.isinf(report.table["df"]).all() and "15 of herd" in str(report)
    with pytest.raises(ModelError, match="CR1"):
        cbpp.robust(type="CR2")


def test_refusals(fit: Any, data: pd.DataFrame) -> None:
    with pytest.raises(ModelError, match="reach over several"):
        fit.robust(np.arange(fit.nobs) % 2)
    with pytest.raises(ModelError, match="not a grouping factor"):
        fit.robust("Days")
    with pytest.raises(ModelError, match="'CR0', 'CR1'"):
        fit.robust(type="HC3")
    with pytest.raises(DataError, match="labels for the"):
        fit.robust(np.zeros(3))
    with pytest.raises(DataError, match="missing"):
        fit.robust(data["Subject"].astype(object).where(data["Days"] > 0))
    with pytest.raises(ModelError, match="one cluster"):
        fit.robust(np.zeros(fit.nobs))


def test_labels_by_index_and_few_clusters(fit: Any, data: pd.DataFrame) -> None:
    shuffled = data["Subject"].sample(frac=1.0, random_state=0)
    pd.testing.assert_frame_equal(fit.vcov_robust(shuffled), fit.vcov_robust())
    report = fit.robust(type="CR0")
    assert "few clusters" in str(report) and list(report.table.index) == fit.x_names


@pytest.mark.r
@pytest.mark.slow
def test_live_clubsandwich(rscript: str, tmp_path: Path, nested: pd.DataFrame) -> None:
    script = """
    for (p in c("lme4", "clubSandwich")) if (!requireNamespace(p, quietly = TRUE)) quit(status = 77)
    suppressMessages({library(lme4); library(clubSandwich)})
    d <- read.csv("data.csv", colClasses = c(a = "character", b = "character"))
    f <- lmer(y ~ x + (1 | b) + (1 | a), d, control = lmerControl(optCtrl = list(xtol_abs = 1e-10, ftol_abs = 1e-12)))
    v <- vcovCR(f, cluster = d$a, type = "CR2"); ct <- coef_test(f, vcov = v)
    cat(ct$SE, ct$df_Satt)
    """
    nested.to_csv(tmp_path / "data.csv", index=False)
    done = subprocess.run([rscript, "-e", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("clubSandwich is not installed")
    numbers = np.array([float(v) for v in done.stdout.split()])
    tests = jmix.lmm("y ~ x + (1 | b) + (1 | a)", nested).robust_tests()
    np.testing.assert_allclose(np.sqrt(np.diag(tests.vcov)), numbers[:2], rtol=1e-5)
    np.testing.assert_allclose(tests.df(np.eye(2)), numbers[2:], rtol=1e-4)


def test_means_take_a_robust_covariance(fit: Any) -> None:
    tests = fit.robust_tests()
    means, expected = fit.slopes("Days", df=tests), fit.robust().table.loc["Days"]
    assert means.table["std_error"][0] == pytest.approx(expected["std_error"], rel=1e-7)
    assert means.table["df"][0] == pytest.approx(expected["df"], rel=1e-7)
    assert any("CR2" in note for note in means.notes)
    other = jmix.lmm("Reaction ~ 1 + (1 | Subject)", jmix.load_data("sleepstudy"))
    with pytest.raises(ModelError, match="another model"):
        other.means(df=tests)
