"""S-X2: observed and expected responses to an item among persons with the same sum score."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.results.irt.latent_grid import LatentGrid
from jmix.results.irt.lord_wingersky import category_scores, rest_distributions
from jmix.results.irt.observed import Observed

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank

FloatArray = npt.NDArray[np.float64]


class ScoreTable(NamedTuple):
    """Of one item, by sum score over all items: the scores at which the response is not known beforehand.

    Attributes:
        score: (R,) sum scores. observed, expected: (R, K) frequencies.
    """

    score: npt.NDArray[np.int64]
    observed: FloatArray
    expected: FloatArray


class Merged(NamedTuple):
    """A score table after cells with small expectations were merged: lists of cells by row.

    Attributes:
        observed, expected: for each of the remaining rows the merged categories' frequencies.
    """

    observed: list[FloatArray]
    expected: list[FloatArray]

    @property
    def statistic(self) -> float:
        """Sum over the cells of ``(O - E)^2 / E``."""
        return float(sum(((o - e) ** 2 / e).sum() for o, e in zip(self.observed, self.expected, strict=True)))

    @property
    def cells(self) -> int:
        """Number of cells less the number of rows, whose totals are given."""
        return sum(e.size - 1 for e in self.expected)


def score_tables(bank: ItemBank, data: Observed, grid: LatentGrid) -> list[ScoreTable]:
    """For each item the responses by sum score, and what the model expects (Orlando & Thissen 2000, eq. 5).

    ``E_k(s) = N_s int P_k f*(s - k) g / int f(s) g`` with f the distribution of the sum score, f* that without the
    item, and g the latent density; Kang & Chen (2008, J. Educ. Meas. 45(4)) for more than two categories.

    Args:
        bank: items. data: persons who answered all of them. grid: the latent distribution g.
    """
    p = np.asarray(bank.probabilities(grid.theta))
    scores = category_scores(data.n_categories)
    total = data.table.sum(axis=1, dtype=np.int64)
    size = int(scores.max(axis=1).sum()) + 1
    tables: dict[int, ScoreTable] = {}
    for j, rest in rest_distributions(p, scores):
        k = data.n_categories[j]
        joint = np.zeros((size, k))
        for category in range(k):
            joint[category : category + rest.shape[0], category] = rest @ (p[j, category] * grid.weights)
        counts = _frequencies(total * k + data.table[:, j], data.weights, size, k)
        tables[j] = _table(joint, counts)
    return [tables[j] for j in range(len(data.items))]


def merge_cells(table: ScoreTable, smallest: float = 1.0) -> Merged:
    """Merge cells until each expects ``smallest`` persons: first categories of a score, then neighbouring scores.

    Scores so low or so high that some category is impossible join the nearest score where all are possible, a score
    with a single person the next. Within a score the category with the smallest expectation joins its neighbour with
    the smaller one, down to two categories. A score where that does not suffice joins the neighbouring score with fewer
    persons, all categories with theirs, and its categories are merged anew. (mirt 1.47 adds the merged categories of
    two scores in the order in which they are left, whichever they are.)

    Args:
        table: of one item. smallest: expected frequency that is enough.
    """
    groups = _with_neighbours([(o, e) for o, e in _whole_rows(table) if o.sum() > 0])
    while True:
        merged = [_merge_categories(o, e, smallest) for o, e in groups]
        weak = [i for i, (_, e) in enumerate(merged) if e.min() < smallest]
        if not weak or len(groups) == 1:
            return Merged([o for o, _ in merged], [e for _, e in merged])
        _join(groups, weak[0])


def _frequencies(cell: npt.NDArray[np.int64], weights: FloatArray, size: int, k: int) -> FloatArray:
    return np.bincount(cell, weights=weights, minlength=size * k).reshape(size, k).astype(np.float64)


def _table(joint: FloatArray, counts: FloatArray) -> ScoreTable:
    possible = (joint > 0).sum(axis=1) > 1
    joint, counts = joint[possible], counts[possible]
    expected = counts.sum(axis=1, keepdims=True) * joint / joint.sum(axis=1, keepdims=True)
    return ScoreTable(np.flatnonzero(possible), counts, expected)


def _whole_rows(table: ScoreTable) -> list[tuple[FloatArray, FloatArray]]:
    """Rows of a table, those with impossible categories added to the nearest one without."""
    whole = np.flatnonzero((table.expected > 0).all(axis=1) | (table.observed.sum(axis=1) == 0))
    whole = whole[table.expected[whole].sum(axis=1) > 0]
    if whole.size == 0:
        return list(zip(table.observed, table.expected, strict=True))
    nearest = np.clip(np.arange(table.score.size), whole[0], whole[-1])
    rows = np.unique(nearest)
    return [(table.observed[nearest == r].sum(axis=0), table.expected[nearest == r].sum(axis=0)) for r in rows]


def _with_neighbours(groups: list[tuple[FloatArray, FloatArray]]) -> list[tuple[FloatArray, FloatArray]]:
    """The same, where a score with a single person joins the next, the last one the score before."""
    out: list[tuple[FloatArray, FloatArray]] = []
    held: tuple[FloatArray, FloatArray] | None = None
    for o, e in groups:
        row = (o, e) if held is None else (o + held[0], e + held[1])
        held = row if row[0].sum() <= 1 else None
        if held is None:
            out.append(row)
    if held is not None:
        last = out.pop() if out else (0.0 * held[0], 0.0 * held[1])
        out.append((last[0] + held[0], last[1] + held[1]))
    return out


def _join(groups: list[tuple[FloatArray, FloatArray]], row: int) -> None:
    """Add one row to the neighbour with fewer persons."""
    neighbours = [i for i in (row - 1, row + 1) if 0 <= i < len(groups)]
    other = min(neighbours, key=lambda i: float(groups[i][0].sum()))
    (o, e), (o2, e2) = groups[row], groups[other]
    groups[other] = (o + o2, e + e2)
    del groups[row]


def _merge_categories(o: FloatArray, e: FloatArray, smallest: float) -> tuple[FloatArray, FloatArray]:
    possible = e > 0
    o, e = o[possible], e[possible]
    while e.size > 2 and e.min() < smallest:
        at = int(np.flatnonzero(e == e.min())[-1])
        neighbours = [i for i in (at - 1, at + 1) if 0 <= i < e.size]
        other = min(neighbours, key=lambda i: float(e[i]))
        o, e = o.copy(), e.copy()
        o[other] += o[at]
        e[other] += e[at]
        o, e = np.delete(o, at), np.delete(e, at)
    return o, e
