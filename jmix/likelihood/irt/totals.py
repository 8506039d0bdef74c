"""Weighted counts of the categories of each item by group, and moments of covariates by group."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.likelihood.irt.layout import ItemBlock
from jmix.likelihood.irt.rows import Persons
from jmix.responses.data import FloatArray, IntArray

STEP = 8192
"""Persons whose responses are counted at once: their indicators stay in the cache."""

BYTE = 255
"""Ones that a byte can count."""


def category_totals(persons: Persons, blocks: tuple[ItemBlock, ...], n_groups: int) -> tuple[FloatArray, ...]:
    """For each linear block (G, Jb (K - 1)) weighted counts of the categories above 0."""
    assert persons.x is not None
    linear = [block for block in blocks if block.linear]
    totals = [np.zeros((n_groups, block.n_items, block.n_categories - 1)) for block in linear]
    for group, begin, end in _runs(persons):
        weights = None if persons.weights is None else persons.weights[begin:end]
        for block, total in zip(linear, totals, strict=True):
            x = persons.x[begin:end, block.columns]
            for k in range(1, block.n_categories):
                total[group, :, k - 1] += count(x, k, weights, block.n_categories == 2 and persons.complete)
    return tuple(total.reshape(n_groups, -1) for total in totals)


def count(x: npt.NDArray[np.int8], k: int, weights: FloatArray | None, indicator: bool = False) -> FloatArray:
    """(J,) weighted count of category k in each column of x (n, J).

    Args:
        indicator: x holds only 0 and 1, and k is 1.
    """
    n, j = x.shape
    total = np.zeros(j)
    for begin in range(0, n, STEP):
        part = x[begin : begin + STEP]
        hot = part.view(np.uint8) if indicator else (part == k).view(np.uint8)
        if weights is not None:
            total += weights[begin : begin + STEP] @ hot
            continue
        whole = len(hot) - len(hot) % BYTE
        if whole:
            total += hot[:whole].reshape(-1, BYTE, j).sum(axis=1, dtype=np.uint8).sum(axis=0)
        total += hot[whole:].sum(axis=0)
    return total


def _runs(persons: Persons) -> list[tuple[int, int, int]]:
    """Group, first row and one past the last of each stratum."""
    if persons.stratum is None:
        return [(int(persons.group[0]), 0, persons.n)]
    ends = np.searchsorted(persons.stratum, np.arange(persons.group.size + 1))
    return [(int(g), int(ends[s]), int(ends[s + 1])) for s, g in enumerate(persons.group)]


class Covariates(NamedTuple):
    """Covariates centred by group (N, p); their means (G, p), covariances and weighted sums of squares (G, p, p); the
    largest Mahalanobis distance of a person from the mean of the group.
    """

    centred: FloatArray
    mean: FloatArray
    covariance: FloatArray
    square: FloatArray
    distance: float


def covariate_moments(w: FloatArray, weights: FloatArray | None, group: IntArray | None, n_groups: int) -> Covariates:
    """Centre the model matrix w (N, p) of persons by group."""
    p = w.shape[1]
    centred = np.empty(w.shape)
    mean, covariance, square = np.zeros((n_groups, p)), np.zeros((n_groups, p, p)), np.zeros((n_groups, p, p))
    distance = 0.0
    for g in range(n_groups):
        rows = slice(None) if group is None else group == g
        own = w[rows]
        if not own.size:
            continue
        weight = np.ones(len(own)) if weights is None else weights[rows]
        mean[g] = weight @ own / weight.sum()
        centred[rows] = own - mean[g]
        square[g] = (centred[rows] * weight[:, None]).T @ centred[rows]
        covariance[g] = square[g] / weight.sum()
        shape = np.linalg.pinv(covariance[g], hermitian=True)
        distance = max(distance, float(np.max(np.einsum("np,pr,nr->n", centred[rows], shape, centred[rows]))))
    return Covariates(centred, mean, covariance, square, float(np.sqrt(distance)))
