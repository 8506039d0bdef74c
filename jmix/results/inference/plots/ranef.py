"""Random effects: in order with their intervals (a caterpillar plot), and against normal quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.results import figure as look
from jmix.results.frames import check_level
from jmix.results.inference.plots.parts import MOST_LABELS, chosen_columns, chosen_groups, name_axis, short_labels
from jmix.results.irt.plot_parts import shape
from jmix.results.rows import prior_covariances

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]

ROW = 0.17
NAMED = 3
"""Levels outside the band of a quantile plot that are named."""


# --- caterpillar ----------------------------------------------------------------------------------------------------
def plot_ranef(
    fit: FitBase, group: str | None, columns: str | Sequence[str] | None, level: float, sort: bool, figsize: Any
) -> Any:
    """The work behind ``fit.plot_ranef``."""
    groups = chosen_groups(fit, group)
    places = {g: chosen_columns(fit, g, columns if group is not None or len(groups) == 1 else None) for g in groups}
    z = NormalDist().inv_cdf(0.5 + 0.5 * check_level(level))
    heights = [_height(len(fit.group_levels(g))) for g in groups]
    width = 1.6 + 3.0 * max(map(len, places.values()))
    fig = look.new_figure((width, min(0.6 + sum(heights), look.LARGEST)), figsize)
    parts = fig.subfigures(len(groups), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, name in zip(parts, groups, strict=True):
        _caterpillar(part, fit, name, places[name], z, sort)
    text = f"Conditional mode and {100 * level:g}% interval given the parameters"
    fig.supxlabel(text, fontsize=look.NORMAL, color=look.MUTED)
    return fig


def _height(levels: int) -> float:
    return 0.7 + (max(3, levels) * ROW if levels <= MOST_LABELS else 6.5)


def _caterpillar(fig: Any, fit: FitBase, group: str, places: Sequence[int], z: float, sort: bool) -> None:
    names, levels = fit.group_columns(group), fit.group_levels(group)
    modes = fit.modes[group]
    sds = np.sqrt(np.maximum(np.einsum("jaa->ja", fit.mode_covariances[group]), 0.0))
    order = np.argsort(modes[:, places[0]], kind="stable") if sort else np.arange(len(levels))[::-1]
    axes = fig.subplots(1, len(places), squeeze=False, sharey=True)[0]
    labelled = len(levels) <= MOST_LABELS
    for panel, k in zip(axes, places, strict=True):
        _intervals(panel, modes[order, k], z * sds[order, k], labelled)
        look.heading(panel, names[k])
    if labelled:
        shown = short_labels([levels[i] for i in order], 28)
        axes[0].set_yticks(range(len(shown)), shown, fontsize=look.SMALL if len(shown) <= 60 else 6.5, parse_math=False)
        name_axis(axes[0].yaxis, group)
    else:
        axes[0].set_yticks([])
        name_axis(axes[0].yaxis, f"{len(levels):,} levels of {group}")
    for panel in axes:
        panel.tick_params(axis="y", length=0, labelleft=labelled and panel is axes[0])


def _intervals(axes: Any, mode: FloatArray, half: FloatArray, wide: bool) -> None:
    """Intervals from the lowest at the foot; those that hold zero are pale."""
    at, thick = np.arange(mode.size), float(np.clip(250 / mode.size, 0.5, 1.6))
    away = np.abs(mode) > half
    for chosen, colour in ((~away, look.BAND), (away, look.FILL)):
        low, high = (mode - half)[chosen], (mode + half)[chosen]
        axes.hlines(at[chosen], low, high, color=colour, linewidth=thick)
    axes.plot(
        mode,
        at,
        "o",
        color=look.INK,
        markersize=3.6 if wide else float(np.clip(300 / mode.size, 1.2, 3.0)),
        markeredgewidth=0,
        zorder=3,
    )
    axes.axvline(0.0, color=look.MUTED, linewidth=0.8, zorder=0 if wide else 4)
    look.bare(axes)
    axes.spines["left"].set_visible(False)
    look.few_ticks(axes.xaxis, 5)
    axes.set_ylim(-0.6, mode.size - 0.4)


# --- normal quantiles -----------------------------------------------------------------------------------------------
def plot_qq_ranef(fit: FitBase, group: str | None, columns: str | Sequence[str] | None, figsize: Any) -> Any:
    """The work behind ``fit.plot_qq_ranef``."""
    groups = chosen_groups(fit, group)
    panels = [
        (g, k)
        for g in groups
        for k in chosen_columns(fit, g, columns if group is not None or len(groups) == 1 else None)
    ]
    rows, across = shape(len(panels))
    fig = look.new_figure((0.6 + 3.1 * across, 0.5 + 3.0 * rows), figsize)
    axes = fig.subplots(rows, across, squeeze=False)
    look.each(axes, lambda panel, item: _quantile_panel(panel, fit, *item, several=len(groups) > 1), panels)
    fig.supxlabel("Normal quantile", fontsize=look.NORMAL, color=look.INK)
    fig.supylabel("Conditional mode over its standard deviation", fontsize=look.NORMAL, color=look.INK)
    return fig


def standardised_modes(fit: FitBase, group: str) -> FloatArray:
    """(J, q) modes over their standard deviation ``sqrt(Sigma_kk - condVar_kk)`` under the model; NaN where it is 0."""
    prior = fit.theta_scale**2 * np.diag(prior_covariances(fit)[group])
    given = np.einsum("jaa->ja", fit.mode_covariances[group])
    variance = prior - given
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 1e-9 * prior, fit.modes[group] / np.sqrt(variance), np.nan)


def _quantile_panel(axes: Any, fit: FitBase, group: str, k: int, *, several: bool) -> None:
    z = standardised_modes(fit, group)[:, k]
    name = fit.group_columns(group)[k]
    look.bare(axes)
    look.heading(axes, f"{group}: {name}" if several else name)
    known = np.flatnonzero(np.isfinite(z))
    if known.size == 0:
        axes.text(0.5, 0.5, "variance estimated as zero", transform=axes.transAxes, ha="center", color=look.MUTED,
                  fontsize=look.SMALL)  # fmt: skip
        return
    order = known[np.argsort(z[known], kind="stable")]
    labels = [short_labels(fit.group_levels(group), 16)[i] for i in order]
    quantile_plot(axes, z[order], labels)


def quantile_plot(axes: Any, ordered: FloatArray, labels: Sequence[str] | None = None) -> None:
    """Sorted values against normal quantiles, the line of equality, and a pointwise 95% band.

    The i-th of n order statistics of a uniform sample has a Beta(i, n + 1 - i) distribution.
    """
    from scipy.special import betaincinv, ndtri

    n = ordered.size
    i = np.arange(1, n + 1)
    expected = ndtri((i - 0.5) / n)
    low, high = (ndtri(betaincinv(i, n + 1 - i, p)) for p in (0.025, 0.975))
    axes.fill_between(expected, low, high, color=look.BAND, alpha=0.45, linewidth=0)
    axes.plot(expected[[0, -1]], expected[[0, -1]], color=look.MUTED, linewidth=1.0)
    axes.plot(expected, ordered, "o", color=look.FILL, markersize=3.4 if n <= 500 else 1.8, markeredgewidth=0)
    for ticks in (axes.xaxis, axes.yaxis):
        look.few_ticks(ticks, 6)
    if labels is None:
        return
    beyond = np.maximum(low - ordered, ordered - high)
    taken: list[float] = []
    for place in np.argsort(-beyond)[:NAMED]:
        free = all(abs(ordered[place] - other) > 0.06 * np.ptp(ordered) for other in taken)
        if beyond[place] > 0 and free:
            taken.append(float(ordered[place]))
            side = -1 if place > n / 2 else 1
            axes.annotate(labels[place], (expected[place], ordered[place]), (5 * side, 0),
                          textcoords="offset points", ha="right" if side < 0 else "left", va="center",
                          fontsize=look.SMALL, parse_math=False)  # fmt: skip
