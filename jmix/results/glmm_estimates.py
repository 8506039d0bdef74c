"""What a generalized linear mixed model estimated: coefficients by component, dispersion, thresholds, likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.glmm_parts import Parts, parts_of
from jmix.results.inference.fit import InferentialFit

if TYPE_CHECKING:
    from jmix.design import Design
    from jmix.design_response import GlmmDesign
    from jmix.estimate.glmm_objective import GlmmObjective
    from jmix.estimate.glmm_solution import GlmmSolution
    from jmix.estimate.status import Status
    from jmix.families import Family

FloatArray = npt.NDArray[np.float64]

SCALED = frozenset({"gaussian", "student", "gamma", "inverse_gaussian"})
"""Families whose dispersion scales the variance function, so that Pearson residuals leave it out, as in R."""


@dataclass(frozen=True, eq=False, repr=False)
class GlmmEstimates(InferentialFit):
    """Parameter estimates and likelihood of a generalized linear mixed model.

    Attributes:
        design: the data as arrays, with the encodings of the formulas. solution: estimates in arrays.
        objective: the marginal likelihood of these data.
    """

    design: GlmmDesign
    solution: GlmmSolution
    objective: GlmmObjective

    # --- what FitBase asks for --------------------------------------------------------------------------------------
    @property
    def base(self) -> Design:
        """The arrays of the linear predictor, with the encoding of the formula."""
        return self.design.base

    @property
    def status(self) -> Status:
        """The convergence certificate."""
        return self.solution.status

    @property
    def method(self) -> str:
        """How the likelihood was computed: "Laplace", "AGQ", "QMC", "ML" without random terms; or "MAP"."""
        return self.solution.method

    @property
    def n_points(self) -> int:
        """Quasi-Monte Carlo points of ``method="qmc"``; 1 otherwise."""
        return self.objective.n_points if self.objective.method == "qmc" and self.terms else 1

    @cached_property
    def parts(self) -> Parts:
        """The layout of the parameter vector."""
        return parts_of(self.design, self.spec)

    @property
    def beta(self) -> FloatArray:
        """(p,) fixed effects as an array."""
        return self.solution.x[self.parts.slices["cond"]]

    @property
    def fixed_covariance(self) -> FloatArray:
        """(p, p) covariance matrix of the fixed effects as an array."""
        return self._covariance("cond")

    @property
    def theta_values(self) -> FloatArray:
        """(k,) covariance parameters as an array: absolute, on the scale of the link."""
        return self.solution.x[self.parts.slices["theta"]]

    @property
    def theta_scale(self) -> float:
        """1: theta is absolute."""
        return 1.0

    @property
    def test_df(self) -> None:
        """None: intervals and tests use the normal distribution."""
        return None

    # --- coefficients -----------------------------------------------------------------------------------------------
    @property
    def family(self) -> Family:
        """The response family and its link."""
        return self.design.family

    def fixef(self, component: str = "cond") -> pd.Series:
        """Coefficients of a component, named as in R.

        Args:
            component: "cond", the linear predictor; "disp", the log dispersion; "zi", the logit of the zero
                probability; "thresholds" of a cumulative model, on their own scale.

        Raises:
            ModelError: a component that the model does not have.
        """
        place = self.parts.of(component)
        values = self.solution.thresholds if component == "thresholds" else self.solution.x[place]
        return pd.Series(values, index=self.parts.names[component], name="estimate")

    def vcov(self, component: str = "cond") -> pd.DataFrame:
        """Covariance matrix of the coefficients of a component, from the exact Hessian of all parameters.

        "all" gives that of every parameter as it is estimated: theta, the log dispersion, the first threshold and logs
        of the differences of the others included.
        """
        if component == "all":
            names = self.objective.names
            return pd.DataFrame(self.solution.vcov, index=names, columns=names)
        names = self.parts.names[component] if self.parts.of(component) else []
        return pd.DataFrame(self._covariance(component), index=names, columns=names)

    def se(self, component: str = "cond") -> pd.Series:
        """Standard errors of the coefficients of a component."""
        place = self.parts.of(component)
        values = self.solution.se[place]
        if component == "thresholds":
            values = np.sqrt(np.diag(self._covariance(component)))
        return pd.Series(values, index=self.parts.names[component], name="std_error")

    def _covariance(self, component: str) -> FloatArray:
        place = self.parts.of(component)
        block = self.solution.vcov[place, place]
        if component != "thresholds":
            return block
        jacobian = self.parts.jacobian(self.solution.x)
        return np.asarray(jacobian @ block @ jacobian.T)

    @property
    def thresholds(self) -> pd.Series:
        """(K - 1,) thresholds tau_k of a cumulative model, ``P(Y <= k) = F(tau_k - eta)``; empty for others."""
        names = self.parts.names["thresholds"]
        return self.fixef("thresholds") if names else pd.Series([], index=pd.Index([], dtype=str), dtype=np.float64)

    @property
    def dispersion(self) -> float:
        """The dispersion phi; 1 for a family without, NaN where it has its own formula (``fixef("disp")``, and
        ``predict(type="disp")`` by row).

        gaussian and student: the residual scale sigma; gamma: Var = phi mu^2; inverse gaussian: Var = phi mu^3;
        nbinom2: the size, Var = mu + mu^2 / phi; nbinom1: Var = mu (1 + phi); beta: the precision. ``se("disp")`` is
        the standard error of log phi.
        """
        if self.design.disp is None:
            return 1.0
        return float(np.exp(self.solution.disp[0])) if self.design.disp.intercept_only else float("nan")

    @property
    def sigma(self) -> float:
        """Residual scale: sigma of the gaussian and student families, the root of phi of the gamma and inverse
        gaussian, as in lme4; 1 for the others, NaN where the dispersion has its own formula.
        """
        if self.family.name not in SCALED:
            return 1.0
        return self.dispersion if self.residual_family else float(np.sqrt(self.dispersion))

    @property
    def residual_family(self) -> bool:
        """Whether the family has a residual on the scale of the response."""
        return self.family.name in ("gaussian", "student")

    @property
    def residual_sd(self) -> float | None:
        """Sigma of the gaussian and student families; None for others, and where the dispersion has its own formula."""
        constant = self.design.disp is not None and self.design.disp.intercept_only
        return self.dispersion if self.residual_family and constant else None

    @property
    def nu(self) -> float | None:
        """Degrees of freedom of the student family; None for others."""
        return None if self.solution.shape is None else float(self.solution.shape)

    # --- likelihood -------------------------------------------------------------------------------------------------
    @property
    def npar(self) -> int:
        """Number of estimated parameters, all components together."""
        return int(self.solution.x.size)

    @property
    def loglik(self) -> float:
        """Marginal log likelihood, with all its constants."""
        return float(self.solution.loglik)

    @property
    def deviance(self) -> float:
        """-2 times the log likelihood. For lme4's ``deviance``, given the random effects, see
        ``conditional_deviance``.
        """
        return -2.0 * self.loglik

    # --- random effects ---------------------------------------------------------------------------------------------
    @cached_property
    def modes(self) -> dict[str, FloatArray]:
        """(J, q) conditional modes of each grouping factor, all its terms side by side."""
        return self.objective.modes(self.solution.x) if self.terms else {}

    @cached_property
    def mode_covariances(self) -> dict[str, FloatArray]:
        """(J, q, q) inverse curvature of the log joint density at the modes (lme4's ``postVar``), observed
        information.
        """
        return self.objective.mode_covariances(self.solution.x) if self.terms else {}
