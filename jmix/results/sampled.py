"""The draws of a sampler with the model that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.design import Design
from jmix.estimate.draws import Draws, SamplerSettings
from jmix.spec.covariance import CovarianceSpec
from jmix.spec.names import parameter_names

if TYPE_CHECKING:
    from jmix.design import RandomTerm
    from jmix.results.posterior_law import Law
    from jmix.spec.prior_sets import Priors

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sampled:
    """Draws from the posterior of a model, and what they are draws of.

    Attributes:
        design: the data as arrays, with the encoding of the formula. terms: the random terms in lme4's order.
        objective: the likelihood of these data. draws: the parameters, sampler statistics and settings.
        priors: the priors in force. family: "gaussian" or "student", or a ``Family`` of a generalized model.
    """

    design: Design
    spec: CovarianceSpec
    terms: tuple[RandomTerm, ...]
    objective: Any
    priors: Priors
    draws: Draws
    family: Any = "gaussian"

    @cached_property
    def law(self) -> Law:
        """What the tables and predictions use of the response."""
        from jmix.results.posterior_law import GaussianLaw

        return GaussianLaw(self)

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
        draws, others = self.draws, self.law.parameters()
        names = parameter_names(self.design.x_names, self.spec, others=tuple(others))
        columns: list[FloatArray] = [draws.beta[:, :, i] for i in range(draws.beta.shape[2])]
        for sd in draws.sd:
            columns += [sd[:, :, a] for a in range(sd.shape[2])]
        for cor in draws.cor:
            q = cor.shape[2]
            columns += [cor[:, :, b, a] for a in range(q) for b in range(a + 1, q)]
        return dict(zip(names, [*columns, *others.values()], strict=True))

    def __getitem__(self, name: str) -> FloatArray:
        """(C, D) draws of one parameter, by its name in ``parameters``."""
        return self.parameters[name]

    def frame(self) -> pd.DataFrame:
        """One row a draw: columns ``chain``, ``draw`` and every parameter."""
        c, d = self.draws.shape
        head = {"chain": np.repeat(np.arange(c), d), "draw": np.tile(np.arange(d), c)}
        return pd.DataFrame({**head, **{k: v.reshape(-1) for k, v in self.parameters.items()}})

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

    @property
    def sigma(self) -> float:
        """Posterior mean of the residual standard deviation (of the scale, for family "student")."""
        return float(self.draws.sigma.mean())

    @cached_property
    def memory(self) -> dict[Any, Any]:
        """What was computed from the draws and is kept for the next question."""
        return {}
