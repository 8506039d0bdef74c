"""Matplotlib figures without pyplot: no backend is chosen, nothing is shown, no global setting is touched."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from jmix.errors import JmixError, ModelError

CHAINS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#8C6D31", "#7F7F7F")
"""Colours of chains, told apart with any colour vision: Okabe and Ito's, and two more of other lightness."""

INK, MUTED, LINE = "#1A1A1A", "#666666", "#D0D0D0"
FILL, BAND = "#0072B2", "#9CC9E8"
DIVERGENT = "#D55E00"
SMALL, NORMAL, LARGE = 8.0, 9.0, 10.5
Layout = Literal["constrained"] | None
LARGEST = 200.0
"""Greatest height of a figure in inches."""


def new_figure(size: tuple[float, float], figsize: Any = None, layout: Layout = "constrained") -> Any:
    """An empty figure; ``figsize`` in inches, where the user gave one.

    Raises:
        JmixError: matplotlib is missing. ModelError: a size that is not two positive numbers.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise JmixError("plots need matplotlib: pip install 'jmix[plots]'") from error
    figure: Any = Figure(figsize=size if figsize is None else _size(figsize), layout=layout)
    figure._repr_png_ = partial(_png, figure)  # a notebook shows the figure, whatever its backend
    return figure


def _size(figsize: Any) -> tuple[float, float]:
    try:
        width, height = (float(v) for v in figsize)
    except (TypeError, ValueError):
        width = height = -1.0
    if not (0 < width <= LARGEST and 0 < height <= LARGEST):
        raise ModelError(f"figsize={figsize!r}: give width and height in inches, such as (8, 6)")
    return width, height


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def bare(axes: Any, *, left: bool = True) -> None:
    """Field's look of one panel: no box, small ticks, and no vertical axis unless ``left``."""
    for side in ("top", "right", *(() if left else ("left",))):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(labelsize=SMALL, colors=INK, length=3, color=MUTED)
    if not left:
        axes.set_yticks([])


def few_ticks(axis: Any, most: int) -> None:
    """At most so many ticks on an axis, at round numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, min_n_ticks=2, steps=[1, 2, 2.5, 5, 10]))


def heading(axes: Any, text: str, *, size: float = NORMAL) -> None:
    """The name of a panel above its left end, never read as mathematics; long ones are cut in the middle."""
    axes.set_title(plain_text(text), loc="left", fontsize=size, color=INK, parse_math=False)


def plain_text(text: str, most: int = 44) -> str:
    """One line of at most ``most`` characters."""
    text = " ".join(text.split())
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def number(value: float, spread: float) -> str:
    """A number with the decimals that a spread deserves: two digits of it."""
    if not math.isfinite(value):
        return "NaN"
    decimals = 2 if not (math.isfinite(spread) and spread > 0) else max(0, 1 - math.floor(math.log10(spread)))
    text = f"{value + 0.0:.{decimals}f}" if decimals <= 6 and abs(value) < 1e6 else f"{value:.3g}"
    return text.replace("-", "−")


def each(axes: Any, draw: Callable[..., None], *lists: Any) -> None:
    """Call ``draw`` with each of the panels and the items that belong to it; panels without items disappear."""
    panels = list(axes.flat)
    for panel, *items in zip(panels, *lists, strict=False):
        draw(panel, *items)
    for panel in panels[len(lists[0]) :]:
        panel.remove()


def folded(text: str, most: int) -> str:
    """A name over up to three lines, broken after ``__`` or by force, each of at most ``most`` characters."""
    lines = [""]
    for part in plain_text(text, 3 * most).replace("__", "__\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part) > most:
            lines.append("")
        lines[-1] += part
    pieces = [line[i : i + most] for line in lines for i in range(0, len(line), most)]
    return "\n".join(pieces)
