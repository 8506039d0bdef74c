"""Marginal means, contrasts, slopes, comparisons, hypotheses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from jmix.results.base import FitBase

if TYPE_CHECKING:
    from jmix.results.inference.fixed.fixed_tests import DfMethod, FixedTests
    from jmix.results.inference.means.means import Infer, Means

Names = str | Sequence[str] | None
Type = Literal["link", "response", "conditional", "zi", "disp", "probs", "mean_class"]


class MeansFace(FitBase):
    """Marginal means, contrasts, slopes, comparisons, hypotheses."""

    def means(
        self,
        specs: Names = None,
        by: Names = None,
        *,
        at: Mapping[str, Any] | None = None,
        weights: Any = "equal",
        type: Type = "link",
        df: DfMethod | FixedTests | None = None,
        level: float = 0.95,
        infer: Infer = "ci",
        adjust: str = "none",
        cov_reduce: Any = None,
        average: Literal["link", "response"] = "link",
        population_averaged: bool = False,
        bias_adjust: bool | float = False,
        nesting: bool = True,
    ) -> Means:
        """Estimated marginal means: predictions on a reference grid, averaged over the factors not named (emmeans).

        The grid has all levels of factors, both values of numbers with two, and the means of other numbers; the means
        go through the formula, so that ``log(x)`` is at the logarithm of the mean of x. Offsets are evaluated there
        too; one that was given as an array is at its mean.

        Args:
            specs: variables whose values the means are for; None for one mean over all. by: variables that divide the
                means into families for contrasts and adjustments.
            at: values by variable, such as ``{"Days": [0, 5, 9]}``, or a part of a factor's levels.
            weights: of the combinations averaged over: "equal"; "proportional" to their frequency; "outer", the
                product of the factors' frequencies; "cells", frequencies in each mean's own cell; "flat", equal but
                for empty cells; or one number each, the last variable fastest.
            type: "link", the linear predictor (of an ordinal model less the average threshold); "response", taken
                back to the response, or from ``log(y)`` to y; of a model of the zeros also "conditional" and "zi"; of
                an ordinal model "probs" (as "response") or "mean_class", the mean number of the category.
            df: rule for degrees of freedom; by default Satterthwaite's for linear mixed models, where emmeans has
                "kenward-roger", and none (normal) for generalized models; or tests such as ``fit.robust_tests()``.
            infer: show intervals ("ci"), tests ("test") or both. adjust: as in ``Means.contrast``.
            cov_reduce: another typical value of numbers than the mean: a function, or a dict of them by variable.
            average: the scale on which combinations are averaged, before or after they are taken back.
            population_averaged: of a generalized model, the response averaged over the random effects by quadrature,
                rather than at random effects of zero.
            bias_adjust: a second-order correction of back-transformed means for the random effects (and the residual
                after ``log(y)``), as emmeans's; a number is the standard deviation to use.
            nesting: look for factors whose levels occur within one level of another, and average over combinations
                that exist.

        Returns:
            A table to print, with ``contrast``, ``pairs``, ``test``, ``confint``, ``regrid``, ``plot``, ``vcov()`` and
            the linear functions ``L``. What the data cannot estimate is NaN, with a note.

        Raises:
            ModelError: unknown variables or options. DataError: unknown levels.
        """
        from jmix.results.inference.means.choose import Question
        from jmix.results.inference.means.marginal import GridOptions, means

        return means(
            self,
            specs,
            by,
            GridOptions(at, weights, cov_reduce, nesting),
            Question(type, df, population_averaged),
            level=level,
            infer=infer,
            adjust=adjust,
            bias_adjust=bias_adjust,
            average=average,
        )

    def slopes(
        self,
        variable: Names,
        by: Names = None,
        *,
        at: Mapping[str, Any] | None = None,
        average: bool = False,
        type: Type = "link",
        weights: Any = "equal",
        df: DfMethod | FixedTests | None = None,
        level: float = 0.95,
        infer: Infer = "both",
        adjust: str = "none",
        cov_reduce: Any = None,
        population_averaged: bool = False,
    ) -> Means:
        """Slopes of predictions in a numeric variable: the derivative through splines, polynomials and interactions.

        Args:
            variable: its name, or several. by: variables for whose values, on the reference grid of ``means`` or in
                the groups of the data, the slopes are given; contrasts of the result compare them.
            at: values by variable; the slope of a curve is at the mean of ``variable`` unless ``at`` has it too.
            average: average the slopes over the rows of the data (marginaleffects's ``avg_slopes``) instead of the
                reference grid (emmeans's ``emtrends``). The random effects are at zero, or averaged over.
            type: "link" or "response", and the others of ``means``.

        Returns:
            The same kind of table as ``means``.

        Raises:
            ModelError: a factor, or an unknown variable.
        """
        from jmix.results.inference.means.choose import Question
        from jmix.results.inference.means.marginal import GridOptions
        from jmix.results.inference.means.slopes import slopes

        return slopes(
            self,
            variable,
            by,
            GridOptions(at, weights, cov_reduce),
            Question(type, df, population_averaged),
            average=average,
            level=level,
            infer=infer,
            adjust=adjust,
        )

    def comparisons(
        self,
        variables: Mapping[str, Any] | Names,
        by: Names = None,
        *,
        at: Mapping[str, Any] | None = None,
        average: bool = True,
        ratio: bool = False,
        type: Type = "response",
        weights: Any = "equal",
        df: DfMethod | FixedTests | None = None,
        level: float = 0.95,
        infer: Infer = "both",
        adjust: str = "none",
        population_averaged: bool = False,
    ) -> Means:
        """What changes in the response when a variable changes and all else stays (G-computation), delta-method errors.

        Args:
            variables: names, or a dict of what to compare by name. Of a factor: "reference" (each level with the
                first), "sequential", "pairwise", or a pair of levels. Of a number: a number to add (1 by default),
                "sd" (one standard deviation about the mean), "iqr", "minmax", or a pair (a, b).
            by: variables or grouping factors of the data in whose groups the comparisons are averaged.
            at: values that every row is given, such as ``{"Days": [0, 9]}``.
            average: predict each row of the data with both values and average the differences; otherwise compare
                means on the reference grid.
            ratio: the ratio of the averages rather than their difference; intervals and tests on the log scale.
            type: as in ``means``. population_averaged: over the random effects, rather than with them at zero.

        Returns:
            The same kind of table as ``means``, with columns ``term`` and ``contrast``.

        Raises:
            ModelError: unknown variables or comparisons. DataError: unknown levels.
        """
        from jmix.results.inference.means.choose import Question
        from jmix.results.inference.means.comparisons import comparisons
        from jmix.results.inference.means.marginal import GridOptions

        return comparisons(
            self,
            variables,
            by,
            GridOptions(at, weights),
            Question(type, df, population_averaged),
            average=average,
            ratio=ratio,
            level=level,
            infer=infer,
            adjust=adjust,
        )

    def predictions(
        self,
        by: Names = None,
        *,
        at: Mapping[str, Any] | None = None,
        average: bool = True,
        type: Type = "response",
        weights: Any = "equal",
        df: DfMethod | FixedTests | None = None,
        level: float = 0.95,
        infer: Infer = "ci",
        adjust: str = "none",
        population_averaged: bool = False,
    ) -> Means:
        """Predictions averaged over the rows of the data, by group (marginaleffects's ``avg_predictions``).

        Args:
            by: variables or grouping factors whose groups are averaged. at: values that every row is given, so that
                ``predictions(at={"treatment": ["a", "b"]})`` are counterfactual averages.
            average: False predicts on the reference grid at the values of ``by`` and ``at``.
            type, population_averaged: as in ``comparisons``.

        Raises:
            ModelError: unknown variables. DataError: unknown levels.
        """
        from jmix.results.inference.means.choose import Question
        from jmix.results.inference.means.comparisons import predictions
        from jmix.results.inference.means.marginal import GridOptions

        return predictions(
            self,
            by,
            GridOptions(at, weights),
            Question(type, df, population_averaged),
            average=average,
            level=level,
            infer=infer,
            adjust=adjust,
        )

    def hypothesis(
        self, hypothesis: Any, *, df: DfMethod | FixedTests | None = None, level: float = 0.95, adjust: str = "none"
    ) -> Means:
        """Test hypotheses such as ``"Days = 10"`` or ``"exp(Days) / 2 = 1"``.

        Functions that are linear in the fixed effects are exact, with their degrees of freedom; others are linearised
        at the estimates (delta method). Functions of ``sd_...``, ``cor_...`` and ``sigma`` use the asymptotic
        covariance of the variance parameters, the inverse of their exact Hessian, and the normal distribution.

        Args:
            hypothesis: two expressions compared by ``=``, ``<`` or ``>``, or one that equals 0; several in a list, or
                in a dict by name. Names, arithmetic, exp, log, sqrt and abs, as in ``Posterior.hypothesis``.

        Returns:
            ``estimate`` of the left side less the right side, ``std_error df lower upper statistic p_value``; of "<"
            and ">" one-sided. Its ``test(joint=True)`` tests all together.

        Raises:
            ModelError: an unknown parameter, no comparison, or variance parameters at their boundary.
        """
        from jmix.results.inference.means.hypotheses import hypothesis as judge

        return judge(self, hypothesis, df, level, adjust)
