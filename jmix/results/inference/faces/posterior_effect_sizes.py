"""Effect sizes of a posterior: draws of the ICC and of R-squared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jmix.results.sampled import Sampled

if TYPE_CHECKING:
    from jmix.results.inference.effects.posterior_effect_sizes import DrawnShares


class DrawnEffectsFace(Sampled):
    """ICC and R-squared as functions of the draws."""

    def icc(self, *, level: float = 0.95) -> DrawnShares:
        """Posterior of the intraclass correlations, as ``Fit.icc`` defines them: adjusted, conditional, by group.

        Args:
            level: probability of the equal-tailed interval.

        Returns:
            A report with one row a quantity, ``estimate`` the posterior mean; ``draws`` holds (C, D) arrays by name.

        Raises:
            ModelError: no random effects, or a family without a latent variable or residual on the scale of its linear
                predictor.
        """
        from jmix.results.inference.effects.posterior_effect_sizes import drawn_icc

        return drawn_icc(self, level)

    def r2(self, *, level: float = 0.95) -> DrawnShares:
        """Posterior of the marginal and the conditional R-squared, as ``Fit.r2`` defines them.

        Args:
            level: probability of the equal-tailed interval.

        Returns:
            A report with one row a quantity, ``estimate`` the posterior mean; ``draws`` holds (C, D) arrays by name.

        Raises:
            ModelError: a family without a latent variable or residual on the scale of its linear predictor.
        """
        from jmix.results.inference.effects.posterior_effect_sizes import drawn_r2

        return drawn_r2(self, level)
