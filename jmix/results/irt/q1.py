"""X2 and G2: observed and expected responses in groups of persons with neighbouring trait estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.results.irt.observed import Observed
from jmix.results.irt.standardized import estimates

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank

FloatArray = npt.NDArray[np.float64]


TIED = 9
"""Decimals beyond which trait estimates are equal; those of one sum score of a Rasch model differ in the last bits."""


class Bins(NamedTuple):
    """Of one item by groups of persons along the trait.

    Attributes:
        theta: (B,) mean estimate of those who answered. observed, expected: (B, K) frequencies.
    """

    theta: FloatArray
    observed: FloatArray
    expected: FloatArray


class Q1(NamedTuple):
    """Statistics of one item; ``df`` is before the item's parameters are taken off."""

    x2: float
    g2: float
    df_x2: int
    df_g2: int


def binned(bank: ItemBank, data: Observed, theta: Any, *, bins: int = 10) -> list[Bins]:
    """For each item the responses in groups of equal numbers of persons, in the order of their estimates.

    Where the number of persons is not a multiple of ``bins`` the extreme groups take those that are left, as in mirt.
    Persons with equal estimates go to the groups that they straddle in equal parts, so that the order of the rows does
    not matter (in mirt it does: a Rasch model has few distinct estimates).

    Args:
        bank: unidimensional items. data: the responses. theta: (N,) estimates. bins: B.
    """
    points = estimates(data, theta)[:, 0]
    share = data.weights[:, None] * _shares(points, data.weights, bins)
    out = []
    for j, k in enumerate(data.n_categories):
        counts = np.stack([share[data.table[:, j] == category].sum(axis=0) for category in range(k)], axis=1)
        n = counts.sum(axis=1)
        keep = n > 0
        centre = ((points * data.answered[:, j]) @ share)[keep] / n[keep]
        p = np.asarray(bank.subset([j]).probabilities(centre[:, None]))[0, :k].T
        out.append(Bins(centre, counts[keep], n[keep, None] * p))
    return out


def q1(table: Bins, smallest: float = 0.0) -> Q1:
    """Yen's Q1 (1981, Appl. Psychol. Meas. 5(2), eq. 4) and its likelihood ratio form.

    Where ``smallest`` is positive, categories that expect fewer persons join their neighbours, and a group that has but
    one left is left out.
    """
    x2 = g2 = 0.0
    df_x2 = df_g2 = 0
    for o, e in zip(table.observed, table.expected, strict=True):
        if o.sum() <= 1:
            continue
        o, e = _merge_down(o, e, smallest)
        if e.size == 1:
            continue
        x2 += float(((o - e) ** 2 / e).sum())
        df_x2 += e.size - 1
        some = o > 0
        if some.sum() > 1:
            g2 += float(2 * (o[some] * np.log(o[some] / e[some])).sum())
            df_g2 += int(some.sum()) - 1
    return Q1(x2, g2, df_x2, df_g2)


def _shares(points: FloatArray, weights: FloatArray, bins: int) -> FloatArray:
    """(N, B) part of each person in each group."""
    _, tie = np.unique(points.round(TIED), return_inverse=True)
    mass = np.bincount(tie, weights=weights)
    end = np.cumsum(mass)[:, None]
    edges = _edges(float(mass.sum()), bins)
    overlap = np.minimum(end, edges[1:]) - np.maximum(end - mass[:, None], edges[:-1])
    share = np.clip(overlap, 0.0, None) / mass[:, None]
    return share[tie]


def _edges(n: float, bins: int) -> FloatArray:
    """(B + 1,) ends of the groups in persons, the first and the last group taking the remainder."""
    size = n // bins if n >= bins else n / bins
    left = n - size * bins
    edges: FloatArray = np.arange(bins + 1, dtype=np.float64) * size + left // 2
    edges[0], edges[-1] = 0.0, n
    return edges


def _merge_down(o: FloatArray, e: FloatArray, smallest: float) -> tuple[FloatArray, FloatArray]:
    """Each category with a small expectation joins the one below it, the lowest the one above."""
    while e.size > 1 and e.min() < smallest:
        weak = int(np.flatnonzero(e < smallest)[-1])
        other = weak - 1 if weak else 1
        o, e = o.copy(), e.copy()
        o[other] += o[weak]
        e[other] += e[weak]
        o, e = np.delete(o, weak), np.delete(e, weak)
    return o, e
