"""Local dependence: what pairs of items share beyond the trait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.responses.data import Responses
from jmix.results.irt.latent_grid import LatentGrid
from jmix.results.irt.multiple import adjusted, chi_squared_p
from jmix.results.irt.observed import Observed, observed
from jmix.results.irt.polychoric import pair_counts
from jmix.results.irt.standardized import cells, standardized_residuals

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank

FloatArray = npt.NDArray[np.float64]


def q3(bank: ItemBank, responses: Responses | Observed, theta: Any, *, centred: bool = False) -> pd.DataFrame:
    """(J, J) correlations between items of the residuals ``x - E(x | theta)`` (Yen 1984, Appl. Psychol. Meas. 8(2)).

    Pairs of items that nobody answered together have NaN.

    Args:
        bank: items. responses: N persons. theta: (N, D) estimates, EAP as a rule.
        centred: subtract the mean of the correlations off the diagonal, Q3* (Christensen, Makransky & Horton 2017,
            Appl. Psychol. Meas. 41(3)); under independence they lie at about ``-1 / (J - 1)``.

    Raises:
        DataError: trait estimates that are infinite.
    """
    data = responses if isinstance(responses, Observed) else observed(responses)
    r = _correlations(bank, data, theta)
    if centred:
        off = ~np.eye(len(data.items), dtype=bool)
        r = np.where(off, r - np.nanmean(r[off]), r)
    return pd.DataFrame(r, index=list(data.items), columns=list(data.items))


def local_dependence(
    bank: ItemBank, responses: Responses | Observed, grid: LatentGrid, *, g2: bool = False, p_adjust: str = "none"
) -> pd.DataFrame:
    """Chi-squared statistics of the two-way tables of all pairs (Chen & Thissen 1997, J. Educ. Behav. Stat. 22(3)).

    Args:
        bank: items. responses: pairs by those who answered both. grid: latent distribution.
        g2: the likelihood ratio statistic instead of Pearson's. p_adjust: over the pairs.

    Returns:
        One row a pair: ``item1 item2 X2 df p V``. V is Cramer's, with the sign of the observed less the expected
        correlation of the scores: positive where the pair shares more than the trait.
    """
    data = responses if isinstance(responses, Observed) else observed(responses)
    p = np.asarray(bank.probabilities(grid.theta))
    start = np.concatenate([[0], np.cumsum(data.n_categories)])
    counts = pair_counts(data.table, data.n_categories, data.weights)
    rows = []
    for i in range(len(data.items)):
        for j in range(i):
            seen = counts[start[i] : start[i + 1], start[j] : start[j + 1]]
            expected = (p[i, : data.n_categories[i]] * grid.weights) @ p[j, : data.n_categories[j]].T
            rows.append((data.items[i], data.items[j], *_pair(seen, expected, g2)))
    name = "G2" if g2 else "X2"
    out = pd.DataFrame(rows, columns=["item1", "item2", name, "df", "V"])
    out.insert(4, "p", adjusted(chi_squared_p(out[name], out["df"]), p_adjust))
    return out


def dependence_matrix(pairs: pd.DataFrame, items: tuple[str, ...]) -> pd.DataFrame:
    """The layout of mirt's ``residuals(type="LD")``: statistics below the diagonal, signed Cramer's V above."""
    place = {name: i for i, name in enumerate(items)}
    out = np.full((len(items), len(items)), np.nan)
    first, second = pairs["item1"].map(place).to_numpy(), pairs["item2"].map(place).to_numpy()
    low, high = np.maximum(first, second), np.minimum(first, second)
    out[low, high] = pairs.iloc[:, 2].to_numpy()
    out[high, low] = pairs["V"].to_numpy()
    return pd.DataFrame(out, index=list(items), columns=list(items))


def response_residuals(bank: ItemBank, responses: Responses, theta: Any) -> pd.DataFrame:
    """(N, J) standardized residuals ``(x - E) / sqrt(V)`` at the estimated trait, NaN where there is no response."""
    values = standardized_residuals(bank, observed(responses), theta)
    return pd.DataFrame(values, index=responses.persons, columns=list(responses.items))


def _correlations(bank: ItemBank, data: Observed, theta: Any) -> FloatArray:
    """Pairwise complete, with frequencies: sums over persons in chunks."""
    j = len(data.items)
    n, s, ss, cross = (np.zeros((j, j)) for _ in range(4))
    for rows, part in cells(bank, data, theta):
        w, m, e = data.weights[rows][:, None], part.answered.astype(np.float64), part.residual
        n += (w * m).T @ m
        s += (w * e).T @ m
        ss += (w * e * e).T @ m
        cross += (w * e).T @ e
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = s / n
        spread = np.sqrt(ss / n - mean**2)
        r = (cross / n - mean * mean.T) / (spread * spread.T)
    np.fill_diagonal(r, 1.0)
    return r


def _pair(seen: FloatArray, share: FloatArray, g2: bool) -> tuple[float, int, float]:
    """Statistic, degrees of freedom and signed V of a table of frequencies beside expected proportions."""
    n, (ki, kj) = float(seen.sum()), seen.shape
    if n == 0:
        return np.nan, 0, np.nan
    expected = n * share
    if g2:
        some = seen > 0
        value = 2 * float((seen[some] * np.log(seen[some] / expected[some])).sum())
    else:
        value = float(((seen - expected) ** 2 / expected).sum())
    sign = -1.0 if _phi(seen) < _phi(expected) else 1.0
    return value, (ki - 1) * (kj - 1), sign * float(np.sqrt(max(value, 0.0) / (n * (min(ki, kj) - 1))))


def _phi(table: FloatArray) -> float:
    """Correlation of the scores of a two-way table, 0 where one of them is constant."""
    p = table / table.sum()
    x, y = np.arange(p.shape[0]), np.arange(p.shape[1])
    px, py = p.sum(axis=1), p.sum(axis=0)
    mx, my = float(px @ x), float(py @ y)
    spread = float((px @ (x - mx) ** 2) * (py @ (y - my) ** 2))
    return float((x - mx) @ p @ (y - my)) / np.sqrt(spread) if spread > 0 else 0.0
