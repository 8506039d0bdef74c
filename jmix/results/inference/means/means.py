"""A table of marginal means, slopes or contrasts, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.means.quantities import Delta, Drawn, Quantities
from jmix.results.inference.means.scales import IDENTITY, Scale
from jmix.results.inference.report import TableReport

FloatArray = npt.NDArray[np.float64]
Infer = Literal["ci", "test", "both"]
Side = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True)
class View:
    """How quantities are shown.

    Attributes:
        scale: from the quantities to the response. response: show them there. level: of intervals.
        adjust: of several tests and intervals. pairs: the quantities are all pairs of ``means`` means, the family.
        infer: intervals, tests or both. noun: what they are: "mean", "slope", "contrast".
        null: value that is tested, on the scale of the quantities. side: of the alternative.
        interval: of draws, "eti" or "hdi". facts: sentences on how they came about.
    """

    scale: Scale = IDENTITY
    response: bool = False
    level: float = 0.95
    adjust: str = "none"
    pairs: bool = False
    means: int = 2
    infer: Infer = "ci"
    noun: str = "mean"
    null: float = 0.0
    side: Side = "two-sided"
    interval: str = "eti"
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Means(TableReport):
    """Estimated means, slopes, comparisons or contrasts; ``print`` them, or take the numbers from ``table``.

    Attributes:
        table: the columns of ``labels``, then ``estimate std_error df``, and ``lower upper`` or ``statistic p_value``
            or both; of a posterior ``estimate std_error lower upper prob_direction``.
        labels: (m, .) what each row is of. by: columns of ``labels`` that divide the rows into families.
        quantities: on the scale of the linear predictor, or where they were averaged. view: how they are shown.
    """

    labels: pd.DataFrame
    by: tuple[str, ...] = ()
    quantities: Quantities
    view: View = field(default_factory=View)

    @property
    def L(self) -> FloatArray:
        """(m, d) the linear functions of the parameters, or derivatives in them, before any back-transformation.

        Raises:
            ModelError: of a posterior, which has ``draws``.
        """
        if isinstance(self.quantities, Delta):
            return self.quantities.jacobian
        raise ModelError("L is of a fit; a posterior has draws")

    @property
    def draws(self) -> FloatArray:
        """(N, m) posterior draws on the scale of ``table``.

        Raises:
            ModelError: of a fit, which has none.
        """
        if isinstance(self.quantities, Drawn):
            own = self.quantities.draws
            return np.asarray(self.view.scale.inverse(own)) if self.view.response else own
        raise ModelError("draws are of a posterior; a fit has L and vcov()")

    def vcov(self) -> pd.DataFrame:
        """(m, m) covariance matrix of the estimates, before any back-transformation."""
        from jmix.results.inference.means.show import names_of

        names = names_of(self.labels)
        return pd.DataFrame(self.quantities.covariance, index=names, columns=names)

    # --- contrasts --------------------------------------------------------------------------------------------------
    def contrast(
        self,
        method: Any = "pairwise",
        *,
        by: str | Sequence[str] | None = None,
        ref: Any = None,
        adjust: str | None = None,
        interaction: bool | Sequence[Any] = False,
        ratios: bool = True,
        level: float | None = None,
    ) -> Means:
        """Contrasts among the rows, by themselves in each group of ``by``.

        Args:
            method: "pairwise", "revpairwise", "trt.vs.ctrl" (the first mean is the control, or ``ref``),
                "trt.vs.ctrlk" (the last), "eff" (less the average), "del.eff" (less the average of the others),
                "consec", "mean_chg", "poly", "identity"; or a dict of weights by name, each a list of one weight a
                mean, or a dict by the mean's label.
            by: columns that divide the rows; those of the means if left out, ``[]`` for none.
            ref: label or place (from 0) of the control, or a list of them.
            adjust: "none", "tukey", "sidak", "scheffe", "dunnettx", "mvt", "bonferroni", "holm", "hochberg", "hommel",
                "fdr" (or "bh"), "by"; by default emmeans's for the method: Tukey for all pairs, "dunnettx" against a
                control, "fdr" for effects, "mvt" for changes. Tukey's is for one set of all pairs; Sidak's takes its
                place elsewhere.
            interaction: contrasts of contrasts: True for ``method`` in every factor, or a method for each factor.
            ratios: of a log or logit link shown on the response scale: ratios and odds ratios rather than differences
                on the link scale.

        Raises:
            ModelError: an unknown method, column, reference or adjustment.
        """
        from jmix.results.inference.means.contrasting import contrast

        return contrast(self, method, by, ref, adjust, interaction, ratios, level)

    def pairs(
        self, *, reverse: bool = False, by: str | Sequence[str] | None = None, adjust: str | None = None
    ) -> Means:
        """All pairwise contrasts; see ``contrast``."""
        return self.contrast("revpairwise" if reverse else "pairwise", by=by, adjust=adjust)

    # --- tests and intervals ----------------------------------------------------------------------------------------
    def test(
        self, null: float = 0.0, *, joint: bool = False, adjust: str | None = None, side: Side = "two-sided"
    ) -> Any:
        """Tests that each row, or all of them together, is ``null``.

        Args:
            null: on the scale of the link. joint: one F test (chi-squared for generalized models, as F with infinite
                denominator) for each group of ``by``, of as many degrees of freedom as the rows have rank.
            side: "greater" or "less" for one-sided tests.

        Raises:
            ModelError: of a posterior, which has draws in place of tests.
        """
        from jmix.results.inference.means.show import joint_tests, reshow

        if isinstance(self.quantities, Drawn):
            raise ModelError("a posterior has no p values; its table has prob_direction, and draws any probability")
        if joint:
            return joint_tests(self, null)
        return reshow(self, infer="test", null=float(null), side=side, adjust=adjust)

    def confint(self, level: float | None = None, adjust: str | None = None) -> Means:
        """Intervals at another level or adjustment; methods without intervals have Bonferroni's."""
        from jmix.results.inference.means.show import reshow

        return reshow(self, infer="ci", level=level, adjust=adjust)

    # --- scales -----------------------------------------------------------------------------------------------------
    def regrid(self, type: Literal["response", "link"] = "response") -> Means:
        """The means taken to the response scale for good, so that contrasts are differences there.

        Raises:
            ModelError: another type, or "link" where the means are on the response scale already.
        """
        from jmix.results.inference.means.show import regrid

        return regrid(self, type)

    def plot(self, *, comparisons: bool = False, figsize: tuple[float, float] | None = None) -> Any:
        """Points with their intervals, a panel for each group of ``by``; a matplotlib ``Figure``.

        Args:
            comparisons: arrows for the pairwise comparisons: two means differ significantly, Tukey-adjusted, where
                theirs do not overlap, as nearly as one arrow a mean can say it.
            figsize: width and height in inches.

        Raises:
            JmixError: matplotlib is missing.
        """
        from jmix.results.inference.means.plot import plot

        return plot(self, comparisons=comparisons, figsize=figsize)
