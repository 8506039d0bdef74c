"""Pictures of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jmix.results.base import FitBase

if TYPE_CHECKING:
    from jmix.results.inference.fixed.fixed_tests import DfMethod

Size = tuple[float, float]


class PlotsFace(FitBase):
    """Pictures of a fit.

    Each returns a matplotlib ``Figure`` that no window shows: a notebook does, ``savefig(path)`` writes it.
    """

    def plot_fixef(
        self,
        level: float = 0.95,
        *,
        sort: bool = False,
        df: DfMethod | None = None,
        intercept: bool = False,
        component: str = "cond",
        exponentiate: bool = False,
        figsize: Size | None = None,
    ) -> Any:
        """Fixed effects with their Wald intervals (a forest plot), and as numbers beside.

        Args:
            level: coverage of the intervals. sort: by size, the largest on top.
            df: degrees of freedom of the intervals of a linear mixed model, as in ``summary``.
            intercept: also the intercept, whose scale is seldom that of the others.
            component: of a generalized model, as in ``fixef``.
            exponentiate: odds ratios or ratios on a logarithmic axis, for a logit, log or cloglog link.
            figsize: width and height in inches.

        Raises:
            ModelError: a level, component or link that does not serve. JmixError: matplotlib is missing.
        """
        from jmix.results.inference.plots.fixef import plot_fixef

        return plot_fixef(self, level, sort, df, intercept, component, exponentiate, figsize)

    def plot_ranef(
        self,
        group: str | None = None,
        columns: str | Sequence[str] | None = None,
        *,
        level: float = 0.95,
        sort: bool = True,
        figsize: Size | None = None,
    ) -> Any:
        """Random effects in order with intervals ``mode -/+ z condSD`` (a caterpillar plot; lme4's ``dotplot`` of
        ``ranef(condVar=TRUE)``).

        The conditional standard deviations are given the parameters. Intervals that hold zero are pale. Up to 60
        levels have labels.

        Args:
            group: a grouping factor; all of them below each other by default. columns: of its random effects.
            level: of the intervals. sort: levels in the order of the first column; else as in ``ranef``.
            figsize: width and height in inches.

        Raises:
            ModelError: no such factor or column, or no random effects. JmixError: matplotlib is missing.
        """
        from jmix.results.inference.plots.ranef import plot_ranef

        return plot_ranef(self, group, columns, level, sort, figsize)

    def plot_qq_ranef(
        self,
        group: str | None = None,
        columns: str | Sequence[str] | None = None,
        *,
        figsize: Size | None = None,
    ) -> Any:
        """Random effects against normal quantiles, with a pointwise 95% band.

        A mode is divided by its standard deviation under the model, the root of ``Sigma_kk - condVar_kk``, so that
        groups of different size can be compared; the model then asks for the line of equality. The outermost levels
        beyond the band are named.

        Args:
            group, columns, figsize: as in ``plot_ranef``.

        Raises:
            ModelError: no such factor or column, or no random effects. JmixError: matplotlib is missing.
        """
        from jmix.results.inference.plots.ranef import plot_qq_ranef

        return plot_qq_ranef(self, group, columns, figsize)

    def plot_shrinkage(
        self,
        group: str | None = None,
        columns: str | Sequence[str] | None = None,
        *,
        figsize: Size | None = None,
    ) -> Any:
        """Coefficients of each group by its own regression, as the model estimates them, and of the population.

        With two columns in their plane: arrows from the separate estimates to the partially pooled ones, and ellipses
        that hold 50% and 95% of the groups under the model (Bates 2010, lme4: Mixed-effects Modeling with R, section
        4.3). With one column side by side. A separate regression is the group's own ``lm`` on the columns of its random
        effects, of what the other fixed and random effects leave of the response.

        Args:
            group: a grouping factor, where there are several.
            columns: one or two columns of its random effects; the first two by default.
            figsize: width and height in inches.

        Raises:
            ModelError: no such factor or column, or a generalized model. JmixError: matplotlib is missing.
        """
        from jmix.results.inference.plots.shrinkage import plot_shrinkage

        return plot_shrinkage(self, group, columns, figsize)

    def plot_lines(
        self,
        x: str | None = None,
        group: str | None = None,
        *,
        n: int = 24,
        levels: Sequence[Any] | None = None,
        figsize: Size | None = None,
    ) -> Any:
        """The data of groups in small panels with fitted lines: of the model for the group, of the population (fixed
        effects alone), and of the group's own regression on x.

        Other variables are at their mean, or most frequent level, in the group; random effects of other factors count
        where the group has one level of them. Of a generalized model the lines are expected responses, without separate
        regressions.

        Args:
            x: a variable of the formula; by default that of the first random slope, else the first number.
            group: a grouping factor, where there are several.
            n: the most panels, of levels evenly spaced in the order of their first random effect. levels: others to
                show instead.
            figsize: width and height in inches.

        Raises:
            ModelError: no such variable, factor or level, or an ordinal response. JmixError: matplotlib is missing.
        """
        from jmix.results.inference.plots.lines import plot_lines

        return plot_lines(self, x, group, n, levels, figsize)

    def plot_residuals(
        self,
        group: str | None = None,
        *,
        type: str | None = None,
        seed: int = 0,
        figsize: Size | None = None,
    ) -> Any:
        """Residuals against fitted values with a smooth curve, against normal quantiles, the root of their size against
        fitted values, and by group.

        Args:
            group: of the fourth picture; by default the grouping factor with the fewest levels.
            type: as in ``residuals``; by default "scaled", and of a generalized model "quantile", which is standard
                normal under every family. seed: of randomised quantile residuals.
            figsize: width and height in inches.

        Raises:
            ModelError: another type, or no such factor. JmixError: matplotlib is missing.
        """
        from jmix.results.inference.plots.residuals import plot_residuals

        return plot_residuals(self, group, type, seed, figsize)
