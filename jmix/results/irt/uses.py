"""Fit statistics, differential item functioning and plots as methods of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from jmix.results.irt.estimates import IrtEstimates

if TYPE_CHECKING:
    from jmix.results.irt.dif import Dif
    from jmix.results.irt.limited import LimitedFit

ResidualType = Literal["Q3", "LD", "LDG2", "standardized"]
LimitedType = Literal["M2", "M2*", "C2"]


@dataclass(frozen=True, eq=False, repr=False)
class IrtUses(IrtEstimates):
    """How well the model fits, and what it shows."""

    def fit_statistics(self) -> pd.DataFrame:
        """One row: log likelihood, criteria and, where it exists, M2 with its p-value, RMSEA with interval, SRMSR, TLI
        and CFI; see ``m2``.
        """
        from jmix.results.irt import use

        return use.fit_statistics(self._fit)

    def m2(self, type: LimitedType | None = None) -> LimitedFit:
        """Limited-information goodness of fit from the first and second moments of the responses.

        Args:
            type: "M2" (Maydeu-Olivares & Joe 2006), "M2*" (Cai & Hansen 2013), "C2" (Cai & Monroe 2014), the same with
                two categories; None for "M2*", or "C2" where that leaves no degrees of freedom.

        Raises:
            ModelError: no degrees of freedom, or a model for which the statistic is not defined.
        """
        from jmix.results.irt import use

        return use.m2(self._fit, type)

    def itemfit(
        self,
        statistics: Sequence[str] | str = ("S_X2", "infit"),
        *,
        scores: Literal["EAP", "MAP", "WLE", "ML"] = "EAP",
        **options: Any,
    ) -> pd.DataFrame:
        """Fit of each item: S-X2 (Orlando & Thissen 2000; Kang & Chen 2011), infit and outfit with z, X2, Zh.

        Args:
            statistics: of "S_X2", "infit" (with outfit), "Zh", "X2", "G2"; see ``jmix.results.irt.itemfit.item_fit``.
            scores: the trait estimates of those that need them. options: ``p_adjust``, ``smallest``, ``bins``.
        """
        from jmix.results.irt import use

        return use.itemfit(self._fit, statistics, scores, **options)

    def personfit(self, *, scores: Literal["EAP", "MAP", "WLE", "ML"] = "EAP") -> pd.DataFrame:
        """Fit of each person: infit and outfit with z, and Zh (Drasgow, Levine & Williams 1985)."""
        from jmix.results.irt import use

        return use.personfit(self._fit, scores)

    def residuals(
        self,
        type: ResidualType = "Q3",
        *,
        scores: Literal["EAP", "MAP", "WLE", "ML"] = "EAP",
        matrix: bool = True,
        p_adjust: str = "none",
    ) -> pd.DataFrame:
        """What the responses share beyond the trait.

        Args:
            type: "Q3", correlations of residuals (Yen 1984); "LD" and "LDG2", chi-squared or G-squared of each pair
                (Chen & Thissen 1997), below the diagonal, with Cramer's V, signed, above it; "standardized", persons by
                items. matrix: False for a row a pair of "LD". p_adjust: over the pairs.
        """
        from jmix.results.irt import use

        return use.residuals(self._fit, type, scores, matrix=matrix, p_adjust=p_adjust)

    def dif(self, **options: Any) -> Dif:
        """Differential item functioning between the groups of a multiple-group fit, by refits.

        Args:
            options: ``items``, ``anchors``, ``method`` ("LRT" or "Wald"), ``parameters``, ``purify``, ``p_adjust``,
                ``alpha``; see ``jmix.results.irt.dif.find_dif``.
        """
        from jmix.results.irt import use

        return use.dif(self._fit, **options)
