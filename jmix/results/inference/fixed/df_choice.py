"""Which rules for degrees of freedom a fit has, and building them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jmix.errors import ModelError
from jmix.estimate.inference.satterthwaite import covariance_curve
from jmix.results.inference.fixed.df_rules import ConstantTests, SatterthwaiteTests
from jmix.results.inference.fixed.fixed_tests import METHODS, FixedTests, is_linear

if TYPE_CHECKING:
    from jmix.results.base import FitBase
    from jmix.results.fit import Fit


def build_tests(fit: FitBase, method: Any) -> FixedTests:
    """The rule of a method, computed.

    Raises:
        ModelError: another name, or a method that the model does not have.
    """
    check_method(fit, method)
    names, beta, vcov = tuple(fit.x_names), fit.beta, fit.fixed_covariance
    if method == "none":
        return ConstantTests("none", names, beta, vcov, float("inf"))
    if method == "residual":
        return ConstantTests("residual", names, beta, vcov, residual_df(fit))
    linear: Fit = fit  # type: ignore[assignment]
    if method == "satterthwaite":
        assert linear.objective is not None
        curve = covariance_curve(linear.objective, linear.solution, reml=linear.reml)
        return SatterthwaiteTests("satterthwaite", names, beta, vcov, curve)
    if method == "containment":
        from jmix.results.inference.fixed.containment import containment

        return containment(linear)
    from jmix.results.inference.fixed.kenward_roger import kenward_roger

    return kenward_roger(linear)


def residual_df(fit: FitBase) -> float:
    """Rows less the number of fixed effects; of a generalized model less all parameters, as glmmTMB counts."""
    if is_linear(fit):
        return float(fit.nobs - len(fit.beta))
    return float(fit.df_residual)


def check_method(fit: FitBase, method: Any) -> None:
    """Refuse a method that is none, or that the fit does not have.

    Raises:
        ModelError: saying why.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ModelError(f"df={method!r}: choose {', '.join(map(repr, METHODS))}")
    if method in ("none", "residual"):
        return
    kind = getattr(fit, "method", None)
    if not is_linear(fit):
        raise ModelError(f"df={method!r} is for linear mixed models; a generalized model has Wald z tests: df='none'")
    if not fit.terms:
        raise ModelError(f"df={method!r} needs random effects; least squares has exact t and F tests: df='residual'")
    if kind == "MAP":
        raise ModelError(f"df={method!r} is for REML and ML; after fit('map') use df='none', or draw a posterior")
    if not np.all(np.isfinite(fit.theta_values)):
        raise ModelError(f"df={method!r} needs finite variance parameters; this fit did not converge")
