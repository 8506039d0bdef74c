"""What the pictures of groups share: which grouping factor, which columns and levels, smooth curves, boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results import figure as look

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[Any]

POOLED, UNPOOLED, PARTIAL = "#7F7F7F", "#E69F00", "#0072B2"
"""Colours of complete, no, and partial pooling."""

MOST_LABELS = 60
"""Levels beyond which they have no labels."""

MOST_POINTS = 5_000
"""Points beyond which a scatter becomes counts in hexagons."""


def chosen_groups(fit: FitBase, group: str | None) -> list[str]:
    """The grouping factor asked for, or all of them.

    Raises:
        ModelError: there is no such factor, or none at all.
    """
    if not fit.terms:
        raise ModelError("the model has no random effects; fit.plot_fixef() and fit.plot_residuals() serve")
    if group is None:
        return list(fit.spec.groups)
    if group not in fit.spec.groups:
        raise ModelError(f"there is no grouping factor {group!r}; there are: {', '.join(fit.spec.groups)}")
    return [group]


def one_group(fit: FitBase, group: str | None) -> str:
    """The grouping factor asked for, or the only one.

    Raises:
        ModelError: there is no such factor, or several to choose from.
    """
    groups = chosen_groups(fit, group)
    if len(groups) > 1:
        raise ModelError(f"choose the grouping factor: group={groups[0]!r}, or another of {', '.join(groups)}")
    return groups[0]


def chosen_columns(fit: FitBase, group: str, columns: str | Sequence[str] | None) -> list[int]:
    """Places of the random-effects columns asked for, all by default.

    Raises:
        ModelError: there is no such column.
    """
    names = fit.group_columns(group)
    asked = names if columns is None else [columns] if isinstance(columns, str) else list(columns)
    asked = ["(Intercept)" if name == "Intercept" and name not in names else name for name in asked]
    for name in asked:
        if name not in names:
            raise ModelError(f"the random effects of {group!r} have no column {name!r}; there are: {', '.join(names)}")
    if not asked:
        raise ModelError("columns names no column")
    return list(range(len(names))) if columns is None else [names.index(name) for name in asked]


def smooth(x: FloatArray, y: FloatArray, points: int = 60, share: float = 2 / 3) -> tuple[FloatArray, FloatArray]:
    """A local straight line with tricube weights on the nearest ``share`` of the rows (Cleveland 1979), on a grid.

    Returns:
        (m,) places and (m,) values; none where x does not vary or there are fewer than four rows.
    """
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if x.size < 4 or x[-1] <= x[0]:
        return np.zeros(0), np.zeros(0)
    size = max(3, min(x.size, round(share * x.size)))
    at = np.unique(np.concatenate([np.quantile(x, np.linspace(0, 1, points // 2)), np.linspace(x[0], x[-1], points)]))
    values = np.empty(at.size)
    for i, centre in enumerate(at):
        start = _window(x, centre, size)
        near, far = x[start : start + size] - centre, y[start : start + size]
        reach = max(abs(near[0]), abs(near[-1])) * (1 + 1e-9)
        weight = np.ones(size) if reach <= 0 else (1 - np.minimum(np.abs(near) / reach, 1.0) ** 3) ** 3
        values[i] = _local_line(near, far, weight)
    return at, values


def _window(x: FloatArray, centre: float, size: int) -> int:
    """Where the ``size`` nearest values begin in sorted x."""
    low, high = 0, x.size - size
    while low < high:
        middle = (low + high) // 2
        if centre - x[middle] > x[middle + size] - centre:
            low = middle + 1
        else:
            high = middle
    return low


def _local_line(x: FloatArray, y: FloatArray, weight: FloatArray) -> float:
    """The value at zero of a weighted straight line, or of a constant where x does not vary."""
    total = weight.sum()
    mx, my = weight @ x / total, weight @ y / total
    sxx = weight @ (x - mx) ** 2
    if sxx <= 1e-12 * max(float(weight @ x**2), 1e-300):
        return float(my)
    return float(my - mx * (weight @ ((x - mx) * (y - my))) / sxx)


def scatter(axes: Any, x: FloatArray, y: FloatArray, **style: Any) -> None:
    """Points, or counts in hexagons where there are many."""
    if x.size > MOST_POINTS:
        axes.hexbin(x, y, gridsize=50, mincnt=1, bins="log", cmap="Blues", linewidths=0.1)
        return
    alpha = float(np.clip(200 / max(x.size, 1), 0.25, 0.8))
    look_of = {"color": look.FILL, "markersize": 3.2, "markeredgewidth": 0, "alpha": alpha} | style
    axes.plot(x, y, "o", **look_of)


def boxes(axes: Any, parts: Sequence[FloatArray], *, wide: bool) -> None:
    """Median, quartiles and the values within 1.5 interquartile ranges of each part, from left to right."""
    at = np.arange(len(parts))
    quartiles = np.array([np.quantile(part, [0.25, 0.5, 0.75]) for part in parts]).T
    reach = 1.5 * (quartiles[2] - quartiles[0])
    pairs = zip(parts, quartiles[0] - reach, strict=True)
    low = np.array([part[part >= end].min() for part, end in pairs])
    high = np.array([part[part <= end].max() for part, end in zip(parts, quartiles[2] + reach, strict=True)])
    axes.vlines(at, low, high, color=look.FILL, linewidth=1.0 if wide else 0.5)
    axes.vlines(at, quartiles[0], quartiles[2], color=look.BAND, linewidth=_width(axes, len(parts)))
    axes.plot(at, quartiles[1], "_" if wide else ".", color=look.INK, markersize=7 if wide else 2.5)
    if wide:
        for place, part, a, b in zip(at, parts, low, high, strict=True):
            beyond = part[(part < a) | (part > b)]
            axes.plot(np.full(beyond.size, place), beyond, "o", color=look.FILL, markersize=2, alpha=0.6)


def _width(axes: Any, count: int) -> float:
    """Points that a box may be wide."""
    across = axes.get_subplotspec().get_gridspec().ncols
    room = 72.0 * 0.85 * float(axes.figure.get_size_inches()[0]) / across
    return float(np.clip(0.6 * room / max(1, count), 0.6, 8.0))


def name_axis(axis: Any, text: str, size: float = look.NORMAL) -> None:
    """The label of an axis, never read as mathematics; long ones are cut in the middle."""
    axis.set_label_text(look.plain_text(text), fontsize=size, color=look.INK, parse_math=False)


def short_labels(labels: Sequence[Any], most: int) -> list[str]:
    """Labels of at most so many characters: without the words that all begin or end with, where some are too long."""
    words = [str(label).split() for label in labels]
    if max((len(" ".join(text)) for text in words), default=0) > most:
        head = _shared(words)
        tail = _shared([text[head:][::-1] for text in words])
        cut = [text[head : len(text) - tail] for text in words]
        words = [["…"] * bool(head) + text + ["…"] * bool(tail) for text in cut] if all(cut) else words
    texts = [" ".join(text).replace("… ", "…").replace(" …", "…") for text in words]
    return [look.plain_text(text, most) for text in texts]


def _shared(words: Sequence[list[str]]) -> int:
    """With how many common words all begin."""
    count = 0
    for column in zip(*words, strict=False):
        if len(set(column)) > 1:
            break
        count += 1
    return count


def level_labels(axis: Any, labels: Sequence[str], size: float = look.SMALL, rotation: float = 0.0) -> None:
    """A tick with its label for each level."""
    short = short_labels(labels, 24)
    axis.set_ticks(range(len(short)), short, fontsize=size, rotation=rotation, parse_math=False)
    axis.set_tick_params(length=0)
