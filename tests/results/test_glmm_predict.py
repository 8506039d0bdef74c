"""Predictions of generalized linear mixed models and their standard errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag
from scipy.special import expit

import jmix
from jmix import DataError, ModelError
from jmix.results.glmm_fit import GlmmFit
from jmix.results.glmm_inputs import Inputs
from jmix.results.glmm_predict import probabilities
from jmix.results.glmm_variance import mode_variance
from jmix.results.predict import fitted_rows

Fits = Callable[[str], GlmmFit]

NEW = pd.DataFrame({"x": [0.0, 0.5, 1.2], "Subject": ["308", "350", "372"]}, index=["a", "b", "c"])


# --- standard errors ------------------------------------------------------------------------------------------------
def numerical(fit: GlmmFit, value: Callable[[GlmmFit], Any]) -> np.ndarray:
    """Derivatives of predictions in all parameters by central differences of whole fits at moved parameters."""

    def at(x: np.ndarray) -> np.ndarray:
        parts = fit.objective.split(x)
        solution = replace(
            fit.solution, x=x, beta=parts.beta, theta=parts.theta, disp=parts.disp, zi=parts.zi,
            thresholds=parts.thresholds, shape=parts.shape,
        )  # fmt: skip
        return np.asarray(value(replace(fit, solution=solution)), dtype=float)

    x, h = fit.solution.x, 1e-5
    return np.stack([(at(x + h * e) - at(x - h * e)) / (2 * h) for e in np.eye(x.size)], axis=-1)


CASES = {
    "link": ("cbpp", {"type": "link"}),
    "average": ("cbpp", {"population_averaged": True}),
    "zi": ("zinb", {"type": "zi"}),
    "disp": ("zinb", {"type": "disp"}),
    "zinb": ("zinb", {}),
    "zinb average": ("zinb", {"population_averaged": True}),
    "ordinal": ("ordinal", {"type": "probs"}),
    "ordinal average": ("ordinal", {"type": "probs", "population_averaged": True}),
}


@pytest.mark.parametrize("case", CASES)
def test_standard_errors_are_the_delta_method(glmm_fit: Fits, case: str) -> None:
    """Modes included: they are searched anew at every moved parameter."""
    name, options = CASES[case]
    fit = glmm_fit(name)
    ours = fit.predict(se=True, **options)
    gradient = numerical(fit, lambda moved: moved.predict(**options))
    variance = np.einsum("...i,ij,...j->...", gradient, fit.solution.vcov, gradient)
    if case in ("link", "zinb", "ordinal"):
        (group,) = fit.terms
        own = fit.mode_covariances[group.group][group.codes, 0, 0]
        slope = (fit.predict(type="link") * 0 + 1).to_numpy()
        if case == "zinb":
            slope = fit.predict().to_numpy()
        if case == "ordinal":
            h, at = 1e-5, fit.fitted("link").to_numpy()
            high, low = (probabilities(fit.family, Inputs(eta=at + d, tau=fit.thresholds.to_numpy())) for d in (h, -h))
            slope, own = ((high - low) / (2 * h)).T, own[:, None]
        variance = variance + slope**2 * own
    np.testing.assert_allclose(ours["se"], np.sqrt(variance), rtol=2e-6)


def test_a_level_not_seen_contributes_its_variance(glmm_fit: Fits) -> None:
    fit = glmm_fit("cbpp")
    rows = pd.DataFrame({"period": ["1"], "herd": ["another"]})
    with pytest.raises(DataError, match=r"herd has levels that the fit has not seen: 'another'"):
        fit.predict(rows)
    table = fit.predict(rows, type="link", new_levels="population", se=True)
    fixed = fit.predict(rows, type="link", conditional=False, se=True)
    assert table["fit"].item() == fixed["fit"].item()
    variance = fit.varcorr()["vcov"].iloc[0] + fixed["se"] ** 2
    np.testing.assert_allclose(table["se"], np.sqrt(variance), rtol=1e-10)


def test_standard_errors_without_random_terms_are_those_of_glm(glmm_fit: Fits) -> None:
    # m <- glm(cbind(incidence, size - incidence) ~ period, binomial, lme4::cbpp, control = list(epsilon = 1e-14))
    # predict(m, se.fit = TRUE, type = "response")
    fit = glmm_fit("plain")
    table = fit.predict(se=True).iloc[:4]
    fits = [0.2194244604316546, 0.0801886792452830, 0.0710659898478871, 0.0451612903225808]
    errors = [0.0248214752832535, 0.0186525397843433, 0.0183058636599788, 0.0166794732219325]
    np.testing.assert_allclose(table["fit"], fits, rtol=1e-9)
    np.testing.assert_allclose(table["se"], errors, rtol=1e-9)
    assert fit.ranef() == {}
    assert fit.predict(population_averaged=True).equals(fit.predict())


def test_rows_beside_a_separated_level_keep_their_standard_errors() -> None:
    """The level that the intercept stands for has no success: its own rows cannot be told, the others can."""
    level = np.repeat(["a", "b", "c"], [10, 30, 20])
    y = np.concatenate([np.zeros(10), np.arange(30) < 21, np.arange(20) < 5]).astype(int)
    z = np.tile([0.0, 1.0], 30)
    with pytest.warns(jmix.ConvergenceWarning, match="separation"):
        fit = jmix.glmm("y ~ f + z", {"y": y, "f": level, "z": z}, family="binomial")
    assert fit.se().iloc[:3].isna().all()
    table = fit.predict(se=True)
    assert table["se"][:10].isna().all()
    # the same rows alone: glm on levels b and c, which the separated level does not inform
    alone = jmix.glmm("y ~ f + z", {"y": y[10:], "f": level[10:], "z": z[10:]}, family="binomial").predict(se=True)
    np.testing.assert_allclose(table["fit"][10:], alone["fit"], rtol=1e-6)
    np.testing.assert_allclose(table["se"][10:], alone["se"], rtol=1e-5)
    assert fit.predict(type="link", se=True)["se"].notna().sum() == 50


# --- predictions ----------------------------------------------------------------------------------------------------
def test_predictions_keep_the_index_and_leave_missing_rows_out(glmm_fit: Fits) -> None:
    fit = glmm_fit("zinb")
    whole = fit.predict(NEW)
    rows = NEW.assign(x=[0.0, np.nan, 1.2])
    for options in ({}, {"type": "zi"}, {"type": "link", "conditional": False}, {"population_averaged": True}):
        values = fit.predict(rows, **options)  # type: ignore[arg-type]
        assert list(values.index) == ["a", "b", "c"]
        assert list(values.isna()) == [False, True, False]
    pd.testing.assert_series_equal(fit.predict(rows).drop("b"), whole.drop("b"))
    assert list(fit.predict(rows, se=True)["se"].isna()) == [False, True, False]
    unknown = NEW.assign(Subject=["308", None, "372"])
    assert list(fit.predict(unknown, se=True)["se"].isna()) == [False, True, False]
    filled = fit.predict(unknown, new_levels="population")
    assert filled["b"] == pytest.approx(fit.predict(unknown, conditional=False)["b"])


def test_predictions_of_the_zeros_need_only_their_columns(glmm_fit: Fits) -> None:
    fit = glmm_fit("zinb")
    ours = fit.predict({"x": [0.0, 1.0]}, type="zi")
    np.testing.assert_allclose(ours, expit(fit.fixef("zi").to_numpy() @ [[1, 1], [0, 1]]), rtol=1e-12)
    np.testing.assert_allclose(fit.predict({"x": [0.0]}, type="disp"), fit.dispersion, rtol=1e-12)


def test_probabilities_add_up_and_name_the_categories(glmm_fit: Fits) -> None:
    fit = glmm_fit("ordinal")
    table = fit.predict(NEW, type="probs")
    assert list(table.columns) == list("ABCD")
    np.testing.assert_allclose(table.sum(axis=1), 1.0, rtol=1e-12)
    pd.testing.assert_frame_equal(table, fit.predict(NEW))
    both = fit.predict(NEW, se=True)
    assert list(both.columns)[:2] == [("fit", "A"), ("fit", "B")]
    assert (both["se"] > 0).all().all()
    cumulative = expit(fit.thresholds.to_numpy() - fit.predict(NEW, type="link").to_numpy()[:, None])
    np.testing.assert_allclose(table.cumsum(axis=1).iloc[:, :3], cumulative, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cbpp", {"type": "mean"}, r"type='mean': choose 'response', 'link'"),
        ("cbpp", {"type": "zi"}, "no zero inflation or hurdle"),
        ("cbpp", {"type": "disp"}, "family 'binomial' has no dispersion"),
        ("cbpp", {"type": "probs"}, "for a cumulative model"),
        ("ordinal", {"type": "conditional"}, "choose 'probs'"),
        ("cbpp", {"new_levels": "zero"}, "choose 'error' or 'population'"),
    ],
)
def test_predictions_that_make_no_sense_are_refused(
    glmm_fit: Fits, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        glmm_fit(name).predict(**options)


def test_missing_columns_are_named(glmm_fit: Fits) -> None:
    with pytest.raises(DataError, match="herd"):
        glmm_fit("cbpp").predict({"period": ["1"]})
    with pytest.raises(DataError, match="x"):
        glmm_fit("zinb").predict({"Subject": ["308"]}, type="zi")


@pytest.mark.slow
def test_the_modes_variance_with_slopes_and_crossed_factors_is_the_dense_inverse(glmm_fit: Fits) -> None:
    """``z' Lambda (I + Lambda'Z'WZ Lambda)^{-1} Lambda'z`` from whole matrices; Poisson with log link has W = mu."""
    rows = glmm_fit("poisson").augment()[["rounded", "x", "Subject"]]
    g = np.arange(180) % 7
    data = rows.assign(g=g, rounded=(rows["rounded"] * np.exp(0.05 * (g - 3))).round())
    fit = jmix.glmm("rounded ~ x + (x | Subject) + (1 | g)", data, family="poisson")
    assert not fit.singular
    columns, blocks = [], []
    for term, lam in zip(fit.terms, fit.spec.split(fit.theta.to_numpy()), strict=True):
        own = np.zeros((180, len(term.levels), lam.shape[0]))
        own[np.arange(180), term.codes] = np.stack(term.columns, axis=1)
        columns.append(own.reshape(180, -1))
        blocks.append(np.kron(np.eye(len(term.levels)), lam))
    Z, L = np.concatenate(columns, axis=1), block_diag(*blocks)
    M = np.eye(L.shape[0]) + L.T @ Z.T @ (fit.fitted().to_numpy()[:, None] * Z) @ L
    dense = np.einsum("ij,jk,ik->i", Z @ L, np.linalg.inv(M), Z @ L)
    np.testing.assert_allclose(mode_variance(fit, fitted_rows(fit.base, True)), dense, rtol=1e-9)
    table, gradient = fit.predict(type="link", se=True), numerical(fit, lambda moved: moved.predict(type="link"))
    variance = np.einsum("ni,ij,nj->n", gradient, np.nan_to_num(fit.solution.vcov), gradient) + dense
    np.testing.assert_allclose(table["se"], np.sqrt(variance), rtol=1e-6)
