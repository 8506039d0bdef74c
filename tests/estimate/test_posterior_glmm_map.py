"""The posterior mode of generalized mixed models: stationary, with the curvature there; maximum likelihood if flat."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

import jmix
from jmix.design_response import build_glmm_design
from jmix.estimate.glmm_fit import fit_glmm
from jmix.estimate.glmm_map import fit_glmm_map
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.families import resolve_family
from jmix.models_glmm import GlmmModel


def _rows() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(12), 8)
    x = rng.normal(size=g.size)
    eta = 0.3 + 0.5 * x + 0.8 * rng.normal(size=12)[g]
    data = pd.DataFrame({"g": g, "x": x, "yes": rng.binomial(1, expit(eta))})
    data["count"] = rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(eta)))
    return data


DATA = _rows()


def _model(formula: str, family: str, priors: dict[str, str]) -> GlmmModel:
    return GlmmModel(build_glmm_design(formula, DATA, resolve_family(family)), given_priors=priors)


def test_flat_priors_give_maximum_likelihood() -> None:
    model = _model("yes ~ x + (1 | g)", "bernoulli", {"Intercept": "flat", "sd": "uniform(0, 50)"})
    objective = model.objective(7)
    mode, fitted = fit_glmm_map(objective, model.priors), fit_glmm(objective)
    np.testing.assert_allclose(mode.x, fitted.x, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(mode.se, fitted.se, rtol=1e-5)
    assert mode.loglik == pytest.approx(fitted.loglik, abs=1e-9) and mode.status.converged and mode.method == "MAP"


def _log_posterior(objective: GlmmObjective, x: np.ndarray) -> float:
    """Of beta, the standard deviation and shape, whose density needs no Jacobian; x ends with log shape."""
    shape = np.exp(x[3])
    prior = stats.norm(0, 0.4).logpdf(x[:2]).sum() + stats.gamma(3, scale=1 / 4).logpdf(x[2])
    return objective.evaluate(x)[0] + float(prior + stats.gamma(5, scale=1 / 2).logpdf(shape))


def test_the_mode_is_that_of_the_natural_parameters_with_its_curvature() -> None:
    priors = {"b": "normal(0, 0.4)", "b_(Intercept)": "normal(0, 0.4)", "sd": "gamma(3, 4)", "shape": "gamma(5, 2)"}
    model = _model("count ~ x + (1 | g)", "nbinom2", priors)
    objective = model.objective(1)
    found = fit_glmm_map(objective, model.priors)
    step = 1e-4 * np.eye(4)

    def slope(x: np.ndarray) -> np.ndarray:
        return np.array([(_log_posterior(objective, x + e) - _log_posterior(objective, x - e)) / 2e-4 for e in step])

    np.testing.assert_allclose(slope(found.x), 0.0, atol=2e-5)
    numeric = np.array([(slope(found.x + e) - slope(found.x - e)) / 2e-4 for e in step])
    np.testing.assert_allclose(found.hessian, -numeric, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.vcov, np.linalg.inv(-numeric), rtol=5e-3, atol=1e-5)
    assert found.status.converged and not found.boundary.any()
    assert _log_posterior(objective, found.x) > _log_posterior(objective, found.x + 0.01)


def test_a_variance_at_zero_is_named() -> None:
    flat = DATA.assign(yes=np.tile([0, 1], 48))
    model = GlmmModel(build_glmm_design("yes ~ 1 + (1 | g)", flat, resolve_family("bernoulli")))
    found = fit_glmm_map(model.objective(1), model.priors)
    assert found.status.singular and any("sd_g__Intercept is zero" in m for m in found.status.messages)
    assert found.theta[0] == 0.0 and np.isnan(found.se[1]) and np.isfinite(found.se[0])


def test_fit_map_shows_it() -> None:
    model: Any = jmix.model("yes ~ x + (1 | g)", DATA, family="binomial", priors={"b": "normal(0, 0.1)"})
    fit = model.fit("map")
    assert abs(fit.fixef()["x"]) < 0.5 * abs(model.fit().fixef()["x"])
    assert "x" in str(fit)
