"""Plots of draws: traces and densities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results import figure as look
from jmix.results.density_curve import Range, density_curve, ranges
from jmix.results.parameter_choice import Parameters, chosen
from jmix.results.posterior_table import Interval, bounds, spread

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior

FloatArray = npt.NDArray[np.float64]
Point = Literal["median", "mean"]

LONGEST_TRACE = 4000
"""Points of a line; of a longer chain every second, third, ... draw is drawn."""


# --- traces ---------------------------------------------------------------------------------------------------------
def plot_trace(post: Posterior, parameters: Parameters = None, figsize: Any = None) -> Any:
    """Densities and traces by chain; see ``Posterior.plot_trace``."""
    names = chosen(post, parameters)
    fig = look.new_figure((9.0, 0.7 + 1.45 * len(names)), figsize)
    axes = fig.subplots(len(names), 2, squeeze=False, width_ratios=(2, 3))
    limits = ranges(post)
    for (left, right), name in zip(axes, names, strict=True):
        _chain_densities(left, post[name], limits[name])
        _chain_traces(right, post[name], post.draws.stats.diverging)
        look.heading(left, name)
    axes[-1, 0].set_xlabel("value", fontsize=look.NORMAL)
    axes[-1, 1].set_xlabel("draw", fontsize=look.NORMAL)
    for panel in axes[:-1, 1]:
        panel.tick_params(labelbottom=False)
    _trace_legend(fig, post)
    return fig


def colour(chain: int) -> str:
    """Colour of a chain."""
    return look.CHAINS[chain % len(look.CHAINS)]


def _chain_densities(axes: Any, draws: FloatArray, limits: Range) -> None:
    look.bare(axes, left=False)
    look.few_ticks(axes.xaxis, 5)
    for chain, values in enumerate(draws):
        grid, density = density_curve(values, limits)
        axes.plot(grid, density, color=colour(chain), linewidth=1.2)
    axes.set_ylim(bottom=0.0)


def _chain_traces(axes: Any, draws: FloatArray, diverging: npt.NDArray[np.bool_]) -> None:
    look.bare(axes)
    look.few_ticks(axes.yaxis, 4)
    step = math.ceil(draws.shape[1] / LONGEST_TRACE)
    at = np.arange(0, draws.shape[1], step)
    for chain, values in enumerate(draws):
        axes.plot(at + 1, values[at], color=colour(chain), linewidth=0.5, alpha=0.75, rasterized=True)
    axes.set_xlim(0, draws.shape[1] + 1)
    where = np.flatnonzero(diverging.any(axis=0)) + 1
    if where.size:
        axes.plot(
            where, np.zeros(where.size), "|", color=look.DIVERGENT, markersize=9, markeredgewidth=1.2,
            transform=axes.get_xaxis_transform(), clip_on=False, zorder=3, label="divergence",
        )  # fmt: skip


def _trace_legend(fig: Any, post: Posterior) -> None:
    from matplotlib.lines import Line2D

    shown = min(post.chains, 12)
    lines = [Line2D([], [], color=colour(c), linewidth=1.8) for c in range(shown)]
    texts = [f"chain {c + 1}" for c in range(shown)]
    count = int(post.draws.stats.diverging.sum())
    if count:
        lines.append(Line2D([], [], color=look.DIVERGENT, marker="|", linestyle="none", markersize=9))
        texts.append(f"{count} divergence{'s' if count > 1 else ''}")
    fig.legend(
        lines, texts, loc="outside upper right", ncols=min(7, len(lines)), frameon=False, fontsize=look.SMALL,
        handlelength=1.3, columnspacing=1.2,
    )  # fmt: skip


# --- densities ------------------------------------------------------------------------------------------------------
def plot_density(
    post: Posterior,
    parameters: Parameters = None,
    prob: float = 0.95,
    figsize: Any = None,
    *,
    point: Point = "median",
    interval: Interval = "eti",
) -> Any:
    """Density of each parameter with an interval and a point; see ``Posterior.plot_density``."""
    if point not in ("median", "mean"):
        raise ModelError(f"point={point!r}: choose 'median' or 'mean'")
    names = chosen(post, parameters)
    flat = np.stack([post[name].reshape(-1) for name in names])
    lower, upper = bounds(flat, prob, interval)
    middle = np.median(flat, axis=1) if point == "median" else flat.mean(axis=1)
    columns = min(len(names), 4 if len(names) > 6 else 3)
    rows = math.ceil(len(names) / columns)
    fig = look.new_figure((0.4 + 2.9 * columns, 0.5 + 2.0 * rows), figsize)
    axes, limits = fig.subplots(rows, columns, squeeze=False), ranges(post)
    curves = [density_curve(draws, limits[name]) for name, draws in zip(names, flat, strict=True)]
    places = list(zip(lower, middle, upper, spread(flat), strict=True))
    look.each(axes, _density_panel, names, curves, places)
    kind = f"{100 * prob:g}% {'interval' if interval == 'eti' else 'highest density interval'}"
    fig.supxlabel(f"{point.capitalize()} and {kind}", fontsize=look.NORMAL, color=look.MUTED)
    return fig


def _density_panel(
    axes: Any, name: str, curve: tuple[FloatArray, FloatArray], place: tuple[float, float, float, float]
) -> None:
    (grid, density), (low, middle, high, sd) = curve, place
    look.bare(axes, left=False)
    look.few_ticks(axes.xaxis, 5)
    inside = (grid >= low) & (grid <= high)
    axes.fill_between(grid, density, color=look.BAND, alpha=0.35, linewidth=0)
    axes.fill_between(grid[inside], density[inside], color=look.BAND, linewidth=0)
    axes.plot(grid, density, color=look.FILL, linewidth=1.3)
    top = float(density.max(initial=0.0)) or 1.0
    axes.set_ylim(-0.09 * top, 1.05 * top)
    axes.plot([low, high], [-0.045 * top] * 2, color=look.INK, linewidth=2.2, solid_capstyle="butt")
    axes.plot([middle], [-0.045 * top], "o", color=look.INK, markersize=5.5, markeredgecolor="white")
    look.heading(axes, name)
    text = f"{look.number(middle, sd)}  [{look.number(low, sd)}, {look.number(high, sd)}]"
    axes.set_xlabel(text, fontsize=look.SMALL, color=look.MUTED)
