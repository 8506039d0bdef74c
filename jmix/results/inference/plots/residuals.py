"""Four pictures of the residuals: against fitted values, against normal quantiles, their size, and by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results import figure as look
from jmix.results.inference.plots.parts import boxes, chosen_groups, level_labels, name_axis, scatter, smooth
from jmix.results.inference.plots.ranef import quantile_plot

if TYPE_CHECKING:
    pass

FloatArray = npt.NDArray[np.float64]

WIDE = 40
"""Groups up to which boxes have labels and outlying points."""
MOST_BOXES = 400


def plot_residuals(fit: Any, group: str | None, type: str | None, seed: int, figsize: Any) -> Any:
    """The work behind ``fit.plot_residuals``."""
    residual, name = _residuals(fit, type, seed)
    fitted, place = _fitted(fit)
    known = np.isfinite(residual)
    residual, fitted = residual[known], fitted[known]
    factor = None
    if fit.terms:
        factor = (
            chosen_groups(fit, group)[0] if group is not None else min(fit.spec.groups, key=lambda g: fit.ngrps()[g])
        )
    elif group is not None:
        raise ModelError(f"group={group!r}: the model has no grouping factors")
    fig = look.new_figure((9.0, 7.4), figsize)
    axes = fig.subplots(2, 2)
    _against(axes[0, 0], fitted, residual, place, name)
    axes[0, 0].axhline(0.0, color=look.MUTED, linewidth=0.8, zorder=0)
    look.heading(axes[0, 0], "Residuals and fitted values")
    quantile_plot(axes[0, 1], np.sort(residual / _unit(residual, name)))
    look.bare(axes[0, 1])
    look.heading(axes[0, 1], "Normal quantiles")
    name_axis(axes[0, 1].xaxis, "Normal quantile")
    name_axis(axes[0, 1].yaxis, name if name in NORMAL else f"{name} over its standard deviation")
    _against(axes[1, 0], fitted, np.sqrt(np.abs(residual)), place, f"Root of the absolute {name[0].lower()}{name[1:]}")
    look.heading(axes[1, 0], "Scale and location")
    if factor is None:
        _histogram(axes[1, 1], residual, name)
    else:
        codes = fit.terms[fit.spec.members(factor)[0]].codes[known]
        _by_group(axes[1, 1], residual, codes, fit.group_levels(factor), factor, name)
    return fig


RAW, NORMAL = "Residual", ("Quantile residual",)


def _residuals(fit: Any, type: str | None, seed: int) -> tuple[FloatArray, str]:
    general = hasattr(fit, "family")
    kind = type or ("quantile" if general else "scaled")
    values = fit.residuals(kind, seed=seed) if general else fit.residuals(kind)
    names = {"raw": RAW, "response": RAW, "scaled": "Scaled residual", "pearson": "Pearson residual",
             "quantile": "Quantile residual", "deviance": "Deviance residual",
             "working": "Working residual"}  # fmt: skip
    return np.asarray(values, dtype=np.float64), names[kind]


def _unit(residual: FloatArray, name: str) -> float:
    """What residuals are divided by before they are compared with a standard normal distribution."""
    sd = float(residual.std())
    return 1.0 if name in NORMAL or sd == 0 else sd


def _fitted(fit: Any) -> tuple[FloatArray, str]:
    if not hasattr(fit, "family"):
        return np.asarray(fit.fitted()), "Fitted value"
    return np.asarray(fit.fitted("link")), "Linear predictor"


def _against(axes: Any, x: FloatArray, y: FloatArray, x_name: str, y_name: str) -> None:
    scatter(axes, x, y)
    at, line = smooth(x, y)
    if at.size:
        axes.plot(at, line, color=look.DIVERGENT, linewidth=1.6)
    look.bare(axes)
    for axis, name in ((axes.xaxis, x_name), (axes.yaxis, y_name)):
        look.few_ticks(axis, 6)
        name_axis(axis, name)


def _histogram(axes: Any, residual: FloatArray, name: str) -> None:
    axes.hist(residual, bins=min(40, max(8, round(np.sqrt(residual.size)))), color=look.BAND, edgecolor="white")
    look.bare(axes)
    look.heading(axes, "Distribution")
    name_axis(axes.xaxis, name)
    name_axis(axes.yaxis, "Rows")


def _by_group(
    axes: Any, residual: FloatArray, codes: npt.NDArray[np.int32], levels: list[str], group: str, name: str
) -> None:
    order = np.argsort(codes, kind="stable")
    values, starts = np.unique(codes[order], return_index=True)
    parts = np.split(residual[order], starts[1:])
    ranks = np.argsort([np.median(part) for part in parts], kind="stable")
    shown = ranks
    if len(ranks) > MOST_BOXES:
        shown = ranks[np.round(np.linspace(0, len(ranks) - 1, MOST_BOXES)).astype(int)]
    wide = len(shown) <= WIDE
    boxes(axes, [parts[i] for i in shown], wide=wide)
    axes.axhline(0.0, color=look.MUTED, linewidth=0.8, zorder=0)
    look.bare(axes)
    look.few_ticks(axes.yaxis, 6)
    look.heading(axes, f"By {group}")
    name_axis(axes.yaxis, name)
    if wide:
        labels = [levels[values[i]] for i in shown]
        level_labels(axes.xaxis, labels, 6.5 if len(labels) > 12 else look.SMALL, 90 if len(labels) > 8 else 0)
        name_axis(axes.xaxis, group)
    else:
        axes.set_xticks([])
        some = f"{len(shown)} of {len(ranks):,}" if len(shown) < len(ranks) else f"{len(ranks)}"
        name_axis(axes.xaxis, f"{some} levels of {group}, by their median")
