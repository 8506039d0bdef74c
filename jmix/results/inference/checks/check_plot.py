"""The picture of the scaled residuals: a quantile plot, and the residuals along the predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.results.figure import BAND, DIVERGENT, FILL, INK, MUTED, SMALL, bare, heading, new_figure
from jmix.results.inference.checks.residual_tests import QUANTILES, bins_of

if TYPE_CHECKING:
    from jmix.results.inference.checks.check import Checks
    from jmix.results.inference.checks.simulated_residuals import Simulated

FloatArray = npt.NDArray[np.float64]

POINTS = 4000
"""Points that are drawn; of more rows a sample."""

CURVE = 200
"""Points of the quantile plot beyond which it is a curve."""


def check_plot(result: Checks, figsize: Any) -> Any:
    """Two panels side by side."""
    figure = new_figure((8.4, 4.0), figsize)
    left, right = figure.subplots(1, 2)
    _quantiles(left, result.simulations)
    _predictions(right, result.simulations, conditional=_conditional(result))
    return figure


def _conditional(result: Checks) -> bool:
    return any(value.endswith("modes") for _, value in result.call)


def _quantiles(axes: Any, source: Simulated) -> None:
    """Ordered residuals over uniform quantiles, in the band of the simulations."""
    m = source.scaled.shape[0]
    place = (np.arange(m) + 0.5) / m
    if m > CURVE:
        place = (np.arange(CURVE) + 0.5) / CURVE
    ordered = np.quantile(source.scaled, place, axis=0)
    low, high = np.quantile(ordered[:, 1:], (0.025, 0.975), axis=1)
    axes.fill_between(place, low, high, color=BAND, alpha=0.6, linewidth=0, label="95% of simulations")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
    axes.scatter(place, ordered[:, 0], s=9 if m > CURVE else 14, color=FILL, linewidth=0, zorder=3)
    axes.set_xlabel("expected", fontsize=SMALL, color=INK)
    axes.set_ylabel("scaled residual", fontsize=SMALL, color=INK)
    axes.legend(frameon=False, fontsize=SMALL, loc="upper left")
    _unit(axes)
    heading(axes, "Quantiles of the residuals")


def _predictions(axes: Any, source: Simulated, *, conditional: bool) -> None:
    """Residuals over the rank of the prediction, quartiles of bins as lines."""
    from scipy.stats import rankdata

    eta, own = np.round(source.eta, 10), source.scaled[:, 0]
    rank = rankdata(eta) / eta.size
    outside = source.outside
    shown = np.arange(own.size)
    if own.size > POINTS:
        shown = np.random.default_rng(0).choice(own.size, POINTS, replace=False)
    size, alpha = (6.0, 0.35) if shown.size > 1000 else (12.0, 0.6)
    inner = shown[~outside[shown]]
    axes.scatter(rank[inner], own[inner], s=size, color=MUTED, alpha=alpha, linewidth=0)
    extreme = np.flatnonzero(outside)
    if extreme.size:
        axes.scatter(rank[extreme], own[extreme], s=14, color=DIVERGENT, linewidth=0, clip_on=False, label="outlier")
        axes.legend(frameon=False, fontsize=SMALL, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
    for tau in QUANTILES:
        axes.axhline(tau, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    _curves(axes, eta, rank, own)
    kind = "with random effects" if conditional else "of the population"
    axes.set_xlabel(f"rank of the prediction {kind}", fontsize=SMALL, color=INK)
    axes.set_ylabel("scaled residual", fontsize=SMALL, color=INK)
    _unit(axes)
    heading(axes, "Residuals along the predictions")


def _curves(axes: Any, eta: FloatArray, rank: FloatArray, own: FloatArray) -> None:
    """The quartiles of the residuals in every bin of predictions."""
    codes = bins_of(eta)
    if codes is None:
        return
    bins = range(int(codes.max()) + 1)
    middle = [float(np.mean(rank[codes == g])) for g in bins]
    for tau in QUANTILES:
        values = [float(np.quantile(own[codes == g], tau)) for g in bins]
        axes.plot(middle, values, color=FILL, linewidth=1.6, marker="o", markersize=3, zorder=4)


def _unit(axes: Any) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    bare(axes)
