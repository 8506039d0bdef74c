"""How many dimensions: parallel analysis of the items' correlations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.results.irt.observed import Observed, observed
from jmix.results.irt.polychoric import polychoric
from jmix.results.irt.sources import responses_of

FloatArray = npt.NDArray[np.float64]

CORRELATIONS = ("polychoric", "pearson")


@dataclass(frozen=True, eq=False)
class ParallelAnalysis:
    """Observed eigenvalues beside those of data without any correlation.

    Attributes:
        eigenvalues: a row each: ``observed``, ``mean`` and ``quantile`` of the simulated ones. n_dimensions: number of
            leading eigenvalues above the quantile. correlation: "polychoric" or "pearson". level: of the quantile.
        n_simulations: data sets. matrix: the observed correlations.
    """

    eigenvalues: pd.DataFrame
    n_dimensions: int
    correlation: str
    level: float
    n_simulations: int
    matrix: pd.DataFrame

    def plot(self, figsize: Any = None) -> Any:
        """Scree plot: the eigenvalues beside those of independent items."""
        from jmix.results.irt.plots_information import plot_scree

        return plot_scree(self, figsize)

    def __str__(self) -> str:
        lead = self.eigenvalues["observed"].to_numpy()
        ratio = lead[0] / lead[1] if lead.size > 1 and lead[1] > 0 else np.inf
        return (
            f"parallel analysis suggests {self.n_dimensions} dimension{'s' * (self.n_dimensions != 1)} "
            f"({self.correlation} correlations, {self.n_simulations} data sets, {100 * self.level:.0f}% quantile); "
            f"first eigenvalue {lead[0]:.3f}, {ratio:.2f} times the second"
        )


def parallel_analysis(
    responses: Any,
    *,
    correlation: str = "polychoric",
    n_simulations: int = 50,
    level: float = 0.95,
    seed: int = 0,
    **reading: Any,
) -> ParallelAnalysis:
    """Compare the eigenvalues of the items' correlation matrix with those of independent items (Horn 1965).

    The comparison data are the observed columns, each shuffled by itself among those who answered, so that categories,
    difficulties and missing responses stay what they are (Buja & Eyuboglu 1992, Multivar. Behav. Res. 27(4)). A
    dimension counts while its eigenvalue lies above the quantile (Glorfeld 1995, Educ. Psychol. Meas. 55(3)).

    Args:
        responses: a table as ``jmix.irt`` takes it, or a fit.
        correlation: "polychoric" (tetrachoric for two categories) or "pearson" of the scores.
        n_simulations: shuffled data sets. level: of the quantile. seed: of the shuffling.
        reading: of a table, as of ``jmix.irt``: ``person``, ``item``, ``response``, ``items``, ``weights``.

    Raises:
        ModelError: another correlation, fewer than one data set, or a level outside of (0, 1). DataError: fewer than
        three items, or an item with the same response from everybody.
    """
    if correlation not in CORRELATIONS:
        raise ModelError(f"correlation='{correlation}': choose from {', '.join(CORRELATIONS)}")
    if n_simulations < 1 or not 0 < level < 1:
        raise ModelError(f"n_simulations={n_simulations}, level={level}: give a positive number and a level in (0, 1)")
    data = observed(responses_of(responses, **reading))
    _check(data)
    rng = np.random.default_rng(seed)
    matrix = correlations(data, correlation)
    eigenvalues = np.linalg.eigvalsh(matrix)[::-1]
    shuffled = np.empty((n_simulations, len(data.items)))
    for b in range(n_simulations):
        shuffled[b] = np.linalg.eigvalsh(correlations(_shuffled(data, rng), correlation))[::-1]
    quantile = np.quantile(shuffled, level, axis=0)
    above = eigenvalues > quantile
    n_dimensions = int(above.size if above.all() else np.argmin(above))
    frame = pd.DataFrame(
        {"observed": eigenvalues, "mean": shuffled.mean(axis=0), "quantile": quantile},
        index=pd.RangeIndex(1, eigenvalues.size + 1, name="dimension"),
    )
    names = list(data.items)
    return ParallelAnalysis(
        frame, n_dimensions, correlation, level, n_simulations, pd.DataFrame(matrix, index=names, columns=names)
    )


def correlations(data: Observed, kind: str) -> FloatArray:
    """(J, J) correlations of the items, each pair by those who answered both; 0 where nobody did."""
    if kind == "polychoric":
        return polychoric(data.table, data.n_categories, data.weights)
    m = data.answered.astype(np.float64)
    x = np.where(data.answered, data.table, 0).astype(np.float64)
    x = x - (data.weights @ x) / np.maximum(data.weights @ m, 1e-300) * m
    wx, wm = x * data.weights[:, None], m * data.weights[:, None]
    n, s, ss = wm.T @ m, wx.T @ m, (wx * x).T @ m
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = s / n
        spread = np.sqrt(ss / n - mean**2)
        r = (wx.T @ x / n - mean * mean.T) / (spread * spread.T)
    r = np.where(np.isfinite(r), r, 0.0)
    np.fill_diagonal(r, 1.0)
    return r


def _shuffled(data: Observed, rng: Any) -> Observed:
    """Each column permuted among the persons who answered it, with their weights left in place."""
    table = data.table.copy()
    for j in range(table.shape[1]):
        seen = np.flatnonzero(data.answered[:, j])
        table[seen, j] = table[rng.permutation(seen), j]
    return Observed(table, data.weights, data.rows, data.items, data.n_categories)


def _check(data: Observed) -> None:
    if len(data.items) < 3:
        raise DataError("parallel analysis needs at least three items")
    for j, name in enumerate(data.items):
        seen = data.table[data.answered[:, j], j]
        if seen.size == 0 or (seen == seen[0]).all():
            raise DataError(f"item {name!r} has the same response from everybody who answered: leave it out")
