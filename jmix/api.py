"""The public functions: one line each over ``Model`` and ``GlmmModel``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.design import build_design
from jmix.errors import ModelError
from jmix.estimate.checks import check_design
from jmix.estimate.control import Control, as_control
from jmix.estimate.ols import fit_lm
from jmix.families import Family, resolve_family
from jmix.models import Model
from jmix.models_glmm import GlmmModel, Method
from jmix.models_student import StudentModel
from jmix.results.fit import Fit
from jmix.results.lmlist import LmList, fit_lmlist
from jmix.spec.covariance import CovarianceSpec

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

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
    family: str | Family = "gaussian",
    link: str | None = None,
    zi: str | None = None,
    hurdle: str | None = None,
    disp: str | None = None,
) -> Model | GlmmModel:
    """The specification of a mixed model bound to data: ``fit`` it or ``sample`` it.

    Args:
        formula: as in lme4, e.g. ``"Reaction ~ Days + (Days | Subject)"``; the response of a family as in ``glmm``.
        data: a pandas or polars frame, a pyarrow table, or a dict of arrays.
        weights: (n,) prior weights (the residual variance of row i is sigma^2 / weights[i]), or the name of their
            column. In a generalized model they are those of ``glmm``.
        offset: (n,) known part of the linear predictor, or the name of its column.
        contrasts: column name to "treatment", "sum", "helmert", ... as in R's ``contrasts=``.
        control: a ``Control`` or a dict of its attributes.
        priors: parameter or class of parameters to prior, e.g. ``{"b": "normal(0, 10)", "sd": "half_normal(50)"}``: a
            NumPyro distribution, a text or the result of ``jmix.prior``. ``model.priors`` shows all, defaults marked.
        family, link, zi, hurdle, disp: as in ``glmm``. A Gaussian family with the identity link and no formula for the
            dispersion is the linear mixed model, a ``Model``; every other one is a ``GlmmModel``. "student" is for
            outliers.

    Raises:
        FormulaError, DataError, ModelError: naming the column, level, term or prior, and the remedy.
    """
    resolved = _family(family, link, zi, hurdle)
    linear = resolved.name in ("gaussian", "student") and resolved.link == "identity" and disp is None
    if linear:
        design = build_design(formula, data, weights=weights, offset=offset, contrasts=contrasts)
        kind, name = (Model, "gaussian") if resolved.name == "gaussian" else (StudentModel, "student")
        bound: Model | GlmmModel = kind(design, as_control(control), priors, name)  # type: ignore[arg-type]
    else:
        bound = _general(formula, data, resolved, zi or hurdle, disp, (weights, offset, contrasts), control, priors)
    if priors is not None:
        _ = bound.priors
    return bound


def glmm(
    formula: str,
    data: Any,
    *,
    family: str | Family,
    link: str | None = None,
    n_agq: int = 1,
    weights: Column = None,
    offset: Column = None,
    contrasts: Mapping[str, Any] | None = None,
    zi: str | None = None,
    hurdle: str | None = None,
    disp: str | None = None,
    method: Method = "agq",
    n_points: int | None = None,
    priors: Mapping[str, Any] | None = None,
    control: Control | Mapping[str, Any] | None = None,
) -> GlmmFit:
    """Fit a generalized linear mixed model by maximum likelihood; with ``priors``, maximum a posteriori.

    The random effects are integrated out by Laplace's approximation, adaptive Gauss-Hermite quadrature or quasi-Monte
    Carlo; see ``GlmmModel.fit``. Without random terms it is the plain generalized linear model. A Gaussian family with
    the identity link gives what ``lmm(..., reml=False)`` gives; ``lmm`` is faster there, and has REML.

    Args:
        formula: as in lme4. The response is ``cbind(successes, failures)`` or a proportion with its trials as
            ``weights`` for "binomial"; 0/1, a logical or two levels, of which the second is the success, for
            "bernoulli" and "binomial"; ordered categories, or whole numbers, for "cumulative"; otherwise numbers.
        data: a pandas or polars frame, a pyarrow table, or a dict of arrays.
        family: "bernoulli", "binomial", "poisson", "nbinom2", "nbinom1", "gamma", "inverse_gaussian", "beta",
            "cumulative", "student" or "gaussian"; names of lme4, glmmTMB and brms also serve.
        link: "logit", "probit", "cloglog", "cauchit", "log", "identity", "inverse", "sqrt" or "1/mu^2", as the family
            allows; its usual one by default.
        n_agq: nodes per random effect of adaptive quadrature, for one grouping factor; 1 is Laplace's approximation.
        weights: trials of a binomial proportion, as in R; otherwise (n,) multipliers of the rows' log likelihoods, as
            in glmmTMB. Numbers, or the name of a column.
        offset: (n,) known part of the linear predictor, such as a log exposure, or the name of its column.
        contrasts: column name to "treatment", "sum", "helmert", ... as in R's ``contrasts=``.
        zi: formula of the probability (logit) of an extra zero, e.g. ``"~ 1"``: a zero-inflated count.
        hurdle: formula of the probability (logit) of a zero, the other counts being zero-truncated; not with ``zi``.
        disp: formula of the log dispersion, e.g. ``"~ x"``; a constant by default, where the family has one.
        method: "agq", "laplace" (the same as ``n_agq=1``) or "qmc". n_points: points of "qmc".
        priors: as in ``model``.
        control: a ``Control`` or a dict of its attributes.

    Raises:
        FormulaError, DataError, ModelError: naming the column, level, term or prior, and the remedy.
    """
    resolved = _family(family, link, zi, hurdle)
    bound = _general(formula, data, resolved, zi or hurdle, disp, (weights, offset, contrasts), control, priors)
    fitted = "ml" if priors is None else "map"
    return bound.fit(fitted, n_agq=n_agq, integration=method, n_points=n_points)  # type: ignore[arg-type]


def _family(family: str | Family, link: str | None, zi: str | None, hurdle: str | None) -> Family:
    """The family with its link and its treatment of zeros."""
    if zi is not None and hurdle is not None:
        raise ModelError(f"zi={zi!r} and hurdle={hurdle!r} exclude each other: choose one model of the zeros")
    asked = "inflated" if zi is not None else "hurdle" if hurdle is not None else ""
    own = resolve_family(family, link)
    if asked and own.zero and asked != own.zero:
        given, right = ("zi", "hurdle") if own.zero == "hurdle" else ("hurdle", "zi")
        raise ModelError(f"family={family!r} is a {own.title} model; write {right}= instead of {given}=")
    return resolve_family(own, zero=asked or own.zero)


def _general(
    formula: str,
    data: Any,
    family: Family,
    zero: str | None,
    disp: str | None,
    columns: tuple[Column, Column, Mapping[str, Any] | None],
    control: Control | Mapping[str, Any] | None,
    priors: Mapping[str, Any] | None,
) -> GlmmModel:
    from jmix.design_response import build_glmm_design

    weights, offset, contrasts = columns
    design = build_glmm_design(
        formula, data, family, weights=weights, offset=offset, contrasts=contrasts, disp=disp, zi=zero
    )
    return GlmmModel(design, as_control(control), priors)


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
    design = build_design(formula, data, weights=weights, offset=offset, contrasts=contrasts)
    return Model(design, as_control(control)).fit("reml" if reml else "ml")


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
