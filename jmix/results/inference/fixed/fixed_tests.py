"""Tests of linear functions of the fixed effects, by any of the methods for their degrees of freedom.

Everything that tests or estimates ``L beta`` (the summary, anova, marginal means, hypotheses, intervals) goes through
``fixed_tests(fit, df)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]
DfMethod = Literal["satterthwaite", "kenward-roger", "containment", "residual", "none"]


class Joint(NamedTuple):
    """A joint test: F on ``df1`` and ``df2`` degrees of freedom; ``df2`` infinite means chi-squared / df1."""

    statistic: float
    df1: int
    df2: float
    p_value: float


@dataclass(frozen=True, eq=False)
class FixedTests(ABC):
    """Estimates and covariance of the fixed effects with a rule for degrees of freedom.

    Attributes:
        method: the name of the rule. names: of the fixed effects. beta: (p,). vcov: (p, p), adjusted by Kenward and
            Roger where that is the method.
    """

    method: DfMethod
    names: tuple[str, ...]
    beta: FloatArray
    vcov: FloatArray

    @property
    def remark(self) -> str:
        """What a reader must know of the covariance, besides the method; empty where it is the model's."""
        return ""

    @abstractmethod
    def df(self, L: FloatArray) -> FloatArray:
        """(m,) degrees of freedom of the t-test of each row of L (m, p); infinite for the normal distribution."""

    @abstractmethod
    def joint(self, L: FloatArray, rhs: FloatArray | None = None) -> Joint:
        """The test of ``L beta = rhs``, L (m, p) of any rank."""

    def contrasts(self, L: FloatArray, rhs: FloatArray | None = None) -> pd.DataFrame:
        """Each row of L by itself: ``estimate std_error df statistic p_value``, two-sided."""
        from scipy.special import stdtr

        L = np.atleast_2d(np.asarray(L, dtype=np.float64))
        estimate = L @ self.beta
        se = np.sqrt(np.maximum(np.sum((L @ self.vcov) * L, axis=1), 0.0))
        df = self.df(L)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (estimate - (0.0 if rhs is None else rhs)) / se
        p = 2.0 * stdtr(df, -np.abs(t))
        return pd.DataFrame({"estimate": estimate, "std_error": se, "df": df, "statistic": t, "p_value": p})


METHODS: tuple[DfMethod, ...] = ("satterthwaite", "kenward-roger", "containment", "residual", "none")


def is_linear(fit: FitBase) -> bool:
    """Whether this is a linear (mixed) model, a ``Fit``."""
    return hasattr(fit, "reml")


def default_method(fit: FitBase) -> DfMethod:
    """The rule that a fit uses where none is asked for."""
    if not is_linear(fit):
        return "none"
    method = getattr(fit, "method", None)
    if method == "OLS" or (method == "REML" and not fit.terms):
        return "residual"
    return "satterthwaite" if method in ("REML", "ML") and fit.terms else "none"


def fixed_tests(fit: FitBase, df: DfMethod | FixedTests | None = None) -> FixedTests:
    """The rule of a method for a fit; kept with the fit, so that a second call costs nothing.

    Args:
        df: by default "satterthwaite" after REML or ML of a linear mixed model, "residual" after least squares, and
            "none" for generalized models and MAP. Tests that are built already, such as ``fit.robust_tests()``, are
            given back.

    Raises:
        ModelError: tests of other coefficients; another name; a method that the model does not have, with the reason;
            Kenward-Roger where it would not fit into memory.
    """
    from jmix.results.inference.fixed.df_choice import build_tests

    if isinstance(df, FixedTests):
        if list(df.names) != list(fit.x_names):
            raise ModelError("df= holds tests of another model: they have other coefficients")
        return df
    method = default_method(fit) if df is None else df
    kept: dict[str, FixedTests] = fit.__dict__.setdefault("_fixed_tests", {})
    if not isinstance(method, str) or method not in kept:
        kept[method] = build_tests(fit, method)
    return kept[method]
