"""The contestants that live in Python: fit one model, hand back the numbers that are compared."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks import ours

if TYPE_CHECKING:
    import pandas as pd

Fit = Callable[[str, "pd.DataFrame", bool], Any]
Estimates = Callable[[Any], dict[str, Any]]


def fit_glmm(formula: str, data: pd.DataFrame, reml: bool) -> Any:
    """The Rust package glmm, as its users call it."""
    import glmm

    return glmm.fit(data, formula, reml=reml)


def fit_glmm_without_df(formula: str, data: pd.DataFrame, reml: bool) -> Any:
    """glmm without its pass for Satterthwaite's degrees of freedom, which jmix and lme4 do not make either."""
    import glmm

    return glmm.fit(data, formula, reml=reml, satterthwaite=False)


def glmm_estimates(result: Any) -> dict[str, Any]:
    return {
        "loglik": float(result.loglik),
        "beta": [float(b) for b in result.beta],
        "sigma": float(result.dispersion) ** 0.5,
    }


def fit_mixedlm(formula: str, data: pd.DataFrame, reml: bool) -> Any:
    """The Rust package mixedlm."""
    import mixedlm

    return mixedlm.lmer(formula, data, REML=reml)


def mixedlm_estimates(result: Any) -> dict[str, Any]:
    return {
        "loglik": float(result.logLik().value),
        "beta": [float(b) for b in result.fixef().values()],
        "sigma": float(result.sigma),
    }


def fit_statsmodels(formula: str, data: pd.DataFrame, reml: bool) -> Any:
    """statsmodels' MixedLM, for formulas with one random term."""
    import statsmodels.formula.api as smf

    match = re.fullmatch(r"(.*?)\s*\+\s*\(([^|]*)\|\s*(\w+)\s*\)\s*", formula)
    if match is None or "(" in match[1]:
        raise ValueError(f"MixedLM has no direct form of {formula!r}.")
    model = smf.mixedlm(match[1], data, groups=match[3], re_formula="~" + match[2].strip())
    return model.fit(reml=reml)


def statsmodels_estimates(result: Any) -> dict[str, Any]:
    return {
        "loglik": float(result.llf),
        "beta": [float(b) for b in result.fe_params],
        "sigma": float(result.scale) ** 0.5,
    }


PYTHON: dict[str, tuple[str, Fit, Estimates]] = {
    "jmix": ("jmix", ours.fit, ours.estimates),
    "jmix (+ fitted)": ("jmix", ours.fit_with_rows, ours.estimates),
    "jmix (+ df)": ("jmix", ours.fit_with_df, ours.estimates),
    "glmm": ("glmm", fit_glmm, glmm_estimates),
    "glmm (no df)": ("glmm", fit_glmm_without_df, glmm_estimates),
    "mixedlm": ("mixedlm", fit_mixedlm, mixedlm_estimates),
    "statsmodels": ("statsmodels", fit_statsmodels, statsmodels_estimates),
}
R_PACKAGES = {"lme4": "lme4", "lme4 (reference BLAS)": "lme4"}
JAGS = ("jags", "jags (2 processes)", "jags (published)")
SAMPLERS = {"numpyro": "numpyro"}
GENERAL = ("glmmTMB", "gpboost", "statsmodels (variational)")
"""Contestants of the generalized models alone; there also jmix, lme4 and glmm. See general.py."""

ALL = (
    *(
        "jmix",
        "jmix (+ fitted)",
        "jmix (+ df)",
        "lme4",
        "lme4 (reference BLAS)",
        "glmm",
        "glmm (no df)",
        "mixedlm",
        "statsmodels",
    ),
    *JAGS,
    *SAMPLERS,
    *GENERAL,
)


def missing(name: str) -> bool:
    """Whether the contestant is not installed here."""
    if name in GENERAL:
        from benchmarks.general import absent

        return absent(name)
    if name in JAGS:
        from benchmarks.machine import jags_version

        return jags_version() is None
    if name in SAMPLERS:
        return find_spec(SAMPLERS[name]) is None
    if name in R_PACKAGES:
        from benchmarks.machine import r_version, reference_blas

        return r_version(R_PACKAGES[name]) is None or ("reference" in name and not reference_blas())
    module = PYTHON[name][0]
    if module != "jmix":
        return find_spec(module) is None
    import jmix

    return not hasattr(jmix, "lmm")


def quiet() -> None:
    """Peers' warnings go to no table."""
    warnings.simplefilter("ignore")
