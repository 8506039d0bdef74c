"""The result of sampling a generalized linear mixed model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.posterior import Posterior
from jmix.results.posterior_glmm_law import GlmmLaw, category_names

if TYPE_CHECKING:
    from jmix.design_response import GlmmDesign
    from jmix.estimate.draws import Draws
    from jmix.estimate.glmm_objective import GlmmObjective
    from jmix.spec.prior_sets import GlmmPriorSet

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class GlmmPosterior(Posterior):
    """Draws from the posterior of a generalized linear mixed model.

    All that ``Posterior`` has, on these terms: ``predict`` has expected responses by default (of a binomial response
    proportions, of an ordinal one the probabilities of the categories), linear predictors with ``kind="linear"``, and
    new responses with ``kind="response"``.

    Attributes:
        design: fixed and random effects as arrays; it may be given as a ``GlmmDesign``. objective: the likelihood of
            these data, which has all of them. family: a ``Family``.
    """

    def __post_init__(self) -> None:
        design: GlmmDesign = self.objective.design
        object.__setattr__(self, "design", design.base)
        object.__setattr__(self, "family", design.family)

    @cached_property
    def law(self) -> GlmmLaw:
        """What the tables and predictions use of the response."""
        return GlmmLaw(self)

    @property
    def data(self) -> GlmmDesign:
        """The data as arrays, with the response and the other formulas."""
        design: GlmmDesign = self.objective.design
        return design

    @property
    def integration(self) -> str:
        """How the random effects were treated: "Laplace", "AGQ", "ML" without any, or "sampled"."""
        return "sampled" if self.draws.effects is not None else str(self.objective.title)

    def integration_error(self, n_agq: int = 25, draws: int = 20) -> float:
        """Standard deviation, over draws, of the error of the log likelihood, by quadrature with ``n_agq`` nodes.

        An error that is the same everywhere does not move the posterior. Well below one, say 0.1, it matters little
        beside the posterior's own spread.

        Args:
            draws: how many, evenly spaced.

        Raises:
            ModelError: several grouping factors, which quadrature cannot serve.
        """
        from jmix.estimate.glmm_objective import build_glmm_objective

        finer = build_glmm_objective(self.data, self.spec, self.terms, n_agq=n_agq)
        assert self.draws.x is not None
        x = self.draws.x.reshape(self.n_draws, -1)
        at = x[np.linspace(0, self.n_draws - 1, min(draws, self.n_draws)).astype(int)]
        return float(np.std([finer.evaluate(own)[0] - self.objective.evaluate(own)[0] for own in at]))

    # --- fitted values ----------------------------------------------------------------------------------------------
    def predict(self, data: Any = None, **options: Any) -> pd.DataFrame | FloatArray:
        """Posterior predictions; see ``Posterior.predict``.

        Of an ordinal response the expected ones are probabilities: columns ``("fit", category)`` and so on, or draws of
        shape (chains times draws, n, K); responses are codes 0 to K - 1. ``weights`` are the trials of new binomial
        rows, for ``kind="response"``.
        """
        found = super().predict(data, **options)
        if isinstance(found, pd.DataFrame) and found.columns.nlevels == 2:
            labels = dict(enumerate(category_names(self.data), start=1))
            return found.rename(columns=labels, level=1)
        return found

    def fitted(self, *, conditional: bool = True) -> pd.Series:
        """(n,) posterior means of the expected responses, with (``conditional``) or without the random effects.

        Raises:
            ModelError: an ordinal response; see ``predict``.
        """
        self._numeric("fitted()")
        table: Any = self.predict(conditional=conditional)
        return pd.Series(table["fit"].to_numpy(), index=self.design.index, name="fitted")

    def residuals(self, type: Literal["raw", "response", "pearson", "scaled"] = "response") -> pd.Series:
        """(n,) residuals from the posterior mean of the expected response; ``pearson`` over the square root of the
        posterior mean of the variance.

        Raises:
            ModelError: another type, or an ordinal response.
        """
        if type not in ("raw", "response", "pearson"):
            raise ModelError(f"residuals(type={type!r}): choose 'response' or 'pearson'")
        self._numeric("residuals()")
        size = self.data.response.size
        y = self.design.y if size is None else self.design.y / size
        values = y - self.fitted().to_numpy()
        if type == "pearson":
            values = values / np.sqrt(self._variance())
        return pd.Series(values, index=self.design.index, name="residual")

    def _numeric(self, what: str) -> None:
        if category_names(self.data):
            raise ModelError(f"{what} needs a response with a mean, and this one is ordinal: use predict()")

    def _variance(self) -> FloatArray:
        """(n,) posterior mean of the variance of each response."""
        from jmix.results.posterior_effects import thinned
        from jmix.results.posterior_predict import linear_blocks

        numbers, parts = thinned(self).reshape(-1), self.law.parts(None, None, self.nobs, False)
        out = np.empty(self.nobs)
        for block, eta in linear_blocks(self, numbers, 0):
            out[block] = self.law.variance(eta, numbers, parts, block).mean(axis=1)
        return out


def make_posterior(objective: GlmmObjective, priors: GlmmPriorSet, draws: Draws) -> GlmmPosterior:
    """The posterior of a model from its draws."""
    design = objective.design
    return GlmmPosterior(design.base, objective.spec, objective.terms, objective, priors, draws, design.family)
