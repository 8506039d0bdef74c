"""Pictures of items: characteristic curves and category curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.results import figure as look
from jmix.results.irt.empirical import Points, empirical_points, plausible_traits
from jmix.results.irt.plot_parts import (
    DIRECT,
    along,
    axis_values,
    chosen_items,
    factor_number,
    group_colour,
    group_legend,
    group_number,
    shape,
    trait_label,
    trim,
)

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]


def plot_icc(
    fit: IrtFit,
    items: Sequence[str] | str | None,
    *,
    empirical: bool,
    facet: bool,
    bins: int,
    limits: tuple[float, float] | None,
    factor: str | None,
    seed: int,
    figsize: Any,
) -> Any:
    """See ``IrtFit.plot_icc``."""
    wanted, d = chosen_items(fit, items), factor_number(fit, factor)
    theta = axis_values(fit, d, limits)
    traits = plausible_traits(fit, seed=seed) if empirical and facet and fit.spec.n_factors == 1 else None
    if not facet:
        return _together(fit, wanted, theta, d, figsize)
    rows, columns = shape(len(wanted))
    fig = look.new_figure((0.5 + 2.5 * columns, 0.7 + 1.95 * rows), figsize)
    axes = fig.subplots(rows, columns, squeeze=False)

    def draw(panel: Any, j: int) -> None:
        _item_panel(panel, fit, j, theta, d, traits, bins)

    look.each(axes, draw, wanted)
    trim(axes, len(wanted))
    fig.supxlabel(trait_label(fit, d), fontsize=look.NORMAL, color=look.INK)
    binary = all(fit.responses.n_categories[j] == 2 for j in wanted)
    fig.supylabel("probability" if binary else "expected score", fontsize=look.NORMAL, color=look.INK)
    if len(fit.spec.groups) > 1:
        group_legend(fig, fit.spec.groups)
    return fig


def plot_categories(
    fit: IrtFit,
    items: Sequence[str] | str | None,
    *,
    empirical: bool,
    bins: int,
    limits: tuple[float, float] | None,
    factor: str | None,
    group: str | None,
    seed: int,
    figsize: Any,
) -> Any:
    """See ``IrtFit.plot_categories``."""
    wanted, d = chosen_items(fit, items), factor_number(fit, factor)
    theta = axis_values(fit, d, limits)
    g = group_number(fit, group)
    bank = fit.bank(fit.spec.groups[g])
    p = bank.probabilities(along(fit, theta, d, g))
    traits = plausible_traits(fit, seed=seed) if empirical and fit.spec.n_factors == 1 else None
    rows, columns = shape(len(wanted))
    fig = look.new_figure((0.5 + 2.7 * columns, 1.0 + 2.0 * rows), figsize)
    axes = fig.subplots(rows, columns, squeeze=False)
    most = max(fit.responses.n_categories[j] for j in wanted)

    def draw(panel: Any, j: int) -> None:
        k = fit.responses.n_categories[j]
        points = None if traits is None else empirical_points(j, g, traits, bins=bins)
        _category_panel(panel, theta, p[j, :k], points, most)
        look.heading(panel, str(fit.spec.items[j]))

    look.each(axes, draw, wanted)
    trim(axes, len(wanted))
    fig.supxlabel(trait_label(fit, d), fontsize=look.NORMAL, color=look.INK)
    fig.supylabel("probability", fontsize=look.NORMAL, color=look.INK)
    _category_legend(fig, fit, wanted, most)
    return fig


def _item_panel(panel: Any, fit: IrtFit, j: int, theta: FloatArray, d: int, traits: Any, bins: int) -> None:
    look.bare(panel)
    top = fit.responses.n_categories[j] - 1
    several = len(fit.spec.groups) > 1
    for g, group in enumerate(fit.spec.groups):
        curve = _expected(fit.bank(group), j, along(fit, theta, d, g))
        colour = group_colour(g) if several else look.FILL
        if traits is not None:
            points = empirical_points(j, g, traits, bins=bins)
            inside = (points.theta >= theta[0]) & (points.theta <= theta[-1])
            value, error = points.score()[inside], 1.96 * points.score_error()[inside]
            low, high = np.minimum(error, value), np.minimum(error, top - value)
            panel.errorbar(
                points.theta[inside], value, yerr=np.vstack([low, high]), fmt="o", markersize=3.2, color=colour,
                markerfacecolor="white", markeredgewidth=0.9, elinewidth=0.8, zorder=3 + 0.1 * g,
            )  # fmt: skip
        panel.plot(theta, curve, color=colour, linewidth=1.6, zorder=2)
    panel.set_xlim(theta[0], theta[-1])
    panel.set_ylim(-0.03 * top, 1.03 * top)
    look.few_ticks(panel.xaxis, 5)
    panel.set_yticks(np.linspace(0, 1, 3) if top == 1 else np.arange(0, top + 1, max(1, math.ceil(top / 4))))
    look.heading(panel, str(fit.spec.items[j]))


def _expected(bank: ItemBank, j: int, points: FloatArray) -> FloatArray:
    return np.asarray(bank.subset([j]).expected(points))[0]


def _together(fit: IrtFit, wanted: list[int], theta: FloatArray, d: int, figsize: Any) -> Any:
    """All curves in one panel, each score over its maximum, named at the side in the order of the curves."""
    fig = look.new_figure((6.6, 4.2), figsize)
    panel = fig.subplots()
    look.bare(panel)
    bank = fit.bank(fit.spec.groups[0])
    curves = np.stack(
        [_expected(bank, j, along(fit, theta, d, 0)) / (fit.responses.n_categories[j] - 1) for j in wanted]
    )
    named = len(wanted) <= DIRECT
    for i, curve in enumerate(curves):
        colour = look.CHAINS[i % len(look.CHAINS)] if named else look.FILL
        style = ("-", "--")[(i // len(look.CHAINS)) % 2] if named else "-"
        width, alpha = (1.6, 1.0) if named else (1.0, 0.6)
        panel.plot(
            theta, curve, style, color=colour, linewidth=width, alpha=alpha, label=str(fit.spec.items[wanted[i]])
        )
    if named:
        handles, labels = panel.get_legend_handles_labels()
        order = np.argsort(-curves.mean(axis=1), kind="stable")
        fig.legend(
            [handles[i] for i in order], [look.plain_text(labels[i], 24) for i in order], loc="outside right upper",
            frameon=False, fontsize=look.SMALL, handlelength=1.4,
        )  # fmt: skip
    panel.set_xlim(theta[0], theta[-1])
    panel.set_ylim(-0.02, 1.02)
    binary = all(fit.responses.n_categories[j] == 2 for j in wanted)
    panel.set_xlabel(trait_label(fit, d), fontsize=look.NORMAL)
    panel.set_ylabel("probability" if binary else "expected score / highest score", fontsize=look.NORMAL)
    return fig


def _category_panel(panel: Any, theta: FloatArray, p: FloatArray, points: Points | None, most: int) -> None:
    look.bare(panel)
    for k, curve in enumerate(p):
        colour = category_colour(k, most)
        panel.plot(theta, curve, color=colour, linewidth=1.6)
        if points is not None:
            inside = (points.theta >= theta[0]) & (points.theta <= theta[-1])
            panel.plot(
                points.theta[inside], points.share[inside, k], "o", color=colour, markersize=3.2,
                markerfacecolor="white", markeredgewidth=0.9, zorder=3,
            )  # fmt: skip
    panel.set_xlim(theta[0], theta[-1])
    panel.set_ylim(-0.03, 1.03)
    panel.set_yticks([0, 0.5, 1])
    look.few_ticks(panel.xaxis, 5)


def category_colour(k: int, most: int) -> Any:
    """Colour of a category: up to seven that any colour vision tells apart, then a scale from dark to light."""
    if most <= len(look.CHAINS):
        return look.CHAINS[k]
    from matplotlib import colormaps

    return colormaps["viridis"](0.92 * k / max(1, most - 1))


def _category_legend(fig: Any, fit: IrtFit, wanted: list[int], most: int) -> None:
    from matplotlib.lines import Line2D

    labels = [fit.responses.categories[j] for j in wanted]
    longest = max(labels, key=len)
    same = all(tuple(own) == tuple(longest[: len(own)]) for own in labels)
    texts = [look.plain_text(str(label), 18) for label in longest] if same else [f"category {k}" for k in range(most)]
    lines = [Line2D([], [], color=category_colour(k, most), linewidth=1.8) for k in range(most)]
    fig.legend(
        lines, texts, loc="outside upper right", ncols=min(8, most), frameon=False, fontsize=look.SMALL,
        handlelength=1.3, columnspacing=1.2,
    )  # fmt: skip
