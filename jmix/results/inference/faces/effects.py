"""Effect sizes: ICC, R-squared, variance decomposition, collinearity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from jmix.results.base import FitBase

if TYPE_CHECKING:
    from jmix.results.inference.effects.icc import Icc
    from jmix.results.inference.effects.r2 import R2
    from jmix.results.inference.report import TableReport

Approximation = Literal["lognormal", "delta", "trigamma", "latent"]
Mean = Literal["marginal", "intercept"]


class EffectsFace(FitBase):
    """Effect sizes: ICC, R-squared, variance decomposition, collinearity."""

    def icc(
        self, *, by_group: bool = False, approximation: Approximation | None = None, mean: Mean = "marginal"
    ) -> Icc:
        """Intraclass correlations: the share of the random effects in the variance.

        Adjusted for the fixed effects, random / (random + residual); conditional, with the variance of the fixed
        effects in the denominator too. Of random slopes the variance is averaged over the rows (Johnson 2014, Methods
        Ecol. Evol. 5, 944-946). Generalized models take the variance of the distribution on the scale of the linear
        predictor (Nakagawa, Johnson & Schielzeth 2017, J. R. Soc. Interface 14, 20170213): pi^2 / 3 for a logit, 1 for
        a probit and pi^2 / 6 for a cloglog of binary or ordered responses.

        Args:
            by_group: one row a grouping factor: its variance, its adjusted share, and the correlation of two rows that
                share its level, which counts the coarser factors that it is nested in.
            approximation: of counts and positive responses "lognormal" (the default with a log link), "delta" or
                "trigamma"; of binary responses "latent" (the default) or "delta".
            mean: at which the approximation is taken: "marginal", the mean response of the model without predictors,
                as Nakagawa et al. define it, or "intercept", the response at its intercept, as performance 0.10 does.

        Returns:
            A report with ``adjusted``, ``conditional``, ``by_group`` (a Series) and ``table``.

        Raises:
            ModelError: no random effects, or a family without a variance on the scale of its linear predictor.
        """
        from jmix.results.inference.effects.icc import icc
        from jmix.results.inference.effects.variance_decomposition_law import Options

        return icc(self, by_group, Options(approximation, mean))

    def r2(self, *, approximation: Approximation | None = None, mean: Mean = "marginal") -> R2:
        """Shares of variance explained by the fixed effects (marginal) and by all effects (conditional).

        Nakagawa & Schielzeth (2013, Methods Ecol. Evol. 4, 133-142), with random slopes and generalized models as in
        ``icc``. Of least squares both are the explained over the explained plus the residual variance.

        Args:
            approximation, mean: as in ``icc``.

        Returns:
            A report with ``marginal``, ``conditional`` and ``table``.

        Raises:
            ModelError: a family without a variance on the scale of its linear predictor.
        """
        from jmix.results.inference.effects.r2 import r2
        from jmix.results.inference.effects.variance_decomposition_law import Options

        return r2(self, Options(approximation, mean))

    def variance_decomposition(
        self, *, approximation: Approximation | None = None, mean: Mean = "marginal"
    ) -> TableReport:
        """The variance of the response part by part: fixed effects, each random term, residual or distribution.

        Args:
            approximation, mean: as in ``icc``.

        Returns:
            A report; ``table`` has one row a component and the columns ``variance sd share share_unexplained``.

        Raises:
            ModelError: a family without a variance on the scale of its linear predictor.
        """
        from jmix.results.inference.effects.variance_decomposition import variance_decomposition
        from jmix.results.inference.effects.variance_decomposition_law import Options

        return variance_decomposition(self, Options(approximation, mean))

    def null_model(self, random: Literal["intercepts", "same"] = "intercepts") -> Any:
        """The model without predictors on the same rows, by the method of this fit: a ``Fit`` or ``GlmmFit``.

        Args:
            random: "intercepts", one for every grouping factor: the empty model of a multilevel analysis; or "same",
                the random terms of this fit.

        Raises:
            ModelError: another value, or a fit by MAP.
        """
        from jmix.results.inference.effects.empty import null_model

        return null_model(self, random)

    def variance_explained(self, null: Any = None) -> TableReport:
        """How much smaller than in the empty model the variance of each level is.

        The proportional reduction of Raudenbush & Bryk (2002, *Hierarchical Linear Models*, equation 4.20).

        Args:
            null: the model to compare with; by default ``fit.null_model()``.

        Returns:
            A report; ``table`` has one row a level and the columns ``null model explained``.

        Raises:
            ModelError: models of different rows, or without a level in common.
        """
        from jmix.results.inference.effects.empty import variance_explained

        return variance_explained(self, null)

    def vif(self) -> TableReport:
        """Generalized variance inflation factors of the terms of the fixed effects.

        From the correlations of the estimates, as car's ``vif`` (Fox & Monette 1992, J. Am. Stat. Assoc. 87, 178-183).

        Returns:
            A report; ``table`` has one row a term and the columns ``df vif vif_root tolerance``, with ``vif_root`` =
            vif^(1 / (2 df)), comparable between terms.

        Raises:
            ModelError: fewer than two terms besides the intercept.
        """
        from jmix.results.inference.effects.vif import vif

        return vif(self)

    def repca(self) -> TableReport:
        """Principal components of each random term's covariance matrix, as lme4's ``rePCA``: where it is singular.

        Returns:
            A report; ``table`` has one row a component and the columns ``sd share cumulative direction``, the standard
            deviation on the scale of the data; the notes name the directions without variance.

        Raises:
            ModelError: no random effects.
        """
        from jmix.results.inference.effects.variance_decomposition_pca import repca

        return repca(self)
