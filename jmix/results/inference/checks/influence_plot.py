"""The picture of an influence analysis."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.results.figure import DIVERGENT, FILL, INK, LINE, SMALL, bare, heading, new_figure, plain_text

if TYPE_CHECKING:
    from jmix.results.inference.checks.influence import Influence

LABELS = {
    "cooks_distance": "Cook's distance",
    "cooks_conditional": "Cook's distance of the conditional fit",
    "covratio": "covariance ratio",
    "covtrace": "covariance trace",
    "displacement": "likelihood displacement",
    "sigma_ratio": "sigma without / with",
    "leverage": "leverage",
}


def influence_plot(result: Influence, statistic: str, top: int, figsize: Any) -> Any:
    """Sorted dots, largest above."""
    if isinstance(top, bool) or not isinstance(top, int | np.integer) or top < 1:
        raise ModelError(f"plot(top={top!r}): give a positive whole number of groups")
    values, label, cutoff = _values(result, statistic)
    values = values.dropna()
    size = (values - 1.0 if statistic in ("covratio", "sigma_ratio") else values).abs()
    order = size.sort_values().index[-int(top) :]
    shown = values.loc[order]
    figure = new_figure((6.0, max(2.2, 0.9 + 0.21 * len(shown))), figsize)
    axes = figure.add_subplot()
    place = np.arange(len(shown))
    origin = 1.0 if statistic in ("covratio", "sigma_ratio") else 0.0
    axes.hlines(place, origin, shown, color=LINE, linewidth=1.2, zorder=1)
    beyond = size.loc[order].to_numpy() > cutoff
    axes.scatter(shown, place, s=22, c=np.where(beyond, DIVERGENT, FILL), zorder=2)
    _guide(axes, cutoff, values)
    axes.set_yticks(place, [plain_text(str(v), 24) for v in shown.index])
    axes.set_ylim(-0.7, len(shown) - 0.3)
    bare(axes)
    axes.axvline(origin, color=INK, linewidth=0.7, zorder=0)
    axes.set_xlabel(label, fontsize=SMALL, color=INK)
    more = "" if len(shown) == len(values) else f", the largest {len(shown)} of {len(values)}"
    heading(axes, f"{result.groups.name}{more}")
    return figure


def _values(result: Influence, statistic: str) -> tuple[pd.Series, str, float]:
    """The numbers, their name, and the size from which they deserve a look."""
    columns = [c for c in result.table.columns if c not in ("n", "refitted")]
    if statistic in columns:
        cutoff = 4.0 / len(result.table) if statistic.startswith("cooks") else np.inf
        return result.table[statistic], LABELS.get(statistic, statistic), cutoff
    if statistic in result.fit.x_names:
        return result.dfbetas()[statistic], f"DFBETAS of {statistic}", 2.0 / np.sqrt(len(result.table))
    known = [*columns, *result.fit.x_names]
    near = get_close_matches(str(statistic), known, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ModelError(f"plot(statistic={statistic!r}): there is no such statistic.{hint} There are: {', '.join(known)}")


def _guide(axes: Any, cutoff: float, values: pd.Series) -> None:
    """Dashed lines at the customary cutoff, 4 / G or 2 / sqrt(G), where they fall into the picture."""
    if not np.isfinite(cutoff):
        return
    for sign in (1.0, -1.0) if (values < 0).any() else (1.0,):
        if cutoff < 1.5 * values.abs().max():
            axes.axvline(sign * cutoff, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
