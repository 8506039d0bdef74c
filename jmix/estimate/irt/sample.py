"""What starting values and scales need of the responses: proportions, correlations, counts; from some of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.responses.data import MISSING, Responses

FloatArray = npt.NDArray[np.float64]
Whole = npt.NDArray[Any]

ROWS = 20_000
"""Most persons that are looked at: starting values need no more."""

FACTORED = 400
"""Most items of which a correlation matrix is computed."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Summaries of the responses.

    Attributes:
        proportions: (J, K) share of each category, half a response added to each, 0 beyond an item's own categories.
        counts: (G, J) responses to each item in each group, weighted. sizes: (G,) persons, weighted.
        loadings: (J,) correlation of each item's latent response with one common factor. correlations: (J, J) of the
            latent responses, or None where there are too many items.
        scores: (J, K) codes of the categories, for reference.
    """

    proportions: FloatArray
    counts: FloatArray
    sizes: FloatArray
    loadings: FloatArray
    correlations: FloatArray | None


def take_sample(responses: Responses) -> Sample:
    """Summaries of at most ``ROWS`` persons, evenly spaced; the counts are scaled up to all."""
    n = responses.n_persons
    rows = np.arange(0, n, max(1, n // ROWS))
    group = np.zeros(n, dtype=np.int32) if responses.group is None else responses.group
    weights = np.ones(n) if responses.weights is None else responses.weights
    sizes = counted(group, weights, responses.n_groups)
    if responses.table is not None:
        table = responses.table[rows]
        return _of_table(responses, table, group[rows], weights[rows], sizes)
    return _of_long(responses, rows, group, weights, sizes)


def counted(index: Whole, weights: FloatArray, size: int) -> FloatArray:
    """(size,) sums of the weights by index."""
    return np.asarray(np.bincount(index, weights=weights, minlength=size), dtype=np.float64)


def _of_table(responses: Responses, table: Whole, group: Whole, weights: FloatArray, sizes: FloatArray) -> Sample:
    k = max(responses.n_categories)
    shown = table != MISSING
    counts = np.stack([weights[group == g] @ shown[group == g] for g in range(responses.n_groups)])
    share = np.stack([weights @ (table == c) for c in range(k)], axis=1)
    proportions = _smoothed(share, responses)
    values = np.where(shown, table, 0).astype(np.float64)
    total = np.maximum(weights @ shown, 1e-300)
    mean = (weights @ values) / total
    z = np.where(shown, values - mean, 0.0)
    sd = np.sqrt(np.maximum((weights @ (z * z)) / total, 1e-12))
    z /= sd
    kappa = _attenuation(proportions, sd)
    scale = sizes / np.maximum(counted(group, weights, sizes.size), 1e-300)
    if table.shape[1] <= FACTORED:
        root = np.sqrt(weights)[:, None]
        both = (root * shown).T @ (root * shown)
        r = ((root * z).T @ (root * z)) / np.maximum(both, 1.0) / np.outer(kappa, kappa)
        r = np.clip(np.where(both > 0, r, 0.0), -0.95, 0.95)
        np.fill_diagonal(r, 1.0)
        return Sample(proportions, counts * scale[:, None], sizes, one_factor(r), r)
    person = z.sum(axis=1)
    loadings = _from_rest(z, shown, person, shown.sum(axis=1), kappa)
    return Sample(proportions, counts * scale[:, None], sizes, loadings, None)


def _of_long(responses: Responses, rows: Whole, group: Whole, weights: FloatArray, sizes: FloatArray) -> Sample:
    long = responses.long
    assert long is not None
    j, k = responses.n_items, max(responses.n_categories)
    every = max(1, responses.n_persons // max(len(rows), 1))
    person = long.person()
    keep = person % every == 0 if every > 1 else np.ones(person.size, dtype=np.bool_)
    person, item, value = person[keep], long.item[keep], long.value[keep].astype(np.float64)
    w = weights[person]
    share = counted(item * k + value.astype(np.int64), w, j * k).reshape(j, k)
    proportions = _smoothed(share, responses)
    counts = counted(group[person].astype(np.int64) * j + item, w, responses.n_groups * j)
    total = np.maximum(share.sum(axis=1), 1e-300)
    mean = (share @ np.arange(k)) / total
    sd = np.sqrt(np.maximum((share @ np.arange(k) ** 2) / total - mean**2, 1e-12))
    z = (value - mean[item]) / sd[item]
    sums = np.bincount(person, weights=z, minlength=responses.n_persons)
    given = np.bincount(person, minlength=responses.n_persons)
    others = np.maximum(given[person] - 1, 1)
    rest = (sums[person] - z) / np.sqrt(others)
    size = np.maximum(np.bincount(item, minlength=j), 1)
    covariance = np.bincount(item, weights=z * rest, minlength=j) / size
    kappa = _attenuation(proportions, sd)
    loadings = _unattenuated(covariance, float(np.mean(others)), kappa, size)
    scaled = counts.reshape(-1, j) * every
    return Sample(proportions, scaled, sizes, loadings, None)


def _from_rest(
    z: FloatArray, shown: npt.NDArray[np.bool_], total: FloatArray, given: Whole, kappa: FloatArray
) -> FloatArray:
    others = np.maximum(given - 1, 1)[:, None]
    covariance = np.sum(z * (total[:, None] - z) / np.sqrt(others), axis=0) / np.maximum(shown.sum(axis=0), 1)
    return _unattenuated(covariance, float(np.mean(others)), kappa, shown.sum(axis=0))


def _unattenuated(covariance: FloatArray, others: float, kappa: FloatArray, size: Whole) -> FloatArray:
    """Loadings from covariances of items with the scaled sum of m others, ``lambda_j mean(lambda) sqrt(m)``."""
    weight = size / max(float(size.sum()), 1.0)
    mean = np.sqrt(max(float(weight @ covariance), 1e-3) / np.sqrt(others))
    return np.clip(covariance / (np.sqrt(others) * mean) / kappa, -0.9, 0.9)


def _smoothed(share: FloatArray, responses: Responses) -> FloatArray:
    k = np.array(responses.n_categories)
    own = np.arange(share.shape[1]) < k[:, None]
    return np.where(own, share + 0.5, 0.0) / np.maximum((share + 0.5 * own).sum(axis=1, keepdims=True), 1e-300)


def _attenuation(proportions: FloatArray, sd: FloatArray) -> FloatArray:
    """(J,) correlation of a category code with the normal response that was cut into it."""
    from scipy.special import ndtri

    below = np.cumsum(proportions, axis=1)[:, :-1]
    tau = ndtri(np.clip(below, 1e-9, 1.0 - 1e-9))
    inside = below < 1.0 - 1e-9
    density = np.where(inside, np.exp(-0.5 * tau * tau) / np.sqrt(2.0 * np.pi), 0.0)
    return np.clip(density.sum(axis=1) / sd, 0.3, 1.0)


def one_factor(r: FloatArray) -> FloatArray:
    """(J,) loadings of one common factor by iterated principal axes; the mean loading is positive."""
    if len(r) == 1:
        return np.array([0.5])
    return factors(r, 1)[:, 0]


def factors(r: FloatArray, d: int, rounds: int = 10) -> FloatArray:
    """(J, d) unrotated loadings by iterated principal axes, within 0.9 of communality."""
    work = r.copy()
    off = np.abs(r - np.diag(np.diag(r)))
    communality = np.clip(off.max(axis=1), 0.1, 0.9)
    out = np.zeros((len(r), d))
    for _ in range(rounds):
        np.fill_diagonal(work, communality)
        values, vectors = np.linalg.eigh(work)
        out = vectors[:, ::-1][:, :d] * np.sqrt(np.maximum(values[::-1][:d], 1e-6))
        communality = np.clip(np.sum(out * out, axis=1), 0.02, 0.9)
    size = np.sqrt(np.maximum(np.sum(out * out, axis=1), 1e-12))
    out *= (np.minimum(size, np.sqrt(0.9)) / size)[:, None]
    return np.asarray(out * np.where(out.sum(axis=0) < 0, -1.0, 1.0))
