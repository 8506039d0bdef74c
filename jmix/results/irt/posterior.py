"""The result of sampling an item response model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.irt.numbers import Numbers

if TYPE_CHECKING:
    from pathlib import Path

    from jmix.estimate.draws import SamplerSettings
    from jmix.estimate.irt.draws import IrtDraws
    from jmix.responses.data import Responses
    from jmix.results.irt.posterior_summary import IrtPosteriorSummary
    from jmix.results.posterior_status import SamplingStatus
    from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class IrtPosterior:
    """Draws from the posterior of an item response model, theta integrated out, and what follows from them.

    Attributes:
        spec: the specification with the priors in force. responses: the data. marginal: their marginal likelihood.
        draws: free parameters, sampler statistics and settings. covariates: (N, p) person model matrix of a latent
            regression, or None.
    """

    spec: IrtSpec
    responses: Responses
    marginal: Any
    draws: IrtDraws
    covariates: FloatArray | None = None

    def __repr__(self) -> str:
        return str(self.summary())

    # --- draws ------------------------------------------------------------------------------------------------------
    @property
    def names(self) -> list[str]:
        """The P free parameters."""
        return list(self.spec.table.free_names)

    @property
    def chains(self) -> int:
        """Number of chains."""
        return self.draws.shape[0]

    @property
    def n_draws(self) -> int:
        """Draws of all chains."""
        return self.draws.shape[0] * self.draws.shape[1]

    @property
    def settings(self) -> SamplerSettings:
        """How the draws were made."""
        return self.draws.settings

    @cached_property
    def parameters(self) -> dict[str, FloatArray]:
        """(C, D) draws of each free parameter; of asymptotes the probabilities."""
        logit = Numbers(self.spec, self.draws.x[0, 0]).logit[self.spec.table.free]
        with np.errstate(over="ignore"):
            shown = np.where(logit, 1.0 / (1.0 + np.exp(-self.draws.x)), self.draws.x)
        return {name: np.ascontiguousarray(shown[..., i]) for i, name in enumerate(self.names)}

    @cached_property
    def diagnostics(self) -> pd.DataFrame:
        """``mcse_mean``, ``mcse_sd``, ``ess_bulk``, ``ess_tail`` and ``rhat`` of every parameter."""
        from jmix.results.posterior_table import diagnostics_table

        return diagnostics_table(self)  # type: ignore[arg-type]

    @cached_property
    def status(self) -> SamplingStatus:
        """Whether the draws can be trusted, and in words what speaks against them and what to do."""
        from jmix.results.posterior_status import sampling_status

        return sampling_status(self)  # type: ignore[arg-type]

    # --- estimates --------------------------------------------------------------------------------------------------
    def summary(
        self, prob: float = 0.95, interval: Literal["eti", "hdi"] = "eti", lag: int = 10
    ) -> IrtPosteriorSummary:
        """A printable summary; its ``table`` has the columns of ``Posterior.summary``, one row a free parameter.

        Args:
            prob: probability of the interval. interval: "eti" with equal tails, "hdi" with highest density.
            lag: of the autocorrelation, in kept draws.
        """
        from jmix.results.irt.posterior_summary import IrtPosteriorSummary

        return IrtPosteriorSummary(self, prob, interval, lag)

    def coef(self) -> pd.Series:
        """(P,) posterior means of the free parameters."""
        return pd.Series({name: float(v.mean()) for name, v in self.parameters.items()}, name="estimate")

    def se(self) -> pd.Series:
        """(P,) posterior standard deviations."""
        return pd.Series({name: float(v.std(ddof=1)) for name, v in self.parameters.items()}, name="std_error")

    def vcov(self) -> pd.DataFrame:
        """(P, P) posterior covariance of the free parameters, asymptotes as probabilities."""
        flat = np.stack([v.reshape(-1) for v in self.parameters.values()])
        return pd.DataFrame(np.atleast_2d(np.cov(flat)), index=self.names, columns=self.names)

    def confint(self, level: float = 0.95, method: Literal["eti", "hdi"] = "eti") -> pd.DataFrame:
        """Credible intervals, columns ``lower`` and ``upper``: with equal tails, or the shortest."""
        from jmix.results.posterior_table import bounds

        flat = np.stack([v.reshape(-1) for v in self.parameters.values()])
        lower, upper = bounds(flat, level, method)
        return pd.DataFrame({"lower": lower, "upper": upper}, index=self.names)

    def tidy(self, *, conf_int: bool = False, level: float = 0.95) -> pd.DataFrame:
        """One row a parameter: ``term estimate std_error rhat ess`` and, if asked for, ``conf_low conf_high``."""
        out = pd.DataFrame({"term": self.names, "estimate": self.coef().to_numpy(), "std_error": self.se().to_numpy()})
        if conf_int:
            ends = self.confint(level)
            out["conf_low"], out["conf_high"] = ends["lower"].to_numpy(), ends["upper"].to_numpy()
        return out.assign(rhat=self.diagnostics["rhat"].to_numpy(), ess=self.diagnostics["ess_bulk"].to_numpy())

    def items(self, group: str | None = None, *, most: int = 1000) -> pd.DataFrame:
        """Posterior means of the items' parameters, posterior standard deviations as ``se_*``; see ``IrtFit.items``.

        Args:
            group: of several groups, the one. most: draws that are used, evenly spaced.
        """
        from jmix.results.irt.posterior_items import items

        return items(self, group, most)

    def scores(self, *, most: int = 200) -> pd.DataFrame:
        """Posterior mean and standard deviation of every person's theta, the parameters' uncertainty included.

        By the laws of total expectation and variance over draws: the means of EAP estimates and of their variances,
        plus the variance of the EAP estimates.

        Args:
            most: draws that are used, evenly spaced.
        """
        from jmix.results.irt.posterior_items import scores

        return scores(self, most)

    def log_likelihood(self, *, most: int = 1000) -> FloatArray:
        """(C, D', N) log likelihood of each person, theta integrated out, at draws evenly spaced."""
        from jmix.results.irt.posterior_items import log_likelihood

        return log_likelihood(self, most)

    def loo(self, *, most: int = 1000) -> Any:
        """ArviZ's leave-one-person-out cross-validation (Vehtari, Gelman & Gabry 2017).

        Raises:
            JmixError: ArviZ is missing.
        """
        from jmix.results.irt.posterior_items import loo

        return loo(self, most)

    def to_arviz(self, *, log_likelihood: bool = True, most: int = 1000) -> Any:
        """Draws, sampler statistics and person-wise log likelihoods for ArviZ.

        Args:
            most: draws that are kept, evenly spaced; all where ``log_likelihood`` is false.

        Raises:
            JmixError: ArviZ is missing.
        """
        from jmix.results.irt.posterior_items import to_arviz

        return to_arviz(self, log_likelihood, most)

    def save(self, path: str | Path) -> None:
        """Write draws, specification and responses to one ``.npz`` file; ``jmix.load_posterior`` reads it.

        Raises:
            DataError: the folder does not exist or cannot be written.
        """
        from jmix.results.irt.posterior_io import save

        save(self, path)
