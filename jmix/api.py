"""The public functions: one line each over ``Model``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.design import build_design
from jmix.errors import ModelError
from jmix.estimate.checks import check_design
from jmix.estimate.control import Control, as_control
from jmix.estimate.ols import fit_lm
from jmix.models import Family, Model
from jmix.results.fit import Fit
from jmix.results.lmlist import LmList, fit_lmlist
from jmix.spec.covariance import CovarianceSpec

Column = str | npt.ArrayLike | None


def model(
    formula: str,
    data: Any,
    *,
    weights: Column = None,
    offset: Column = None,
    contrasts: Mapping[str, Any] | None = None,
    control: Control | Mapping[str, Any] | None = None,
    priors: Mapping[str, Any] | None = None,
    family: Family = "gaussian",
) -> Model:
    """The specification of a linear mixed model bound to data: ``fit`` it or ``sample`` it.

    Args:
        formula: as in lme4, e.g. ``"Reaction ~ Days + (Days | Subject)"``.
        data: a pandas or polars frame, a pyarrow table, or a dict of arrays.
        weights: (n,) prior weights (the residual variance of row i is sigma^2 / weights[i]), or the name of their
            column.
        offset: (n,) known part of the linear predictor, or the name of its column.
        contrasts: column name to "treatment", "sum", "helmert", ... as in R's ``contrasts=``.
        control: a ``Control`` or a dict of its attributes.
        priors: parameter or class of parameters to prior, e.g. ``{"b": "normal(0, 10)", "sd": "half_normal(50)"}``: a
            NumPyro distribution, a text or the result of ``jmix.prior``. ``model.priors`` shows all, defaults marked.
        family: of the response: "gaussian", or "student" for outliers (sampled only).

    Raises:
        FormulaError, DataError, ModelError: naming the column, level, term or prior, and the remedy.
    """
    if family not in ("gaussian", "student"):
        raise ModelError(f"family={family!r}: choose 'gaussian' or 'student'")
    design = build_design(formula, data, weights=weights, offset=offset, contrasts=contrasts)
    bound = Model(design, as_control(control), priors, family)
    if priors is not None:
        _ = bound.priors
    return bound


def lmm(
    formula: str,
    data: Any,
    *,
    reml: bool = True,
    weights: Column = None,
    offset: Column = None,
    contrasts: Mapping[str, Any] | None = None,
    control: Control | Mapping[str, Any] | None = None,
) -> Fit:
    """Fit a linear mixed model by REML (default) or maximum likelihood; see ``model`` for the arguments."""
    if not isinstance(reml, bool | np.bool_):
        raise ModelError(f"reml={reml!r}: choose True for REML or False for maximum likelihood")
    spec = model(formula, data, weights=weights, offset=offset, contrasts=contrasts, control=control)
    return spec.fit("reml" if reml else "ml")


def lm(
    formula: str,
    data: Any,
    *,
    weights: Column = None,
    offset: Column = None,
    contrasts: Mapping[str, Any] | None = None,
) -> Fit:
    """Least squares as R's ``lm``: sigma from n - p degrees of freedom; loglik, AIC, BIC of the maximised likelihood.

    See ``model`` for the arguments.

    Raises:
        ModelError: the formula has random terms, or there are too few rows.
    """
    design = build_design(formula, data, weights=weights, offset=offset, contrasts=contrasts)
    if design.random:
        raise ModelError(f"'{formula}' has random terms; fit it with jmix.lmm, or leave them out")
    check_design(design, ())
    return Fit(design, CovarianceSpec(()), (), "OLS", fit_lm(design), None)


def lmlist(
    formula: str,
    data: Any,
    *,
    pool: bool = True,
    weights: Column = None,
    offset: Column = None,
    contrasts: Mapping[str, Any] | None = None,
) -> LmList:
    """One regression per group, as nlme's ``lmList``.

    Splines, polynomials and factor levels are those of all rows together, so that the coefficients of different groups
    are comparable.

    Args:
        formula: the grouping factor after a bar, e.g. ``"Reaction ~ Days | Subject"``.
        pool: standard errors from one residual variance for all groups; otherwise from each group's own.

    Raises:
        FormulaError: the formula has no grouping factor after a bar, or has random terms.
    """
    return fit_lmlist(formula, data, pool=pool, weights=weights, offset=offset, contrasts=contrasts)
