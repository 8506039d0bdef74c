"""What linear and generalized linear mixed models give alike: coefficients, random effects, criteria, frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.design import Design
from jmix.estimate.status import Status
from jmix.spec.covariance import CovarianceSpec

if TYPE_CHECKING:
    from jmix.design import RandomTerm

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class FitBase(ABC):
    """A fitted model with a linear predictor ``X beta + offset + Z b``.

    Attributes:
        design: the data as arrays. spec: the layout of theta. terms: the random terms in lme4's order.
    """

    design: Any
    spec: CovarianceSpec
    terms: tuple[RandomTerm, ...]

    # --- what each kind of model knows ------------------------------------------------------------------------------
    @property
    @abstractmethod
    def base(self) -> Design:
        """The arrays of the linear predictor, with the encoding of the formula."""

    @property
    @abstractmethod
    def status(self) -> Status:
        """The convergence certificate."""

    @property
    @abstractmethod
    def beta(self) -> FloatArray:
        """(p,) fixed effects as an array."""

    @property
    @abstractmethod
    def fixed_covariance(self) -> FloatArray:
        """(p, p) covariance matrix of the fixed effects as an array."""

    @property
    @abstractmethod
    def theta_values(self) -> FloatArray:
        """(k,) covariance parameters as an array."""

    @property
    @abstractmethod
    def theta_scale(self) -> float:
        """The standard deviation that theta is relative to: sigma, or 1 where theta is absolute."""

    @property
    @abstractmethod
    def residual_sd(self) -> float | None:
        """Standard deviation of the residual, or None for a model without one."""

    @property
    @abstractmethod
    def npar(self) -> int:
        """Number of estimated parameters."""

    @property
    @abstractmethod
    def loglik(self) -> float:
        """Log likelihood."""

    @property
    @abstractmethod
    def test_df(self) -> int | None:
        """Degrees of freedom of Student's t for intervals and tests; None for the normal distribution."""

    @cached_property
    @abstractmethod
    def modes(self) -> dict[str, FloatArray]:
        """(J, q) conditional modes of each grouping factor, all its terms side by side."""

    @cached_property
    @abstractmethod
    def mode_covariances(self) -> dict[str, FloatArray]:
        """(J, q, q) conditional covariances given the parameters (lme4's ``postVar``)."""

    @abstractmethod
    def summary(self) -> Any:
        """A printable summary in lme4's layout, with ``to_markdown``, ``to_latex`` and ``to_html``."""

    # --- what was estimated -----------------------------------------------------------------------------------------
    @property
    def formula(self) -> str:
        """The formula as the user wrote it."""
        return self.base.formula

    @property
    def x_names(self) -> list[str]:
        """Names of the fixed effects, as in R."""
        return self.base.x_names

    @property
    def converged(self) -> bool:
        """Whether the convergence certificate holds."""
        return self.status.converged

    @property
    def singular(self) -> bool:
        """Whether some covariance matrix is on its boundary."""
        return self.status.singular

    def fixef(self) -> pd.Series:
        """(p,) fixed effects, named as in R."""
        return pd.Series(self.beta, index=self.x_names, name="estimate")

    def vcov(self) -> pd.DataFrame:
        """(p, p) covariance matrix of the fixed effects."""
        return pd.DataFrame(self.fixed_covariance, index=self.x_names, columns=self.x_names)

    def se(self) -> pd.Series:
        """(p,) standard errors of the fixed effects."""
        return pd.Series(np.sqrt(np.diag(self.fixed_covariance)), index=self.x_names, name="std_error")

    @property
    def theta(self) -> pd.Series:
        """(k,) covariance parameters in lme4's order and names."""
        return pd.Series(self.theta_values, index=self.spec.theta_names(), name="theta")

    def cov_terms(self) -> list[FloatArray]:
        """(q, q) covariance matrix of each random term, on the data scale."""
        return [self.theta_scale**2 * lam @ lam.T for lam in self.spec.split(self.theta_values)]

    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances as lme4's ``as.data.frame(VarCorr(fit))``: ``grp var1 var2 vcov sdcor``.

        A row ``Residual`` comes last where the model has a residual standard deviation.
        """
        rows: list[tuple[str, str | None, str | None, float, float]] = []
        for label, term, cov in zip(self.spec.labels, self.spec.terms, self.cov_terms(), strict=True):
            sd = np.sqrt(np.diag(cov))
            rows += [(label, n, None, float(v), float(s)) for n, v, s in zip(term.names, np.diag(cov), sd, strict=True)]
            for j in range(term.q):
                for i in range(j + 1, term.q):
                    scale = sd[i] * sd[j]
                    cor = float(cov[i, j] / scale) if scale > 0 else float("nan")
                    rows.append((label, term.names[j], term.names[i], float(cov[i, j]), cor))
        if self.residual_sd is not None:
            rows.append(("Residual", None, None, self.residual_sd**2, self.residual_sd))
        return pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"])

    # --- size and criteria ------------------------------------------------------------------------------------------
    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return int(self.base.y.shape[0])

    def ngrps(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {t.group: len(t.levels) for t in self.terms}

    @property
    def df_residual(self) -> int:
        """Rows less the number of parameters, as lme4's ``df.residual``."""
        return self.nobs - self.npar

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return -2.0 * self.loglik + 2.0 * self.npar

    @property
    def bic(self) -> float:
        """Schwarz's Bayesian information criterion, with the number of rows."""
        return -2.0 * self.loglik + self.npar * float(np.log(self.nobs))

    # --- random effects ---------------------------------------------------------------------------------------------
    def group_columns(self, group: str) -> list[str]:
        """Random-effect column names of a grouping factor, all its terms."""
        return [name for i in self.spec.members(group) for name in self.spec.terms[i].names]

    def group_levels(self, group: str) -> list[str]:
        """Level labels of a grouping factor."""
        return self.terms[self.spec.members(group)[0]].levels

    def ranef(self) -> dict[str, pd.DataFrame]:
        """Conditional modes by grouping factor: one row a level."""
        return {g: self._by_level(g, m) for g, m in self.modes.items()}

    def ranef_sd(self) -> dict[str, pd.DataFrame]:
        """Conditional standard deviations of the random effects, in the shape of ``ranef``."""
        return {g: self._by_level(g, np.sqrt(np.einsum("jaa->ja", c))) for g, c in self.mode_covariances.items()}

    def _by_level(self, group: str, values: FloatArray) -> pd.DataFrame:
        index = pd.Index(self.group_levels(group), name=group)
        return pd.DataFrame(values, index=index, columns=self.group_columns(group))

    def coef(self) -> dict[str, pd.DataFrame]:
        """Fixed effects plus random effects, by grouping factor."""
        from jmix.results.coefficients import coefficients

        return coefficients(self.fixef(), self.ranef())

    @cached_property
    def linear_parts(self) -> tuple[FloatArray, FloatArray]:
        """(n,) linear predictors of the rows of the fit, without and with the random effects."""
        from jmix.results.rows import add_random, fixed_part, make_rows

        rows = make_rows(self.base.X, self.base.offset, self.terms)
        population = fixed_part(self, rows)
        return population, add_random(population, rows, self.modes)

    # --- printing ---------------------------------------------------------------------------------------------------
    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary().to_html())
