"""The result of a fit: estimates, random effects and everything that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.estimate.filtered import FilteredCovariance
from jmix.results.estimates import Estimates
from jmix.spec.names import parameter_names

if TYPE_CHECKING:
    from jmix.results.inference.fixed.fixed_tests import DfMethod
    from jmix.results.inference.profiling.profile_scale import Parameters
    from jmix.results.refits import Refits
    from jmix.results.summary import Summary

FloatArray = npt.NDArray[np.float64]
ResidualType = Literal["raw", "response", "pearson", "scaled"]
IntervalMethod = Literal["wald", "profile", "boot"]


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Estimates):
    """A fitted linear mixed model: estimates, random effects and everything that follows from them."""

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

    @cached_property
    def filtered(self) -> FilteredCovariance | None:
        """Every block of the conditional covariance of the random effects over sigma^2, computed when asked for."""
        return None if self.objective is None else FilteredCovariance(self.objective, self.solution.phi)

    # --- fitted values ----------------------------------------------------------------------------------------------
    def fitted(self, *, conditional: bool = True) -> pd.Series:
        """(n,) fitted values, with (``conditional``) or without the random effects."""
        return pd.Series(self.linear_parts[int(conditional)], index=self.design.index, name="fitted")

    def residuals(self, type: ResidualType = "raw") -> pd.Series:
        """(n,) residuals: ``raw`` y - fitted; ``pearson`` times the root of the prior weight; ``scaled`` Pearson over
        sigma.

        Raises:
            ModelError: for another type.
        """
        if type not in ("raw", "response", "pearson", "scaled"):
            raise ModelError(f"residuals(type={type!r}): choose 'raw', 'pearson' or 'scaled'")
        values = self.design.y - self.linear_parts[1]
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
    def confint(
        self,
        level: float = 0.95,
        *,
        method: IntervalMethod = "wald",
        df: DfMethod | None = None,
        parameters: Parameters = "fixed",
        **options: Any,
    ) -> pd.DataFrame:
        """Confidence intervals, columns ``lower`` and ``upper``.

        Args:
            level: their coverage.
            method: "wald"; "profile", the profile likelihood (see ``profile``), by maximum likelihood also after REML;
                or "boot", the parametric bootstrap (see ``bootstrap``).
            df: of Wald intervals: None for the normal distribution (Student's t after least squares), or
                a rule for Student's t: "satterthwaite", "kenward-roger", "containment", "residual", "none".
            parameters: "fixed", the fixed effects; "random", standard deviations, correlations and sigma; "all"; or
                names, as in ``profile``. Wald intervals of standard deviations and the like are by the delta method
                on the log scale, of correlations on Fisher's; NaN on a boundary. Prefer the profile there.
            options: of "profile" ``scale`` and ``progress``; of "boot" ``n``, ``seed``, ``conditional``, ``progress``,
                ``kind`` of the interval ("percentile", "bca", "basic", "normal", "studentized") and ``resampling``
                ("parametric" or "residual").

        Raises:
            ModelError: a level outside (0, 1), or an unknown method, option, rule or name.

        Warns:
            ConvergenceWarning: a profile could not be followed, or found a better optimum.
        """
        from jmix.results.inference.profiling.intervals import confint

        return confint(self, level, method, df, parameters, options)

    def tidy(
        self, *, effects: str = "all", conf_int: bool = False, level: float = 0.95, df: DfMethod | None = None
    ) -> pd.DataFrame:
        """One row a parameter, as broom.mixed's ``tidy``: ``effects`` is "fixed", "ran_pars", "ran_vals" or "all"
        (the first two).

        Args:
            conf_int: add the limits ``conf_low`` and ``conf_high`` of Wald intervals. level: their coverage.
            df: add the columns ``df`` and ``p_value`` by this rule ("satterthwaite", "kenward-roger", "containment",
                "residual", "none"); the intervals use it too.

        Raises:
            ModelError: other effects, a level outside (0, 1), or a rule that the model does not have.
        """
        from jmix.results.frames import tidy

        return tidy(self, effects=effects, conf_int=conf_int, level=level, df=df)

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

    def laplace(self) -> pd.DataFrame:
        """(P, P) covariance of all parameters by the Laplace approximation, after ``fit("map")``.

        Fixed effects, standard deviations, correlations and sigma, named as in a ``Posterior``; NaN for a parameter on
        its boundary.

        Raises:
            ModelError: after another method.
        """
        if self.solution.laplace is None:
            raise ModelError(f"laplace() is for fit('map'); this fit is by {self.method}")
        names = parameter_names(self.design.x_names, self.spec)
        return pd.DataFrame(self.solution.laplace, index=names, columns=names)

    def refit(self, response: Any, *, progress: bool | None = None) -> Fit | Refits:
        """Fit a new response (n,) with the same design; or R of them, (n, R), at once in one vmapped program.

        Nothing is compiled again for another response of the same shape. Interrupting it (Ctrl-C) keeps the batches
        that are done.

        Args:
            response: (n,) or (n, R) numbers, or a frame with one response a column.
            progress: show a bar where there are several batches; by default where somebody is watching.

        Returns:
            A ``Fit`` of one response; of several ``Refits``, arrays of estimates and a sequence of light fits.

        Raises:
            DataError: wrong length, or values that are missing or not finite.
            ModelError: after MAP.
        """
        from jmix.results.refits import refit

        return refit(self, response, progress=progress)

    def save(self, path: str | Path) -> None:
        """Write the fit to one ``.npz`` file without pickle; ``jmix.load_fit`` reads it."""
        from jmix.results.io import save

        save(self, path)

    # --- printing ---------------------------------------------------------------------------------------------------
    def summary(self, df: DfMethod | None = None) -> Summary:
        """A printable summary in lme4's layout, with ``to_markdown``, ``to_latex`` and ``to_html``.

        Args:
            df: the rule for the degrees of freedom of the t-tests of the fixed effects: "satterthwaite" (the default of
                a mixed model, as lmerTest), "kenward-roger", "containment" (as nlme), "residual", or "none" for lme4's
                table without tests. The tests are computed when the summary is printed, or its ``coefficients``
                (p, 5) are asked for: ``estimate std_error df statistic p_value``.

        Raises:
            ModelError: another name, or a rule that the model does not have, with the reason.
        """
        from jmix.results.summary import Summary

        if df is not None:
            from jmix.results.inference.fixed.fixed_tests import fixed_tests

            fixed_tests(self, df)
        return Summary(self, df)
