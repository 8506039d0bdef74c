"""Results of generalized linear mixed models against lme4, glmmTMB and ordinal (glmm.R wrote glmm.json)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.results.glmm_fit import GlmmFit

Fits = Callable[[str], GlmmFit]

R: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "glmm.json").read_text(encoding="utf-8"))

LME4 = ("cbpp", "cbpp9", "poisson", "crossed")
TMB = ("gamma", "zinb", "hurdle", "disp")
NEW = {
    "cbpp": pd.DataFrame({"period": ["1", "3", "4"], "herd": ["1", "7", "15"]}),
    "crossed": pd.DataFrame({"plate": ["a", "zz"], "sample": ["A", "F"]}),
    "sleep": pd.DataFrame({"x": [0.0, 0.5, 1.2], "Subject": ["308", "350", "372"]}),
}
NEW |= {"cbpp9": NEW["cbpp"], **dict.fromkeys(("poisson", *TMB, "ordinal"), NEW["sleep"])}

# lme4 stops at about 1e-5 of a standard error, glmmTMB a little earlier
NEAR, NEARER = 2e-4, 1e-5


def close(ours: Any, theirs: Any, rtol: float = NEAR, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(ours, float), np.asarray(theirs, float), rtol=rtol, atol=atol)


# --- lme4 -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", LME4)
def test_estimates_are_lme4s(glmm_fit: Fits, name: str) -> None:
    fit, r = glmm_fit(name), R[name]
    close(fit.fixef(), np.atleast_1d(r["fixef"]))
    close(fit.se(), np.atleast_1d(r["se"]))
    close(fit.theta, np.atleast_1d(r["theta"]))
    if name != "cbpp9":  # lme4 1.1 leaves a constant out of the likelihood by quadrature
        close(fit.loglik, r["loglik"], rtol=1e-7)


@pytest.mark.parametrize("name", LME4)
def test_variances_are_lme4s(glmm_fit: Fits, name: str) -> None:
    table, r = glmm_fit(name).varcorr(), R[name]
    assert list(table.columns) == ["grp", "var1", "var2", "vcov", "sdcor"]
    assert "Residual" not in set(table["grp"])
    close(table["vcov"], np.atleast_1d(r["vcov"]))
    close(table["sdcor"], np.atleast_1d(r["sdcor"]))


@pytest.mark.parametrize("name", LME4)
def test_random_effects_are_lme4s(glmm_fit: Fits, name: str) -> None:
    fit, r = glmm_fit(name), R[name]
    modes, sds = fit.ranef(), fit.ranef_sd()
    assert set(modes) == set(r["modes"])
    for group, values in r["modes"].items():
        close(modes[group].iloc[:4], values)
        close(sds[group].iloc[:4, 0], r["sds"][group])
    if name == "poisson":
        close(sds["Subject"].iloc[:4], r["sds_all"]["Subject"])


@pytest.mark.parametrize("name", LME4)
def test_fitted_values_and_residuals_are_lme4s(glmm_fit: Fits, name: str) -> None:
    fit, r = glmm_fit(name), R[name]
    close(fit.fitted()[:6], r["fitted"])
    close(fit.fitted("link")[:6], r["link"])
    close(fit.fitted(conditional=False)[:6], r["marginal"])
    for column, kind in enumerate(("deviance", "pearson", "response", "working")):
        close(fit.residuals(kind)[:6], np.asarray(r["residuals"])[:, column], atol=2e-4)  # type: ignore[arg-type]
    close(fit.conditional_deviance, r["deviance"])


@pytest.mark.parametrize("name", LME4)
def test_predictions_are_lme4s(glmm_fit: Fits, name: str) -> None:
    fit, r = glmm_fit(name), R[name]
    close(fit.predict(NEW[name], type="link", new_levels="population"), r["new_link"])
    close(fit.predict(NEW[name], new_levels="population"), r["new_response"])


@pytest.mark.parametrize("name", LME4)
def test_the_summary_is_glmers(glmm_fit: Fits, name: str) -> None:
    """Line by line, but for the heading and the names of the criteria."""
    ours, theirs = str(glmm_fit(name)).split("\n"), [line for line in R[name]["summary"] if line != "Control: tight"]
    quadrature = "(Adaptive Gauss-Hermite Quadrature, nAGQ = 9)"
    how = quadrature if name == "cbpp9" else "(Laplace Approximation)"
    assert ours[0] == f"Generalized linear mixed model fit by maximum likelihood {how}"
    assert " ".join(f"{theirs[0]}{theirs[1]}".split()) == f"{ours[0]} [glmerMod]".replace("  ", " ")
    assert theirs[2].strip() == ours[1]
    tables = theirs[theirs.index("Scaled residuals:") :]
    own = ours[ours.index("Scaled residuals:") :]
    assert len(own) == len(tables)
    for line, theirs_line in zip(own, tables, strict=True):
        words, expected = line.split(), theirs_line.split()
        assert len(words) == len(expected), (line, theirs_line)
        assert all(map(_same, words, expected)), (line, theirs_line)
    if name != "cbpp9":
        criteria = theirs[theirs.index("") + 2].split()
        assert ours[ours.index("") + 2].split() == criteria
    assert ours[ours.index("") + 1].split() == ["AIC", "BIC", "logLik", "-2*log(L)", "df.resid"]


def _same(ours: str, theirs: str) -> bool:
    """Equal, or numbers of as many decimals that lme4's numerical derivatives explain."""
    if ours == theirs:
        return True
    try:
        near = abs(float(ours) / float(theirs) - 1) < (5e-3 if "e-" in ours else 5e-5)
    except ValueError:
        return False
    return near and len(ours.partition(".")[2]) == len(theirs.partition(".")[2])


# --- glmmTMB --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", TMB)
def test_coefficients_of_all_components_are_glmmtmbs(glmm_fit: Fits, name: str) -> None:
    fit, r = glmm_fit(name), R[name]
    close(fit.loglik, r["loglik"], rtol=1e-8)
    cond = np.asarray(r["cond"])
    close(fit.fixef(), cond[:, 0])
    close(fit.se("cond"), cond[:, 1])
    close(np.sqrt(np.diag(fit.vcov())), cond[:, 1])
    if r["zi"]:
        zi = np.asarray(r["zi"])
        close(fit.fixef("zi"), zi[:, 0])
        close(fit.se("zi"), zi[:, 1])


def test_dispersions_are_glmmtmbs(glmm_fit: Fits) -> None:
    gamma, zinb, disp = (glmm_fit(name) for name in ("gamma", "zinb", "disp"))
    close(gamma.sigma, R["gamma"]["sigma"])
    close(gamma.dispersion, R["gamma"]["sigma"] ** 2)
    close(gamma.se("disp"), np.sqrt([R["gamma"]["cov"][2][2]]))
    close(zinb.dispersion, R["zinb"]["sigma"])
    close(zinb.se("disp"), np.sqrt([R["zinb"]["cov"][4][4]]))
    assert zinb.sigma == 1.0
    table = np.asarray(R["disp"]["disp"]) / 2  # glmmTMB 1.1.5 models the log of sigma^2
    close(disp.fixef("disp"), table[:, 0])
    close(disp.se("disp"), table[:, 1])
    assert np.isnan(disp.dispersion)
    assert np.isnan(disp.sigma)
    assert disp.residual_sd is None


@pytest.mark.parametrize("name", TMB)
def test_fitted_values_are_glmmtmbs(glmm_fit: Fits, name: str) -> None:
    fit, r = glmm_fit(name), R[name]
    close(fit.fitted()[:6], r["fitted"])
    close(fit.predict(type="conditional")[:6], r["mu"])
    close(fit.residuals("response")[:6], r["response"], atol=2e-3)
    if name not in ("disp", "hurdle"):  # of the former glmmTMB 1.1.5 gives none, of the latter not those of a hurdle
        close(fit.residuals("pearson")[:6], r["pearson"], atol=1e-4)
    if r["zi"]:
        close(fit.predict(type="zi")[:6], r["zprob"])


@pytest.mark.parametrize("name", TMB)
def test_standard_errors_of_predictions_are_glmmtmbs(glmm_fit: Fits, name: str) -> None:
    fit, r = glmm_fit(name), R[name]
    link = fit.predict(NEW[name], type="link", se=True)
    close(link["fit"], r["new_link"])
    close(link["se"], r["new_link_se"])
    response = fit.predict(NEW[name], se=True)
    close(response["fit"], r["new_response"])
    close(response["se"], r["new_response_se"])


def test_standard_errors_with_crossed_factors_are_glmmtmbs(glmm_fit: Fits) -> None:
    fit, r = glmm_fit("crossed"), R["tmb_crossed"]
    new = pd.DataFrame({"plate": ["a", "c"], "sample": ["A", "F"]})
    close(fit.predict(new, type="link", se=True)["se"], r["new_link_se"], rtol=NEARER)
    close(fit.predict(new, se=True)["se"], r["new_response_se"], rtol=NEARER)


# --- ordinal --------------------------------------------------------------------------------------------------------
def test_a_cumulative_model_is_ordinals(glmm_fit: Fits) -> None:
    fit, r = glmm_fit("ordinal"), R["ordinal"]
    table = np.asarray(r["coefficients"])
    close(fit.loglik, r["loglik"], rtol=1e-7)
    assert list(fit.thresholds.index) == ["A|B", "B|C", "C|D"]
    close(fit.thresholds, table[:3, 0])
    close(fit.se("thresholds"), table[:3, 1])
    close(fit.fixef(), table[3:, 0])
    close(fit.se(), table[3:, 1])
    close(fit.varcorr()["sdcor"], [r["sd"]])
    close(fit.ranef()["Subject"].iloc[:4, 0], r["modes"])
    close(fit.ranef_sd()["Subject"].iloc[:4, 0], r["sds"])
    close(fit.fitted()[:6], r["fitted"])
