"""The result of a fit: estimates, random effects and everything that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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
    from jmix.results.refits import Refits

FloatArray = npt.NDArray[np.float64]
ResidualType = Literal["raw", "response", "pearson", "scaled"]


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted linear mixed model.

    Attributes:
        design: the data as arrays, with the encoding of the formula. method: "REML", "ML" or "OLS".
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
        for label, term, cov in zip(self.term_labels(), self.spec.terms, self.cov_terms(), strict=True):
            sd = np.sqrt(np.diag(cov))
            rows += [(label, n, None, float(v), float(s)) for n, v, s in zip(term.names, np.diag(cov), sd, strict=True)]
            for j in range(term.q):
                for i in range(j + 1, term.q):
                    scale = sd[i] * sd[j]
                    cor = float(cov[i, j] / scale) if scale > 0 else float("nan")
                    rows.append((label, term.names[j], term.names[i], float(cov[i, j]), cor))
        rows.append(("Residual", None, None, self.sigma**2, self.sigma))
        return pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov", "sdcor"])

    def term_labels(self) -> list[str]:
        """Unique label of each random term as in lme4: ``Subject``, ``Subject.1``, ..."""
        seen: dict[str, int] = {}
        out = []
        for term in self.spec.terms:
            count = seen.get(term.group, 0)
            out.append(term.group if count == 0 else f"{term.group}.{count}")
            seen[term.group] = count + 1
        return out

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

    # --- random effects ---------------------------------------------------------------------------------------------
    @cached_property
    def modes(self) -> dict[str, FloatArray]:
        """(J, q) conditional modes of each grouping factor, all its terms side by side."""
        if self.objective is None:
            return {}
        return self.objective.modes(self.solution.phi, self.solution.contrast)

    @cached_property
    def mode_covariances(self) -> dict[str, FloatArray]:
        """(J, q, q) conditional covariances given beta, theta and sigma (lme4's ``postVar``)."""
        if self.objective is None:
            return {}
        return {g: self.sigma**2 * c for g, c in self.objective.covariances(self.solution.phi).items()}

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
        out = {}
        fixef = self.fixef()
        for group, frame in self.ranef().items():
            extra = [c for c in dict.fromkeys(frame.columns) if c not in fixef.index]
            table = pd.DataFrame(0.0, index=frame.index, columns=[*fixef.index, *extra])
            table[fixef.index] += fixef
            for i, name in enumerate(frame.columns):
                table[name] += frame.iloc[:, i]
            out[group] = table
        return out

    # --- fitted values ----------------------------------------------------------------------------------------------
    @cached_property
    def _linear_parts(self) -> tuple[FloatArray, FloatArray]:
        population = self.design.X @ self.solution.beta
        if self.design.offset is not None:
            population = population + self.design.offset
        conditional = population.copy()
        start = dict.fromkeys(self.modes, 0)
        for term in self.terms:
            at = start[term.group]
            block = self.modes[term.group]
            for i, column in enumerate(term.columns):
                conditional += column * block[term.codes, at + i]
            start[term.group] = at + len(term.columns)
        return population, conditional

    def fitted(self, *, conditional: bool = True) -> pd.Series:
        """(n,) fitted values, with (``conditional``) or without the random effects."""
        return pd.Series(self._linear_parts[int(conditional)], index=self.design.index, name="fitted")

    def residuals(self, type: ResidualType = "raw") -> pd.Series:
        """(n,) residuals: ``raw`` y - fitted; ``pearson`` times the root of the prior weight; ``scaled`` Pearson over
        sigma.

        Raises:
            ModelError: for another type.
        """
        from jmix.errors import ModelError

        if type not in ("raw", "response", "pearson", "scaled"):
            raise ModelError(f"residuals(type={type!r}): choose 'raw', 'pearson' or 'scaled'")
        values = self.design.y - self._linear_parts[1]
        if type in ("pearson", "scaled") and self.design.weights is not None:
            values = values * np.sqrt(self.design.weights)
        if type == "scaled":
            values = values / self.sigma
        return pd.Series(values, index=self.design.index, name="residual")

    def leverage(self) -> pd.Series:
        """(n,) diagonal of the hat matrix that maps y to the conditional fitted values (lme4's ``hatvalues``)."""
        from jmix.results.leverage import leverage

        return pd.Series(leverage(self), index=self.design.index, name="leverage")

    # --- inference and frames ---------------------------------------------------------------------------------------
    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Wald intervals of the fixed effects, columns ``lower`` and ``upper``."""
        from jmix.results.frames import confint

        return confint(self, level)

    def tidy(self, *, effects: str = "all", conf_int: bool = False, level: float = 0.95) -> pd.DataFrame:
        """One row a parameter, as broom.mixed's ``tidy``: ``effects`` is "fixed", "ran_pars", "ran_vals" or "all"
        (the first two).
        """
        from jmix.results.frames import tidy

        return tidy(self, effects=effects, conf_int=conf_int, level=level)

    def glance(self) -> pd.DataFrame:
        """One row a model, as broom.mixed's ``glance``."""
        from jmix.results.frames import glance

        return glance(self)

    def augment(self) -> pd.DataFrame:
        """One row an observation: the data used, fitted values, residuals, leverage."""
        from jmix.results.frames import augment

        return augment(self)

    # --- prediction and simulation ----------------------------------------------------------------------------------
    def predict(
        self,
        data: Any = None,
        *,
        conditional: bool = True,
        new_levels: Literal["error", "population"] = "error",
        se: bool = False,
    ) -> pd.Series | pd.DataFrame:
        """Predictions for new rows, or for the data of the fit.

        Args:
            conditional: add the random effects (lme4's default), or predict for the population.
            new_levels: what to do with grouping levels that the fit has not seen: refuse, or use a random effect of
                zero.
            se: also give standard errors: columns ``fit`` and ``se``.
        """
        from jmix.results.predict import predict

        return predict(self, data, conditional=conditional, new_levels=new_levels, se=se)

    def simulate(self, n: int = 1, *, seed: int = 0, conditional: bool = False) -> pd.DataFrame:
        """(rows, n) responses drawn from the fitted model; new random effects unless ``conditional``."""
        from jmix.results.predict import simulate

        return simulate(self, n, seed=seed, conditional=conditional)

    def refit(self, response: Any) -> Fit | Refits:
        """Fit a new response (n,) with the same design; or R of them, (n, R), at once in one vmapped program.

        Nothing is compiled again for another response of the same shape.

        Raises:
            DataError: wrong length, or values that are missing or not finite.
        """
        from jmix.results.refits import refit

        return refit(self, response)

    def save(self, path: str | Path) -> None:
        """Write the fit to one ``.npz`` file without pickle; ``jmix.load_fit`` reads it."""
        from jmix.results.io import save

        save(self, path)

    # --- printing ---------------------------------------------------------------------------------------------------
    def summary(self) -> Any:
        """A printable summary in lme4's layout, with ``to_markdown``, ``to_latex`` and ``to_html``."""
        from jmix.results.summary import Summary

        return Summary(self)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary().to_html())
