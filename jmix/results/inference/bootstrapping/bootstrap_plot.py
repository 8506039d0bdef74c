"""Densities of bootstrap draws with the estimate and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results import figure as look
from jmix.results.density_curve import Range, density_curve
from jmix.spec.names import cor_names, sd_names

if TYPE_CHECKING:
    from jmix.results.inference.bootstrapping.bootstrap_result import Bootstrap

FloatArray = npt.NDArray[np.float64]

MOST = 24
"""Panels that are drawn where no names are given."""

SPIKE = 0.01
"""Share of draws on a boundary from which they are drawn as a bar of their own."""


class Panel(NamedTuple):
    """What one panel shows: finite draws, their range, estimate, limits."""

    name: str
    draws: FloatArray
    bound: Range
    estimate: float
    lower: float
    upper: float


def plot(boot: Bootstrap, parameters: Any, *, level: float, kind: str, figsize: Any) -> Any:
    """The work behind ``Bootstrap.plot``."""
    limits = boot.confint(level, kind)
    names = _chosen(boot, parameters)
    bounds = _ranges(boot)
    panels = []
    for name in names:
        values = boot.draws[name].to_numpy()
        low, high = limits["lower"][name], limits["upper"][name]
        own = bounds.get(name, (-np.inf, np.inf))
        panels.append(Panel(name, values[np.isfinite(values)], own, float(boot.observed[name]), low, high))
    columns = min(len(panels), 4 if len(panels) > 6 else 3)
    rows = math.ceil(len(panels) / columns)
    fig = look.new_figure((0.4 + 2.9 * columns, 0.5 + 2.0 * rows), figsize)
    look.each(fig.subplots(rows, columns, squeeze=False), _panel, panels)
    fig.supxlabel(f"Estimate and {100 * level:g}% {kind} interval", fontsize=look.NORMAL, color=look.MUTED)
    return fig


def _chosen(boot: Bootstrap, parameters: Any) -> list[str]:
    known = [str(c) for c in boot.draws.columns]
    if parameters is None:
        return known[:MOST]
    asked = (
        [parameters] if isinstance(parameters, str) else list(parameters) if isinstance(parameters, Sequence) else []
    )
    strange = [name for name in asked if name not in known]
    if strange or not asked:
        raise ModelError(f"plot(parameters={parameters!r}): choose of {', '.join(known)}")
    return asked


def _ranges(boot: Bootstrap) -> dict[str, Range]:
    spec = boot.fit.spec
    out: dict[str, Range] = {"sigma": (0.0, np.inf)}
    for names in sd_names(spec):
        out |= dict.fromkeys(names, (0.0, np.inf))
    for names in cor_names(spec):
        out |= dict.fromkeys(names, (-1.0, 1.0))
    return out


def _panel(axes: Any, panel: Panel) -> None:
    look.bare(axes, left=False)
    look.few_ticks(axes.xaxis, 5)
    look.heading(axes, panel.name)
    at_zero = np.abs(panel.draws) <= 1e-12 if panel.bound[0] == 0.0 else np.zeros(panel.draws.size, dtype=np.bool_)
    share = float(at_zero.mean()) if at_zero.size else 0.0
    rest = panel.draws[~at_zero] if share >= SPIKE else panel.draws
    grid, density = density_curve(rest, panel.bound)
    density = density * (1.0 - share if share >= SPIKE else 1.0)
    inside = (grid >= panel.lower) & (grid <= panel.upper)
    axes.fill_between(grid, density, color=look.BAND, alpha=0.35, linewidth=0)
    axes.fill_between(grid[inside], density[inside], color=look.BAND, linewidth=0)
    axes.plot(grid, density, color=look.FILL, linewidth=1.3)
    top = float(density.max(initial=0.0)) or 1.0
    axes.set_ylim(-0.09 * top, 1.12 * top)
    if share >= SPIKE:
        axes.plot([0.0, 0.0], [0.0, top], color=look.DIVERGENT, linewidth=3.0, solid_capstyle="butt")
        axes.annotate(
            f" {100 * share:.0f}% at zero", (0.0, top), color=look.DIVERGENT, fontsize=look.SMALL, va="bottom"
        )
    axes.plot([panel.lower, panel.upper], [-0.045 * top] * 2, color=look.INK, linewidth=2.2, solid_capstyle="butt")
    axes.plot([panel.estimate], [-0.045 * top], "o", color=look.INK, markersize=5.5, markeredgecolor="white")
    spread = float(panel.draws.std()) if panel.draws.size else 1.0
    middle, low, high = (look.number(value, spread) for value in panel[3:])
    axes.set_xlabel(f"{middle}  [{low}, {high}]", fontsize=look.SMALL, color=look.MUTED)
