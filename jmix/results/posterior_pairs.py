"""Plot of parameters against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results import figure as look
from jmix.results.density_curve import Range, density_curve, ranges
from jmix.results.parameter_choice import Parameters, chosen

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior

FloatArray = npt.NDArray[np.float64]
Kind = Literal["auto", "scatter", "hexbin"]

MOST = 20
"""Most parameters of one figure."""

HEXAGONS = ("#CFE3F3", look.FILL, "#06264D")
"""Shades of few, more and many draws."""

MANY = 3000
"""Draws beyond which "auto" counts them in hexagons."""


def plot_pairs(post: Posterior, parameters: Parameters = None, figsize: Any = None, *, kind: Kind = "auto") -> Any:
    """Every pair of parameters, and each one's density; see ``Posterior.plot_pairs``."""
    if kind not in ("auto", "scatter", "hexbin"):
        raise ModelError(f"kind={kind!r}: choose 'auto', 'scatter' or 'hexbin'")
    names = chosen(post, parameters)
    if len(names) > MOST:
        raise ModelError(
            f"plot_pairs of {len(names)} parameters would have {len(names) * (len(names) + 1) // 2} panels; name at "
            f"most {MOST}, for example parameters=['sd', 'sigma']"
        )
    values = [post[name].reshape(-1) for name in names]
    diverging = post.draws.stats.diverging.reshape(-1)
    hexagons = kind == "hexbin" or (kind == "auto" and post.n_draws > MANY)
    side = 1.9 if len(names) <= 6 else 1.35 if len(names) <= 12 else 1.0
    fig = look.new_figure((1.2 + side * len(names), 1.2 + side * len(names)), figsize, layout=None)
    width, height = fig.get_size_inches()
    margins = {"left": 0.9 / width, "right": 1 - 0.3 / width, "bottom": 0.8 / height, "top": 1 - 0.4 / height}
    axes = fig.subplots(len(names), len(names), squeeze=False, gridspec_kw=margins | {"wspace": 0.1, "hspace": 0.1})
    limits = ranges(post)
    spans = [_span(v) for v in values]
    for i, row in enumerate(axes):
        for j, panel in enumerate(row):
            if j > i:
                panel.remove()
            elif i == j:
                _own(panel, values[i], limits[names[i]], spans[i])
            else:
                _pair(panel, (values[j], values[i]), (spans[j], spans[i]), diverging, hexagons)
    _labels(axes, names, 14 if len(names) > 6 else 22)
    _note(fig, int(diverging.sum()))
    return fig


def _span(values: FloatArray) -> Range:
    """Limits of an axis: a little more than the draws."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _own(axes: Any, values: FloatArray, limits: Range, span: Range) -> None:
    look.bare(axes, left=False)
    grid, density = density_curve(values, limits)
    axes.fill_between(grid, density, color=look.BAND, alpha=0.6, linewidth=0)
    axes.plot(grid, density, color=look.FILL, linewidth=1.2)
    axes.set_xlim(span)
    axes.set_ylim(bottom=0.0)


def _pair(
    axes: Any,
    values: tuple[FloatArray, FloatArray],
    spans: tuple[Range, Range],
    diverging: npt.NDArray[np.bool_],
    hexagons: bool,
) -> None:
    look.bare(axes)
    x, y = values
    if hexagons:
        from matplotlib.colors import LinearSegmentedColormap

        shades = LinearSegmentedColormap.from_list("counts", HEXAGONS)
        axes.hexbin(x, y, gridsize=28, mincnt=1, cmap=shades, linewidths=0.1, extent=(*spans[0], *spans[1]), bins="log")
    else:
        faint = float(np.clip(400 / x.size, 0.12, 0.7))
        axes.plot(x, y, "o", color=look.FILL, markersize=2.2, markeredgewidth=0, alpha=faint, rasterized=True)
    if diverging.any():
        axes.plot(
            x[diverging], y[diverging], "o", color=look.DIVERGENT, markersize=3.6, markeredgecolor="white",
            markeredgewidth=0.4, label="divergence", zorder=3,
        )  # fmt: skip
    axes.set_xlim(spans[0])
    axes.set_ylim(spans[1])


def _labels(axes: Any, names: list[str], most: int) -> None:
    """Names and numbers at the left of the rows and below the columns."""
    last = len(names) - 1
    for i in range(len(names)):
        for j in range(i + 1):
            panel = axes[i, j]
            look.few_ticks(panel.xaxis, 3)
            panel.tick_params(labelbottom=i == last, labelleft=j == 0 and i > 0)
            if j < i:
                look.few_ticks(panel.yaxis, 3)
        style = {"fontsize": look.SMALL, "color": look.INK, "parse_math": False}
        axes[last, i].set_xlabel(look.folded(names[i], most), **style)
        if i:
            axes[i, 0].set_ylabel(look.folded(names[i], most), **style)
        for label in axes[last, i].get_xticklabels():
            label.set_rotation(45 if last > 6 else 0)
    axes[0, 0].set_title(look.folded(names[0], most), fontsize=look.SMALL, color=look.INK, parse_math=False)
    axes[0, 0].figure.align_ylabels(axes[1:, 0])
    axes[0, 0].figure.align_xlabels(axes[-1])


def _note(fig: Any, divergences: int) -> None:
    if not divergences:
        return
    from matplotlib.lines import Line2D

    dot = Line2D([], [], color=look.DIVERGENT, marker="o", linestyle="none", markersize=4)
    text = f"{divergences} divergence{'s' if divergences > 1 else ''}"
    fig.legend([dot], [text], loc="upper right", frameon=False, fontsize=look.NORMAL)
