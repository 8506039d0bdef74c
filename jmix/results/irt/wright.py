"""Persons and items on one scale: the Wright map and the person–item histogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results import figure as look
from jmix.results.irt.plot_parts import group_colour, group_legend, group_number
from jmix.results.irt.use import trait_estimates

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]

COLUMNS = 40
"""Items of which each gets a column of its own; of more only their difficulties are shown."""


class _Steps(NamedTuple):
    """Difficulties: the item's place, the step (0 of an item with two categories) and the value."""

    item: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]
    value: FloatArray


def plot_wright(
    fit: IrtFit, items: Sequence[str] | None, *, scores: str, sort: bool, bins: int, group: str | None, figsize: Any
) -> Any:
    """See ``IrtFit.plot_wright``."""
    theta, names, steps = _data(fit, items, scores, group)
    order = _order(steps, len(names)) if sort else np.arange(len(names))
    fig = look.new_figure((min(14.0, 4.2 + 0.28 * min(len(names), COLUMNS)), 5.6), figsize)
    left, right = fig.subplots(1, 2, sharey=True, width_ratios=(1.0, max(1.2, 0.13 * min(len(names), COLUMNS))))
    low, high = _range(theta, steps)
    _persons(left, fit, theta, bins, (low, high), horizontal=True)
    left.invert_xaxis()
    left.set_xlabel("persons", fontsize=look.NORMAL)
    left.set_ylabel("trait θ", fontsize=look.NORMAL)
    _items(right, names, steps, order, sort)
    left.set_ylim(low, high)
    look.heading(right, "difficulties" if (steps.step == 0).all() else "difficulties of the steps")
    look.heading(left, f"{scores} estimates")
    if len(fit.spec.groups) > 1 and group is None:
        group_legend(fig, fit.spec.groups)
    return fig


def _items(right: Any, names: list[str], steps: _Steps, order: npt.NDArray[np.int64], sort: bool) -> None:
    """Difficulties in columns by item, steps by their number."""
    column = np.argsort(order)
    look.bare(right)
    right.spines["left"].set_visible(False)
    wide = len(names) <= COLUMNS
    for step in np.unique(steps.step):
        own = steps.step == step
        colour = look.DIVERGENT if step == 0 else _step_colour(int(step))
        right.plot(
            column[steps.item[own]], steps.value[own], "o" if wide else ".", color=colour, markersize=5 if wide else 4
        )
    if (steps.step > 0).any():
        for item, step, value in zip(*steps, strict=True):
            if wide and step:
                right.annotate(
                    str(step), (column[item], value), xytext=(4, 0), textcoords="offset points", va="center",
                    fontsize=look.SMALL - 1, color=_step_colour(int(step)),
                )  # fmt: skip
    if wide:
        right.set_xticks(
            range(len(names)), [look.plain_text(names[j], 16) for j in order], rotation=90, fontsize=look.SMALL
        )
        right.set_xlim(-0.7, len(names) - 0.3)
    else:
        right.set_xticks([])
        right.set_xlabel(
            f"{len(names)} items, from easy to hard" if sort else f"{len(names)} items", fontsize=look.NORMAL
        )
    right.grid(axis="y", color=look.LINE, linewidth=0.5)
    right.set_axisbelow(True)
    right.tick_params(axis="y", length=0, labelleft=False)


def plot_histogram(
    fit: IrtFit, items: Sequence[str] | None, *, scores: str, bins: int, group: str | None, figsize: Any
) -> Any:
    """See ``IrtFit.plot_histogram``."""
    theta, _, steps = _data(fit, items, scores, group)
    low, high = _range(theta, steps)
    fig = look.new_figure((6.4, 4.4), figsize)
    top, bottom = fig.subplots(2, 1, sharex=True, height_ratios=(1.6, 1.0))
    _persons(top, fit, theta, bins, (low, high), horizontal=False)
    top.set_ylabel("persons", fontsize=look.NORMAL)
    top.tick_params(axis="x", length=0)
    look.bare(bottom)
    edges = np.linspace(low, high, bins + 1)
    bottom.hist(steps.value, bins=edges, color=look.DIVERGENT, alpha=0.75, edgecolor="white", linewidth=0.6)
    bottom.invert_yaxis()
    bottom.set_ylabel("items" if (steps.step == 0).all() else "steps", fontsize=look.NORMAL)
    bottom.set_xlabel("trait θ and difficulty", fontsize=look.NORMAL)
    bottom.spines["bottom"].set_visible(False)
    look.few_ticks(bottom.xaxis, 8)
    from matplotlib.ticker import MaxNLocator

    bottom.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    top.set_xlim(low, high)
    if len(fit.spec.groups) > 1 and group is None:
        group_legend(fig, fit.spec.groups)
    return fig


def _data(fit: IrtFit, items: Any, scores: str, group: str | None) -> tuple[FloatArray, list[str], _Steps]:
    if fit.spec.n_factors != 1:
        raise ModelError("persons and items share a scale in unidimensional models: fit model=1, or one factor's items")
    theta = trait_estimates(fit, scores)[:, 0]
    if group is not None and fit.responses.group is not None:
        theta = np.where(fit.responses.group == group_number(fit, group), theta, np.nan)
    frame = fit.items(fit.spec.groups[0] if group is None else group)
    wanted = list(frame.index) if items is None else list(items)
    unknown = [name for name in wanted if name not in frame.index]
    if unknown:
        raise ModelError(f"there is no item {unknown[0]!r}")
    frame = frame.loc[wanted]
    columns = [c for c in frame.columns if c == "b" or (c.startswith("b") and c[1:].isdigit())]
    values = frame[columns].to_numpy(dtype=np.float64)
    item, column = np.nonzero(np.isfinite(values))
    if item.size == 0:
        raise ModelError("these items have no difficulties: nominal items are not ordered along the trait")
    step = np.array([0 if columns[c] == "b" else int(columns[c][1:]) for c in column])
    return theta, [str(name) for name in wanted], _Steps(item, step, values[item, column])


def _order(steps: _Steps, n: int) -> npt.NDArray[np.int64]:
    """Items from easy to hard by their mean difficulty, those without one last."""
    count = np.bincount(steps.item, minlength=n)
    total = np.bincount(steps.item, weights=steps.value, minlength=n)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, total / count, np.inf)
    return np.argsort(mean, kind="stable")


def _range(theta: FloatArray, steps: _Steps) -> tuple[float, float]:
    """Common limits; difficulties far outside of the persons do not squeeze the picture."""
    some = theta[np.isfinite(theta)]
    low, high = float(some.min()), float(some.max())
    spread = max(high - low, 1e-6)
    low = min(low, max(float(steps.value.min()), low - 1.5 * spread))
    high = max(high, min(float(steps.value.max()), high + 1.5 * spread))
    margin = 0.05 * (high - low)
    return low - margin, high + margin


def _persons(
    panel: Any, fit: IrtFit, theta: FloatArray, bins: int, limits: tuple[float, float], *, horizontal: bool
) -> None:
    look.bare(panel)
    edges = np.linspace(*limits, bins + 1)
    weights = np.ones(theta.size) if fit.responses.weights is None else fit.responses.weights
    groups = fit.responses.group
    codes = range(len(fit.spec.groups)) if groups is not None and len(fit.spec.groups) > 1 else (None,)
    for g in codes:
        own = np.isfinite(theta) & (True if g is None or groups is None else groups == g)
        if own.any():
            panel.hist(
                theta[own], bins=edges, weights=weights[own], orientation="horizontal" if horizontal else "vertical",
                color=look.FILL if g is None else group_colour(g), alpha=0.75 if g is None else 0.5, edgecolor="white",
                linewidth=0.6,
            )  # fmt: skip


def _step_colour(step: int) -> str:
    return look.CHAINS[(step - 1) % len(look.CHAINS)]
