"""Degrees of freedom against dense textbook twins that share no code, nlme's reference, and their limits."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.estimate.inference import kenward_roger as kr
from jmix.results.inference.fixed.fixed_tests import default_method, fixed_tests
from jmix.results.inference.fixed.wald import wald

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "r"))
import inference_models as models

TWINS = {
    "weights": ("y ~ x + f + (1 | g)", "cells", "w", True),
    "crossed": ("y ~ x + (1 + x | a) + (1 | d)", "crossing", None, True),
    "nested": ("y ~ variety + nitro + (1 | block / plot)", "plots", None, True),
    "uncorrelated": ("y ~ x + (x || g)", "cells", None, True),
    "ML": ("y ~ x + f + (1 | g)", "cells", "w", False),
}
DEFAULT = ("weights", "crossed")


@cache
def twin(name: str) -> Any:
    formula, data, weights, reml = TWINS[name]
    return jmix.lmm(formula, models.data(data), weights=weights, reml=reml)


cases = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in DEFAULT else pytest.mark.slow) for n in TWINS]
)


def patterns(fit: Any) -> Iterator[tuple[np.ndarray, float]]:
    """Each ``G_i`` (n, n) with its variance parameter, the residual's first."""
    n, w = fit.nobs, fit.design.weights
    yield np.diag(1.0 / (np.ones(n) if w is None else w)), fit.sigma**2
    for term, cov in zip(fit.terms, fit.cov_terms(), strict=True):
        indicator = np.eye(len(term.levels))[term.codes]
        zs = [column[:, None] * indicator for column in term.columns]
        for a in range(len(zs)):
            for b in range(a + 1):
                g = zs[a] @ zs[b].T
                yield (g if a == b else g + g.T), float(cov[a, b])


def dense_kenward_roger(fit: Any) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], np.ndarray]:
    """Phi, Phi_A, P_i and W of Kenward & Roger (1997), by n x n matrices."""
    gs, gammas = zip(*patterns(fit), strict=True)
    inverse = np.linalg.inv(sum(g * v for g, v in zip(gs, gammas, strict=True)))
    x, r = fit.design.X, range(len(gs))
    phi = np.linalg.inv(x.T @ inverse @ x)
    sg = [inverse @ g for g in gs]
    p = [-x.T @ s @ inverse @ x for s in sg]
    q = [[x.T @ a @ b @ inverse @ x for b in sg] for a in sg]
    info = [
        [np.trace(sg[i] @ sg[j]) - 2 * np.trace(phi @ q[i][j]) + np.trace(phi @ p[i] @ phi @ p[j]) for j in r]
        for i in r
    ]
    w = 2 * np.linalg.inv(np.array(info))
    inner = sum(w[i, j] * (q[i][j] - p[i] @ phi @ p[j]) for i in r for j in r)
    return phi, phi + 2 * phi @ inner @ phi, p, w


@cases
def test_kenward_roger_is_the_textbooks(name: str) -> None:
    fit = twin(name)
    if not fit.reml:
        pytest.skip("Kenward and Roger's method is for REML")
    phi, adjusted, p, w = dense_kenward_roger(fit)
    assert fit.vcov_adjusted().to_numpy() == pytest.approx(
        adjusted, rel=1e-8, abs=1e-10 * float(np.abs(adjusted).max())
    )
    L = np.eye(len(fit.beta))[1:]
    middle = L.T @ np.linalg.solve(L @ phi @ L.T, L)
    u = [middle @ phi @ slope @ phi for slope in p]
    r = range(len(p))
    a1 = sum(w[i, j] * np.trace(u[i]) * np.trace(u[j]) for i in r for j in r)
    a2 = sum(w[i, j] * np.trace(u[i] @ u[j]) for i in r for j in r)
    rows, estimate = len(L), L @ fit.beta
    scale, df = kr.f_scale(rows, float(a1), float(a2))
    plain = float(estimate @ np.linalg.solve(L @ adjusted @ L.T, estimate)) / rows
    joint = fixed_tests(fit, "kenward-roger").joint(L)
    assert [joint.statistic, joint.df2] == pytest.approx([scale * plain, df], rel=1e-7)
    t = fixed_tests(fit, "kenward-roger").contrasts(L[:1])
    single = fixed_tests(fit, "kenward-roger").joint(L[:1])
    assert [t["df"][0], t["statistic"][0] ** 2] == pytest.approx([single.df2, single.statistic], rel=1e-9)


def dense_deviance(fit: Any, lam: np.ndarray) -> tuple[float, np.ndarray]:
    """The (restricted) deviance with beta profiled out, and the covariance of beta, at (theta, sigma)."""
    n, x, sigma = fit.nobs, fit.design.X, lam[-1]
    w = np.ones(n) if fit.design.weights is None else fit.design.weights
    v = np.diag(1.0 / w)
    for term, factor in zip(fit.terms, fit.spec.split(lam[:-1]), strict=True):
        indicator = np.eye(len(term.levels))[term.codes]
        z = np.stack([column[:, None] * indicator for column in term.columns])
        b = np.einsum("anj,ab->bnj", z, factor)
        v = v + np.einsum("bnj,bmj->nm", b, b)
    inverse = np.linalg.inv(v * sigma**2)
    cov = np.linalg.inv(x.T @ inverse @ x)
    rest = fit.design.y - x @ (cov @ (x.T @ inverse @ fit.design.y))
    value = np.linalg.slogdet(v * sigma**2)[1] + rest @ inverse @ rest
    return float(value - np.linalg.slogdet(cov)[1] if fit.reml else value), cov


def dense_satterthwaite(fit: Any, row: np.ndarray) -> float:
    """By central differences of the dense deviance."""
    at = np.append(fit.theta_values, fit.sigma)
    steps = 1e-3 * np.maximum(np.abs(at), 0.1)
    eye = np.diag(steps)

    def f(shift: np.ndarray) -> tuple[float, float]:
        value, cov = dense_deviance(fit, at + shift)
        return value, float(row @ cov @ row)

    k = range(len(at))
    gradient = np.array([(f(eye[i])[1] - f(-eye[i])[1]) / (2 * steps[i]) for i in k])
    hessian = np.empty((len(at), len(at)))
    for i in k:
        for j in k:
            corners = [f(a * eye[i] + b * eye[j])[0] * a * b for a in (1, -1) for b in (1, -1)]
            hessian[i, j] = sum(corners) / (4 * steps[i] * steps[j])
    variance = f(np.zeros(len(at)))[1]
    return float(2 * variance**2 / (gradient @ (2 * np.linalg.inv(hessian)) @ gradient))


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "ML" else pytest.mark.slow) for n in TWINS])
def test_satterthwaite_is_the_definition(name: str) -> None:
    fit = twin(name)
    row = np.arange(1.0, len(fit.beta) + 1)
    assert fixed_tests(fit).df(row)[0] == pytest.approx(dense_satterthwaite(fit, row), rel=1e-3)
    assert default_method(fit) == "satterthwaite"


def test_a_vanished_variance_leaves_the_residual_degrees_of_freedom() -> None:
    fit = models.fit("singular variance")
    assert fit.singular
    assert fit.summary().coefficients["df"].to_numpy() == pytest.approx(fit.nobs - 2, rel=1e-9)


def test_joint_tests_see_the_rank_and_refuse_contradictions() -> None:
    tests = fixed_tests(twin("weights"))
    L = np.eye(len(tests.beta))[1:]
    once, twice = tests.joint(L), tests.joint(np.vstack([L, L.sum(axis=0)]))
    assert twice.df1 == once.df1 == len(L) and twice.statistic == pytest.approx(once.statistic, rel=1e-9)
    scaled = tests.joint(np.diag([1e-7, 1.0, 1e6]) @ L)
    assert scaled.df1 == once.df1 and scaled.statistic == pytest.approx(once.statistic, rel=1e-6)
    with pytest.raises(jmix.ModelError, match="contradict"):
        tests.joint(np.vstack([L[0], 2 * L[0]]), np.array([0.0, 1.0]))
    with pytest.raises(jmix.ModelError, match="0 = 0"):
        tests.joint(0 * L[:1], np.array([1.0]))
    assert tests.joint(0 * L[:1]).df1 == 0


def test_each_rule_or_its_refusal() -> None:
    fit = twin("crossed")
    assert fixed_tests(fit, "none").joint(np.eye(2)).df2 == np.inf
    assert fixed_tests(fit, "residual").df(np.eye(2)).tolist() == [fit.nobs - 2.0] * 2
    with pytest.raises(jmix.ModelError, match=r"among a, d some are crossed"):
        fit.summary("containment")
    with pytest.raises(jmix.ModelError, match="choose 'satterthwaite'"):
        fit.summary("welch")
    lm = jmix.lm("y ~ x", models.data("crossing"))
    with pytest.raises(jmix.ModelError, match="least squares"):
        lm.summary("kenward-roger")
    assert default_method(lm) == "residual"


def test_kenward_roger_is_refused_where_it_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kr, "MEMORY_GIB", 1e-6)
    fit = jmix.lmm("y ~ x + (1 | a) + (1 | d)", models.data("crossing"))
    with pytest.raises(jmix.ModelError, match=r"all 22 random effects, about .* GiB"):
        fit.summary("kenward-roger")


def test_kenward_roger_after_ml_is_that_of_reml() -> None:
    ml = twin("ML")
    reml = twin("weights")
    assert ml.vcov_adjusted().to_numpy() == pytest.approx(reml.vcov_adjusted().to_numpy(), rel=1e-6)
    assert "refitted by REML" in " ".join(str(ml.summary("kenward-roger")).split())


def test_tidy_and_wald_carry_the_rule() -> None:
    fit = twin("weights")
    plain = fit.tidy()
    assert "df" not in plain.columns
    table = fit.tidy(conf_int=True, df="satterthwaite")
    columns = [
        "effect",
        "group",
        "term",
        "estimate",
        "std_error",
        "statistic",
        "df",
        "p_value",
        "conf_low",
        "conf_high",
    ]
    assert list(table.columns) == columns
    tests, limits = fit.summary().coefficients, wald(fit)
    fixed = table[table["effect"] == "fixed"]
    assert fixed["p_value"].to_numpy() == pytest.approx(tests["p_value"].to_numpy(), rel=1e-12)
    assert fixed["conf_low"].to_numpy() == pytest.approx(limits["lower"].to_numpy(), rel=1e-12)
    assert table.loc[table["effect"] != "fixed", "df"].isna().all()
    usual = fit.tidy(conf_int=True)
    assert usual["conf_low"].to_numpy()[:4] == pytest.approx(wald(fit, df="none")["lower"].to_numpy(), rel=1e-12)


def test_a_saved_fit_gives_the_same(tmp_path: Path) -> None:
    fit = jmix.lmm("y ~ f * k + (1 | g)", models.data("cells"))
    fit.save(tmp_path / "f.npz")
    again = jmix.load_fit(tmp_path / "f.npz")
    for df in ("satterthwaite", "kenward-roger", "containment"):
        pd.testing.assert_frame_equal(again.anova("III", df).table, fit.anova("III", df).table, rtol=1e-9)


def test_print_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = jmix.lmm("y ~ x + (1 | g)", models.data("cells"))

    def broken(*_: Any, **__: Any) -> None:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr("jmix.results.inference.fixed.df_choice.covariance_curve", broken)
    text = str(fit)
    assert "no degrees of freedom: Singular matrix" in text and "Pr(>|t|)" not in text and "t value" in text


@pytest.fixture(scope="module")
def reference(shared_dir: Path) -> Any:
    return json.loads((shared_dir / "reference/inference.json").read_text())


def test_bryk_has_nlmes_degrees_of_freedom(shared_dir: Path, reference: Any) -> None:
    expected = reference["bryk_nlme"]["bryk.lme.1"]
    data = pd.read_csv(shared_dir / "data/mathachieve_bryk.csv")
    data["sector"] = pd.Categorical(data["sector"], ["Public", "Catholic"])
    fit = jmix.lmm("mathach ~ meanses * cses + sector * cses + (cses | school)", data)
    table = fit.summary("containment").coefficients
    assert set(table.index) == set(expected["df"])
    for name, df in expected["df"].items():
        row = table.loc[name]
        assert row["df"] == df
        assert row["statistic"] == pytest.approx(expected["t"][name], rel=1e-4)
        if expected["p"][name] > 0:  # far in the tail log p falls by t dt
            assert abs(np.log(row["p_value"] / expected["p"][name])) < 1.1e-4 * max(row["statistic"] ** 2, 10.0)


def test_sleepstudy_has_pbkrtests_covariance(reference: Any) -> None:
    expected = reference["sleepstudy"]["conditional_resid_var_cov_beta_KR"]
    fit = models.fit("slopes")
    assert fit.vcov_adjusted().to_numpy() == pytest.approx(np.array(expected["values"]), rel=2e-5)


@pytest.mark.slow
def test_insteval_takes_no_longer_than_the_fit() -> None:
    data = jmix.load_data("InstEval")
    formula = "y ~ service + lectage + (1 | s) + (1 | d)"
    assert len(jmix.lmm(formula, data).summary().coefficients) == 7  # compile
    began = time.perf_counter()
    fit = jmix.lmm(formula, data)
    middle = time.perf_counter()
    table = fit.summary().coefficients
    assert time.perf_counter() - middle < middle - began
    exact = fit.summary("kenward-roger").coefficients  # 4,100 random effects fit into memory
    assert table["df"].to_numpy() == pytest.approx(exact["df"].to_numpy(), rel=1e-2)
    assert table["std_error"].to_numpy() == pytest.approx(exact["std_error"].to_numpy(), rel=1e-3)


@pytest.mark.parametrize("scale", [1e-10, 1e10])
def test_the_units_of_the_response_do_not_matter(scale: float) -> None:
    data = jmix.load_data("sleepstudy")
    plain, scaled = (
        jmix.lmm("y ~ Days + (1 | Subject)", data.assign(y=data["Reaction"] * s)).summary().coefficients["df"]
        for s in (1.0, scale)
    )
    np.testing.assert_allclose(scaled, plain, rtol=1e-9)
