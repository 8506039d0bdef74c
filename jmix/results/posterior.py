"""The result of sampling: draws of the parameters and everything that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.design import Design
from jmix.estimate.draws import Draws, SamplerSettings
from jmix.estimate.objective import GaussianObjective
from jmix.spec.covariance import CovarianceSpec
from jmix.spec.names import parameter_names

if TYPE_CHECKING:
    from jmix.design import RandomTerm
    from jmix.results.hypothesis import Hypotheses
    from jmix.results.posterior_status import SamplingStatus
    from jmix.results.posterior_summary import PosteriorSummary
    from jmix.spec.priors import PriorSet

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws from the posterior of a model.

    Attributes:
        design: the data as arrays, with the encoding of the formula. terms: the random terms in lme4's order.
        objective: the Gaussian likelihood of these data. draws: the parameters, sampler statistics and settings.
        priors: the priors in force. family: "gaussian" or "student".
    """

    design: Design
    spec: CovarianceSpec
    terms: tuple[RandomTerm, ...]
    objective: GaussianObjective
    priors: PriorSet
    draws: Draws
    family: str = "gaussian"

    @property
    def formula(self) -> str:
        """The formula as the user wrote it."""
        return self.design.formula

    @property
    def settings(self) -> SamplerSettings:
        """How the draws were made."""
        return self.draws.settings

    @property
    def chains(self) -> int:
        """Number of chains."""
        return self.draws.shape[0]

    @property
    def n_draws(self) -> int:
        """Draws of all chains together."""
        return self.draws.shape[0] * self.draws.shape[1]

    @cached_property
    def parameters(self) -> Mapping[str, FloatArray]:
        """(C, D) draws of every parameter by its name: fixed effects as in R, then ``sd_Subject__Intercept``,
        ``cor_Subject__Intercept__Days``, ``sigma`` and ``nu`` as in brms.
        """
        draws, spec = self.draws, self.spec
        names = parameter_names(self.design.x_names, spec, nu=draws.nu is not None)
        columns: list[FloatArray] = [draws.beta[:, :, i] for i in range(draws.beta.shape[2])]
        for sd in draws.sd:
            columns += [sd[:, :, a] for a in range(sd.shape[2])]
        for cor in draws.cor:
            q = cor.shape[2]
            columns += [cor[:, :, b, a] for a in range(q) for b in range(a + 1, q)]
        columns.append(draws.sigma)
        if draws.nu is not None:
            columns.append(draws.nu)
        return dict(zip(names, columns, strict=True))

    def __getitem__(self, name: str) -> FloatArray:
        """(C, D) draws of one parameter, by its name in ``parameters``."""
        return self.parameters[name]

    def frame(self) -> Any:
        """One row a draw: columns ``chain``, ``draw`` and every parameter."""
        import pandas as pd

        c, d = self.draws.shape
        head = {"chain": np.repeat(np.arange(c), d), "draw": np.tile(np.arange(d), c)}
        return pd.DataFrame({**head, **{k: v.reshape(-1) for k, v in self.parameters.items()}})

    # --- estimates --------------------------------------------------------------------------------------------------
    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return int(self.design.y.shape[0])

    def ngrps(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {t.group: len(t.levels) for t in self.terms}

    @property
    def beta(self) -> FloatArray:
        """(p,) posterior means of the fixed effects as an array."""
        return np.asarray(self.draws.beta.mean(axis=(0, 1)))

    def fixef(self) -> pd.Series:
        """(p,) posterior means of the fixed effects (brms's ``Estimate``), named as in R."""
        return pd.Series(self.beta, index=self.design.x_names, name="estimate")

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
    def sigma(self) -> float:
        """Posterior mean of the residual standard deviation (of the scale, for family "student")."""
        return float(self.draws.sigma.mean())

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

    # --- files ------------------------------------------------------------------------------------------------------
    def save(self, path: str | Path) -> None:
        """Write draws, data, priors and settings to one ``.npz`` file, which ``jmix.load_posterior`` reads again.

        The file holds arrays and JSON text, no pickle, and appears when it is complete. A ``path`` that ends in ``.nc``
        becomes the netCDF file of ``to_arviz()`` instead, for ArviZ to read.

        Raises:
            DataError: the folder does not exist or cannot be written. JmixError: a ``.nc`` file, and ArviZ is missing.
        """
        from jmix.results.posterior_io import save

        save(self, path)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary().to_html())
