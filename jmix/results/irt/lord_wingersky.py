"""Distribution of the sum score given the trait, by the recursion of Lord and Wingersky.

With P_jk(theta) the probability that item j scores s_jk, the distribution of the sum over the first j items is
``f_j(s) = sum_k P_jk f_{j-1}(s - s_jk)`` (Lord & Wingersky 1984, Appl. Psychol. Meas. 8(4), eq. 2; Thissen, Pommerich,
Billeaud & Williams 1995, Appl. Psychol. Meas. 19(1), for more than two categories). Every term is positive: nothing
cancels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class ScoreMoments(NamedTuple):
    """Sum scores 0, 1, ..., S and the trait given each.

    Attributes:
        probability: (S + 1,) of the score in the population. mean: (S + 1, D) of theta given the score, the EAP
            estimate. covariance: (S + 1, D, D). Scores that cannot occur have probability 0 and NaN for the others.
    """

    probability: FloatArray
    mean: FloatArray
    covariance: FloatArray


def category_scores(n_categories: Sequence[int]) -> IntArray:
    """(J, K) scores 0, 1, ... of the categories of each item, -1 beyond the item's own."""
    n = np.asarray(n_categories, dtype=np.int64)
    k = np.arange(int(n.max(initial=1)))
    return np.where(k < n[:, None], k, -1)


def score_distribution(probabilities: Any, scores: Any) -> FloatArray:
    """(S + 1, Q) probabilities of each sum score at Q trait values.

    Args:
        probabilities: (J, K, Q) of the categories of each item. scores: (J, K) whole numbers from 0, -1 where the item
            has no such category, as ``category_scores`` gives.

    Raises:
        DataError: shapes that do not agree, or scores that are not whole numbers.
    """
    p, s = _checked(probabilities, scores)
    return _added(np.ones((1, p.shape[2])), p, s, range(p.shape[0]))


def rest_distributions(probabilities: Any, scores: Any) -> Iterator[tuple[int, FloatArray]]:
    """Each item j with the (S - S_j + 1, Q) distribution of the sum over all other items.

    By halving the test, adding each half's items to the other's branch: J log J steps of the recursion, where
    dividing an item out of the whole would cancel.

    Args:
        probabilities, scores: as of ``score_distribution``.
    """
    p, s = _checked(probabilities, scores)
    yield from _branch(np.ones((1, p.shape[2])), p, s, range(p.shape[0]))


def score_moments(distribution: FloatArray, theta: FloatArray, weights: FloatArray) -> ScoreMoments:
    """The score's probability and the trait's mean and covariance given the score.

    Args:
        distribution: (S + 1, Q) from ``score_distribution``. theta: (Q, D) nodes. weights: (Q,) masses of the latent
            distribution at the nodes, that sum to one.
    """
    joint = distribution * weights
    probability = joint.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        posterior = joint / probability[:, None]
    mean = posterior @ theta
    centred = theta[None] - mean[:, None]
    covariance = np.einsum("sq,sqd,sqe->sde", posterior, centred, centred)
    return ScoreMoments(probability, mean, covariance)


def _branch(start: FloatArray, p: FloatArray, s: IntArray, items: range) -> Iterator[tuple[int, FloatArray]]:
    """Items of a range, ``start`` holding the score over all items outside of it."""
    if len(items) == 1:
        yield items[0], start
        return
    half = len(items) // 2
    left, right = items[:half], items[half:]
    yield from _branch(_added(start, p, s, right), p, s, left)
    yield from _branch(_added(start, p, s, left), p, s, right)


def _added(start: FloatArray, p: FloatArray, s: IntArray, items: range) -> FloatArray:
    size = start.shape[0] + int(s[items.start : items.stop].max(axis=1, initial=0).sum())
    now, n = np.zeros((size, p.shape[2])), start.shape[0]
    now[:n] = start
    for j in items:
        before, now = now, np.zeros_like(now)
        for k in np.flatnonzero(s[j] >= 0):
            now[s[j, k] : s[j, k] + n] += p[j, k] * before[:n]
        n += int(s[j].max())
    return now


def _checked(probabilities: Any, scores: Any) -> tuple[FloatArray, IntArray]:
    p = np.asarray(probabilities, dtype=np.float64)
    s = np.asarray(scores)
    if p.ndim != 3 or s.shape != p.shape[:2]:
        raise DataError(
            f"probabilities {p.shape} and scores {s.shape}: give (items, categories, nodes) and (items, categories)"
        )
    if s.dtype.kind not in "iu":
        raise DataError("sum scores need whole numbers as scores of the categories: 0, 1, 2, ...")
    return p, s.astype(np.int64)
