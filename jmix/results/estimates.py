"""What a fit estimated: parameters, their covariance, and the likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.design import Design
from jmix.estimate.lmm import LmmSolution
from jmix.estimate.objective import GaussianObjective
from jmix.estimate.status import Status
from jmix.spec.covariance import CovarianceSpec

if TYPE_CHECKING:
    from jmix.design import RandomTerm

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimates:
    """Parameter estimates and likelihood of a fitted model.

    Attributes:
        design: the data as arrays, with the encoding of the formula. method: "REML", "ML", "MAP" or "OLS".
        solution: estimates in arrays. objective: the likelihood of these data; None for least squares.
    """

    design: Design
    spec: CovarianceSpec
    terms: tuple[RandomTerm, ...]
    method: str
    solution: LmmSolution
    objective: GaussianObjective | None

    # --- what was estimated -----------------------------------------------------------------------------------------
    @property
    def formula(self) -> str:
        """The formula as the user wrote it."""
        return self.design.formula

    @property
    def reml(self) -> bool:
        """Whether the restricted likelihood was maximised."""
        return self.method == "REML"

    @property
    def status(self) -> Status:
        """The convergence certificate."""
        return self.solution.status

    @property
    def converged(self) -> bool:
        """Whether the convergence certificate holds."""
        return self.status.converged

    @property
    def singular(self) -> bool:
        """Whether some covariance matrix is on its boundary."""
        return self.status.singular

    @property
    def theta(self) -> pd.Series:
        """(k,) relative covariance parameters in lme4's order and names."""
        return pd.Series(self.solution.theta, index=self.spec.theta_names(), name="theta")

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self.solution.sigma

    def fixef(self) -> pd.Series:
        """(p,) fixed effects, named as in R."""
        return pd.Series(self.solution.beta, index=self.design.x_names, name="estimate")

    @property
    def beta(self) -> FloatArray:
        """(p,) fixed effects as an array."""
        return self.solution.beta

    def vcov(self) -> pd.DataFrame:
        """(p, p) covariance matrix of the fixed effects."""
        names = self.design.x_names
        return pd.DataFrame(self.solution.vcov, index=names, columns=names)

    def se(self) -> pd.Series:
        """(p,) standard errors of the fixed effects."""
        return pd.Series(np.sqrt(np.diag(self.solution.vcov)), index=self.design.x_names, name="std_error")

    def cov_terms(self) -> list[FloatArray]:
        """(q, q) covariance matrix of each random term, on the data scale."""
        return [self.sigma**2 * lam @ lam.T for lam in self.spec.split(self.solution.theta)]

    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances as lme4's ``as.data.frame(VarCorr(fit))``: ``grp var1 var2 vcov sdcor``."""
        rows: list[tuple[str, str | None, str | None, float, float]] = []
        for label, term, cov in zip(self.spec.labels, self.spec.terms, self.cov_terms(), strict=True):
            sd = np.sqrt(np.diag(cov))
            rows += [(label, n, None, float(v), float(s)) for n, v, s in zip(term.names, np.diag(cov), sd, strict=True)]
            for j in range(term.q):
                for i in range(j + 1, term.q):
                    scale = sd[i] * sd[j]
                    cor = float(cov[i, j] / scale) if scale > 0 else float("nan")
                    rows.append((label, term.names[j], term.names[i], float(cov[i, j]), cor))
        rows.append(("Residual", None, None, self.sigma**2, self.sigma))
        return pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"])

    # --- likelihood -------------------------------------------------------------------------------------------------
    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return int(self.design.y.shape[0])

    def ngrps(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {t.group: len(t.levels) for t in self.terms}

    @property
    def npar(self) -> int:
        """Number of estimated parameters: fixed effects, theta and sigma."""
        return len(self.design.x_names) + self.spec.n_theta + 1

    @property
    def df_residual(self) -> int:
        """Rows less the number of parameters, as lme4's ``df.residual``; after ``lm`` rows less coefficients."""
        return self.nobs - (len(self.beta) if self.method == "OLS" else self.npar)

    @property
    def criterion(self) -> float:
        """REML criterion after REML, deviance after ML."""
        return self.solution.criterion

    @property
    def loglik(self) -> float:
        """Log likelihood; the restricted log likelihood after REML."""
        return -0.5 * self.criterion

    @cached_property
    def deviance(self) -> float:
        """-2 times the ML log likelihood at the estimates, whatever the method."""
        if self.reml and self.objective is not None:
            return self.objective.value(self.solution.phi, False)
        return self.criterion if not self.reml else self._ols_deviance()

    def _ols_deviance(self) -> float:
        n, rss = self.nobs, self.sigma**2 * (self.nobs - len(self.beta))
        logw = 0.0 if self.design.weights is None else float(np.log(self.design.weights).sum())
        return n * (1.0 + float(np.log(2 * np.pi * rss / n))) - logw

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return -2.0 * self.loglik + 2.0 * self.npar

    @property
    def bic(self) -> float:
        """Schwarz's Bayesian information criterion, with the number of rows."""
        return -2.0 * self.loglik + self.npar * float(np.log(self.nobs))
