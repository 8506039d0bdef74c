"""The result of fitting a generalized linear mixed model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.glmm_estimates import GlmmEstimates

if TYPE_CHECKING:
    from jmix.estimate.filtered import FilteredCovariance
    from jmix.results.glmm_checks import OverdispersionCheck, ZeroCheck
    from jmix.results.glmm_refit import GlmmRefits
    from jmix.results.glmm_summary import GlmmSummary
    from jmix.results.inference.fixed.fixed_tests import DfMethod
    from jmix.results.inference.profiling.profile_scale import Parameters

FloatArray = npt.NDArray[np.float64]
IntervalMethod = Literal["wald", "profile", "boot"]
ResidualType = Literal["deviance", "pearson", "scaled", "response", "working", "quantile"]
PredictionType = Literal["response", "link", "conditional", "probs", "zi", "disp"]


@dataclass(frozen=True, eq=False, repr=False)
class GlmmFit(GlmmEstimates):
    """A fitted generalized linear mixed model: estimates, random effects and everything that follows from them."""

    @property
    def has_deviance(self) -> bool:
        """Whether the family has deviance residuals: one with a deviance, and without a model of the zeros."""
        from jmix.families.deviance import WITH_DEVIANCE

        return not self.family.zero and self.family.name in WITH_DEVIANCE

    @cached_property
    def conditional_deviance(self) -> float:
        """Sum of the squared deviance residuals, lme4's ``deviance``: given the random effects at their modes."""
        from jmix.results.glmm_residuals import conditional_deviance

        return conditional_deviance(self)

    # --- what standard errors of predictions need -------------------------------------------------------------------
    @cached_property
    def mode_derivatives(self) -> dict[str, FloatArray]:
        """(d, J, q) derivatives of the conditional modes of each grouping factor in the parameters."""
        from jmix.results.glmm_variance import mode_derivatives

        return mode_derivatives(self) if self.terms else {}

    @cached_property
    def filtered(self) -> FilteredCovariance:
        """Every block of ``Lambda M^{-1} Lambda'``, the random effects' inverse curvature, computed when asked for."""
        from jmix.results.glmm_variance import filtered

        return filtered(self)

    # --- fitted values and residuals --------------------------------------------------------------------------------
    def fitted(self, type: Literal["response", "link"] = "response", *, conditional: bool = True) -> pd.Series:
        """(n,) fitted values, with (``conditional``) or without the random effects.

        Args:
            type: "response", the expected response: of a binomial the proportion, with a model of the zeros those
                included, of a cumulative model the probability of the observed category; or "link".

        Raises:
            ModelError: for another type.
        """
        from jmix.results.glmm_predict import fitted

        return fitted(self, type, conditional=conditional)

    def residuals(
        self, type: ResidualType = "deviance", *, simulated: bool = False, n: int = 250, seed: int = 0
    ) -> pd.Series:
        """(n,) residuals, random effects at their modes.

        Args:
            type: "deviance" (lme4's default); "pearson", ``sqrt(w) (y - mu) / sqrt(V(mu))``, V without a dispersion
                that scales it, as in R; "scaled", over the standard deviation of the response, dispersion included;
                "response", y - mu; "working", ``(y - mu) / (d mu / d eta)``; "quantile", normal quantiles of F(y),
                randomised over the jumps of a discrete F (Dunn & Smyth 1996, J. Comput. Graph. Stat. 5(3)): standard
                normal under the model, but for the shrinkage of the modes. A binomial y is the proportion; with a
                model of the zeros mu is the mean of the response.
            simulated: of "quantile": DHARMa's scaled residuals, the rank in (0, 1) of y among responses simulated with
                new random effects, randomised so as to be uniform under the model; dependent within groups.
            n: simulations. seed: of the randomisation and the simulations; the same seed gives the same residuals.

        Raises:
            ModelError: for another type, or one that the family does not have.
        """
        from jmix.results.glmm_residuals import residuals

        return residuals(self, type, simulated=simulated, n=n, seed=seed)

    def overdispersion(self) -> OverdispersionCheck:
        """Whether counts, or binomial responses, spread more than the family says: Pearson's chi-squared over its
        degrees of freedom, with a p-value and advice.

        Raises:
            ModelError: for families without such a relation, or without degrees of freedom.
        """
        from jmix.results.glmm_checks import overdispersion

        return overdispersion(self)

    def zero_check(self, n: int = 250, *, seed: int = 0) -> ZeroCheck:
        """Whether the data hold more zeros than the model: beside n simulated responses, as DHARMa's
        ``testZeroInflation``.

        Raises:
            ModelError: for responses that are not counts.
        """
        from jmix.results.glmm_checks import zero_check

        return zero_check(self, n, seed)

    # --- inference and frames ---------------------------------------------------------------------------------------
    def confint(
        self,
        level: float = 0.95,
        *,
        component: str = "cond",
        method: IntervalMethod = "wald",
        df: DfMethod | None = None,
        parameters: Parameters = "fixed",
        **options: Any,
    ) -> pd.DataFrame:
        """Confidence intervals, columns ``lower`` and ``upper``.

        Args:
            level: their coverage.
            component: of Wald intervals of coefficients: "cond", "disp", "zi", "thresholds", or "all".
            method: "wald"; "profile", the profile likelihood (see ``profile``); or "boot", the parametric bootstrap
                (see ``bootstrap``).
            df: of Wald intervals: None or "none", the normal distribution; linear models have others.
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

        return confint(self, level, method, df, parameters, options, component)

    def tidy(self, *, effects: str = "all", conf_int: bool = False, level: float = 0.95) -> pd.DataFrame:
        """One row a parameter, as broom.mixed's ``tidy``: ``effects`` is "fixed", "ran_pars", "ran_vals" or "all"
        (the first two). A column ``component`` tells zero inflation, dispersion and thresholds apart where there are
        any.
        """
        from jmix.results.glmm_frames import tidy

        return tidy(self, effects=effects, conf_int=conf_int, level=level)

    def glance(self) -> pd.DataFrame:
        """One row a model, as broom.mixed's ``glance``; ``deviance`` is -2 times the log likelihood."""
        from jmix.results.glmm_frames import glance

        return glance(self)

    def augment(self) -> pd.DataFrame:
        """One row an observation: the data used, fitted values with and without random effects, link, residuals."""
        from jmix.results.glmm_frames import augment

        return augment(self)

    # --- prediction and simulation ----------------------------------------------------------------------------------
    def predict(
        self,
        data: Any = None,
        *,
        type: PredictionType = "response",
        conditional: bool = True,
        new_levels: Literal["error", "population"] = "error",
        se: bool = False,
        population_averaged: bool = False,
    ) -> pd.Series | pd.DataFrame:
        """Predictions for new rows, or for the data of the fit.

        Args:
            data: a table with the columns of the formulas; the grouping columns only if ``conditional``.
            type: "response", the expected response (a binomial's proportion; zeros included); "link", the linear
                predictor; "conditional", the mean of the counts of a zero-inflated model, or of the positive counts
                of a hurdle; "zi", the probability of an extra zero, or with a hurdle of any; "disp", the dispersion
                phi; "probs", also the "response" of a cumulative model, (n, K) probabilities of the categories.
            conditional: add the random effects at their modes, or set them to zero.
            new_levels: "error" refuses grouping levels that the fit has not seen, and gives NaN for a missing level;
                "population" sets their random effects to zero.
            se: also give standard errors by the delta method. They hold the uncertainty of all estimates, that of the
                random effects about their modes (the inverse curvature of the joint density, Laplace's approximation)
                and how the modes move with the estimates, as glmmTMB's; a level that the fit has not seen contributes
                its variance z'Sigma z. With several grouping factors and a family that is not log-concave, rows of
                negative curvature count as uninformative. NaN for a row that the data do not determine, as
                beside separated levels; parameters on a boundary count as known.
            population_averaged: the response averaged over the random effects' distribution, which is not the response
                at random effects of zero (``conditional=False``). ``conditional`` and ``new_levels`` are then without
                effect, and new rows do not need the grouping columns.

        Returns:
            Series ``fit`` with the index of the rows, or a frame with columns ``fit`` and ``se``; of probabilities a
            frame by category, or one with the two levels ``fit`` and ``se`` above. A row with a missing value is NaN.

        Raises:
            DataError: columns are missing, or levels are new and ``new_levels`` is "error".
            ModelError: another type or ``new_levels``, or a type that the family does not have.
        """
        from jmix.results.glmm_predict import predict

        return predict(
            self,
            data,
            type=type,
            conditional=conditional,
            new_levels=new_levels,
            se=se,
            population_averaged=population_averaged,
        )

    def simulate(self, n: int = 1, *, seed: int = 0, conditional: bool = False) -> pd.DataFrame:
        """(rows, n) responses drawn from the fitted model; new random effects unless ``conditional``.

        Of a binomial the numbers of successes in the trials of the data; categories by their labels. Weights that
        multiply the log likelihood are without effect.

        Raises:
            ModelError: n is not a positive whole number, or seed a negative one or none.
        """
        from jmix.results.glmm_simulate import simulate

        return simulate(self, n, seed=seed, conditional=conditional)

    def refit(self, response: Any, *, progress: bool | None = None) -> GlmmFit | GlmmRefits:
        """Fit a new response (n,) with the same design; or R of them, (n, R), at once in one vmapped program.

        Nothing is compiled again for other responses. All searches start from the estimates of this fit. Where linear
        systems are solved iteratively (thousands of crossed levels) and with ``method="qmc"`` over several grouping
        factors, responses are fitted one after another. Interrupting it (Ctrl-C) keeps what is done.

        Args:
            response: (n,) or (n, R), as ``simulate`` gives it: of a binomial the successes, categories by their labels
                or codes.
            progress: show a bar; by default where somebody is watching.

        Returns:
            A ``GlmmFit`` of one response; of several ``GlmmRefits``, arrays of estimates and a sequence of light fits.

        Raises:
            DataError: wrong length, missing values, or values that the family does not take.
            ModelError: after MAP.
        """
        from jmix.results.glmm_refit import refit

        return refit(self, response, progress=progress)

    def save(self, path: str | Path) -> None:
        """Write the fit to one ``.npz`` file without pickle; ``jmix.load_fit`` reads it."""
        from jmix.results.glmm_io import save

        save(self, path)

    # --- printing ---------------------------------------------------------------------------------------------------
    def summary(self) -> GlmmSummary:
        """A printable summary in glmer's layout, with ``to_markdown``, ``to_latex`` and ``to_html``."""
        from jmix.results.glmm_summary import GlmmSummary

        return GlmmSummary(self)
