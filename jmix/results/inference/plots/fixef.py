"""Fixed effects with their intervals, one below the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results import figure as look
from jmix.results.frames import check_level
from jmix.results.inference.plots.parts import name_axis
from jmix.results.inference.tables.etable_columns import RATIO_LINKS, Coefficient, column_of

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]

ROW = 0.27


def plot_fixef(
    fit: FitBase, level: float, sort: bool, df: Any, intercept: bool, component: str, exponentiate: bool, figsize: Any
) -> Any:
    """The work behind ``fit.plot_fixef``."""
    link = str(getattr(getattr(fit, "family", None), "link", ""))
    if exponentiate and link not in RATIO_LINKS:
        raise ModelError("exponentiate=True is for a model with a logit, log or cloglog link")
    table = _rows(fit, check_level(level), df, component, intercept, exponentiate)
    if sort:
        table = table.sort_values("estimate", ascending=False, kind="stable")
    fig = look.new_figure((7.0, 1.1 + ROW * max(len(table), 2)), figsize)
    axes, beside = fig.subplots(1, 2, sharey=True, width_ratios=(3.0, 1.0))
    at, centre = np.arange(len(table)), 1.0 if exponentiate else 0.0
    axes.hlines(at, table["lower"], table["upper"], color=look.FILL, linewidth=2.0)
    axes.plot(table["estimate"], at, "o", color=look.FILL, markersize=5.5)
    look.bare(axes)
    if exponentiate:
        _ratio_axis(axes)
    else:
        look.few_ticks(axes.xaxis, 6)
    axes.axvline(centre, color=look.LINE, linewidth=1.2, zorder=0)
    axes.set_ylim(len(table) - 0.4, -0.6)
    names = [look.plain_text(str(name)) for name in table.index]
    axes.set_yticks(at, names, fontsize=look.NORMAL, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    scale = RATIO_LINKS[link].capitalize() if exponentiate else "Coefficient"
    name_axis(axes.xaxis, f"{scale} and {100 * level:g}% interval")
    _texts(beside, table)
    return fig


def _ratio_axis(axes: Any) -> None:
    """A logarithmic axis with plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    steps = (1.0, 2.0, 5.0) if high / low < 1e3 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _rows(fit: Any, level: float, df: Any, component: str, intercept: bool, exponentiate: bool) -> pd.DataFrame:
    """Estimates and intervals by name."""
    found = column_of(fit, df, level, exponentiate).coefficients
    kinds = {"zi": ("zi", "hurdle")}.get(component, (component,))
    rows: dict[str, Coefficient] = {name: row for (part, name), row in found.items() if part in kinds}
    if not found:
        raise ModelError("the model has no fixed effects; plot_ranef() has its random effects")
    if not rows:
        parts = list(dict.fromkeys("zi" if part == "hurdle" else part for part, _ in found))
        raise ModelError(f"component={component!r}: the model has no such coefficients; it has {', '.join(parts)}")
    if not intercept and len(rows) > 1:
        rows.pop("(Intercept)", None)
    values = [(row.estimate, row.lower, row.upper) for row in rows.values()]
    return pd.DataFrame(values, index=list(rows), columns=["estimate", "lower", "upper"])


def _texts(axes: Any, table: pd.DataFrame) -> None:
    """Estimates and limits as numbers beside their marks."""
    axes.set_axis_off()
    for y, (b, low, high) in enumerate(table.to_numpy().tolist()):
        texts = [look.number(v, high - low) for v in (b, low, high)]
        axes.text(0.0, y, f"{texts[0]} [{texts[1]}, {texts[2]}]", fontsize=look.SMALL, va="center", color=look.INK,
                  transform=axes.get_yaxis_transform())  # fmt: skip
