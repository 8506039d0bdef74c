"""Profile likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jmix.results.base import FitBase

if TYPE_CHECKING:
    from jmix.results.inference.profiling.profile import Profile
    from jmix.results.inference.profiling.profile_scale import Parameters, Scale


class ProfileFace(FitBase):
    """Profile likelihood."""

    def profile(
        self,
        parameters: Parameters = None,
        *,
        level: float = 0.999,
        scale: Scale = "sdcor",
        progress: bool | None = None,
    ) -> Profile:
        """The likelihood along each parameter, all others at their best: lme4's ``profile``.

        ``zeta`` is the signed root of the deviance's rise; it is followed outward from the estimate until an interval
        of ``level`` is covered, by Newton's method with exact derivatives. Linear mixed models are profiled by maximum
        likelihood, also after REML, as in lme4: the restricted likelihood says nothing about fixed effects. After
        least squares zeta is the t statistic, so that the intervals are exact. An interrupt (Ctrl-C) keeps what is
        known.

        Args:
            parameters: names as ``jmix.spec.names.parameter_names`` has them (``"Days"``, ``"sd_Subject__Intercept"``,
                ``"sigma"``), or "fixed", "random" (with sigma) or "all", alone or in a list; by default all.
            level: of the widest interval to be read off.
            scale: of the covariance parameters: "sdcor", standard deviations and correlations; "varcov", variances
                ``var_`` and covariances ``cov_``; "log", logs of standard deviations and Fisher's z of correlations.
            progress: show a bar; by default where somebody is watching.

        Returns:
            A ``Profile``: ``table``, ``confint(level)``, ``plot_zeta()``, ``plot_density()``, ``plot_pairs()``. Its
            ``notes`` say what could not be followed, and whether a better optimum than the fit's was found.

        Raises:
            ModelError: an unknown name or scale, a level outside (0, 1), a fit by MAP, or ever lower deviances.
        """
        from jmix.results.inference.profiling.profile_build import profile

        return profile(self, parameters, level, scale, progress)
