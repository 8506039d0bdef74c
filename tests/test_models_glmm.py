"""``jmix.glmm`` and ``GlmmModel``: parameters, options and sides reach the likelihood; linear models agree."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from jmix.formula.encoding import Encoding
from jmix.models import Model
from jmix.models_glmm import GlmmModel
from jmix.models_student import StudentModel

ROW = np.arange(36)
LEVELS = ["lo", "mid", "hi"]
FloatArray = np.ndarray


def frame() -> pd.DataFrame:
    data = pd.DataFrame(
        {"x": np.cos(ROW * 1.3), "z": np.sin(ROW * 0.7), "g": ROW // 6, "s": np.array(list("ab"))[ROW % 2]}
    )
    data["count"] = (ROW * ROW) % 7 * (ROW % 3 > 0)
    data["o"] = pd.Categorical(np.array(LEVELS)[(ROW * 5) % 7 % 3], LEVELS, ordered=True)
    data["m"], data["n"] = ROW % 4, 5 + ROW % 3
    data["t"] = 1.0 + ROW % 5
    data["w"] = 1.0 + ROW % 2
    data["pos"] = np.exp(np.sin(ROW * 2.1))
    return data


def by_quadrature(log_rows: Callable[[float], FloatArray], sd: float) -> float:
    """The log likelihood of rows by group, integrated over N(0, sd) on a fine grid, with no use of jmix."""
    u = np.linspace(-7, 7, 4001)
    rows = np.stack([log_rows(sd * v) for v in u])
    total = 0.0
    for group in range(6):
        inside = rows[:, group * 6 : group * 6 + 6].sum(axis=1) + stats.norm.logpdf(u)
        top = inside.max()
        total += top + np.log(np.sum(np.exp(inside - top)) * (u[1] - u[0]))
    return total


def check(model: Any, params: dict[str, Any], log_rows: Callable[[float], FloatArray]) -> None:
    expected = by_quadrature(log_rows, params["theta"][0])
    assert model.log_marginal(params, n_agq=30) == pytest.approx(expected, abs=2e-6)


def test_log_marginal_of_a_zero_inflated_count_with_formulas_for_everything() -> None:
    d = frame()
    model = jmix.model(
        "count ~ x + offset(log(t)) + (1 | g)", d, family="nbinom2", zi="~ z", disp="~ s", weights="w", offset="z"
    )
    params = {"beta": [0.2, -0.3], "theta": [0.6], "disp": [0.4, -0.7], "zi": [-0.8, 0.5]}

    def log_rows(b: float) -> FloatArray:
        mu = np.exp(0.2 - 0.3 * d["x"] + np.log(d["t"]) + d["z"] + b)
        size, pi = np.exp(0.4 - 0.7 * (d["s"] == "b")), expit(-0.8 + 0.5 * d["z"])
        mass = stats.nbinom.pmf(d["count"], size, size / (size + mu))
        return d["w"].to_numpy() * np.log(pi * (d["count"] == 0) + (1 - pi) * mass)

    check(model, params, log_rows)


@pytest.mark.slow
def test_log_marginal_of_a_hurdle() -> None:
    d = frame()
    model = jmix.model("count ~ x + (1 | g)", d, family="poisson", hurdle="~ z")

    def log_rows(b: float) -> FloatArray:
        mu, pi = np.exp(0.5 - 0.3 * d["x"] + b).to_numpy(), expit(-0.2 + 0.5 * d["z"]).to_numpy()
        y = d["count"].to_numpy()
        positive = stats.poisson.logpmf(y, mu) - np.log1p(-np.exp(-mu))
        return np.where(y == 0, np.log(pi), np.log1p(-pi) + positive)

    check(model, {"beta": [0.5, -0.3], "theta": [0.7], "zi": [-0.2, 0.5]}, log_rows)


@pytest.mark.parametrize("link", ["logit", pytest.param("probit", marks=pytest.mark.slow)])
def test_log_marginal_of_ordered_categories(link: str) -> None:
    d = frame()
    cdf = {"logit": expit, "probit": stats.norm.cdf}[link]
    model = jmix.model("o ~ x + (1 | g)", d, family="cumulative", link=link)
    codes, cuts = d["o"].cat.codes.to_numpy(), np.array([-np.inf, -0.4, 0.9, np.inf])

    def log_rows(b: float) -> FloatArray:
        eta = (0.7 * d["x"] + b).to_numpy()
        return np.log(cdf(cuts[codes + 1] - eta) - cdf(cuts[codes] - eta))

    check(model, {"beta": [0.7], "theta": [0.8], "thresholds": [-0.4, 0.9]}, log_rows)


@pytest.mark.parametrize("written", ["cbind(m, n - m)", "m / n"])
def test_log_marginal_of_counts_and_of_proportions(written: str) -> None:
    d = frame()
    weights = {} if "cbind" in written else {"weights": "n"}
    model = jmix.model(f"{written} ~ x + (1 | g)", d, family="binomial", link="cloglog", **weights)

    def log_rows(b: float) -> FloatArray:
        p = -np.expm1(-np.exp(-0.6 + 0.4 * d["x"] + b))
        return stats.binom.logpmf(d["m"], d["n"], p)

    check(model, {"beta": [-0.6, 0.4], "theta": [0.5]}, log_rows)


@pytest.mark.slow
def test_log_marginal_of_a_student_response() -> None:
    d = frame()
    model = jmix.model("pos ~ x + (1 | g)", d, family="student")

    def log_rows(b: float) -> FloatArray:
        return stats.t.logpdf(d["pos"], 3.5, 1.0 + 0.3 * d["x"] + b, np.exp(-0.4))

    check(model, {"beta": [1.0, 0.3], "theta": [0.5], "disp": [-0.4], "nu": 3.5}, log_rows)


def test_a_gaussian_glmm_is_the_linear_mixed_model() -> None:
    data, formula = jmix.load_data("sleepstudy"), "Reaction ~ Days + (Days | Subject)"
    linear, general = jmix.lmm(formula, data, reml=False), jmix.glmm(formula, data, family="gaussian")
    np.testing.assert_allclose(general.loglik, linear.loglik, rtol=1e-9)
    np.testing.assert_allclose(general.fixef(), linear.fixef(), rtol=1e-6)
    np.testing.assert_allclose(general.se(), linear.se(), rtol=1e-5)
    theta = linear.theta.to_numpy() * linear.sigma
    np.testing.assert_allclose(general.solution.theta, theta, rtol=1e-5)


def test_glmm_is_model_and_fit() -> None:
    formula, data = "cbind(incidence, size - incidence) ~ period + (1 | herd)", jmix.load_data("cbpp")
    direct = jmix.glmm(formula, data, family="binomial", n_agq=5)
    model = jmix.model(formula, data, family="binomial")
    assert isinstance(model, GlmmModel)
    stepwise = model.fit(n_agq=5)
    np.testing.assert_allclose(direct.fixef(), stepwise.fixef(), rtol=1e-7)
    again = model.fit(n_agq=5, start=stepwise.solution.x)
    np.testing.assert_allclose(again.loglik, stepwise.loglik, rtol=1e-10)
    at = model.log_marginal({"beta": stepwise.solution.beta, "theta": stepwise.solution.theta}, n_agq=5)
    np.testing.assert_allclose(at, stepwise.loglik, rtol=1e-9)
    assert model.objective(5) is stepwise.objective and model.objective() is not stepwise.objective
    assert model.objective(1, "laplace") is model.objective()


def test_a_student_model_samples_as_before_and_fits_as_a_glmm() -> None:
    data = jmix.load_data("sleepstudy")
    model = jmix.model("Reaction ~ Days + (1 | Subject)", data, family="student")
    assert isinstance(model, StudentModel) and isinstance(model, Model) and model.family == "student"
    fit = model.fit()
    nu = fit.solution.shape
    gaussian = jmix.lmm("Reaction ~ Days + (1 | Subject)", data, reml=False)
    assert fit.loglik > gaussian.loglik + 5 and 1 < nu < 10
    direct = jmix.glmm("Reaction ~ Days + (1 | Subject)", data, family="student")
    np.testing.assert_allclose(direct.loglik, fit.loglik, rtol=1e-9)
    weighted = jmix.model("Reaction ~ Days + (1 | Subject)", data, family="student", weights=np.full(180, 2.0))
    with pytest.raises(ModelError, match=r"divide the squared scale.*use jmix.glmm"):
        weighted.fit()
    with pytest.raises(ModelError, match="choose 'ml' or 'map'"):
        model.fit("reml")


def test_quasi_monte_carlo_and_quadrature_agree_and_priors_shrink() -> None:
    formula, data = "cbind(incidence, size - incidence) ~ period + (1 | herd)", jmix.load_data("cbpp")
    fine = jmix.glmm(formula, data, family="binomial", n_agq=25)
    qmc = jmix.glmm(formula, data, family="binomial", method="qmc", n_points=2048)
    np.testing.assert_allclose(qmc.loglik, fine.loglik, atol=2e-3)
    np.testing.assert_allclose(qmc.fixef(), fine.fixef(), atol=2e-3)
    shrunk = jmix.glmm(formula, data, family="binomial", priors={"b": "normal(0, 0.1)"})
    assert shrunk.solution.method == "MAP"
    assert (shrunk.fixef().iloc[1:].abs() < 0.3 * fine.fixef().iloc[1:].abs()).all()
    with pytest.raises(ModelError, match="there is no parameter 'sigma'"):
        jmix.glmm(formula, data, family="binomial", priors={"sigma": "normal(0, 1)"})


SIDES = {"disp": "~ poly(x, 2) + s", "zi": "~ scale(z) * s"}


def test_sides_are_encoded_for_new_data_as_in_training() -> None:
    d = frame()
    design = build_glmm_design("count ~ ns(x, 3) + (1 | g)", d, resolve_family("nbinom2"), **SIDES)
    for side in (design.disp, design.zi):
        assert side is not None and not side.intercept_only
        kept = Encoding.from_dict(json.loads(json.dumps(side.encoding.to_dict())))
        for encoding in (side.encoding, kept):
            new = encoding.encode(d.iloc[5:9].drop(columns=["count", "g"]))
            np.testing.assert_allclose(new.X, side.X[5:9], rtol=1e-12, atol=1e-14)
            assert encoding.columns == kept.columns and encoding.x_names == side.names
    with pytest.raises(jmix.DataError, match="levels that the fit has not seen: 'c'"):
        design.zi.encoding.encode(d.assign(s="c"))
    with pytest.raises(jmix.DataError, match="new data lack the column 'z'"):
        design.zi.encoding.encode(d.drop(columns="z"))


def test_the_base_of_ordered_categories_has_no_intercept_for_new_data_either() -> None:
    d = frame()
    design = build_glmm_design("o ~ s * x + (x | g)", d, resolve_family("cumulative"))
    assert design.base.x_names == ["sb", "x", "sb:x"] and design.base.dropped == ()
    for encoding in (design.base.encoding, Encoding.from_dict(json.loads(json.dumps(design.base.encoding.to_dict())))):
        new = encoding.encode(d.iloc[3:7])
        np.testing.assert_array_equal(new.X, design.base.X[3:7])
        assert [term.names for term in new.random] == [["(Intercept)", "x"]]


@pytest.mark.parametrize("formula", ["cbind(m, n - m) ~ x + (1 | g)", "factor(s) ~ x + (1 | g)", "m / n ~ x"])
def test_encodings_of_every_response_are_saved(formula: str) -> None:
    family = "bernoulli" if "s" in formula.partition("~")[0] else "binomial"
    design = build_glmm_design(formula, frame(), resolve_family(family), weights="n" if "/" in formula else None)
    kept = Encoding.from_dict(json.loads(json.dumps(design.base.encoding.to_dict())))
    assert kept.parsed.response == design.base.y_name
    np.testing.assert_array_equal(kept.encode(frame()).X, design.base.X)
