"""Generalized linear (mixed) models of every family against glm, MASS, glmmTMB and lme4.

``Rscript glmm_reference.R`` in this folder writes glmm_reference.json anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from jmix.design_response import build_glmm_design
from jmix.estimate.glmm_fit import fit_glmm
from jmix.estimate.glmm_objective import GlmmObjective, build_glmm_objective
from jmix.estimate.glmm_solution import GlmmSolution
from jmix.families import resolve_family
from jmix.spec.covariance import CovarianceSpec, Term

REFERENCE = json.loads(Path(__file__).with_suffix(".json").with_stem("glmm_reference").read_text())
DATA = pd.DataFrame(REFERENCE["data"])

ESTIMATES, ERRORS, LOGLIK = 2e-6, 2e-5, 1e-7
"""Relative differences from R's numbers, which are optimised and differentiated numerically there."""


class Case(NamedTuple):
    formula: str
    family: str
    link: str | None = None
    zero: str = ""
    n_agq: int = 1
    disp: str | None = None
    zi: str | None = None
    offset: str | None = None
    weights: str | None = None
    errors: bool = True
    loglik: bool = True


CASES = {
    "gaussian": Case("num ~ x + (1 | g)", "gaussian"),
    "gaussian_disp": Case("num ~ x + (1 | g)", "gaussian", disp="~ z"),
    "binomial_slope": Case("bin ~ x + (1 | g)", "binomial"),
    "binomial_probit": Case("cbind(suc, m - suc) ~ x + f + (1 | g)", "binomial", "probit"),
    "binomial_cloglog": Case("cbind(suc, m - suc) ~ x + (1 | g)", "binomial", "cloglog"),
    "poisson_slope": Case("cnt ~ x + f + (1 + x | g)", "poisson"),
    "poisson_offset": Case("cnt ~ x + offset(log(expo)) + (1 | g)", "poisson"),
    "poisson_crossed": Case("cnt ~ x + (1 | g) + (1 | h)", "poisson"),
    "nbinom2": Case("nb ~ x + (1 | g)", "nbinom2"),
    "nbinom1": Case("nb ~ x + (1 | g)", "nbinom1"),
    "nbinom2_disp": Case("nb ~ x + (1 | g)", "nbinom2", disp="~ z"),
    "gamma_log": Case("gam ~ x + (1 | g)", "gamma", "log"),
    "beta": Case("prop ~ x + (1 | g)", "beta"),
    "zip": Case("zip ~ x + (1 | g)", "poisson", zero="inflated", zi="~ z"),
    "zinb2": Case("zinb ~ x + (1 | g)", "nbinom2", zero="inflated"),
    "hurdle_poisson": Case("zip ~ x + (1 | g)", "poisson", zero="hurdle", zi="~ z"),
    "hurdle_nbinom2": Case("zinb ~ x + (1 | g)", "nbinom2", zero="hurdle"),
    "plain_nbinom2": Case("nb ~ x + f", "nbinom2"),
    "plain_nbinom1": Case("nb ~ x + f", "nbinom1"),
    "plain_gamma": Case("gam ~ x + f", "gamma", "log"),
    "plain_gamma_inverse": Case("gam ~ 1 + z", "gamma", "inverse"),
    "plain_beta": Case("prop ~ x + f", "beta"),
    "plain_zip": Case("zip ~ x", "poisson", zero="inflated", zi="~ z"),
    "plain_weights": Case("cnt ~ x", "poisson", weights="m"),
    "plain_probit": Case("cbind(suc, m - suc) ~ x + f", "binomial", "probit"),
    "plain_gaussian": Case("num ~ x + f", "gaussian"),
    "glm_logit": Case("bin ~ x + f", "binomial"),
    "glm_binomial": Case("cbind(suc, m - suc) ~ x + f", "binomial"),
    "glm_poisson": Case("cnt ~ x + f + offset(log(expo))", "poisson"),
    # glm reports the expected information, and its gamma-like families a Pearson dispersion
    "glm_sqrt": Case("cnt ~ x", "poisson", "sqrt", errors=False),
    "glm_cauchit": Case("bin ~ x", "binomial", "cauchit", errors=False),
    "glm_inverse_gaussian": Case("gam ~ x", "inverse_gaussian", "log", errors=False, loglik=False),
    "polr_logistic": Case("ord ~ x + f", "cumulative", "logit"),
    "polr_probit": Case("ord ~ x + f", "cumulative", "probit"),
    "polr_cloglog": Case("ord ~ x + f", "cumulative", "cloglog"),
    "agq9_binomial": Case("cbind(suc, m - suc) ~ x + f + (1 | g)", "binomial", n_agq=9, loglik=False),
    "agq15_poisson": Case("cnt ~ x + (1 | g)", "poisson", n_agq=15, loglik=False),
}

PHI = {"gaussian": 0.5, "gamma": -1.0}
"""log phi is this multiple of glmmTMB 1.1.5's coefficients of the dispersion."""


def build(case: Case) -> GlmmObjective:
    family = resolve_family(case.family, case.link, case.zero)
    data = DATA.assign(ord=pd.Categorical(DATA["ord"], ordered=True))
    design = build_glmm_design(
        case.formula, data, family, disp=case.disp, zi=case.zi, offset=case.offset, weights=case.weights
    )
    spec = CovarianceSpec(tuple(Term(t.group, tuple(t.names)) for t in design.terms))
    return build_glmm_objective(design, spec, design.terms, n_agq=case.n_agq)


def test_every_reference_has_a_case() -> None:
    assert set(CASES) == set(REFERENCE["fits"])


REPEATS = {
    "plain_gamma", "plain_nbinom1", "plain_beta", "plain_gaussian", "plain_weights", "binomial_cloglog", "zinb2",
    "hurdle_nbinom2", "nbinom2_disp", "polr_probit", "polr_cloglog", "glm_cauchit", "glm_sqrt", "agq15_poisson",
    "poisson_offset", "glm_logit", "plain_zip",
}  # fmt: skip
"""Cases whose parts are all in others; compiling takes seconds each."""


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow if name in REPEATS else ()) for name in CASES]
)
def fitted(request: pytest.FixtureRequest) -> tuple[Case, GlmmObjective, GlmmSolution, Any]:
    case, expected = CASES[request.param], REFERENCE["fits"][request.param]
    objective = build(case)
    return case, objective, fit_glmm(objective), expected


def _close(actual: Any, expected: Any, tolerance: float, scale: Any = 0.0) -> None:
    actual, expected = np.atleast_1d(actual), np.atleast_1d(np.asarray(expected, float))
    assert actual.shape == expected.shape
    error = np.abs(actual - expected) / np.maximum(np.abs(expected), scale)
    assert np.all(error < tolerance), (actual, expected, error)


def test_the_log_likelihood(fitted: tuple[Case, GlmmObjective, GlmmSolution, Any]) -> None:
    case, _, solution, expected = fitted
    assert solution.status.converged and not solution.status.singular, solution.status.messages
    if case.loglik:
        _close(solution.loglik, expected["loglik"], LOGLIK)


def test_the_estimates(fitted: tuple[Case, GlmmObjective, GlmmSolution, Any]) -> None:
    case, objective, solution, expected = fitted
    par, se = expected["par"], solution.se
    _close(solution.beta, par["beta"], ESTIMATES, se[objective.slices["beta"]])
    if "betad" in par and case.family in ("gaussian", "nbinom2", "nbinom1", "gamma", "beta"):
        _close(
            solution.disp, PHI.get(case.family, 1.0) * np.array(par["betad"]), ESTIMATES, se[objective.slices["disp"]]
        )
    if "betazi" in par:
        _close(solution.zi, par["betazi"], ESTIMATES, se[objective.slices["zi"]])
    if "tau" in par:
        _close(solution.thresholds, par["tau"], ESTIMATES, 0.1)
    if "theta" in par:
        _close(_sds(objective, solution), _expected_sds(objective, case, par["theta"]), ESTIMATES)


def _sds(objective: GlmmObjective, solution: GlmmSolution) -> np.ndarray:
    lams = objective.spec.split(solution.theta)
    return np.concatenate([np.sqrt(np.sum(lam**2, axis=1)) for lam in lams])


def _expected_sds(objective: GlmmObjective, case: Case, theta: list[float]) -> np.ndarray:
    if case.n_agq > 1:
        return np.array(theta)
    return np.exp(theta[: sum(t.q for t in objective.spec.terms)])


def test_the_standard_errors(fitted: tuple[Case, GlmmObjective, GlmmSolution, Any]) -> None:
    case, objective, solution, expected = fitted
    if not case.errors:
        return
    se, place = expected["se"], objective.slices
    _close(solution.se[place["beta"]], se["beta"], ERRORS)
    if "betad" in se and solution.disp.size:
        _close(solution.se[place["disp"]], abs(PHI.get(case.family, 1.0)) * np.array(se["betad"]), ERRORS)
    if "betazi" in se:
        _close(solution.se[place["zi"]], se["betazi"], ERRORS)
    if "theta" in se and all(t.q == 1 for t in objective.spec.terms):
        _close(solution.se[place["theta"]] / solution.theta, se["theta"], ERRORS)
    if "tau" in se:
        jacobian = np.tril(np.ones((3, 3)))
        jacobian[:, 1:] *= np.diff(solution.thresholds)
        covariance = jacobian @ solution.vcov[place["tau"], place["tau"]] @ jacobian.T
        _close(np.sqrt(np.diag(covariance)), se["tau"], ERRORS)


def test_the_gradient_vanishes_and_few_evaluations_were_needed(
    fitted: tuple[Case, GlmmObjective, GlmmSolution, Any],
) -> None:
    _, _, solution, _ = fitted
    assert solution.status.decrement < 1e-11
    assert solution.status.n_evaluations <= 30
    assert solution.status.n_hessians <= 3
