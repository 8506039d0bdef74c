"""Plots of profiles: zeta and density of each parameter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results import figure as look

if TYPE_CHECKING:
    from jmix.results.inference.profiling.profile import Profile, Profiled
    from jmix.results.inference.profiling.profile_scale import Parameters

FloatArray = npt.NDArray[np.float64]

POINTS = 201
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
SHADED = 0.95


def traced(profile: Profile, parameters: Parameters) -> list[Profiled]:
    """The profiles to be drawn: those with at least two knots.

    Raises:
        ModelError: there are none.
    """
    found = [profile.profiles[name] for name in profile.chosen(parameters)]
    found = [one for one in found if one.zeta.u.size > 1]
    if not found:
        raise ModelError("none of these parameters has a profile to draw; see the notes of the profile")
    return found


def panels(count: int, figsize: Any) -> tuple[Any, Any]:
    """A figure with a panel for each parameter."""
    columns = min(count, 4 if count > 6 else 3)
    rows = math.ceil(count / columns)
    fig = look.new_figure((0.6 + 2.9 * columns, 0.5 + 2.2 * rows), figsize)
    return fig, fig.subplots(rows, columns, squeeze=False)


def plot_zeta(profile: Profile, parameters: Parameters, absolute: bool, figsize: Any) -> Any:
    """See ``Profile.plot_zeta``."""
    found = traced(profile, parameters)
    fig, axes = panels(len(found), figsize)
    shown = [level for level in LEVELS if level <= profile.level + 1e-12]
    cuts = [profile.cut(level) for level in shown]
    look.each(axes, lambda panel, one: _zeta_panel(panel, one, cuts, absolute), found)
    fig.supylabel("|ζ|" if absolute else "ζ", fontsize=look.LARGE, color=look.INK, rotation=0)
    percent = ", ".join(f"{100 * level:g}" for level in shown)
    if shown:
        fig.supxlabel(f"Intervals of {percent}%", fontsize=look.NORMAL, color=look.MUTED)
    return fig


def _zeta_panel(axes: Any, one: Profiled, cuts: list[float], absolute: bool) -> None:
    look.bare(axes)
    look.few_ticks(axes.xaxis, 5)
    look.few_ticks(axes.yaxis, 5)
    values, zeta = one.grid(POINTS)
    keep = np.isfinite(values)
    values, zeta = values[keep], zeta[keep]
    height = np.abs(zeta) if absolute else zeta
    axes.plot(values, height, color=look.FILL, linewidth=1.5)
    if not absolute:
        axes.axhline(0.0, color=look.LINE, linewidth=0.8, zorder=0)
    axes.set_xlim(*_padded(values))
    for cut in cuts:
        ends = [_inside(one.root(side * cut), values) for side in (-1.0, 1.0)]
        for side, end in zip((-1.0, 1.0), ends, strict=True):
            if end is not None:
                top = cut if absolute else side * cut
                axes.plot([end, end], [0.0, top], color=look.BAND, linewidth=1.0, zorder=1)
        if absolute and all(end is not None for end in ends):
            axes.plot(ends, [cut, cut], color=look.BAND, linewidth=1.0, zorder=1)
    axes.plot([one.estimate], [0.0], "o", color=look.INK, markersize=4, markeredgecolor="white", zorder=3)
    if absolute:
        axes.set_ylim(bottom=0.0)
    look.heading(axes, one.name)


def _padded(values: FloatArray) -> tuple[float, float]:
    margin = 0.03 * float(values[-1] - values[0])
    return float(values[0]) - margin, float(values[-1]) + margin


def _inside(value: float, values: FloatArray) -> float | None:
    """The value, where the drawn curve has it."""
    return value if np.isfinite(value) and values[0] < value < values[-1] else None


def plot_density(profile: Profile, parameters: Parameters, figsize: Any) -> Any:
    """See ``Profile.plot_density``."""
    found = traced(profile, parameters)
    fig, axes = panels(len(found), figsize)
    level = min(SHADED, profile.level)
    look.each(axes, lambda panel, one: _density_panel(panel, one, profile, profile.cut(level)), found)
    fig.supxlabel(f"Estimate and {100 * level:g}% interval", fontsize=look.NORMAL, color=look.MUTED)
    return fig


def density(one: Profiled, profile: Profile) -> tuple[FloatArray, FloatArray]:
    """Values by increasing order, and the derivative of ``Phi(zeta)`` (or Student's distribution) there."""
    values, zeta = one.grid(POINTS)
    keep = np.isfinite(values)
    values, zeta = values[keep], zeta[keep]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.gradient(zeta, values)
    if profile.df is None:
        height = np.exp(-0.5 * zeta**2) / np.sqrt(2.0 * np.pi)
    else:
        nu = profile.df
        constant = math.exp(math.lgamma(0.5 * (nu + 1.0)) - math.lgamma(0.5 * nu)) / math.sqrt(nu * math.pi)
        height = constant * (1.0 + zeta**2 / nu) ** (-0.5 * (nu + 1.0))
    return values, np.maximum(height * slope, 0.0)


def _density_panel(axes: Any, one: Profiled, profile: Profile, cut: float) -> None:
    values, height = density(one, profile)
    low, high = one.limits(cut)
    look.bare(axes, left=False)
    look.few_ticks(axes.xaxis, 5)
    within = (values >= low) & (values <= high)
    axes.fill_between(values, height, color=look.BAND, alpha=0.35, linewidth=0)
    axes.fill_between(values[within], height[within], color=look.BAND, linewidth=0)
    axes.plot(values, height, color=look.FILL, linewidth=1.3)
    top = float(np.nanmax(height, initial=0.0)) or 1.0
    axes.set_ylim(-0.09 * top, 1.05 * top)
    axes.set_xlim(*_padded(values))
    ends = [min(max(end, values[0]), values[-1]) for end in (low, high) if not np.isnan(end)]
    if len(ends) == 2:
        axes.plot(ends, [-0.045 * top] * 2, color=look.INK, linewidth=2.2, solid_capstyle="butt")
    axes.plot([one.estimate], [-0.045 * top], "o", color=look.INK, markersize=5.5, markeredgecolor="white")
    look.heading(axes, one.name)
    spread = float(values[-1] - values[0]) / 6.0
    text = f"{look.number(one.estimate, spread)}  [{look.number(low, spread)}, {look.number(high, spread)}]"
    axes.set_xlabel(text, fontsize=look.SMALL, color=look.MUTED)
