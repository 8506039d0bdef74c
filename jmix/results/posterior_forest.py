"""Intervals side by side: of the parameters, or of the random effects of a grouping factor (a caterpillar plot)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results import figure as look
from jmix.results import posterior_effects as random
from jmix.results.frames import check_level
from jmix.results.parameter_choice import Parameters, chosen, classes
from jmix.results.posterior_status import LARGEST_RHAT, LEAST_ESS
from jmix.results.posterior_table import bounds

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior

FloatArray = npt.NDArray[np.float64]

ROW = 0.27
"""Height of a row in inches, as long as rows have labels."""

CORRELATIONS = "Correlations"
LEAST_DRAWS, MOST_NUMBERS = 200, 20_000_000
"""Draws of the random effects behind their intervals: all, or as many as that many numbers hold."""

MOST_LABELS = 120
"""Levels of a grouping factor beyond which they have no labels."""


@dataclass(frozen=True)
class Intervals:
    """(K,) inner and outer interval and median of K quantities."""

    outer: tuple[FloatArray, FloatArray]
    inner: tuple[FloatArray, FloatArray]
    median: FloatArray

    @staticmethod
    def of(draws: FloatArray, prob: float, inner: float) -> Intervals:
        """Of (K, N) draws."""
        return Intervals(bounds(draws, prob), bounds(draws, inner), np.median(draws, axis=-1))

    def ordered(self, order: npt.NDArray[np.intp]) -> Intervals:
        """The same in another order."""
        low, high = ((pair[0][order], pair[1][order]) for pair in (self.outer, self.inner))
        return Intervals(low, high, self.median[order])


def plot_forest(
    post: Posterior,
    parameters: Parameters = None,
    prob: float = 0.95,
    figsize: Any = None,
    *,
    inner: float = 0.5,
    group: str | None = None,
    diagnostics: bool = True,
) -> Any:
    """Medians and intervals; see ``Posterior.plot_forest``."""
    if check_level(inner, "inner") >= check_level(prob, "prob"):
        raise ModelError(f"inner={inner:g} must be less than prob={prob:g}: the inner interval lies within the outer")
    if group is not None:
        return _caterpillar(post, group, parameters, (prob, inner), figsize)
    return _forest(post, chosen(post, parameters), (prob, inner), figsize, diagnostics)


# --- parameters -----------------------------------------------------------------------------------------------------
def _forest(post: Posterior, names: list[str], probs: tuple[float, float], figsize: Any, diagnostics: bool) -> Any:
    panels = _panels(post, names)
    rows = [len(members) for members in panels.values()]
    fig = look.new_figure((8.0 if diagnostics else 6.8, 0.75 + sum(0.62 + ROW * n for n in rows)), figsize)
    widths = (6.0, 1.0) if diagnostics else (1.0,)
    shape = {"height_ratios": [n + 0.8 for n in rows], "width_ratios": widths, "sharey": "row", "squeeze": False}
    axes = fig.subplots(len(panels), len(widths), **shape)
    for (panel, *beside), (title, members) in zip(axes, panels.items(), strict=True):
        draws = np.stack([post[name].reshape(-1) for name in members])
        _rows(panel, Intervals.of(draws, *probs), wide=True)
        _row_labels(panel, members)
        look.heading(panel, title)
        if title == CORRELATIONS:
            panel.set_xlim(-1.02, 1.02)
        if beside:
            _diagnostics(beside[0], post, members, first=panel is axes[0, 0])
    fig.supxlabel(_legend(probs), fontsize=look.NORMAL, color=look.MUTED)
    return fig


def _panels(post: Posterior, names: list[str]) -> dict[str, list[str]]:
    """Parameters by class, in the order asked for; the intercept apart, whose scale is not that of slopes."""
    kinds = classes(post)
    found: dict[str, list[str]] = {}
    for name in names:
        if name == "(Intercept)":
            title = "Intercept"
        elif name in kinds["b"]:
            title = "Regression coefficients"
        elif name in kinds["cor"]:
            title = CORRELATIONS
        elif name == "nu":
            title = "Degrees of freedom"
        else:
            title = "Standard deviations"
        found.setdefault(title, []).append(name)
    return found


def _diagnostics(axes: Any, post: Posterior, names: list[str], *, first: bool) -> None:
    """R-hat and effective sample size of each row; suspect ones in colour."""
    axes.set_axis_off()
    judged = post.diagnostics.loc[names]
    style = {"transform": axes.get_yaxis_transform(), "fontsize": look.SMALL, "va": "center", "ha": "right"}
    for y, (rhat, ess) in enumerate(zip(judged["rhat"].round(3), judged["ess_bulk"], strict=True)):
        for x, text, bad in (
            (0.45, f"{rhat:.3f}", rhat > LARGEST_RHAT),
            (1.0, f"{ess:.0f}", ess < LEAST_ESS * post.chains),
        ):
            axes.text(x, y, text.replace("nan", "NaN"), color=look.DIVERGENT if bad else look.INK, **style)
    if first:
        axes.set_title("R-hat       ESS", loc="right", fontsize=look.SMALL, color=look.MUTED)


# --- random effects -------------------------------------------------------------------------------------------------
def _caterpillar(post: Posterior, group: str, columns: Parameters, probs: tuple[float, float], figsize: Any) -> Any:
    if group not in post.spec.groups:
        raise ModelError(f"there is no grouping factor {group!r}; there are: {', '.join(post.spec.groups) or 'none'}")
    names, levels = random.columns(post, group), random.levels(post, group)
    asked = names if columns is None else [columns] if isinstance(columns, str) else list(columns)
    asked = ["(Intercept)" if name == "Intercept" and name not in names else name for name in asked]
    for name in asked:
        if name not in names:
            raise ModelError(f"the random effects of '{group}' have no column '{name}'; there are: {', '.join(names)}")
    draws = _effects(post, group)
    values = [Intervals.of(draws[:, :, names.index(name)].T, *probs) for name in asked]
    order = np.argsort(-values[0].median, kind="stable")
    labelled = len(levels) <= MOST_LABELS
    height = 1.1 + (0.5 * ROW + 0.16 * len(levels) if labelled else 8.0)
    fig = look.new_figure((1.4 + 3.4 * len(asked), max(2.2, height)), figsize)
    axes = fig.subplots(1, len(asked), squeeze=False, sharey=True)[0]
    for axis, name, value in zip(axes, asked, values, strict=True):
        _rows(axis, value.ordered(order), wide=labelled)
        look.heading(axis, name)
        axis.tick_params(left=False, labelleft=labelled and axis is axes[0])
    if labelled:
        _row_labels(axes[0], [str(levels[i]) for i in order], size=look.SMALL if len(levels) <= 60 else 6.5)
    else:
        axes[0].set_yticks([])
    axes[0].set_ylabel(look.plain_text(group), fontsize=look.NORMAL, color=look.INK, parse_math=False)
    fig.supxlabel(_legend(probs), fontsize=look.NORMAL, color=look.MUTED)
    return fig


# --- drawing --------------------------------------------------------------------------------------------------------
def _rows(axes: Any, values: Intervals, *, wide: bool) -> None:
    """One row a quantity from top to bottom, the first at 0: thin outer line, thick inner line, median."""
    look.bare(axes)
    look.few_ticks(axes.xaxis, 6)
    at = np.arange(values.median.size)
    axes.hlines(at, *values.outer, color=look.FILL, linewidth=1.2 if wide else 0.4)
    axes.hlines(at, *values.inner, color=look.FILL, linewidth=4.0 if wide else 1.2)
    size = 5.5 if wide else 1.5
    axes.plot(values.median, at, "o", color="white" if wide else look.INK, markersize=size, markeredgewidth=1.1 * wide,
              markeredgecolor=look.FILL, zorder=3)  # fmt: skip
    axes.set_ylim(values.median.size - 0.4, -0.6)
    low, high = axes.get_xlim()
    if low < 0.0 < high:
        axes.axvline(0.0, color=look.LINE, linewidth=1.0, zorder=0)
        axes.set_xlim(low, high)


def _row_labels(axes: Any, names: list[str], size: float = look.NORMAL) -> None:
    axes.set_yticks(range(len(names)), [look.plain_text(name) for name in names], fontsize=size, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _legend(probs: tuple[float, float]) -> str:
    return f"Median, {100 * probs[1]:g}% and {100 * probs[0]:g}% interval"


def _effects(post: Posterior, group: str) -> FloatArray:
    """(N, J, q) draws of the random effects, fewer than were kept where all would take much memory."""
    size = len(random.levels(post, group)) * len(random.columns(post, group))
    kept = max(LEAST_DRAWS, MOST_NUMBERS // size)
    values = random.effects(post, group, thin=max(1, post.n_draws // kept))[group]
    return values.reshape(-1, *values.shape[2:])
