"""Profiles of pairs of parameters: traces and approximate contours of joint confidence.

Each profile gives the trace: where the other parameter has its best value while the first is held. On the scale of the
zetas a contour touches the lines ``zeta = +-r`` on the traces, and between these four points it is interpolated as
``(r cos(a + d/2), r cos(a - d/2))``, d the phase, which is exact for a quadratic deviance (Bates & Watts 1988,
Nonlinear Regression Analysis, section 6.1.2 and appendix 6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results import figure as look
from jmix.results.inference.profiling.profile_plots import LEVELS, traced

if TYPE_CHECKING:
    from jmix.results.inference.profiling.profile import Profile, Profiled
    from jmix.results.inference.profiling.profile_scale import Parameters

FloatArray = npt.NDArray[np.float64]

POINTS = 160


def plot_pairs(profile: Profile, parameters: Parameters, figsize: Any) -> Any:
    """See ``Profile.plot_pairs``."""
    found = traced(profile, parameters)
    if len(found) < 2:
        raise ModelError("plot_pairs() needs profiles of two parameters or more")
    size = len(found)
    side = max(4.0, 1.75 * size + 0.4)
    fig = look.new_figure((side, side), figsize)
    axes = fig.subplots(size, size, squeeze=False)
    cuts = joint_cuts(profile)
    for i, row in enumerate(found):
        for j, column in enumerate(found):
            panel = axes[size - 1 - i, j]
            if i == j:
                _name_panel(panel, row, profile)
            else:
                _pair_panel(panel, profile, column, row, cuts, natural=j < i)
    return fig


def joint_cuts(profile: Profile) -> list[float]:
    """Roots of the chi-squared quantiles with two degrees of freedom, as far as the profile reaches."""
    with np.errstate(divide="ignore"):
        cuts = [float(np.sqrt(-2.0 * np.log1p(-level))) for level in LEVELS]
    return [cut for cut in cuts if cut <= profile.cut(profile.level) + 1e-9] or cuts[:1]


def trace(profile: Profile, x: Profiled, y: Profiled) -> tuple[FloatArray, FloatArray]:
    """Zeta of x at its knots, and zeta of the best y there; NaN where y lies outside its own profile."""
    rows = profile.table[profile.table["parameter"] == x.name]
    best = rows[y.name].to_numpy()
    values, zeta = y.grid(801)
    keep = np.isfinite(values)
    inside = (best >= values[keep][0]) & (best <= values[keep][-1])
    return rows["zeta"].to_numpy(), np.where(inside, np.interp(best, values[keep], zeta[keep]), np.nan)


def contour(profile: Profile, x: Profiled, y: Profiled, cut: float) -> tuple[FloatArray, FloatArray]:
    """Zetas of a closed contour of joint confidence; empty where a trace does not reach it."""
    points = []
    for first, second, swapped in ((x, y, False), (y, x, True)):
        zeta, best = trace(profile, first, second)
        keep = np.isfinite(best)
        if keep.sum() < 2 or zeta[keep][0] > -cut or zeta[keep][-1] < cut:
            return np.zeros(0), np.zeros(0)
        for sign in (1.0, -1.0):
            other = float(np.clip(_smooth(zeta[keep], best[keep], sign * cut) / cut, -1.0, 1.0))
            own = np.arccos(sign), np.arccos(other)
            angles = own if not swapped else own[::-1]
            points.append(_phase(angles))
    return _closed(points, cut)


def _smooth(zeta: FloatArray, best: FloatArray, at: float) -> float:
    from scipy.interpolate import PchipInterpolator

    return float(PchipInterpolator(zeta, best)(at))


def _phase(angles: tuple[float, float]) -> tuple[float, float]:
    """Mean angle and phase difference of a point ``(cos a1, cos a2)``, by its quadrant."""
    mean, difference = 0.5 * (angles[0] + angles[1]), angles[0] - angles[1]
    return (mean, difference) if difference >= 0 else (-mean, -difference)


def _closed(points: list[tuple[float, float]], cut: float) -> tuple[FloatArray, FloatArray]:
    """A periodic spline of the phase difference in the mean angle."""
    from scipy.interpolate import CubicSpline

    pairs = sorted(points)
    mean, phase = np.array([m for m, _ in pairs]), np.array([d for _, d in pairs])
    keep = np.append(True, np.diff(mean) > 1e-6)
    mean, phase = mean[keep], phase[keep]
    spline = CubicSpline(np.append(mean, mean[0] + 2.0 * np.pi), np.append(phase, phase[0]), bc_type="periodic")
    grid = np.linspace(-np.pi, np.pi, POINTS)
    half = 0.5 * spline(grid)
    return cut * np.cos(grid + half), cut * np.cos(grid - half)


def _pair_panel(axes: Any, profile: Profile, x: Profiled, y: Profiled, cuts: list[float], natural: bool) -> None:
    look.bare(axes)
    for axis in (axes.xaxis, axes.yaxis):
        look.few_ticks(axis, 3)
    axes.tick_params(labelsize=look.SMALL - 1.5)

    def shown(one: Profiled, zeta: FloatArray) -> FloatArray:
        if not natural:
            return zeta
        values, at = one.grid(801)
        keep = np.isfinite(values)
        return np.interp(zeta, at[keep], values[keep], left=np.nan, right=np.nan)

    for cut in cuts:
        first, second = contour(profile, x, y, cut)
        axes.plot(shown(x, first), shown(y, second), color=look.BAND, linewidth=1.1)
    for one, other, swapped in ((x, y, False), (y, x, True)):
        zeta, best = trace(profile, one, other)
        line = shown(one, zeta), shown(other, best)
        axes.plot(*(line[::-1] if swapped else line), color=look.FILL, linewidth=1.0)


def _name_panel(axes: Any, one: Profiled, profile: Profile) -> None:
    for side in axes.spines.values():
        side.set_color(look.LINE)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(
        0.5, 0.5, look.folded(one.name, 14), ha="center", va="center", fontsize=look.SMALL, color=look.INK,
        transform=axes.transAxes, parse_math=False,
    )  # fmt: skip
