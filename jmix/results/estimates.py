"""What a linear fit estimated: parameters, their covariance, and the likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from jmix.design import Design
from jmix.estimate.lmm import LmmSolution
from jmix.estimate.objective import GaussianObjective
from jmix.estimate.status import Status
from jmix.results.inference.fit import InferentialFit

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Estimates(InferentialFit):
    """Parameter estimates and likelihood of a fitted model.

    Attributes:
        design: the data as arrays, with the encoding of the formula. method: "REML", "ML", "MAP" or "OLS".
        solution: estimates in arrays. objective: the likelihood of these data; None for least squares.
    """

    design: Design
    method: str
    solution: LmmSolution
    objective: GaussianObjective | None

    # --- what was estimated -----------------------------------------------------------------------------------------
    @property
    def base(self) -> Design:
        """The data as arrays."""
        return self.design

    @property
    def reml(self) -> bool:
        """Whether the restricted likelihood was maximised."""
        return self.method == "REML"

    @property
    def status(self) -> Status:
        """The convergence certificate."""
        return self.solution.status

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self.solution.sigma

    @property
    def residual_sd(self) -> float:
        """Residual standard deviation."""
        return self.solution.sigma

    @property
    def theta_values(self) -> FloatArray:
        """(k,) relative covariance parameters as an array."""
        return self.solution.theta

    @property
    def theta_scale(self) -> float:
        """Residual standard deviation, which theta is relative to."""
        return self.solution.sigma

    @property
    def beta(self) -> FloatArray:
        """(p,) fixed effects as an array."""
        return self.solution.beta

    @property
    def fixed_covariance(self) -> FloatArray:
        """(p, p) covariance matrix of the fixed effects as an array."""
        return self.solution.vcov

    # --- likelihood -------------------------------------------------------------------------------------------------
    @property
    def npar(self) -> int:
        """Number of estimated parameters: fixed effects, theta and sigma."""
        return len(self.design.x_names) + self.spec.n_theta + 1

    @property
    def df_residual(self) -> int:
        """Rows less the number of parameters, as lme4's ``df.residual``; after ``lm`` rows less coefficients."""
        return self.nobs - (len(self.beta) if self.method == "OLS" else self.npar)

    @property
    def test_df(self) -> int | None:
        """Residual degrees of freedom of least squares; None for a mixed model and after maximum likelihood."""
        return None if self.terms or self.method in ("ML", "MAP") else self.nobs - len(self.design.x_names)

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
