"""Every linear mixed model of the reference file, all its numbers, against lme4 with tight tolerances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix

ESTIMATES = 1e-5
"""The project's promise, relative to the size of the estimate or, near zero, of its standard error."""

CRITERION = 1e-6

SMALL_SD = 0.1
"""Standard deviations below this share of sigma are compared on its scale: lme4 stops near a boundary, jmix on it."""

DATA = {"anorexia": "anorexia_long", "nels": "nels23", "bryk": "mathachieve_bryk"}

MODELS = [
    *(f"anorexia/{m}/model{i}" for m in ("REML", "ML") for i in range(6)),
    *(f"nels/{m}/model{i}" for m in ("REML", "ML") for i in (1, 2, 3)),
    "bryk/lmer_REML",
    "bryk/lmer_ML",
    *(f"sleepstudy/{m}/{v}" for m in ("REML", "ML") for v in ("vivs", "vi", "vs", "diag")),
    *(f"mathach/{m}/{v}" for m in ("REML", "ML") for v in ("pracad", "himinty")),
    *(f"classroom/{m}/lme{i}" for m in ("REML", "ML") for i in range(1, 6)),
    *(f"{d}/{m}" for d in ("Penicillin", "Dyestuff") for m in ("REML", "ML")),
]


def _data(name: str, shared: Path) -> pd.DataFrame:
    if name == "mathach":
        pupils = pd.read_csv(shared / "data/mathachieve.csv")
        schools = pd.read_csv(shared / "data/mathachieveschool.csv")
        pupils.columns, schools.columns = pupils.columns.str.lower(), schools.columns.str.lower()
        return pupils.merge(schools.drop(columns=["meanses"], errors="ignore"), on="school")
    frame = pd.read_csv(shared / f"data/{DATA.get(name, name)}.csv")
    if name == "bryk":
        frame["sector"] = pd.Categorical(frame["sector"], categories=["Public", "Catholic"])
    return frame


def _leaf(tree: Any, path: str) -> Any:
    for key in path.split("/"):
        tree = tree[key]
    return tree


def test_the_list_of_models_is_complete(reference: Callable[[str], Any]) -> None:
    def paths(node: Any, at: tuple[str, ...]) -> Iterator[str]:
        if isinstance(node, dict) and "formula" in node:
            yield "/".join(at)
        elif isinstance(node, dict):
            for key, value in node.items():
                yield from paths(value, (*at, key))

    assert sorted(MODELS) == sorted(paths(reference("lmm"), ()))


@pytest.fixture(scope="module", params=MODELS)
def case(
    request: pytest.FixtureRequest, reference: Callable[[str], Any], shared_dir: Path
) -> tuple[jmix.results.fit.Fit, Any]:
    expected = _leaf(reference("lmm"), request.param)
    data = _data(request.param.split("/")[0], shared_dir)
    return jmix.lmm(expected["formula"], data, reml="REML" in expected["method"]), expected


def _close(actual: Any, expected: Any, scale: Any = 0.0, tolerance: float = ESTIMATES) -> None:
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    error = np.abs(actual - expected) / np.maximum(np.abs(expected), scale)
    assert np.all(error < tolerance), (actual, expected, error.max())


def test_fixed_effects(case: tuple[Any, Any]) -> None:
    fit, expected = case
    assert list(fit.fixef().index) == list(expected["fixef"])
    se = np.array(list(expected["se"].values()))
    _close(fit.fixef(), list(expected["fixef"].values()), se)
    _close(fit.se(), se)
    vcov = np.array(expected["vcov"]["values"])
    _close(fit.vcov(), vcov, np.outer(se, se))


def test_variance_parameters(case: tuple[Any, Any]) -> None:
    fit, expected = case
    _close(fit.sigma, expected["sigma"])
    _close(fit.theta, np.atleast_1d(expected["theta"]), 1e-2)
    labels = list(expected["varcorr"])
    table = fit.varcorr()
    assert list(dict.fromkeys(table["grp"]))[:-1] == labels
    for label, entry in expected["varcorr"].items():
        rows = table[(table["grp"] == label) & table["var2"].isna()]
        _close(rows["sdcor"], np.atleast_1d(entry["sd"]), SMALL_SD * expected["sigma"])
        pairs = table[(table["grp"] == label) & table["var2"].notna()]
        if len(pairs):
            _close(pairs["sdcor"], np.array(entry["corr"])[1, 0], 0.1)


def test_likelihood(case: tuple[Any, Any]) -> None:
    fit, expected = case
    key = "REML_criterion" if fit.reml else "deviance"
    assert fit.criterion <= expected[key] + CRITERION * abs(expected[key]) * 1e-3
    _close(fit.criterion, expected[key], tolerance=CRITERION)
    _close(fit.loglik, expected["logLik"], tolerance=CRITERION)
    _close([fit.aic, fit.bic], [expected["AIC"], expected["BIC"]], tolerance=CRITERION)
    assert fit.npar == expected["npar"]
    assert fit.nobs == expected["nobs"]
    assert fit.ngrps() == expected["ngrps"]


def test_random_effects(case: tuple[Any, Any]) -> None:
    fit, expected = case
    for group, entry in expected["ranef"].items():
        modes, sds = fit.ranef()[group], fit.ranef_sd()[group]
        assert len(modes) == entry["n_levels"]
        assert list(modes.columns) == list(np.atleast_1d(entry["terms"]))
        levels = [str(level) for level in entry["levels"]]
        scale = np.sqrt(np.atleast_1d(entry["sumsq"]) / len(modes)) + 1e-6
        _close(modes.loc[levels], np.array(entry["values"], float), scale)
        first = entry["cond_sd_first5"]
        first = np.array(list(first.values())).T if isinstance(first, dict) else np.array(first)
        _close(sds.iloc[: len(first)], first, SMALL_SD * expected["sigma"])


def test_fitted_values_and_residuals(case: tuple[Any, Any]) -> None:
    fit, expected = case
    _close(fit.fitted()[:5], expected["fitted_first5"])
    quantiles = np.quantile(fit.residuals("scaled"), [0, 0.25, 0.5, 0.75, 1])
    _close(quantiles, expected["scaled_resid_quantiles"], 1.0)


def test_certificate(case: tuple[Any, Any]) -> None:
    fit, expected = case
    assert fit.converged
    assert fit.singular == expected["singular"]
    assert fit.status.max_gradient < 1e-4
    assert fit.status.min_eigenvalue > -1e-8
    assert bool(fit.status.messages) == fit.singular
