"""The result of sampling: draws of the parameters and everything that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.derived import Derived

if TYPE_CHECKING:
    from jmix.results.hypothesis import Hypotheses
    from jmix.results.parameter_choice import Parameters
    from jmix.results.posterior_status import SamplingStatus
    from jmix.results.posterior_summary import PosteriorSummary

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Posterior(Derived):
    """Draws from the posterior of a model, and everything that follows from them.

    Attributes:
        design: the data as arrays, with the encoding of the formula. terms: the random terms in lme4's order.
        objective: the likelihood of these data. draws: the parameters, sampler statistics and settings.
        priors: the priors in force. family: "gaussian" or "student"; of a ``GlmmPosterior`` a ``Family``.
    """

    # --- estimates --------------------------------------------------------------------------------------------------
    def se(self) -> pd.Series:
        """(p,) posterior standard deviations of the fixed effects (brms's ``Est.Error``)."""
        from jmix.results.posterior_frames import fixed_draws
        from jmix.results.posterior_table import spread

        return pd.Series(spread(fixed_draws(self)), index=self.design.x_names, name="std_error")

    def vcov(self) -> pd.DataFrame:
        """(p, p) posterior covariance matrix of the fixed effects."""
        from jmix.results.posterior_frames import vcov

        return vcov(self)

    @property
    def theta(self) -> pd.Series:
        """(k,) posterior means of the relative covariance parameters, in lme4's order and names."""
        from jmix.results.posterior_frames import theta

        return theta(self)

    def varcorr(self, level: float = 0.95) -> pd.DataFrame:
        """Posterior of the variance components with lme4's columns ``grp var1 var2 vcov sdcor``.

        ``vcov`` and ``sdcor`` are posterior means: of the variance or covariance, and of the standard deviation or
        correlation, so that ``vcov`` is not the square of ``sdcor``. ``est_error``, ``lower`` and ``upper`` are the
        standard deviation and the equal-tailed interval of the latter. ``Residual`` comes last.
        """
        from jmix.results.posterior_frames import varcorr

        return varcorr(self, level)

    def confint(self, level: float = 0.95, method: Literal["eti", "hdi"] = "eti") -> pd.DataFrame:
        """Credible intervals of the fixed effects, columns ``lower`` and ``upper``: with equal tails, or the shortest
        (highest density).
        """
        from jmix.results.posterior_frames import confint

        return confint(self, level, method)

    def tidy(self, *, effects: str = "all", conf_int: bool = False, level: float = 0.95) -> pd.DataFrame:
        """One row a parameter, as broom.mixed's ``tidy``: ``effects`` is "fixed", "ran_pars", "ran_vals" or "all"
        (the first two).

        ``estimate`` and ``std_error`` are the posterior mean and standard deviation, ``conf_low`` and ``conf_high`` an
        equal-tailed interval, ``ess`` the bulk effective sample size.
        """
        from jmix.results.posterior_frames import tidy

        return tidy(self, effects=effects, conf_int=conf_int, level=level)

    def glance(self) -> pd.DataFrame:
        """One row for the model: its size, the worst diagnostics, seconds of tuning and sampling, and all seconds."""
        from jmix.results.posterior_frames import glance

        return glance(self)

    # --- summary, diagnostics and hypotheses ------------------------------------------------------------------------
    def summary(self, prob: float = 0.95, interval: Literal["eti", "hdi"] = "eti", lag: int = 10) -> PosteriorSummary:
        """A printable summary in brms's layout, with ``to_markdown``, ``to_latex``, ``to_html``, and all of ``table``:

        =============== =================== ============================================================
        column          brms; runjags       meaning
        =============== =================== ============================================================
        mean            Estimate; Mean      posterior mean
        sd              Est.Error; SD       posterior standard deviation
        median          -; Median           posterior median
        mode            -; Mode             highest point of a kernel density estimate
        lower, upper    l-95% CI, u-95% CI; ends of the interval ("eti" is brms's, "hdi" is runjags's)
                        Lower95, Upper95
        mcse_mean       -; MCerr            Monte Carlo standard error of the mean (MC%ofSD: 100 mcse_mean / sd)
        mcse_sd                             Monte Carlo standard error of the standard deviation
        ess_bulk        Bulk_ESS; (SSeff)   effective sample size of the centre of the distribution
        ess_tail        Tail_ESS            the smaller of those of the 5% and 95% quantiles
        rhat            Rhat; (psrf)        rank-normalised split R-hat
        autocorr        -; AC.10            autocorrelation at ``lag`` kept draws, averaged over chains
        =============== =================== ============================================================

        Args:
            prob: probability of the interval. interval: "eti" with equal tails, "hdi" with highest density.
            lag: of the autocorrelation, in kept draws.
        """
        from jmix.results.posterior_summary import PosteriorSummary

        return PosteriorSummary(self, prob, interval, lag)

    @cached_property
    def diagnostics(self) -> pd.DataFrame:
        """``mcse_mean``, ``mcse_sd``, ``ess_bulk``, ``ess_tail`` and ``rhat`` of every parameter."""
        from jmix.results.posterior_table import diagnostics_table

        return diagnostics_table(self)

    @cached_property
    def status(self) -> SamplingStatus:
        """Whether the draws can be trusted, and in words what speaks against them and what to do."""
        from jmix.results.posterior_status import sampling_status

        return sampling_status(self)

    def hypothesis(self, hypothesis: Any, alpha: float = 0.05, *, prior: Any = None) -> Hypotheses:
        """Judge hypotheses such as ``"Days > 0"`` or ``"sd_Subject__Days - 2 * sigma = 0"``, as brms's ``hypothesis``.

        Args:
            hypothesis: two expressions compared by ``<``, ``>`` or ``=``; or several in a list, or in a dict by name.
                Expressions hold numbers, the names in ``parameters``, ``+ - * / ** ^``, parentheses, exp, log, sqrt
                and abs; backquotes hold any name; ``Intercept`` stands for ``(Intercept)``.
            alpha: of the interval, 1 - 2 alpha for one-sided and 1 - alpha for two-sided hypotheses, and of the star.
            prior: draws of the prior by parameter (dict or frame), for the evidence ratio of a point hypothesis.

        Returns:
            ``table`` with one row a hypothesis: ``estimate``, ``est_error``, ``lower`` and ``upper`` of the left side
            less the right side; ``evidence_ratio``, of a one-sided hypothesis its posterior odds (infinite where no
            draw contradicts it), of a point hypothesis the Savage-Dickey ratio in its favour from kernel densities
            (NaN without ``prior``); ``probability``; and ``star``: a one-sided hypothesis has a probability above
            1 - alpha, or the interval of a two-sided one excludes zero.

        Raises:
            ModelError: an unknown parameter, or text that is no comparison.
        """
        from jmix.results.hypothesis import judge

        return judge(self, hypothesis, alpha, prior)

    # --- plots ------------------------------------------------------------------------------------------------------
    def plot_trace(self, parameters: Parameters = None, *, figsize: tuple[float, float] | None = None) -> Any:
        """Densities by chain at the left, traces by chain at the right, divergences as ticks below the trace.

        All plots return a matplotlib ``Figure`` that no window shows: a notebook does, ``savefig(path)`` writes it.

        Args:
            parameters: names in ``parameters``, or the classes "b", "sd" and "cor"; all of them when left out.
            figsize: width and height in inches.

        Raises:
            ModelError: there is no such parameter. JmixError: matplotlib is missing.
        """
        from jmix.results.posterior_plots import plot_trace

        return plot_trace(self, parameters, figsize)

    def plot_density(
        self,
        parameters: Parameters = None,
        prob: float = 0.95,
        *,
        point: Literal["median", "mean"] = "median",
        interval: Literal["eti", "hdi"] = "eti",
        figsize: tuple[float, float] | None = None,
    ) -> Any:
        """Posterior density of each parameter within its bounds, with a point and an interval; see ``plot_trace``.

        Args:
            prob: probability of the interval. interval: "eti" with equal tails, "hdi" with highest density.
        """
        from jmix.results.posterior_plots import plot_density

        return plot_density(self, parameters, prob, figsize, point=point, interval=interval)

    def plot_pairs(
        self,
        parameters: Parameters = None,
        *,
        kind: Literal["auto", "scatter", "hexbin"] = "auto",
        figsize: tuple[float, float] | None = None,
    ) -> Any:
        """Each pair of at most 20 parameters, densities on the diagonal, divergences highlighted; see ``plot_trace``.

        Args:
            kind: a point a draw, or counts in hexagons (darker is more, on the log scale); "auto" by their number.
        """
        from jmix.results.posterior_pairs import plot_pairs

        return plot_pairs(self, parameters, figsize, kind=kind)

    def plot_forest(
        self,
        parameters: Parameters = None,
        prob: float = 0.95,
        *,
        inner: float = 0.5,
        group: str | None = None,
        diagnostics: bool = True,
        figsize: tuple[float, float] | None = None,
    ) -> Any:
        """Medians with an inner and an outer interval with equal tails, each class of parameters on its own scale.

        Args:
            parameters: as in ``plot_trace``; with ``group``, columns of its random effects, e.g. "Days".
            prob: probability of the outer, ``inner`` of the inner interval.
            group: a grouping factor: its random effects instead of the parameters, levels in order of the first column.
            diagnostics: columns with R-hat and bulk effective sample size.

        Raises:
            ModelError: there is no such parameter or grouping factor. JmixError: matplotlib is missing.
        """
        from jmix.results.posterior_forest import plot_forest

        return plot_forest(self, parameters, prob, figsize, inner=inner, group=group, diagnostics=diagnostics)

    # --- files ------------------------------------------------------------------------------------------------------
    def save(self, path: str | Path) -> None:
        """Write draws, data, priors and settings to one ``.npz`` file, which ``jmix.load_posterior`` reads again.

        The file holds arrays and JSON text, no pickle, and appears when it is complete. A ``path`` that ends in ``.nc``
        becomes the netCDF file of ``to_arviz()`` instead, for ArviZ to read.

        Raises:
            DataError: the folder does not exist or cannot be written. JmixError: ``.nc`` without ArviZ and h5netcdf.
        """
        from jmix.results.posterior_io import save

        save(self, path)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary().to_html())
