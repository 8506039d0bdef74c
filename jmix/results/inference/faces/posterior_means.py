"""Marginal means, slopes and comparisons of a posterior, by its draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from jmix.results.sampled import Sampled

if TYPE_CHECKING:
    from jmix.results.inference.means.means import Means

Names = str | Sequence[str] | None
Type = Literal["link", "response", "probs"]
Centre = Literal["mean", "median"]
Interval = Literal["eti", "hdi"]


class DrawnMeansFace(Sampled):
    """Marginal means, slopes and comparisons; every number is computed draw by draw.

    All have ``estimate``, the posterior mean or median; ``std_error``, the standard deviation; ``lower`` and ``upper``;
    where tests are shown ``prob_direction``, the share of the draws on the side of zero that has more of them; and the
    draws themselves in ``.draws`` (N, m). Random effects are at zero, or averaged over (``population_averaged``).
    """

    def means(
        self,
        specs: Names = None,
        by: Names = None,
        *,
        at: Mapping[str, Any] | None = None,
        weights: Any = "equal",
        type: Type = "link",
        level: float = 0.95,
        estimate: Centre = "mean",
        interval: Interval = "eti",
        cov_reduce: Any = None,
        average: Literal["link", "response"] = "link",
        population_averaged: bool = False,
        nesting: bool = True,
        thin: int = 1,
    ) -> Means:
        """Marginal means on a reference grid, with contrasts; as ``means`` of a fit.

        Args:
            specs, by, at, weights, type, cov_reduce, average, population_averaged, nesting: as there.
            level: probability of the interval. estimate: "mean" or "median" of the draws. interval: "eti" with equal
                tails or "hdi" with highest density. thin: only every thin-th draw of each chain.

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
            Question(type, None, population_averaged, thin, estimate, interval),
            level=level,
            infer="ci",
            adjust="none",
            bias_adjust=False,
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
        level: float = 0.95,
        estimate: Centre = "mean",
        interval: Interval = "eti",
        cov_reduce: Any = None,
        population_averaged: bool = False,
        thin: int = 1,
    ) -> Means:
        """Slopes in a numeric variable, on the reference grid or averaged over the data; as ``slopes`` of a fit."""
        from jmix.results.inference.means.choose import Question
        from jmix.results.inference.means.marginal import GridOptions
        from jmix.results.inference.means.slopes import slopes

        return slopes(
            self,
            variable,
            by,
            GridOptions(at, weights, cov_reduce),
            Question(type, None, population_averaged, thin, estimate, interval),
            average=average,
            level=level,
            infer="both",
            adjust="none",
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
        level: float = 0.95,
        estimate: Centre = "mean",
        interval: Interval = "eti",
        population_averaged: bool = False,
        thin: int = 1,
    ) -> Means:
        """What changes in the response when a variable changes and all else stays; as ``comparisons`` of a fit."""
        from jmix.results.inference.means.choose import Question
        from jmix.results.inference.means.comparisons import comparisons
        from jmix.results.inference.means.marginal import GridOptions

        return comparisons(
            self,
            variables,
            by,
            GridOptions(at, weights),
            Question(type, None, population_averaged, thin, estimate, interval),
            average=average,
            ratio=ratio,
            level=level,
            infer="both",
            adjust="none",
        )

    def predictions(
        self,
        by: Names = None,
        *,
        at: Mapping[str, Any] | None = None,
        average: bool = True,
        type: Type = "response",
        weights: Any = "equal",
        level: float = 0.95,
        estimate: Centre = "mean",
        interval: Interval = "eti",
        population_averaged: bool = False,
        thin: int = 1,
    ) -> Means:
        """Predictions averaged over the rows of the data, by group; as ``predictions`` of a fit."""
        from jmix.results.inference.means.choose import Question
        from jmix.results.inference.means.comparisons import predictions
        from jmix.results.inference.means.marginal import GridOptions

        return predictions(
            self,
            by,
            GridOptions(at, weights),
            Question(type, None, population_averaged, thin, estimate, interval),
            average=average,
            level=level,
            infer="ci",
            adjust="none",
        )
