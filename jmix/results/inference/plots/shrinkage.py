"""Estimates of each group by itself, pulled towards the population by the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.by_group import regress_by_group
from jmix.results import figure as look
from jmix.results.inference.plots.parts import (
    PARTIAL,
    POOLED,
    UNPOOLED,
    chosen_columns,
    name_axis,
    one_group,
    short_labels,
)  # fmt: skip
from jmix.results.rows import add_random, make_rows, prior_covariances

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]

LABELLED = 25
"""Groups with labels in the plane of coefficients."""
CROWDED = 60
"""Groups from which on the frame leaves out the outermost separate estimates."""
ELLIPSES = (0.5, 0.95)
UNPOOLED_NAME, PARTIAL_NAME, POOLED_NAME = "no pooling", "partial pooling", "population"


def plot_shrinkage(fit: FitBase, group: str | None, columns: str | Sequence[str] | None, figsize: Any) -> Any:
    """The work behind ``fit.plot_shrinkage``."""
    if hasattr(fit, "family"):
        raise ModelError(
            "plot_shrinkage compares with separate least-squares regressions, which a generalized model has none of; "
            "plot_ranef and plot_lines show its groups"
        )
    name = one_group(fit, group)
    places = chosen_columns(fit, name, columns)
    if columns is None:
        places = places[:2]
    if len(places) > 2:
        raise ModelError(f"columns={columns!r}: choose one or two columns")
    unpooled, partial, pooled = pooling(fit, name)
    kept = np.array(places)
    if len(places) == 1:
        return _lines(fit, name, places[0], unpooled[:, places[0]], partial[:, places[0]], pooled[places[0]], figsize)
    return _plane(fit, name, places, unpooled[:, kept], partial[:, kept], pooled[kept], figsize)


def pooling(fit: FitBase, group: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Coefficients of the columns of a factor's random effects: by separate regressions, by the model, and overall.

    A separate regression explains, within its group, what the fixed effects of other columns and the random effects of
    other factors leave of the response; where there are none, it is the group's own ``lm``. Columns that have no fixed
    effect vary about zero.

    Returns:
        (J, q) NaN where the group's rows do not determine them, (J, q), and (q,).
    """
    design, names = fit.base, fit.group_columns(group)
    fixed = dict(zip(design.x_names, fit.beta.tolist(), strict=True))
    distinct = list(dict.fromkeys(names))
    terms = [fit.terms[i] for i in fit.spec.members(group)]
    columns = dict(zip(names, [c for term in terms for c in term.columns], strict=True))
    others = np.array([name not in distinct for name in design.x_names], dtype=np.bool_)
    rest = design.X[:, others] @ fit.beta[others] + (0.0 if design.offset is None else design.offset)
    rows = make_rows(design.X, None, [t for t in fit.terms if t.group != group])
    rest = add_random(rest, rows, {g: m for g, m in fit.modes.items() if g != group})
    z = np.stack([np.asarray(columns[name], dtype=np.float64) for name in distinct], axis=1)
    found = regress_by_group(z, design.y - rest, terms[0].codes, len(terms[0].levels), design.weights)
    place = [distinct.index(name) for name in names]
    pooled = np.array([fixed.get(name, 0.0) for name in names])
    summed = np.zeros((len(terms[0].levels), len(distinct)))
    np.add.at(summed.T, place, fit.modes[group].T)
    return found.beta[:, place], pooled + summed[:, place], pooled


# --- two columns ----------------------------------------------------------------------------------------------------
def _plane(
    fit: FitBase, group: str, places: Sequence[int], free: FloatArray, partial: FloatArray, pooled: FloatArray,
    figsize: Any,
) -> Any:  # fmt: skip
    names = fit.group_columns(group)
    fig = look.new_figure((7.2, 6.0), figsize)
    axes = fig.subplots()
    look.bare(axes)
    cov = fit.theta_scale**2 * prior_covariances(fit)[group][np.ix_(places, places)]
    for share in ELLIPSES:
        x, y = ellipse(pooled, cov, share)
        axes.plot(x, y, color=look.LINE, linewidth=1.2, zorder=0, label="_")
    known = np.isfinite(free).all(axis=1)
    start, step = free[known], (partial - free)[known]
    few = len(free) <= LABELLED
    width = 0.0035 if few else 0.0018
    axes.quiver(start[:, 0], start[:, 1], step[:, 0], step[:, 1], angles="xy", scale_units="xy", scale=1,
                width=width, color=look.MUTED, alpha=0.8 if len(free) <= CROWDED else 0.35, zorder=1)  # fmt: skip
    size = 5.0 if few else 3.0
    axes.plot(start[:, 0], start[:, 1], "o", color=UNPOOLED, markersize=size, label=UNPOOLED_NAME, markeredgewidth=0)
    axes.plot(partial[:, 0], partial[:, 1], "o", color=PARTIAL, markersize=size, label=PARTIAL_NAME, markeredgewidth=0)
    axes.plot(*pooled, "P", color=look.INK, markersize=9, markeredgecolor="white", label=POOLED_NAME, zorder=4)
    beyond = _frame(axes, start, partial) if len(free) > CROWDED else 0
    if few:
        _name_points(axes, fit, group, free, partial)
    for axis, place in ((axes.xaxis, places[0]), (axes.yaxis, places[1])):
        name_axis(axis, names[place])
        look.few_ticks(axis, 7)
    fig.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=look.SMALL, handletextpad=0.3)
    look.heading(axes, f"By {group}")
    notes = [f"Ellipses: {' and '.join(f'{100 * s:g}%' for s in ELLIPSES)} of the groups under the model"]
    notes += [f"{np.sum(~known)} groups do not determine their own"] if not known.all() else []
    notes += [f"{beyond} beyond the frame"] if beyond else []
    fig.supxlabel("; ".join(notes), fontsize=look.SMALL, color=look.MUTED)
    return fig


def ellipse(centre: FloatArray, cov: FloatArray, share: float) -> tuple[FloatArray, FloatArray]:
    """The curve that holds a share of a bivariate normal distribution; a line where it is degenerate."""
    values, vectors = np.linalg.eigh(cov)
    angle = np.linspace(0.0, 2.0 * np.pi, 181)
    circle = np.sqrt(-2.0 * np.log1p(-share)) * np.stack([np.cos(angle), np.sin(angle)])
    x, y = centre[:, None] + vectors @ (np.sqrt(np.maximum(values, 0.0))[:, None] * circle)
    return x, y


def _frame(axes: Any, free: FloatArray, partial: FloatArray) -> int:
    """Limits that hold all partially pooled and 98% of the separate estimates; how many groups are beyond."""
    if len(free) == 0:
        return 0
    inside = np.ones(len(free), dtype=np.bool_)
    for k, setter in enumerate((axes.set_xlim, axes.set_ylim)):
        low, high = np.quantile(free[:, k], [0.01, 0.99])
        low, high = min(low, partial[:, k].min()), max(high, partial[:, k].max())
        margin = 0.05 * (high - low)
        setter(low - margin, high + margin)
        inside &= (free[:, k] >= low - margin) & (free[:, k] <= high + margin)
    return int(np.sum(~inside))


def _name_points(axes: Any, fit: FitBase, group: str, free: FloatArray, partial: FloatArray) -> None:
    """The level beside the tail of its arrow, away from the arrow's direction."""
    for level, tail, head in zip(short_labels(fit.group_levels(group), 16), free, partial, strict=True):
        if not np.isfinite(tail).all():
            continue
        right = tail[0] >= head[0]
        axes.annotate(level, tail, (4 if right else -4, 0), textcoords="offset points",
                      ha="left" if right else "right", va="center", fontsize=6.5, color=look.INK,
                      parse_math=False)  # fmt: skip


# --- one column -----------------------------------------------------------------------------------------------------
def _lines(
    fit: FitBase, group: str, place: int, free: FloatArray, partial: FloatArray, pooled: float, figsize: Any
) -> Any:
    fig = look.new_figure((6.4, 5.0), figsize)
    axes = fig.subplots()
    look.bare(axes)
    known = np.isfinite(free)
    ends = np.stack([free[known], partial[known], np.full(known.sum(), pooled)])
    alpha = float(np.clip(20 / max(1, known.sum()), 0.03, 0.8))
    axes.plot([0, 1, 2], ends, color=look.MUTED, linewidth=0.9, alpha=alpha, zorder=1)
    size = 5.0 if len(free) <= LABELLED else 3.0
    for x, values, colour in ((0, free[known], UNPOOLED), (1, partial, PARTIAL)):
        axes.plot(np.full(values.size, x), values, "o", color=colour, markersize=size, markeredgewidth=0, zorder=2)
    axes.plot(2, pooled, "P", color=POOLED, markersize=10, zorder=3)
    titles = [UNPOOLED_NAME, PARTIAL_NAME, POOLED_NAME]
    axes.set_xticks([0, 1, 2], [title.capitalize() for title in titles], fontsize=look.NORMAL)
    axes.set_xlim(-0.35, 2.25)
    axes.tick_params(axis="x", length=0)
    name_axis(axes.yaxis, fit.group_columns(group)[place])
    look.heading(axes, f"By {group}")
    if len(free) <= LABELLED:
        _name_ends(axes, fit.group_levels(group), free)
    if not known.all():
        text = f"{np.sum(~known)} groups do not determine their own"
        fig.supxlabel(text, fontsize=look.SMALL, color=look.MUTED)
    return fig


def _name_ends(axes: Any, levels: Sequence[str], values: FloatArray) -> None:
    """Names at the left of the separate estimates, moved apart where they would overlap."""
    names = short_labels(levels, 14)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known])]
    low, high = axes.get_ylim()
    gap = (high - low) * 0.026
    y = values[order].copy()
    for _ in range(200):
        close = np.diff(y) < gap
        if not close.any():
            break
        shift = np.where(close, (gap - np.diff(y)) / 2 + 1e-9, 0.0)
        y[:-1] -= shift
        y[1:] += shift
    for place, at in zip(order, y, strict=True):
        axes.annotate(names[place], (0, values[place]), (-0.07, at), textcoords="data",
                      ha="right", va="center", fontsize=6.5, parse_math=False,
                      arrowprops={"arrowstyle": "-", "color": look.LINE, "linewidth": 0.5})  # fmt: skip
