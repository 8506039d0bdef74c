"""The result of a bootstrap: draws of all parameters and derived quantities, their spread, and intervals."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import JmixWarning, ModelError
from jmix.results.frames import check_level
from jmix.results.inference.bootstrapping import bca
from jmix.results.inference.report import text_of
from jmix.results.sections import Section, SummaryContent
from jmix.results.summary import Report

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]

KINDS = ("percentile", "bca", "basic", "normal", "studentized")

FEWEST = 10
"""Finite draws of a quantity below which it has no interval."""

ENOUGH = 39
"""Draws from which 95% percentiles lie within them."""


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Report):
    """Draws of the estimates under the fitted model; ``print`` it, or take ``table``, ``draws`` and ``confint``.

    Attributes:
        fit: the fit that was bootstrapped. draws: (n, P + D) one row a replicate: the parameters by the names of
            ``Posterior``, on the scale of standard deviations and correlations, then derived quantities.
        observed: (P + D,) the estimates. errors: (n, p) standard errors of the fixed effects of every replicate.
        is_converged, is_singular: (n,) of the refits. requested: replicates asked for; an interrupt leaves fewer.
        seed, kind, conditional: as asked for. stopped: whether it was interrupted. failures: of functions, in words.
    """

    fit: FitBase
    draws: pd.DataFrame
    observed: pd.Series
    errors: pd.DataFrame
    is_converged: npt.NDArray[np.bool_]
    is_singular: npt.NDArray[np.bool_]
    requested: int
    seed: int
    kind: str
    conditional: bool
    stopped: bool
    failures: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.draws)

    @property
    def converged(self) -> int:
        """Number of replicates whose refit converged."""
        return int(self.is_converged.sum())

    @property
    def singular(self) -> int:
        """Number of replicates whose refit is on a boundary."""
        return int(self.is_singular.sum())

    # --- numbers ----------------------------------------------------------------------------------------------------
    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a quantity: ``estimate bias std_error lower upper``; the limits are 95% percentiles."""
        with np.errstate(all="ignore"):
            bias = self.draws.mean() - self.observed
            error = self.draws.std(ddof=1)
        frame = pd.DataFrame({"estimate": self.observed, "bias": bias, "std_error": error})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JmixWarning)
            limits = self.confint()
        return frame.join(limits).loc[list(self.draws.columns)]

    def confint(self, level: float = 0.95, kind: str = "percentile") -> pd.DataFrame:
        """Confidence intervals, columns ``lower`` and ``upper``, one row a quantity.

        Args:
            level: their coverage.
            kind: "percentile", the quantiles of the draws; "bca", those corrected for bias and acceleration, correct
                to second order and the same on any scale of the quantity; "basic", the percentiles reflected in the
                estimate; "normal", estimate less bias, plus and minus normal quantiles of the draws' standard
                deviation; "studentized", of the fixed effects, from ``(b* - b) / se*``. See ``jmix.results.inference
                .bca`` for the formulas.

        Returns:
            NaN for a quantity whose draws are mostly missing, such as the correlation of a variance that is always
            zero; for all but the fixed effects after "studentized"; and after "bca" where all draws lie on one side
            of the estimate.

        Raises:
            ModelError: another kind, or a level outside (0, 1); "bca" of a bootstrap that keeps the random effects or
                resamples residuals, or of more than 4,096 random effects.
        """
        level = check_level(level)
        if kind not in KINDS:
            raise ModelError(f"confint(kind={kind!r}): choose {', '.join(map(repr, KINDS))}")
        limits = [self._limits(str(name), level, kind) for name in self.draws.columns]
        frame = pd.DataFrame(limits, columns=["lower", "upper", "extreme"], index=self.draws.columns)
        extreme = [str(name) for name in frame.index[frame["extreme"].astype(bool)]]
        if extreme:
            warnings.warn(
                f"{len(self)} replicates are few for a {100 * level:g}% {kind} interval: the least or greatest draw is "
                f"a limit of {', '.join(extreme)}; use a larger n",
                JmixWarning,
                stacklevel=2,
            )
        return frame[["lower", "upper"]].astype(np.float64)

    def _limits(self, name: str, level: float, kind: str) -> bca.Limits:
        values, observed = self.draws[name].to_numpy(), float(self.observed[name])
        keep = np.isfinite(values)
        if keep.sum() < max(FEWEST, 0.5 * len(values)):
            return bca.NONE
        draws = values[keep]
        if kind == "percentile":
            return bca.percentile(draws, level)
        if not np.isfinite(observed):
            return bca.NONE
        if kind == "basic":
            return bca.basic(draws, observed, level)
        if kind == "normal":
            return bca.normal(draws, observed, level)
        if kind == "bca":
            return bca.bca(draws, observed, float(self.acceleration[name]), level)
        if name not in self.errors.columns:
            return bca.NONE
        place = list(self.errors.columns).index(name)
        error = float(np.sqrt(self.fit.fixed_covariance[place, place]))
        return bca.studentized(draws, self.errors[name].to_numpy()[keep], observed, error, level)

    @cached_property
    def acceleration(self) -> pd.Series:
        """(P + D,) the acceleration of BCa intervals: a sixth of the skewness of the score in the least favourable
        direction (Efron 1987), by the fitted model itself.
        """
        from jmix.results.inference.bootstrapping.bootstrap_skewness import accelerations

        return accelerations(self)

    # --- pictures and text ------------------------------------------------------------------------------------------
    def plot(
        self, parameters: Any = None, *, level: float = 0.95, kind: str = "percentile", figsize: Any = None
    ) -> Any:
        """Densities of the draws with the estimate and its interval; draws at exactly zero as a bar of their share.

        Args:
            parameters: names, or one; by default all. level, kind: of the interval, as in ``confint``.

        Returns:
            A matplotlib ``Figure``.

        Raises:
            ModelError: an unknown name, or as ``confint``.
        """
        from jmix.results.inference.bootstrapping.bootstrap_plot import plot

        return plot(self, parameters, level=level, kind=kind, figsize=figsize)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the draws went through, in sentences."""
        n, out = len(self), []
        if self.stopped:
            out.append(f"interrupted: these are the first {n} of {self.requested} replicates")
        if n < ENOUGH:
            out.append(f"{n} replicates are too few for 95% limits: the least and greatest draws stand in for them")
        if self.converged < n:
            out.append(f"{n - self.converged} of {n} refits did not converge; their estimates are among the draws")
        if self.singular:
            out.append(f"{self.singular} of {n} refits are on a boundary (singular)")
        missing = self.draws.isna().sum()
        for name, count in missing[missing > 0].items():
            why = "its variance is zero there" if str(name).startswith("cor_") else "it could not be computed there"
            out.append(f"{name} is missing in {count} draws: {why}")
        return (*out, *self.failures)

    @cached_property
    def content(self) -> SummaryContent:
        """The title, the table and the notes as formatted text."""
        kept = "random effects kept" if self.conditional else "new random effects"
        how = "resampled residuals and random effects" if self.kind == "residual" else kept
        call = (("Formula", self.fit.formula), ("Replicates", f"{len(self)}, {how}, seed {self.seed}"))
        sections = (Section(table=text_of(self.table, {})),)
        notes = ("95% intervals are percentiles; .confint(kind='bca') corrects for bias and skewness", *self.notes)
        return SummaryContent(f"{self.kind.capitalize()} bootstrap", call, sections, notes)
