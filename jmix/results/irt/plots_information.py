"""Pictures of information and measurement error, of factor numbers and of local dependence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jmix.errors import ModelError
from jmix.results import figure as look
from jmix.results.irt.plot_parts import (
    DIRECT,
    along,
    axis_values,
    chosen_items,
    factor_number,
    group_number,
    trait_label,
)

if TYPE_CHECKING:
    import pandas as pd

    from jmix.results.irt.dimensions import ParallelAnalysis
    from jmix.results.irt.fit import IrtFit

CAP = 1.5
"""Standard errors beyond this many times the latent standard deviation run out of the picture."""


def plot_information(
    fit: IrtFit,
    items: Sequence[str] | str | None,
    *,
    what: str,
    limits: tuple[float, float] | None,
    factor: str | None,
    group: str | None,
    figsize: Any,
) -> Any:
    """See ``IrtFit.plot_information``."""
    if what not in ("test", "items"):
        raise ModelError(f"what='{what}': choose 'test' or 'items'")
    d = factor_number(fit, factor)
    g = group_number(fit, group)
    theta = axis_values(fit, d, limits)
    points = along(fit, theta, d, g)
    direction = None if fit.spec.n_factors == 1 else np.eye(fit.spec.n_factors)[d]
    wanted = list(range(len(fit.spec.items))) if items is None and what == "test" else chosen_items(fit, items)
    information = np.asarray(fit.bank(fit.spec.groups[g]).information(points, direction))[wanted]
    fig = look.new_figure((6.4, 3.8), figsize)
    panel = fig.subplots()
    look.bare(panel)
    if what == "test":
        _test(panel, theta, information.sum(axis=0))
    else:
        _items(fig, panel, theta, information, [str(fit.spec.items[j]) for j in wanted])
    panel.set_xlim(theta[0], theta[-1])
    panel.set_ylim(bottom=0.0)
    panel.set_xlabel(trait_label(fit, d), fontsize=look.NORMAL)
    return fig


def _test(panel: Any, theta: Any, total: Any) -> None:
    panel.fill_between(theta, total, color=look.BAND, alpha=0.45, linewidth=0)
    panel.plot(theta, total, color=look.FILL, linewidth=1.8)
    panel.set_ylabel("test information", fontsize=look.NORMAL, color=look.FILL)
    panel.tick_params(axis="y", labelcolor=look.FILL)
    right = panel.twinx()
    look.bare(right, left=False)
    right.spines["right"].set_visible(True)
    right.spines["right"].set_color(look.MUTED)
    right.yaxis.tick_right()
    right.tick_params(labelsize=look.SMALL, length=3, color=look.MUTED, labelcolor=look.DIVERGENT)
    with np.errstate(divide="ignore"):
        se = 1 / np.sqrt(total)
    ceiling = min(float(np.nanmax(se)), max(4 * float(np.nanmin(se)), CAP))
    right.plot(theta, np.where(se <= ceiling, se, np.nan), "--", color=look.DIVERGENT, linewidth=1.5)
    right.set_ylim(0, ceiling * 1.05)
    from matplotlib.ticker import MaxNLocator

    right.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    right.yaxis.set_label_position("right")
    right.set_ylabel("standard error of θ", fontsize=look.NORMAL, color=look.DIVERGENT)


def _items(fig: Any, panel: Any, theta: Any, information: Any, names: list[str]) -> None:
    named = len(names) <= DIRECT
    for i, curve in enumerate(information):
        colour = look.CHAINS[i % len(look.CHAINS)] if named else look.FILL
        style = ("-", "--")[(i // len(look.CHAINS)) % 2] if named else "-"
        panel.plot(
            theta,
            curve,
            style,
            color=colour,
            linewidth=1.6 if named else 1.0,
            alpha=1.0 if named else 0.6,
            label=names[i],
        )
    panel.set_ylabel("item information", fontsize=look.NORMAL)
    if named:
        handles, labels = panel.get_legend_handles_labels()
        order = np.argsort(-information.max(axis=1), kind="stable")
        fig.legend(
            [handles[i] for i in order], [look.plain_text(labels[i], 24) for i in order], loc="outside right upper",
            frameon=False, fontsize=look.SMALL, handlelength=1.4,
        )  # fmt: skip


def plot_scree(found: ParallelAnalysis, figsize: Any = None) -> Any:
    """Eigenvalues of a parallel analysis beside those of independent items."""
    fig = look.new_figure((5.6, 3.6), figsize)
    panel = fig.subplots()
    look.bare(panel)
    frame = found.eigenvalues
    label = f"independent items, mean to {100 * found.level:.0f}% quantile"
    panel.plot(frame.index, frame["quantile"], "--", color=look.MUTED, linewidth=1.2, label=label)
    panel.fill_between(frame.index, frame["mean"], frame["quantile"], color=look.LINE, alpha=0.6, linewidth=0)
    above = np.arange(len(frame)) < found.n_dimensions
    panel.plot(frame.index, frame["observed"], color=look.FILL, linewidth=1.4, zorder=2, label="observed")
    colours = [look.FILL if keep else "white" for keep in above]
    panel.scatter(frame.index, frame["observed"], s=28, c=colours, edgecolors=look.FILL, linewidths=1.1, zorder=3)
    panel.set_xlabel("dimension", fontsize=look.NORMAL)
    panel.set_ylabel("eigenvalue", fontsize=look.NORMAL)
    look.few_ticks(panel.xaxis, 10)
    panel.set_ylim(bottom=min(0.0, float(frame["observed"].min()) * 1.1))
    panel.legend(loc="upper right", frameon=False, fontsize=look.SMALL)
    return fig


def plot_dependence(matrix: pd.DataFrame, label: str, figsize: Any = None) -> Any:
    """Residual correlations of all pairs of items as colours, and as numbers where there is room."""
    names = [look.plain_text(str(name), 16) for name in matrix.columns]
    n = len(names)
    values = matrix.to_numpy(dtype=np.float64).copy()
    np.fill_diagonal(values, np.nan)
    side = min(11.0, 2.2 + 0.42 * n)
    fig = look.new_figure((side + 0.8, side), figsize)
    panel = fig.subplots()
    from matplotlib import colormaps

    most = max(0.2, float(np.nanmax(np.abs(values)))) if np.isfinite(values).any() else 0.2
    cmap = colormaps["RdBu_r"].with_extremes(bad=(0.9, 0.9, 0.9, 0.4))
    image = panel.imshow(np.ma.masked_invalid(values), cmap=cmap, vmin=-most, vmax=most)
    if n <= 20:
        for i in range(n):
            for j in range(n):
                if i != j and np.isfinite(values[i, j]):
                    ink = "white" if abs(values[i, j]) > 0.65 * most else look.INK
                    text = f"{round(values[i, j], 2) + 0.0:.2f}".replace("-", "−")
                    panel.text(j, i, text, ha="center", va="center", fontsize=look.SMALL - 1, color=ink)
    panel.set_xticks(range(n), names, rotation=45, ha="right", fontsize=look.SMALL)
    panel.set_yticks(range(n), names, fontsize=look.SMALL)
    panel.tick_params(length=0)
    for edge in panel.spines.values():
        edge.set_visible(False)
    bar = fig.colorbar(image, ax=panel, shrink=0.7, pad=0.02)
    bar.set_label(label, fontsize=look.NORMAL)
    bar.ax.tick_params(labelsize=look.SMALL)
    bar.outline.set_visible(False)
    return fig
