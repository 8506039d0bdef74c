"""The distribution of an estimator: of the fixed effects alone, or of all parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.results.inference.fixed.fixed_tests import FixedTests, Joint

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]

RANK = 1e-9
"""Relative size below which an eigenvalue of a covariance matrix counts as zero."""


class DeltaLaw(ABC):
    """A normal or Student law of estimators with d parameters."""

    name: str
    point: FloatArray
    remark: str = ""

    @abstractmethod
    def variance(self, jacobian: FloatArray) -> FloatArray:
        """(m,) variances of linear functions (m, d)."""

    @abstractmethod
    def covariance(self, jacobian: FloatArray) -> FloatArray:
        """(m, m) covariances of linear functions (m, d)."""

    @abstractmethod
    def df(self, jacobian: FloatArray) -> FloatArray:
        """(m,) degrees of freedom."""

    @abstractmethod
    def joint(self, jacobian: FloatArray, rhs: FloatArray) -> Joint:
        """The test of ``jacobian x = rhs``."""


@dataclass(frozen=True, eq=False)
class FixedLaw(DeltaLaw):
    """Of the fixed effects, with a rule for the degrees of freedom."""

    tests: FixedTests

    @property
    def name(self) -> str:  # type: ignore[override]
        """The rule for the degrees of freedom."""
        return self.tests.method

    @property
    def remark(self) -> str:  # type: ignore[override]
        """What a reader must know of the covariance."""
        return self.tests.remark

    @property
    def point(self) -> FloatArray:  # type: ignore[override]
        """(p,) estimates."""
        return self.tests.beta

    def variance(self, jacobian: FloatArray) -> FloatArray:
        """(m,) variances of linear functions (m, p)."""
        return np.asarray(np.einsum("ij,jk,ik->i", jacobian, self.tests.vcov, jacobian, optimize=True))

    def covariance(self, jacobian: FloatArray) -> FloatArray:
        """(m, m) covariances of linear functions (m, p)."""
        return np.asarray(jacobian @ self.tests.vcov @ jacobian.T)

    def df(self, jacobian: FloatArray) -> FloatArray:
        """(m,) degrees of freedom by the rule; a function that is constant has none."""
        out = np.full(len(jacobian), np.nan)
        some = np.any(jacobian != 0, axis=1)
        if some.any():
            out[some] = self.tests.df(jacobian[some])
        return out

    def joint(self, jacobian: FloatArray, rhs: FloatArray) -> Joint:
        """The test of ``jacobian beta = rhs``."""
        return self.tests.joint(jacobian, rhs)


@dataclass(frozen=True, eq=False)
class NormalLaw(DeltaLaw):
    """Of all parameters of a generalized model, or of any vector with a covariance matrix: normal.

    Attributes:
        name: of the rule. point: (d,). matrix: (d, d) covariance. fit: the model whose parameters they are, where
            some of the estimates may be unbounded.
    """

    name: str
    point: FloatArray
    matrix: FloatArray
    fit: Any = None

    def variance(self, jacobian: FloatArray) -> FloatArray:
        """(m,) variances of linear functions (m, d)."""
        if self.fit is not None:
            from jmix.results.glmm_estimable import quadratic

            fit: GlmmFit = self.fit
            return quadratic(fit, jacobian)
        return np.asarray(np.einsum("ij,jk,ik->i", jacobian, self.matrix, jacobian, optimize=True))

    def covariance(self, jacobian: FloatArray) -> FloatArray:
        """(m, m) covariances of linear functions (m, d); by polarisation where some estimates are unbounded."""
        if self.fit is None or not np.isnan(self.matrix).any():
            return np.asarray(jacobian @ self.matrix @ jacobian.T)
        m = len(jacobian)
        out = np.empty((m, m))
        for i in range(m):
            out[i] = 0.25 * (self.variance(jacobian[i] + jacobian) - self.variance(jacobian[i] - jacobian))
        return out

    def df(self, jacobian: FloatArray) -> FloatArray:
        """Infinite."""
        return np.full(len(jacobian), np.inf)

    def joint(self, jacobian: FloatArray, rhs: FloatArray) -> Joint:
        """Wald's test of ``jacobian x = rhs``: a chi-squared over its degrees of freedom."""
        from scipy.special import chdtrc

        values, vectors = np.linalg.eigh(self.covariance(jacobian))
        kept = values > RANK * max(float(values[-1]), 0.0)
        rank = int(kept.sum())
        if rank == 0 or np.isnan(values).any():
            return Joint(np.nan, rank, np.inf, np.nan)
        along = (jacobian @ self.point - rhs) @ vectors[:, kept]
        chisq = float(np.sum(along**2 / values[kept]))
        return Joint(chisq / rank, rank, np.inf, float(chdtrc(rank, chisq)))


def glmm_law(fit: GlmmFit) -> NormalLaw:
    """The law of all parameters of a generalized model."""
    return NormalLaw("none", fit.solution.x, fit.solution.vcov, fit)
