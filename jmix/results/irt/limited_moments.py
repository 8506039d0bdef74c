"""First and second moments of the responses under a model, and the covariance of their sample values.

A moment is the mean of a function of one item, or of the product of functions of two. Given theta the items are
independent, so that means, covariances (up to four items) and derivatives are averages over theta of products
(Maydeu-Olivares & Joe 2006, Psychometrika 71(4); Cai & Hansen 2013, Br. J. Math. Stat. Psychol. 66(2)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results.irt.observed import Observed
from jmix.results.irt.tables_at import TableSlopes

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

KINDS = ("M2", "M2*", "C2")
ROWS = 50_000


@dataclass(frozen=True, eq=False)
class Features:
    """Functions of single items, and the moments made of them.

    Attributes:
        item: (F,) the item of each function. values: (F, K) its value by category.
        first, second: (s,) functions of each moment; ``second`` is -1 for the moments of one item.
    """

    item: IntArray
    values: FloatArray
    first: IntArray
    second: IntArray

    @property
    def n_moments(self) -> int:
        """The number of moments."""
        return int(self.first.size)


def features(n_categories: Sequence[int], kind: str) -> Features:
    """Functions and moments of a statistic.

    Args:
        n_categories: (J,). kind: "M2", all categories but the first of each item and each pair; "M2*", scores 0, 1, ...
            of items and pairs; "C2", categories of items and scores of pairs.

    Raises:
        ModelError: another kind.
    """
    if kind not in KINDS:
        raise ModelError(f"type='{kind}': choose from {', '.join(KINDS)}")
    width = max(n_categories)
    item: list[int] = []
    rows: list[FloatArray] = []
    indicators: list[list[int]] = []
    scores: list[list[int]] = []
    for j, k in enumerate(n_categories):
        score = np.where(np.arange(width) < k, np.arange(width), 0.0)
        own = [np.eye(width)[c] for c in range(1, k)] if kind != "M2*" else []
        indicators.append(list(range(len(item), len(item) + len(own))))
        if kind == "M2*" or (kind == "C2" and k > 2):
            own = [*own, score]
            scores.append([len(item) + len(own) - 1])
        else:
            scores.append(indicators[-1])
        item += [j] * len(own)
        rows += own
    single, pair = (scores if kind == "M2*" else indicators), (indicators if kind == "M2" else scores)
    first = [f for own in single for f in own]
    second = [-1] * len(first)
    for j in range(len(n_categories)):
        for i in range(j):
            for f in pair[i]:
                first += [f] * len(pair[j])
                second += pair[j]
    return Features(np.array(item), np.array(rows), np.array(first), np.array(second))


def n_moments(n_categories: Sequence[int], kind: str) -> int:
    """Number of moments of a statistic, see ``features``."""
    k = np.asarray(n_categories, dtype=np.int64)
    steps, n = int((k - 1).sum()), k.size
    single = n if kind == "M2*" else steps
    pairs = (steps**2 - int(((k - 1) ** 2).sum())) // 2 if kind == "M2" else n * (n - 1) // 2
    return single + pairs


def sample_moments(what: Features, data: Observed) -> FloatArray:
    """(s,) weighted means in a table without missing responses."""
    j = what.item
    mean, cross = np.zeros(j.size), np.zeros((j.size, j.size))
    for begin in range(0, data.table.shape[0], ROWS):
        rows = slice(begin, begin + ROWS)
        value = what.values[np.arange(j.size), data.table[rows][:, j].astype(np.intp)]
        weighted = value * data.weights[rows][:, None]
        mean += weighted.sum(axis=0)
        cross += weighted.T @ value
    return np.where(what.second < 0, mean[what.first], cross[what.first, what.second]) / data.n


class Moments:
    """The moments under a model.

    Args:
        what: the moments. tables: (J, K, Q) probabilities at nodes. weights: (Q,) masses that sum to one.
    """

    def __init__(self, what: Features, tables: FloatArray, weights: FloatArray) -> None:
        self.what, self.tables, self.weights = what, tables, weights
        self.conditional = np.einsum("fk,fkq->fq", what.values, tables[what.item])
        with_one = np.vstack([self.conditional, np.ones(weights.size)])
        self._first, self._second = with_one[what.first], with_one[what.second]

    def mean(self) -> FloatArray:
        """(s,) expectations."""
        return (self._first * self._second) @ self.weights

    def covariance(self) -> FloatArray:
        """(s, s) covariance of the moment functions of one person."""
        product = self._first * self._second
        mean = product @ self.weights
        out = (product * self.weights) @ product.T
        del product
        for j in np.unique(self.what.item):
            self._add_shared_item(out, int(j))
        self._add_shared_pairs(out)
        out -= np.outer(mean, mean)
        return out

    def derivatives(self, slopes: Sequence[TableSlopes]) -> FloatArray:
        """(s, P) derivatives of the expectations, from those of the tables."""
        out = np.zeros((self.what.n_moments, len(slopes)))
        place = np.full(self.tables.shape[0], -1)
        for p, slope in enumerate(slopes):
            place[:] = -1
            place[slope.items] = np.arange(slope.items.size)
            at = place[self.what.item]
            moved = np.zeros((self.what.item.size + 1, self.weights.size))
            some = np.flatnonzero(at >= 0)
            moved[some] = np.einsum("fk,fkq->fq", self.what.values[some], slope.values[at[some]])
            touched = np.append(at >= 0, False)
            rows = np.flatnonzero(touched[self.what.first] | touched[self.what.second])
            first, second = moved[self.what.first[rows]], moved[self.what.second[rows]]
            out[rows, p] = (first * self._second[rows] + self._first[rows] * second) @ self.weights
        return out

    def _within(self, f: Any, g: Any) -> FloatArray:
        """(..., Q) covariance given theta of functions f and g of the same item."""
        product = self.what.values[f] * self.what.values[g]
        mean = np.einsum("...k,...kq->...q", product, self.tables[self.what.item[f]])
        return mean - self.conditional[f] * self.conditional[g]

    def _add_shared_item(self, out: FloatArray, j: int) -> None:
        """Pairs of moments that both hold item j, as if the other items differed."""
        own = np.flatnonzero(self.what.item == j)
        rows = {f: self._holding(f) for f in own}
        for f in own:
            for g in own:
                (at_f, beside_f), (at_g, beside_g) = rows[f], rows[g]
                out[np.ix_(at_f, at_g)] += (beside_f * (self._within(f, g) * self.weights)) @ beside_g.T

    def _holding(self, f: Any) -> tuple[IntArray, FloatArray]:
        """The moments that function f is part of, and the conditional means of their other parts."""
        as_first, as_second = np.flatnonzero(self.what.first == f), np.flatnonzero(self.what.second == f)
        beside = np.vstack([self._second[as_first], self._first[as_second]])
        return np.concatenate([as_first, as_second]), beside

    def _add_shared_pairs(self, out: FloatArray) -> None:
        """What pairs of moments of the same two items have besides: the product of both covariances."""
        pair = np.flatnonzero(self.what.second >= 0)
        items = self.what.item[self.what.first[pair]] * self.tables.shape[0] + self.what.item[self.what.second[pair]]
        order = np.argsort(items, kind="stable")
        sizes = np.unique(items, return_counts=True)[1]
        for size in np.unique(sizes):
            starts = (np.cumsum(sizes) - sizes)[sizes == size]
            group = pair[order[starts[:, None] + np.arange(size)]]
            for a in range(size):
                for b in range(size):
                    m, n = group[:, a], group[:, b]
                    both = self._within(self.what.first[m], self.what.first[n])
                    both = both * self._within(self.what.second[m], self.what.second[n])
                    out[m, n] += both @ self.weights
