"""Profiles of models without random effects, in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.inference.profiling.profile import Profile, Profiled
from jmix.results.inference.profiling.profile_scale import Names, Parameters, Scale, names_of
from jmix.results.summary import call_lines

if TYPE_CHECKING:
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]

STEP = 0.25
"""Distance of the rows of the table, in units of zeta."""

EXACT_NOTE = (
    "zeta of a coefficient is its t statistic, that of sigma has the same tail probability by the chi-squared "
    "distribution: the intervals are the exact ones of least squares"
)


@dataclass(frozen=True, eq=False)
class Closed:
    """Zeta in closed form by its inverse. Attributes: inverse: from zeta to the value. goal: how far it is shown."""

    inverse: Callable[[float], float]
    goal: float

    @cached_property
    def zeta(self) -> FloatArray:
        """(m,) zeta of the rows."""
        half = int(np.ceil(self.goal / STEP))
        return np.linspace(-self.goal, self.goal, 2 * half + 1)

    @cached_property
    def u(self) -> FloatArray:
        """(m,) values there."""
        return np.array([self.inverse(float(z)) for z in self.zeta])

    def root(self, zeta: float) -> float:
        """The value at which zeta is reached."""
        return self.inverse(zeta)

    @cached_property
    def _spline(self) -> tuple[FloatArray, FloatArray]:
        fine = np.linspace(-self.goal, self.goal, 2001)
        return np.array([self.inverse(float(z)) for z in fine]), fine

    def at(self, u: FloatArray) -> FloatArray:
        """Zeta and its derivative, (2, m)."""
        values, zeta = self._spline
        return np.stack([np.interp(u, values, zeta), np.interp(u, values, np.gradient(zeta, values))])


def profile_ols(fit: Fit, parameters: Parameters, level: float, scale: Scale) -> Profile:
    """Profiles after least squares, exact by Student's t; or of the likelihood, after maximum likelihood."""
    names = names_of(fit, scale)
    which = names.chosen(parameters)
    df = None if fit.test_df is None else float(fit.test_df)
    empty = Profile(pd.DataFrame(), "", df=df, profiles={})
    goal = empty.cut(level)
    profiles, frames = {}, []
    for i in which:
        closed = Closed(_inverse(fit, names, i, df), goal)
        estimate = float(fit.beta[i]) if i < names.n_fixed else names.transform(i)(fit.sigma)
        profiles[names.shown[i]] = Profiled(names.shown[i], estimate, closed, float, 1.0)
        frames.append(_rows(fit, names, i, closed, df))
    return Profile(
        table=pd.concat(frames, ignore_index=True),
        title=f"Profiles of {len(which)} parameter{'s' if len(which) != 1 else ''}",
        call=tuple(call_lines(fit)), notes=() if df is None else (EXACT_NOTE,), profiles=profiles, level=level, df=df,
        deviance=fit.deviance if df is None else float("nan"), scale=scale,
    )  # fmt: skip


def _inverse(fit: Fit, names: Names, i: int, df: float | None) -> Callable[[float], float]:
    n = fit.nobs
    if i < names.n_fixed:
        estimate, se = float(fit.beta[i]), float(np.sqrt(fit.fixed_covariance[i, i]))
        if df is not None:
            return lambda z: estimate + z * se
        return lambda z: estimate + float(np.sign(z)) * se * float(np.sqrt(n * np.expm1(z * z / n)))
    change = names.transform(i)
    if df is None:
        return lambda z: change(fit.sigma * _likelihood_ratio(z * z / n, z < 0))
    return lambda z: change(_exact_sigma(fit.sigma, df, z))


def _likelihood_ratio(rise: float, below: bool) -> float:
    """The r below or above 1 with ``2 log r + r^-2 - 1 = rise``."""
    from scipy.special import lambertw

    # with s = r^-2: s - log s = rise + 1, so -s exp(-s) = -exp(-(rise + 1))
    branch = -1 if below else 0
    s = -float(np.real(lambertw(-np.exp(-(rise + 1.0)), branch)))
    return float(s**-0.5)


def _exact_sigma(sigma: float, df: float, zeta: float) -> float:
    from scipy.special import chdtri, stdtr

    return float(sigma * np.sqrt(df / chdtri(df, stdtr(df, zeta))))


def _rows(fit: Fit, names: Names, i: int, closed: Closed, df: float | None) -> pd.DataFrame:
    """The rows of a parameter, the others at their best."""
    p, values = names.n_fixed, closed.u
    rest = fit.nobs if df is None else df
    natural = np.tile([*fit.beta, fit.sigma], (values.size, 1))
    if i < p:
        column = fit.fixed_covariance[i] / fit.fixed_covariance[i, i]
        t2 = np.square(values - fit.beta[i]) / fit.fixed_covariance[i, i]
        natural[:, :p] += np.outer(values - fit.beta[i], column)
        natural[:, p] = fit.sigma * np.sqrt(1.0 + t2 / rest)
    natural[:, p] = [names.transform(p)(v) for v in natural[:, p]]
    natural[:, i] = values
    frame = pd.DataFrame(natural, columns=list(names.shown))
    frame.insert(0, "value", values)
    frame.insert(0, "zeta", closed.zeta)
    frame.insert(0, "parameter", names.shown[i])
    return frame
