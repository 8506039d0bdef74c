"""The power curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jmix.results.figure import CHAINS, INK, LINE, MUTED, NORMAL, SMALL, bare, few_ticks, new_figure, plain_text

if TYPE_CHECKING:
    from jmix.results.inference.planning.power_result import Power


def plot(power: Power, figsize: Any) -> Any:
    """Power against the number of groups, one line an effect and number of rows a group."""
    figure = new_figure((6.0, 4.0), figsize)
    axes = figure.subplots()
    bare(axes)
    table = power.table
    keys = ["effect", *(["n_per_group"] if "n_per_group" in table else [])]
    axes.axhline(power.target, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    curves = list(table.groupby(keys, sort=False, dropna=False))
    spread = float(table["n_groups"].max() - table["n_groups"].min())
    for k, (key, part) in enumerate(curves):
        rows, colour = part.sort_values("n_groups"), CHAINS[k % len(CHAINS)]
        # curves at the same sizes stand side by side, so that their intervals can be told apart
        n = rows["n_groups"].to_numpy(float) + 0.008 * spread * (k - 0.5 * (len(curves) - 1))
        mid = rows["power"].to_numpy(float)
        errors = [mid - rows["lower"].to_numpy(float), rows["upper"].to_numpy(float) - mid]
        axes.errorbar(
            n, mid, errors, color=colour, marker="o", markersize=4, linewidth=1.4, capsize=2.5, label=_name(key)
        )
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel(f"number of {dict(power.call)['Groups']}", fontsize=NORMAL, color=INK, parse_math=False)
    axes.set_ylabel("power", fontsize=NORMAL, color=INK)
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    axes.set_axisbelow(True)
    few_ticks(axes.xaxis, 8)
    legend = axes.legend(fontsize=SMALL, frameon=False, loc="lower right")
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _name(key: Any) -> str:
    name, *each = key
    return plain_text(str(name)) if not each else f"{plain_text(str(name))}, {each[0]:g} a group"
