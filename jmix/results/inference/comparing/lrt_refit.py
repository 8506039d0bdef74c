"""A fit with other terms on the same rows: fewer random terms, fewer columns, or another likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from jmix.design import Design, RandomTerm
from jmix.errors import ModelError
from jmix.spec.covariance import CovarianceSpec, Term

if TYPE_CHECKING:
    from jmix.results.base import FitBase
    from jmix.results.fit import Fit
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]
AnyFit = TypeVar("AnyFit", "Fit", "GlmmFit")


def is_linear(fit: FitBase) -> bool:
    """Whether a fit is of a linear (mixed) model."""
    from jmix.results.fit import Fit

    return isinstance(fit, Fit)


def refuse_map(fit: FitBase, what: str) -> None:
    """ModelError after MAP, whose log density has no chi-squared distribution."""
    if getattr(fit, "method", "") == "MAP":
        raise ModelError(
            f"{what} is for (restricted) maximum likelihood, and this fit is maximum a posteriori: fit the model "
            "without priors, or compare posteriors by leave-one-out cross-validation (arviz.compare)"
        )


def as_ml(fit: Fit) -> Fit:
    """The same model by maximum likelihood."""
    from jmix.estimate.lmm import fit_lmm
    from jmix.estimate.ols import fit_ols

    if fit.method == "ML":
        return fit
    if fit.objective is None:
        return replace(fit, method="ML", solution=fit_ols(fit.design, reml=False))
    return replace(fit, method="ML", solution=fit_lmm(fit.objective, reml=False))


def as_reml(fit: Fit) -> Fit:
    """Least squares with its restricted likelihood, as R's ``logLik(lm, REML = TRUE)``."""
    from jmix.estimate.ols import fit_ols

    if fit.reml or fit.objective is not None:
        return fit
    return replace(fit, method="REML", solution=fit_ols(fit.design, reml=True))


def with_terms(fit: AnyFit, random: Sequence[RandomTerm]) -> AnyFit:
    """The model with other random terms, in the order of the formula, by the method of the fit."""
    return _refitted(fit, replace(fit.base, random=tuple(random)), None)


def with_columns(fit: AnyFit, columns: Sequence[int], *, reml: bool | None = None) -> AnyFit:
    """The model with some of the columns of X only.

    Args:
        reml: of a linear model: the likelihood; by default that of the fit.
    """
    base = fit.base
    names = [base.x_names[i] for i in columns]
    X = np.asfortranarray(base.X[:, list(columns)])
    return _refitted(fit, replace(base, X=X, x_names=names), reml)


def with_design(fit: AnyFit, base: Design) -> AnyFit:
    """The model with another linear predictor on the same rows, by the method of the fit."""
    return _refitted(fit, base, None)


def _refitted(fit: AnyFit, base: Design, reml: bool | None) -> AnyFit:
    spec = CovarianceSpec(tuple(Term(t.group, tuple(t.names)) for t in base.terms))
    return _linear(fit, base, spec, reml) if is_linear(fit) else _general(fit, base, spec)  # type: ignore[return-value,arg-type]


def _linear(fit: Fit, design: Design, spec: CovarianceSpec, reml: bool | None) -> Fit:
    from jmix.estimate.lmm import fit_lmm
    from jmix.estimate.objective import build_objective
    from jmix.estimate.ols import fit_lm, fit_ols

    if fit.method == "OLS" and reml is None:
        return replace(fit, design=design, solution=fit_lm(design))
    restricted = fit.reml if reml is None else reml
    method, terms = "REML" if restricted else "ML", design.terms
    if not terms:
        return replace(
            fit, design=design, spec=spec, terms=(), method=method, objective=None,
            solution=fit_ols(design, reml=restricted),
        )  # fmt: skip
    objective = build_objective(design, terms, spec)
    solution = fit_lmm(objective, reml=restricted)
    return replace(fit, design=design, spec=spec, terms=terms, method=method, objective=objective, solution=solution)


def _general(fit: GlmmFit, base: Design, spec: CovarianceSpec) -> GlmmFit:
    from jmix.estimate.glmm_fit import fit_glmm
    from jmix.estimate.glmm_objective import build_glmm_objective

    design, old = replace(fit.design, base=base), fit.objective
    points = {"n_points": old.n_points} if old.n_points else {}
    objective = build_glmm_objective(
        design, spec, base.terms, n_agq=max(old.n_agq, 1), method=old.method, **points
    )  # fmt: skip
    return replace(fit, design=design, spec=spec, terms=base.terms, objective=objective, solution=fit_glmm(objective))
