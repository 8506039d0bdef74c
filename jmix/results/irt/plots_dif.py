"""Pictures of items that differ between groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jmix.errors import ModelError
from jmix.items.bank import ItemBank
from jmix.results import figure as look
from jmix.results.irt.dif import Dif
from jmix.results.irt.plot_parts import MOST, POINTS, group_colour, group_legend, shape, trim
from jmix.spec.irt.spec import unpack


def plot_dif(found: Dif, items: Sequence[str] | None = None, *, figsize: Any = None) -> Any:
    """Expected scores by group of the items that differ, and where along the trait each group's persons are.

    The curves are those of the model in which the flagged items differ; the shaded strips at the foot are the groups'
    latent densities: a gap of the curves where there is nobody matters little.

    Args:
        found: from ``fit.dif()``. items: those flagged by default, or where there are none the overview of all tests.
        figsize: in inches.

    Raises:
        ModelError: an item that is not in the model, or too many.
    """
    wanted = list(found.flagged) if items is None else list(items)
    if not wanted or found.fit is None:
        return plot_dif_tests(found, figsize=figsize)
    spec, x = found.fit.solution.spec, np.asarray(found.fit.solution.x)
    unknown = [name for name in wanted if name not in spec.items]
    if unknown:
        raise ModelError(f"there is no item {unknown[0]!r}")
    if len(wanted) > MOST:
        raise ModelError(f"{len(wanted)} items are too many for one picture: choose up to {MOST} with items=[...]")
    values = unpack(np, spec, x)
    mean, sd = values.mean[:, 0], values.chol[:, 0, 0]
    theta = np.linspace(float((mean - 3.5 * sd).min()), float((mean + 3.5 * sd).max()), POINTS)
    points = np.tile(values.mean[0], (POINTS, 1))
    points[:, 0] = theta
    banks = [ItemBank.from_spec(spec, x, g) for g in range(len(spec.groups))]
    rows, columns = shape(len(wanted))
    fig = look.new_figure((max(4.6, 0.5 + 2.7 * columns), 1.1 + 2.1 * rows), figsize)
    axes = fig.subplots(rows, columns, squeeze=False)

    def draw(panel: Any, name: str) -> None:
        j = spec.items.index(name)
        curves = np.stack([np.asarray(bank.subset([j]).expected(points))[0] for bank in banks])
        _panel(panel, theta, curves, mean, sd, int(banks[0].n_categories[j]) - 1)
        look.heading(panel, name + _verdict(found, name))

    look.each(axes, draw, wanted)
    trim(axes, len(wanted))
    fig.supxlabel("trait θ", fontsize=look.NORMAL)
    fig.supylabel("expected score", fontsize=look.NORMAL)
    group_legend(fig, spec.groups)
    return fig


def plot_dif_tests(found: Dif, *, figsize: Any = None) -> Any:
    """All tested items by the size of the difference in the expected score, those flagged filled."""
    columns = [c for c in found.table.columns if c.startswith("signed")]
    table = found.table.sort_values(columns[0])
    fig = look.new_figure((6.0, 1.0 + 0.24 * len(table)), figsize)
    panel = fig.subplots()
    look.bare(panel)
    panel.axvline(0.0, color=look.LINE, linewidth=1.0, zorder=0)
    y = np.arange(len(table))
    for g, column in enumerate(columns):
        colour = group_colour(g + 1) if len(columns) > 1 else look.FILL
        face = [colour if flag else "white" for flag in table["dif"]]
        panel.scatter(table[column], y, s=30, c=face, edgecolors=colour, linewidths=1.1, zorder=3, label=column[7:-1])
    panel.set_yticks(y, [look.plain_text(str(name), 24) for name in table.index], fontsize=look.SMALL)
    panel.set_ylim(-0.7, len(table) - 0.3)
    most = max(0.05, 1.15 * float(np.abs(table[columns].to_numpy()).max()))
    panel.set_xlim(-most, most)
    groups = [] if found.fit is None else list(found.fit.solution.spec.groups)
    text = f"expected score, {groups[1]} less {groups[0]}" if len(groups) == 2 else "difference of the expected score"
    panel.set_xlabel(f"{text} (filled: adjusted p < {found.alpha:g})", fontsize=look.NORMAL)
    if len(columns) > 1:
        fig.legend(loc="outside upper right", frameon=False, fontsize=look.SMALL, ncols=len(columns))
    return fig


def _panel(panel: Any, theta: Any, curves: Any, mean: Any, sd: Any, top: int) -> None:
    look.bare(panel)
    if len(curves) == 2:
        panel.fill_between(theta, curves[0], curves[1], color=look.LINE, alpha=0.55, linewidth=0)
    for g, curve in enumerate(curves):
        density = np.exp(-0.5 * ((theta - mean[g]) / sd[g]) ** 2) / sd[g]
        scaled = 0.16 * top * density / float((1 / sd).max())
        panel.fill_between(theta, -0.03 * top, scaled - 0.03 * top, color=group_colour(g), alpha=0.18, linewidth=0)
        panel.plot(theta, curve, color=group_colour(g), linewidth=1.7)
    panel.set_xlim(theta[0], theta[-1])
    panel.set_ylim(-0.03 * top, 1.03 * top)
    look.few_ticks(panel.xaxis, 5)
    panel.set_yticks([0, 0.5, 1] if top == 1 else np.arange(0, top + 1, max(1, -(-top // 4))))


def _verdict(found: Dif, name: str) -> str:
    if name not in found.table.index:
        return ""
    p = float(found.table["p_adjusted"].to_numpy()[list(found.table.index).index(name)])
    return ", p < 0.001" if p < 0.001 else f", p = {p:.3f}"
