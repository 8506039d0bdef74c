"""Fitted lines of groups in small multiples, with the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results import figure as look
from jmix.results.inference.plots.line_values import Along, GroupLines, along, group_lines
from jmix.results.inference.plots.parts import PARTIAL, POOLED, UNPOOLED, one_group, short_labels
from jmix.results.irt.plot_parts import trim

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]

MOST_PANELS = 60


def plot_lines(
    fit: FitBase, x: str | None, group: str | None, n: int, levels: Sequence[Any] | None, figsize: Any
) -> Any:
    """The work behind ``fit.plot_lines``."""
    name = one_group(fit, group)
    path = along(fit, x, name)
    places = chosen_levels(fit.group_levels(name), fit.modes[name][:, 0], n, levels)
    linear = not hasattr(fit, "family")
    drawn = group_lines(fit, path, name, places, unpooled=linear)
    fig, axes = panel_grid(len(drawn), figsize)
    titles = short_labels([lines.level for lines in drawn], 20)
    for panel, lines, title in zip(axes.flat, drawn, titles, strict=False):
        _panel(panel, lines, path, title)
    finish_grid(fig, axes, len(drawn), path.name, fit.base.y_name)
    names = [("no pooling", UNPOOLED, "-"), ("partial pooling", PARTIAL, "-"), ("population", POOLED, "--")]
    legend(fig, names if linear else names[1:])
    total = len(fit.group_levels(name))
    fig.suptitle(
        look.plain_text(f"By {name}" + (f": {len(drawn)} of {total:,} levels" if len(drawn) < total else "")),
        fontsize=look.NORMAL, x=0.01, ha="left", parse_math=False,
    )  # fmt: skip
    return fig


def chosen_levels(labels: Sequence[str], values: FloatArray, n: Any, levels: Sequence[Any] | None) -> list[int]:
    """Places of the levels asked for; else of n, evenly spaced in the order of their values.

    Raises:
        ModelError: an unknown level, or a number of panels that cannot be drawn.
    """
    if levels is not None:
        asked = [str(level) for level in ([levels] if isinstance(levels, str) else levels)]
        unknown = [level for level in asked if level not in labels]
        if unknown or not 0 < len(asked) <= MOST_PANELS:
            problem = f"there is no level {unknown[0]!r}" if unknown else f"name 1 to {MOST_PANELS} levels"
            raise ModelError(f"levels: {problem}")
        return [list(labels).index(level) for level in asked]
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 0 < n <= MOST_PANELS:
        raise ModelError(f"n={n!r}: choose a number of panels from 1 to {MOST_PANELS}")
    order = np.argsort(values, kind="stable")
    if len(order) <= n:
        return [int(j) for j in order]
    return [int(order[i]) for i in np.round(np.linspace(0, len(order) - 1, int(n))).astype(int)]


def panel_grid(count: int, figsize: Any) -> tuple[Any, Any]:
    """A figure with so many small panels of common scales, some six in a row."""
    across = min(count, 6 if count > 8 else 4)
    rows = -(-count // across)
    fig = look.new_figure((1.0 + 1.55 * across, 1.0 + 1.5 * rows), figsize)
    return fig, fig.subplots(rows, across, squeeze=False, sharex=True, sharey=True)


def finish_grid(fig: Any, axes: Any, count: int, x: str, y: str) -> None:
    """Labels at the margins only, and nothing where there is no panel."""
    trim(axes, count)
    across = axes.shape[1]
    for panel in list(axes.flat)[max(0, count - across) : count]:
        panel.tick_params(labelbottom=True)
    for panel in list(axes.flat)[count:]:
        panel.remove()
    for label, text in ((fig.supxlabel, x), (fig.supylabel, y)):
        label(look.plain_text(text, 60), fontsize=look.NORMAL, color=look.INK, parse_math=False)


def legend(fig: Any, names: Sequence[tuple[str, str, Any]]) -> None:
    """Names, colours and styles of lines above the panels."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=colour, linestyle=style, linewidth=1.6) for _, colour, style in names]
    fig.legend(lines, [name for name, *_ in names], loc="outside upper right", ncols=len(names), frameon=False,
               fontsize=look.SMALL, handlelength=1.6, columnspacing=1.2)  # fmt: skip


def _panel(axes: Any, lines: GroupLines, path: Along, title: str) -> None:
    axes.plot(lines.x, lines.y, "o", color=look.INK, markersize=2.6, markeredgewidth=0,
              alpha=float(np.clip(40 / max(1, lines.x.size), 0.2, 0.75)))  # fmt: skip
    one = {"marker": "_", "markersize": 12} if lines.at.size == 1 else {}
    axes.plot(lines.at, lines.population, "--", color=POOLED, linewidth=1.2, **one)
    if lines.unpooled is not None:
        axes.plot(lines.at, lines.unpooled, color=UNPOOLED, linewidth=1.2, **one)
    axes.plot(lines.at, lines.partial, color=PARTIAL, linewidth=1.5, **one)
    small_panel(axes, title, path.levels)


def small_panel(axes: Any, title: str, levels: Sequence[str] = ()) -> None:
    """The look of one of many panels; levels of a factor as ticks."""
    look.bare(axes)
    look.heading(axes, title, size=look.SMALL)
    look.few_ticks(axes.yaxis, 4)
    if levels:
        turned = sum(map(len, levels)) > 14
        axes.set_xticks(range(len(levels)), [look.plain_text(level, 12) for level in levels],
                        fontsize=6.5 if turned else look.SMALL, rotation=90 if turned else 0,
                        parse_math=False)  # fmt: skip
        axes.set_xlim(-0.5, len(levels) - 0.5)
    else:
        look.few_ticks(axes.xaxis, 4)
