"""What follows from the draws: random effects, predictions, statements about new groups, pointwise likelihoods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.inference.faces.posterior_effect_sizes import DrawnEffectsFace
from jmix.results.inference.faces.posterior_means import DrawnMeansFace

if TYPE_CHECKING:
    from jmix.results.posterior_population import Population

FloatArray = npt.NDArray[np.float64]
LogLikelihood = Literal["conditional", "marginal", "both"]


class Derived(DrawnMeansFace, DrawnEffectsFace):
    """Methods of a posterior that go beyond its parameters."""

    # --- random effects ---------------------------------------------------------------------------------------------
    def effects(self, group: str | None = None, *, thin: int = 1, seed: int = 0) -> dict[str, FloatArray]:
        """Draws of the random effects by grouping factor: (C, D, J, q), all terms of a factor side by side.

        For each draw of the parameters one exact joint draw of all random effects from their distribution given the
        data and the parameters; where the sampler drew them itself, those draws.

        Args:
            group: only this grouping factor. thin: only every thin-th draw of each chain.
            seed: the same seed, the same draws, whatever ``thin`` and ``group``.

        Raises:
            ModelError: no such grouping factor, draws of the prior, or more numbers than fit into memory.
        """
        from jmix.results.posterior_effects import effects

        return effects(self, group, thin=thin, seed=seed)

    def ranef(self, *, thin: int = 1) -> dict[str, pd.DataFrame]:
        """Posterior means of the random effects by grouping factor: one row a level.

        They are averages of the conditional means given each draw of the parameters (Rao-Blackwell), without the noise
        of drawing the effects; averages of the draws where the response is not Gaussian.

        Args:
            thin: only every thin-th draw of each chain, which large crossed designs may need.
        """
        from jmix.results.posterior_effects import frames, means

        return frames(self, means(self, thin))

    def ranef_sd(self, *, thin: int = 1) -> dict[str, pd.DataFrame]:
        """Posterior standard deviations of the random effects, in the shape of ``ranef``.

        By the law of total variance: the mean of the conditional variances plus the variance of the conditional means.
        """
        from jmix.results.posterior_effects import frames, moments

        return frames(self, moments(self, thin)[1])

    def ranef_table(
        self, prob: float = 0.95, interval: Literal["eti", "hdi"] = "eti", *, thin: int = 1, seed: int = 0
    ) -> pd.DataFrame:
        """One row a random effect: ``group level term estimate est_error lower upper``.

        Args:
            prob: probability of the interval. interval: "eti" with equal tails, "hdi" with highest density.
            thin, seed: as in ``effects``.
        """
        from jmix.results.posterior_effects import table

        return table(self, prob, interval, thin=thin, seed=seed)

    def coef(self) -> dict[str, pd.DataFrame]:
        """Posterior means of fixed effects plus random effects, by grouping factor."""
        from jmix.results.coefficients import coefficients

        return coefficients(self.fixef(), self.ranef())

    # --- predictions ------------------------------------------------------------------------------------------------
    def fitted(self, *, conditional: bool = True) -> pd.Series:
        """(n,) posterior means of the fitted values, with (``conditional``) or without the random effects."""
        from jmix.results.posterior_predict import fitted

        return pd.Series(fitted(self, conditional), index=self.design.index, name="fitted")

    def residuals(self, type: Literal["raw", "response", "pearson", "scaled"] = "raw") -> pd.Series:
        """(n,) residuals from the posterior mean: ``raw``; ``pearson`` times the root of the prior weight; ``scaled``
        Pearson over the posterior mean of sigma.

        Raises:
            ModelError: for another type.
        """
        from jmix.results.posterior_predict import residuals

        return pd.Series(residuals(self, type), index=self.design.index, name="residual")

    def predict(
        self,
        data: Any = None,
        *,
        conditional: bool = True,
        new_levels: Literal["error", "population", "sample"] = "error",
        kind: Literal["expected", "response", "linear"] = "expected",
        prob: float = 0.95,
        summary: bool = True,
        weights: Any = None,
        thin: int = 1,
        seed: int = 0,
    ) -> pd.DataFrame | FloatArray:
        """Posterior predictions for new rows, or for the data of the model.

        Args:
            data: a table with the columns of the formula; the grouping columns only if ``conditional``.
            conditional: add the random effects, or predict for the population.
            new_levels: grouping levels that the model has not seen are refused ("error"; a missing level gives NaN),
                have a random effect of zero ("population"), or one drawn from the population in every draw of the
                parameters, the same in all rows of a level ("sample"; each missing level is a level of its own).
            kind: "expected" value of the response; "response": a new one, with its residual; "linear" predictor, here
                the same as the first.
            prob: probability of the interval. summary: whether to summarise the draws.
            weights: of new rows with kind="response", where the model has weights: (n,), or the name of a column.
            thin, seed: as in ``effects``.

        Returns:
            A frame with a row for each row of the data: ``fit`` and ``se``, the mean and standard deviation of the
            draws, and ``lower`` and ``upper`` of an interval with equal tails. Without ``summary`` the draws
            themselves, (chains times draws, n), chain by chain. A row with a missing value is NaN.

        Raises:
            DataError: columns are missing, or levels are new and ``new_levels`` is "error".
            ModelError: another option, or more numbers than fit into memory.
        """
        from jmix.results.posterior_predict import predict

        return predict(
            self,
            data,
            conditional=conditional,
            new_levels=new_levels,
            kind=kind,
            prob=prob,
            summary=summary,
            weights=weights,
            thin=thin,
            seed=seed,
        )

    def simulate(self, n: int = 1, *, seed: int = 0, conditional: bool = False) -> pd.DataFrame:
        """(rows, n) responses from the posterior predictive distribution, each from another draw of the parameters.

        Of draws of the prior, the prior predictive distribution.

        Args:
            conditional: with the random effects of the groups in the data; otherwise those of new groups.
        """
        from jmix.results.posterior_predict import simulate

        return simulate(self, n, seed, conditional)

    # --- new groups -------------------------------------------------------------------------------------------------
    def population(self, prob: float = 0.95) -> Population:
        """Where the coefficients of future groups lie: "95% of future levels of Subject have Days between ...".

        Args:
            prob: the share of future groups, and the probability of the intervals of the limits.

        Returns:
            Prints as sentences. ``table`` has a row for each coefficient that varies, fixed effect plus random effect:
            ``group``, ``term``, ``estimate`` (posterior mean of the average); ``lower`` and ``upper``, quantiles of
            the predictive distribution of one future group, parameters integrated out; ``from`` and ``to``, posterior
            means of the limits mean -/+ z sd of the population, with their intervals ``from_lower from_upper to_lower
            to_upper``.
        """
        from jmix.results.posterior_population import population

        return population(self, prob)

    def prob_new_group(self, hypothesis: str, group: str | None = None, prob: float = 0.95) -> pd.Series:
        """Probability that the coefficients of a future group satisfy an inequality such as ``"Days > 0"``.

        Args:
            hypothesis: linear in the coefficients, as in ``hypothesis``: ``"Intercept + 9 * Days > 300"``.
            group: the grouping factor, where there are several.

        Returns:
            ``probability``, and ``lower`` and ``upper``: the interval of probability ``prob`` of the share of all
            groups that satisfy it, of which the first is the posterior mean.

        Raises:
            ModelError: an equality, an expression that is not linear, or an unknown name.
        """
        from jmix.results.posterior_population import prob_new_group

        return prob_new_group(self, hypothesis, group, prob)

    # --- likelihood and export --------------------------------------------------------------------------------------
    def log_likelihood(
        self, kind: Literal["conditional", "marginal"] = "conditional", *, thin: int = 1, seed: int = 0
    ) -> FloatArray:
        """Pointwise log likelihood, for leave-one-out cross-validation.

        Args:
            kind: "conditional", (C, D, n): of each row given the random effects, as drawn by ``effects``. "marginal",
                (C, D, J): of each group, its random effects integrated out; right for leaving a group out. Of nested
                grouping factors the coarsest counts.

        Raises:
            ModelError: "marginal" where the grouping factors are crossed or the response is not Gaussian; more numbers
                than fit into memory.
        """
        from jmix.results.pointwise import log_likelihood

        return log_likelihood(self, kind, thin, seed)

    def to_arviz(
        self,
        log_likelihood: LogLikelihood | None = "conditional",
        *,
        effects: bool = False,
        posterior_predictive: bool = False,
        prior: Any = None,
        thin: int = 1,
        seed: int = 0,
    ) -> Any:
        """The draws for ArviZ: ``InferenceData``, or a ``DataTree`` since ArviZ 1.

        ``posterior`` has the names of ``parameters``, and ``r_Subject`` with ``effects``; ``log_likelihood`` has the
        conditional one under the name of the response and the marginal one under that of the grouping factor, so that
        ``az.loo(data, var_name="Subject")`` leaves groups out. A slash in a name becomes ``÷``. Draws of the prior
        make up the groups ``prior`` and ``prior_predictive``.

        Args:
            log_likelihood: "conditional", "marginal", "both" or None; see ``log_likelihood``.
            effects: also the random effects. posterior_predictive: also a new response for each row and draw.
            prior: ``model.sample_prior()``, or draws of the prior by parameter.
            thin, seed: as in ``effects``.

        Raises:
            JmixError: ArviZ is not installed.
            ModelError: as ``log_likelihood``.
        """
        from jmix.results.arviz_export import to_arviz

        return to_arviz(
            self,
            log_likelihood,
            effects=effects,
            posterior_predictive=posterior_predictive,
            prior=prior,
            thin=thin,
            seed=seed,
        )
