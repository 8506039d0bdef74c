"""The picture of marginal means: points with their intervals, a panel for each family."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results.figure import BAND, CHAINS, FILL, INK, MUTED, NORMAL, SMALL, bare, heading, new_figure, plain_text
from jmix.results.inference.means.quantities import Drawn
from jmix.results.inference.means.show import families, names_of, reshow

if TYPE_CHECKING:
    from jmix.results.inference.means.means import Means

FloatArray = npt.NDArray[np.float64]

ARROW = CHAINS[1]
DIFFERENCES = ("contrast", "comparison", "slope", "hypothesis")
"""What is compared with zero, or as a ratio with one."""

MOST = 400
"""Most rows in one picture."""


def plot(means: Means, *, comparisons: bool, figsize: Any) -> Any:
    """The work behind ``Means.plot``."""
    if len(means.table) > MOST:
        raise ModelError(f"plot() of {len(means.table)} rows: name fewer variables, or fix some with at=")
    if comparisons and (isinstance(means.quantities, Drawn) or means.view.noun == "contrast"):
        raise ModelError("plot(comparisons=True) is for means of a fit; plot the contrasts of others: pairs().plot()")
    shown = means if "lower" in means.table else reshow(means, infer="both")
    groups = families(means.labels, means.by)
    rows = [len(g) for g in groups]
    size = (6.4, max(1.8, sum(0.26 * r + 0.5 for r in rows) + 0.5))
    figure = new_figure(size, figsize)
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=[r + 1.0 for r in rows])[:, 0]
    arrows = arrow_lengths(means) if comparisons else None
    for panel, group in zip(panels, groups, strict=True):
        _panel(panel, shown, group, arrows)
    panels[-1].set_xlabel(_axis(means), fontsize=NORMAL, color=INK, parse_math=False)
    if means.view.null == 0 and means.view.noun in DIFFERENCES:
        at = float(np.asarray(means.view.scale.inverse(np.zeros(1)))[0]) if means.view.response else 0.0
        for panel in panels:
            panel.axvline(at, color=MUTED, lw=0.8, ls=(0, (3, 3)), zorder=0)
    return figure


def _axis(means: Means) -> str:
    level = f"{100 * means.view.level:g}% interval"
    unit = means.view.scale.unit if means.view.response else f"{means.view.noun}"
    return f"{plain_text(unit)} with {level}"


def _panel(axes: Any, means: Means, group: Any, arrows: FloatArray | None) -> None:
    bare(axes)
    table = means.table.iloc[group]
    own = means.labels.drop(columns=list(means.by)).iloc[group]
    y = np.arange(len(group))[::-1]
    axes.hlines(y, table["lower"], table["upper"], color=BAND, lw=5.0, zorder=1)
    axes.plot(table["estimate"], y, "o", color=FILL, ms=5.0, zorder=3)
    axes.set_yticks(y, [plain_text(n) for n in names_of(own)], fontsize=SMALL, parse_math=False)
    axes.set_ylim(-0.7, len(group) - 0.3)
    if means.by:
        first = means.labels[list(means.by)].iloc[group[0]]
        heading(axes, ", ".join(f"{name} = {value}" for name, value in first.items()))
    axes.set_ylabel(plain_text(" ".join(str(n) for n in own)), fontsize=SMALL, color=MUTED, parse_math=False)
    if means.view.response and means.view.scale.ratio == "ratio" and means.view.noun in DIFFERENCES:
        _log_axis(axes)
    if arrows is not None:
        _arrows(axes, means, group, y, arrows[group])


def _log_axis(axes: Any) -> None:
    """Ratios on a logarithmic axis with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(10, (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _arrows(axes: Any, means: Means, group: Any, y: Any, lengths: FloatArray) -> None:
    """From each mean towards the others of its family."""
    centre = means.quantities.value[group]
    view = means.view
    for place, value, half in zip(y, centre, lengths, strict=True):
        if not np.isfinite(half):
            continue
        for sign, others in ((1.0, centre > value), (-1.0, centre < value)):
            if not others.any():
                continue
            ends = np.array([value, value + sign * half])
            ends = np.asarray(view.scale.inverse(ends)) if view.response else ends
            axes.annotate(
                "",
                (ends[1], place),
                (ends[0], place),
                arrowprops={"arrowstyle": "-|>", "color": ARROW, "lw": 1.2, "shrinkA": 0.0, "shrinkB": 0.0},
                zorder=2,
            )


def arrow_lengths(means: Means) -> FloatArray:
    """(m,) lengths r such that two means differ significantly nearly where ``|difference| > r_i + r_j``.

    Non-negative least squares of ``r_i + r_j`` on the Tukey-adjusted half widths of the pairs, by families, weighted
    towards pairs whose verdict is close.
    """
    from scipy.optimize import nnls

    out = np.full(len(means.table), np.nan)
    for group in families(means.labels, means.by):
        known = [i for i in group if np.isfinite(means.quantities.value[i])]
        if len(known) < 2:
            continue
        q = means.quantities.take(known)
        pairs = list(combinations(range(len(known)), 2))
        design, width, apart = _pairs(q, pairs, means.view.level)
        weight = 1.0 / (0.05 * width + np.abs(apart - width))
        out[known] = nnls(design * weight[:, None], width * weight)[0]
    return out


def _pairs(q: Any, pairs: list[tuple[int, int]], level: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of each pair: which means it has, the half width of its simultaneous interval, and how far they are apart."""
    from jmix.results.inference.means.adjust import critical_values

    matrix = np.zeros((len(pairs), len(q)))
    for row, (i, j) in enumerate(pairs):
        matrix[row, i], matrix[row, j] = 1.0, -1.0
    difference = q.combine(matrix)
    method = "tukey" if len(q) > 2 else "none"
    width = critical_values(level, difference.df, method, len(q), np.empty((0, 0))) * difference.se
    return np.abs(matrix), width, np.abs(difference.value)
