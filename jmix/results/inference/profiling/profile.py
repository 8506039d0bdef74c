"""Profile likelihoods: the signed root of the deviance's rise as each parameter is held at other values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.frames import check_level
from jmix.results.inference.profiling.profile_scale import Parameters
from jmix.results.inference.report import TableReport
from jmix.results.sections import Section, SummaryContent

if TYPE_CHECKING:
    from jmix.estimate.inference.profile_curve import Zeta
    from jmix.results.inference.profiling.profile_ols import Closed

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Profiled:
    """The profile of one parameter.

    Attributes:
        name: of the parameter. estimate: where the deviance is least. zeta: as a function of the held coordinate.
        value: the parameter, on the scale of the profile, as a monotone function of that coordinate. sign: 1 where it
            grows with the coordinate, else -1.
    """

    name: str
    estimate: float
    zeta: Zeta | Closed
    value: Callable[[float], float]
    sign: float

    def root(self, zeta: float) -> float:
        """The value at which zeta, positive above the estimate, is reached."""
        return self.value(self.zeta.root(self.sign * zeta))

    def limits(self, cut: float) -> tuple[float, float]:
        """The interval within ``-cut < zeta < cut``."""
        return self.root(-cut), self.root(cut)

    def grid(self, size: int) -> tuple[FloatArray, FloatArray]:
        """(size,) values by increasing order and zeta there, with the knots' range."""
        u = np.linspace(self.zeta.u[0], self.zeta.u[-1], size)
        values = np.array([self.value(float(v)) for v in u])
        order = np.argsort(values)
        return values[order], self.sign * self.zeta.at(u)[0][order]


@dataclass(frozen=True, eq=False, repr=False)
class Profile(TableReport):
    """Profile likelihoods of a fit; print it for the intervals, or take ``table`` and ``confint``.

    Attributes:
        table: one row a knot: ``parameter``, ``zeta``, ``value``, then every parameter at the optimum with that one
            held. profiles: of each parameter, by name. level: up to which intervals can be read off. df: degrees of
            freedom of Student's t where zeta is a t statistic (least squares); None for the normal distribution.
        deviance: -2 log likelihood at the estimates. scale: "sdcor", "varcov" or "log".
    """

    profiles: Mapping[str, Profiled] = None  # type: ignore[assignment]
    level: float = 0.99
    df: float | None = None
    deviance: float = float("nan")
    scale: str = "sdcor"

    def cut(self, level: float) -> float:
        """The zeta at the ends of an interval."""
        if self.df is None:
            return NormalDist().inv_cdf(0.5 + 0.5 * level)
        from scipy.special import stdtrit

        return float(stdtrit(self.df, 0.5 + 0.5 * level))

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Profile-likelihood intervals: the values whose deviance is less than a chi-squared quantile above the least.

        Zeta is interpolated between the knots with its first two derivatives, an error of about 1e-6 standard errors.
        Where zeta does not fall so far within the parameter's range, the limit is the end of the range: 0 of a standard
        deviation, 1 of a correlation, infinity of a coefficient whose likelihood levels off. NaN where the profile
        could not be followed; a note says so.

        Returns:
            Frame by parameter with columns ``lower`` and ``upper``.

        Raises:
            ModelError: a level outside (0, 1), or beyond that to which the profile was traced.
        """
        level = check_level(level)
        if level > self.level + 1e-12:
            raise ModelError(
                f"confint(level={level:g}): the profile was traced to level={self.level:g}; "
                f"call profile(level={level:g}) for wider intervals"
            )
        limits = {name: one.limits(self.cut(level)) for name, one in self.profiles.items()}
        frame = pd.DataFrame.from_dict(limits, orient="index", columns=["lower", "upper"])
        return frame.astype(np.float64)

    @cached_property
    def content(self) -> SummaryContent:
        """The estimates with their intervals."""
        from jmix.results.inference.report import text_of

        level = min(0.95, self.level)
        frame = pd.DataFrame({"estimate": {name: one.estimate for name, one in self.profiles.items()}})
        frame = frame.join(self.confint(level))
        section = Section(f"Intervals of {100 * level:g}%", text_of(frame, self.formats or {}))
        return SummaryContent(self.title, self.call, (section,), self.notes)

    # --- pictures ---------------------------------------------------------------------------------------------------
    def plot_zeta(self, parameters: Parameters = None, *, absolute: bool = False, figsize: Any = None) -> Any:
        """Zeta of each parameter with the ends of the 50, 80, 90, 95 and 99% intervals, as lme4's ``xyplot``.

        A straight line is a likelihood that a Wald interval describes well.

        Args:
            parameters: names, or one; by default all. absolute: draw |zeta|. figsize: in inches.

        Returns:
            A matplotlib figure.

        Raises:
            ModelError: an unknown name. JmixError: matplotlib is missing.
        """
        from jmix.results.inference.profiling.profile_plots import plot_zeta

        return plot_zeta(self, parameters, absolute, figsize)

    def plot_density(self, parameters: Parameters = None, *, figsize: Any = None) -> Any:
        """The density of which zeta is the normal quantile, ``phi(zeta) dzeta/dvalue``, as lme4's ``densityplot``.

        Args and errors as ``plot_zeta``. Shaded is the interval of 95%.
        """
        from jmix.results.inference.profiling.profile_plots import plot_density

        return plot_density(self, parameters, figsize)

    def plot_pairs(self, parameters: Parameters = None, *, figsize: Any = None) -> Any:
        """Profiles of pairs, as lme4's ``splom``: how the best value of one parameter moves as another is held, with
        the contours of joint confidence that follow (Bates & Watts 1988, chapter 6).

        Above the diagonal on the scale of the parameters, below it on that of zeta; contours of 50, 80, 90, 95 and 99%
        for two parameters. Args and errors as ``plot_zeta``.
        """
        from jmix.results.inference.profiling.profile_pairs import plot_pairs

        return plot_pairs(self, parameters, figsize)

    def chosen(self, parameters: Parameters) -> list[str]:
        """Names of profiled parameters.

        Raises:
            ModelError: an unknown name.
        """
        known = list(self.profiles)
        if parameters is None:
            return known
        asked = [parameters] if isinstance(parameters, str) else list(parameters)
        for name in asked:
            if name not in known:
                raise ModelError(f"parameters: '{name}' is not profiled; there are {', '.join(known)}")
        return list(dict.fromkeys(asked))
