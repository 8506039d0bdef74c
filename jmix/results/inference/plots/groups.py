"""Raw data by group, before a model: panels, lines in one picture, or the distribution in each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError, ModelError
from jmix.estimate.by_group import regress_by_group
from jmix.formula.columns import as_variable
from jmix.formula.frame import Frame
from jmix.formula.values import Categories
from jmix.results import figure as look
from jmix.results.inference.describing.group_columns import Groups, groups_of, numbers_of
from jmix.results.inference.plots.lines import chosen_levels, finish_grid, legend, panel_grid, small_panel
from jmix.results.inference.plots.parts import UNPOOLED, boxes, level_labels, name_axis, short_labels, smooth

FloatArray = npt.NDArray[np.float64]

WIDE = 40


def plot_groups(
    data: Any,
    y: str,
    x: str | None,
    group: str,
    *,
    kind: Literal["panels", "lines"] = "panels",
    n: int = 24,
    levels: Sequence[Any] | None = None,
    line: bool = True,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """The data by group, as a first look before a model.

    Args:
        data: a pandas or polars frame, a pyarrow table, or a dict of arrays; rows with missing values are left out.
        y: a column of numbers or logicals. x: of the horizontal axis, numbers or categories; None for the distribution
            of y in each group, in order of their medians.
        group: a column, or ``"a:b"`` for combinations.
        kind: of pictures with x: "panels", one for each group, or "lines", all groups in one panel (a spaghetti plot)
            with a smooth curve through all rows, or their means where x takes few values.
        n: the most panels, of groups evenly spaced in the order of their means. levels: the groups to show.
        line: the least-squares line of each panel.
        figsize: width and height in inches.

    Returns:
        A matplotlib ``Figure``.

    Raises:
        DataError: there is no such column, or no complete row. ModelError: another kind, or an unknown level.
    """
    if kind not in ("panels", "lines"):
        raise ModelError(f"kind={kind!r}: choose 'panels' or 'lines'")
    frame = Frame(data)
    values, factor = numbers_of(frame, y), groups_of(frame, group)
    places, names = (np.zeros(frame.n), ()) if x is None else _axis(frame, x)
    keep = ~np.isnan(values) & ~np.isnan(places) & (factor.codes >= 0)
    if not keep.any():
        raise DataError(f"no row has values of {', '.join(c for c in (y, x, group) if c)} together")
    values, places, factor = values[keep], places[keep], factor.rows(keep)
    if x is None:
        return _distribution(values, factor, y, levels, figsize)
    if kind == "lines":
        return _spaghetti(places, values, factor, (x, y), names, levels, figsize)
    chosen = chosen_levels(factor.levels, _means(values, factor), n, levels)
    return _panels(places, values, factor, (x, y), names, chosen, line and not names, figsize)


def _axis(frame: Frame, x: str) -> tuple[FloatArray, tuple[str, ...]]:
    value = as_variable(frame.column(x), x)
    if isinstance(value, Categories):
        return np.where(value.codes < 0, np.nan, value.codes).astype(np.float64), tuple(value.levels)
    return value, ()


def _means(values: FloatArray, factor: Groups) -> FloatArray:
    counts = np.bincount(factor.codes, minlength=len(factor.levels))
    return np.asarray(np.bincount(factor.codes, values, minlength=len(factor.levels)) / counts)


def _panels(
    x: FloatArray, y: FloatArray, factor: Groups, labels: tuple[str, str], names: tuple[str, ...],
    chosen: Sequence[int], line: bool, figsize: Any,
) -> Any:  # fmt: skip
    fig, axes = panel_grid(len(chosen), figsize)
    design = np.column_stack([np.ones(x.size), x])
    own = regress_by_group(design, y, factor.codes, len(factor.levels), None).beta
    titles = short_labels([factor.levels[j] for j in chosen], 20)
    for panel, j, title in zip(axes.flat, chosen, titles, strict=False):
        rows = factor.codes == j
        panel.plot(x[rows], y[rows], "o", color=look.FILL, markersize=3, markeredgewidth=0, alpha=0.7)
        if line and np.isfinite(own[j]).all():
            ends = np.array([x[rows].min(), x[rows].max()])
            panel.plot(ends, own[j, 0] + own[j, 1] * ends, color=UNPOOLED, linewidth=1.3)
        small_panel(panel, title, names)
    finish_grid(fig, axes, len(chosen), *labels)
    if line:
        legend(fig, [("least squares in each group", UNPOOLED, "-")])
    total = len(factor.levels)
    text = f"By {factor.name}" + (f": {len(chosen)} of {total:,} levels" if len(chosen) < total else "")
    fig.suptitle(look.plain_text(text), fontsize=look.NORMAL, x=0.01, ha="left", parse_math=False)
    return fig


def _spaghetti(
    x: FloatArray, y: FloatArray, factor: Groups, labels: tuple[str, str], names: tuple[str, ...], levels: Any,
    figsize: Any,
) -> Any:  # fmt: skip
    chosen = range(len(factor.levels)) if levels is None else chosen_levels(factor.levels, np.zeros(0), 1, levels)
    fig = look.new_figure((7.0, 4.8), figsize)
    axes = fig.subplots()
    order = np.lexsort((x, factor.codes))
    starts = np.searchsorted(factor.codes[order], np.arange(len(factor.levels) + 1))
    alpha = float(np.clip(12 / max(1, len(chosen)), 0.06, 0.7))
    for j in chosen:
        rows = order[starts[j] : starts[j + 1]]
        axes.plot(x[rows], y[rows], color=look.FILL, linewidth=0.9, alpha=alpha, marker="o", markersize=1.8)
    at, line = _average(x, y)
    if at.size:
        axes.plot(at, line, color=look.DIVERGENT, linewidth=2.2)
    look.bare(axes)
    look.heading(axes, f"{len(chosen):,} levels of {factor.name}")
    look.few_ticks(axes.yaxis, 7)
    if names:
        level_labels(axes.xaxis, names, look.SMALL)
    else:
        look.few_ticks(axes.xaxis, 8)
    name_axis(axes.xaxis, labels[0])
    name_axis(axes.yaxis, labels[1])
    return fig


def _average(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means where x takes few values, a smooth curve otherwise."""
    places, at = np.unique(x, return_inverse=True)
    if places.size <= 25:
        return places, np.asarray(np.bincount(at, y) / np.bincount(at))
    return smooth(x, y)


def _distribution(y: FloatArray, factor: Groups, label: str, levels: Any, figsize: Any) -> Any:
    """A box a group in the order of their medians, the mean of all rows as a line."""
    chosen = range(len(factor.levels)) if levels is None else chosen_levels(factor.levels, np.zeros(0), 1, levels)
    parts = [y[factor.codes == j] for j in chosen]
    order = np.argsort([np.median(part) for part in parts], kind="stable")
    fig = look.new_figure((min(12.0, max(5.0, 2.0 + 0.07 * len(parts) + 0.12 * min(len(parts), WIDE))), 4.4), figsize)
    axes = fig.subplots()
    wide = len(parts) <= WIDE
    boxes(axes, [parts[i] for i in order], wide=wide)
    axes.axhline(float(y.mean()), color=look.DIVERGENT, linewidth=1.2, zorder=0)
    look.bare(axes)
    look.few_ticks(axes.yaxis, 7)
    name_axis(axes.yaxis, label)
    note = "Median, quartiles and values within 1.5 interquartile ranges of them; line: mean of all rows"
    fig.supxlabel(note, fontsize=look.SMALL, color=look.MUTED)
    if wide:
        names = [factor.levels[list(chosen)[i]] for i in order]
        level_labels(axes.xaxis, names, look.SMALL, 90 if len(names) > 10 else 0)
        name_axis(axes.xaxis, factor.name)
    else:
        axes.set_xticks([])
        name_axis(axes.xaxis, f"{len(parts):,} levels of {factor.name}")
    return fig
