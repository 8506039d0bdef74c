"""What pictures of items and persons share: which items, the trait axis, panels, colours of groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results import figure as look

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]

POINTS = 201
"""Points of a curve."""
MOST = 60
"""Most items in one picture."""
DIRECT = 12
"""Most curves in one panel that get names."""


def chosen_items(fit: IrtFit, items: Sequence[str] | str | None) -> list[int]:
    """Columns of the items asked for, all by default.

    Raises:
        ModelError: an unknown item, or too many for one picture.
    """
    names = list(fit.spec.items)
    if items is None:
        wanted = list(range(len(names)))
    else:
        asked = [items] if isinstance(items, str) else list(items)
        unknown = [name for name in asked if name not in names]
        if unknown or not asked:
            raise ModelError(f"there is no item {unknown[0]!r}" if unknown else "items=[] names no item")
        wanted = [names.index(name) for name in asked]
    if len(wanted) > MOST:
        raise ModelError(f"{len(wanted)} items are too many for one picture: choose up to {MOST} with items=[...]")
    return wanted


def factor_number(fit: IrtFit, factor: str | None) -> int:
    """The factor along which curves are drawn, the first by default.

    Raises:
        ModelError: an unknown factor.
    """
    if factor is None:
        return 0
    if factor not in fit.spec.factors:
        raise ModelError(f"there is no factor {factor!r}; there are {', '.join(fit.spec.factors)}")
    return fit.spec.factors.index(factor)


def group_number(fit: IrtFit, group: str | None) -> int:
    """The number of a group, 0 by default.

    Raises:
        ModelError: an unknown group.
    """
    if group is None:
        return 0
    if group not in fit.spec.groups:
        raise ModelError(f"there is no group {group!r}; there are {', '.join(fit.spec.groups)}")
    return fit.spec.groups.index(group)


def axis_values(fit: IrtFit, d: int, limits: tuple[float, float] | None) -> FloatArray:
    """Trait values of the horizontal axis: four standard deviations about the first group's mean by default."""
    if limits is None:
        mean, sd = latent_moments(fit, 0, d)
        limits = (mean - 4 * sd, mean + 4 * sd)
    low, high = limits
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ModelError(f"limits={limits!r}: give the lowest and the highest trait value")
    return np.linspace(low, high, POINTS)


def latent_moments(fit: IrtFit, g: int, d: int) -> tuple[float, float]:
    """Mean and standard deviation of a factor in a group."""
    from jmix.results.irt.sumscore import group_grid

    grid = group_grid(fit, g)
    mean = float(grid.mean(grid.theta[:, d]))
    return mean, float(np.sqrt(grid.mean((grid.theta[:, d] - mean) ** 2)))


def along(fit: IrtFit, theta: FloatArray, d: int, g: int) -> FloatArray:
    """(Q, D) points along one factor, the others at their means."""
    out = np.tile([latent_moments(fit, g, f)[0] for f in range(fit.spec.n_factors)], (theta.size, 1))
    out[:, d] = theta
    return out


def shape(n: int) -> tuple[int, int]:
    """Rows and columns of n panels: few empty places, somewhat wider than high."""
    if n <= 3:
        return 1, n
    columns = min(range(2, 6), key=lambda c: (-n % c) + 1.2 * abs(c - math.sqrt(1.3 * n)))
    return math.ceil(n / columns), columns


def trim(axes: Any, n: int) -> None:
    """Tick labels only at the left end of each row and at the foot of each column."""
    columns = axes.shape[1]
    for place in range(n):
        row, column = divmod(place, columns)
        if column:
            axes[row, column].tick_params(labelleft=False)
        if place + columns < n:
            axes[row, column].tick_params(labelbottom=False)


def trait_label(fit: IrtFit, d: int) -> str:
    """Name of the horizontal axis."""
    return "trait θ" if fit.spec.n_factors == 1 else f"trait θ, {fit.spec.factors[d]}"


def group_colour(g: int) -> str:
    """Colour of a group."""
    return look.CHAINS[g % len(look.CHAINS)]


def group_legend(fig: Any, groups: Sequence[str]) -> None:
    """Names of the groups above the panels."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=group_colour(g), linewidth=1.8) for g in range(len(groups))]
    fig.legend(
        lines, [look.plain_text(str(g), 24) for g in groups], loc="outside upper right", ncols=min(6, len(groups)),
        frameon=False, fontsize=look.SMALL, handlelength=1.3, columnspacing=1.2,
    )  # fmt: skip
