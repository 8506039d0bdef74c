"""Pictures of a fitted item response model as methods of the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from jmix.results.irt.estimates import IrtEstimates

if TYPE_CHECKING:
    from jmix.results.irt.dif import Dif

Scores = Literal["EAP", "MAP", "WLE"]
Limits = tuple[float, float]


@dataclass(frozen=True, eq=False, repr=False)
class IrtPlots(IrtEstimates):
    """Pictures; each is a matplotlib figure, shown by a notebook and saved with ``savefig``."""

    def plot_icc(
        self,
        items: Sequence[str] | str | None = None,
        *,
        empirical: bool = True,
        facet: bool = True,
        bins: int = 10,
        limits: Limits | None = None,
        factor: str | None = None,
        seed: int = 0,
        figsize: Any = None,
    ) -> Any:
        """Item characteristic curves: the probability of a 1, or the expected score, over the trait.

        Args:
            items: names, all by default. empirical: with one factor, add what the persons answered, in bins of
                plausible values with 95% intervals; points by EAP would not lie on the curve of a true model.
            facet: a panel for each item, or all curves in one. bins: of equal numbers of persons.
            limits: of the trait; four standard deviations about the mean by default. factor: along which the curves go,
                the others at their means.
            seed: of the plausible values. figsize: in inches.

        Raises:
            ModelError: an unknown item or factor, or too many items. JmixError: matplotlib is missing.
        """
        from jmix.results.irt.plots_curves import plot_icc

        return plot_icc(
            self._fit, items, empirical=empirical, facet=facet, bins=bins, limits=limits, factor=factor, seed=seed,
            figsize=figsize,
        )  # fmt: skip

    def plot_categories(
        self,
        items: Sequence[str] | str | None = None,
        *,
        empirical: bool = False,
        bins: int = 10,
        limits: Limits | None = None,
        factor: str | None = None,
        group: str | None = None,
        seed: int = 0,
        figsize: Any = None,
    ) -> Any:
        """Probabilities of all categories over the trait, a panel for each item.

        Args:
            items, empirical, bins, limits, factor, seed, figsize: as of ``plot_icc``. group: one of the groups, the
                first by default.

        Raises:
            ModelError: an unknown item, factor or group, or too many items. JmixError: matplotlib is missing.
        """
        from jmix.results.irt.plots_curves import plot_categories

        return plot_categories(
            self._fit, items, empirical=empirical, bins=bins, limits=limits, factor=factor, group=group, seed=seed,
            figsize=figsize,
        )  # fmt: skip

    def plot_information(
        self,
        items: Sequence[str] | str | None = None,
        *,
        what: Literal["test", "items"] = "test",
        limits: Limits | None = None,
        factor: str | None = None,
        group: str | None = None,
        figsize: Any = None,
    ) -> Any:
        """Fisher information over the trait: of the test, with the standard error that follows, or of the items.

        Args:
            items: those that count, all by default. what: "test" or "items". limits, factor, figsize: as of
                ``plot_icc``; the information is in the direction of the factor. group: the first by default.

        Raises:
            ModelError: an unknown item, factor or group. JmixError: matplotlib is missing.
        """
        from jmix.results.irt.plots_information import plot_information

        return plot_information(self._fit, items, what=what, limits=limits, factor=factor, group=group, figsize=figsize)

    def plot_wright(
        self,
        items: Sequence[str] | None = None,
        *,
        scores: Scores = "EAP",
        sort: bool = True,
        bins: int = 24,
        group: str | None = None,
        figsize: Any = None,
    ) -> Any:
        """Wright map: the persons' estimates beside the difficulties of the items, or of their steps.

        Args:
            items: names, all by default. scores: "EAP", "MAP" or "WLE". sort: from easy to hard. bins: of the
                histogram. group: persons and items of one group. figsize: in inches.

        Raises:
            ModelError: several dimensions, an unknown item or group, or items without difficulties. JmixError:
            matplotlib is missing.
        """
        from jmix.results.irt.wright import plot_wright

        return plot_wright(self._fit, items, scores=scores, sort=sort, bins=bins, group=group, figsize=figsize)

    def plot_histogram(
        self,
        items: Sequence[str] | None = None,
        *,
        scores: Scores = "EAP",
        bins: int = 24,
        group: str | None = None,
        figsize: Any = None,
    ) -> Any:
        """Histograms of the persons' estimates and, below and upside down, of the difficulties.

        Args:
            items, scores, bins, group, figsize: as of ``plot_wright``.

        Raises:
            ModelError, JmixError: as of ``plot_wright``.
        """
        from jmix.results.irt.wright import plot_histogram

        return plot_histogram(self._fit, items, scores=scores, bins=bins, group=group, figsize=figsize)

    def plot_residuals(self, *, scores: Scores = "EAP", group: str | None = None, figsize: Any = None) -> Any:
        """Residual correlations Q3 of all pairs of items as colours; see ``residuals``.

        Args:
            scores: the trait estimates. group: the first by default. figsize: in inches.

        Raises:
            ModelError: an unknown group. JmixError: matplotlib is missing.
        """
        from jmix.results.irt.plots_information import plot_dependence
        from jmix.results.irt.use import residuals

        frame = residuals(self._fit, "Q3", scores, matrix=True, p_adjust="none")
        if "group" in frame and len(self.spec.groups) > 1:
            from jmix.results.irt.plot_parts import group_number

            name = self.spec.groups[group_number(self._fit, group)]
            frame = frame[frame["group"] == name].drop(columns="group")
        return plot_dependence(frame, "Q3", figsize)

    def plot_dif(
        self, found: Dif | None = None, items: Sequence[str] | None = None, *, figsize: Any = None, **options: Any
    ) -> Any:
        """Expected scores by group of the items that differ between groups; of all tests where none does.

        Args:
            found: from ``dif``; None runs it with ``options``. items: to draw, those flagged by default.
            figsize: in inches.

        Raises:
            ModelError: one group, or an unknown item. JmixError: matplotlib is missing.
        """
        from jmix.results.irt.plots_dif import plot_dif
        from jmix.results.irt.use import dif

        return plot_dif(dif(self._fit, **options) if found is None else found, items, figsize=figsize)
