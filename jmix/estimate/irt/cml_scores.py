"""What a score says of the trait where the items are known: estimates of theta, and moments of the responses there.

For a set S of items with ``P_jk(theta) = exp(k theta + c_jk) / sum_l exp(l theta + c_jl)`` the score is sufficient.
The equations for maximum likelihood, ``r = sum_j E_j``, and for Warm's weighted likelihood (1989, Psychometrika 54),
``r = sum_j E_j - sum_j mu3_j / (2 sum_j V_j)``, have one root each, found by Newton steps inside a bracket.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.integer]

CHUNK = 1 << 21
"""Numbers in one step."""

LIMIT = 200.0
"""Largest estimate that is looked for, in logits."""


class ScoreEstimates(NamedTuple):
    """(U,) estimates, infinite for the lowest and the highest score under maximum likelihood, and standard errors."""

    theta: FloatArray
    se: FloatArray


class Moments(NamedTuple):
    """(U,) mean, variance and third central moment of the score."""

    mean: FloatArray
    variance: FloatArray
    third: FloatArray


def estimate_by_score(c: FloatArray, places: Index, pattern: Index, score: Index, method: str) -> ScoreEstimates:
    """Trait by score.

    Args:
        c: (C,) log easiness. places: (L, M, K - 1) as in ``CmlData``. pattern, score: (U,) set of items and score.
        method: "ML" or "WLE".
    """
    theta, se = np.empty(score.size), np.empty(score.size)
    width = places.shape[0] * (places.shape[2] + 1)
    step = max(1, CHUNK // width)
    for start in range(0, score.size, step):
        part = slice(start, start + step)
        own = own_parameters(c, places, pattern[part])
        theta[part] = _solve(own, score[part].astype(np.float64), method)
        se[part] = 1.0 / np.sqrt(np.maximum(moments(own, np.clip(theta[part], -LIMIT, LIMIT)).variance, 1e-300))
    infinite = ~np.isfinite(theta)
    se[infinite] = np.inf
    return ScoreEstimates(theta, se)


def own_parameters(c: FloatArray, places: Index, pattern: Index) -> FloatArray:
    """(K, U, L) log easiness of the items of each set, the lowest category first; -inf where there is no category."""
    padded = np.append(c, -np.inf)
    own = padded[places[:, pattern].transpose(2, 1, 0)]
    return np.concatenate([np.zeros((1, *own.shape[1:])), own])


def probabilities(own: FloatArray, theta: FloatArray) -> FloatArray:
    """(K, U, L) category probabilities."""
    eta = own + np.arange(own.shape[0])[:, None, None] * theta[:, None]
    eta -= eta.max(axis=0)
    p: FloatArray = np.exp(eta, out=eta)
    p /= p.sum(axis=0)
    return p


def moments(own: FloatArray, theta: FloatArray) -> Moments:
    """Moments of the score at theta (U,)."""
    p = probabilities(own, theta)
    if p.shape[0] == 2:
        q, product = p[1], p[0] * p[1]
        return Moments(q.sum(axis=1), product.sum(axis=1), (product * (p[0] - q)).sum(axis=1))
    k = np.arange(p.shape[0], dtype=np.float64)[:, None, None]
    mean = (p * k).sum(axis=0)
    deviation = k - mean
    square = deviation * deviation * p
    return Moments(mean.sum(axis=1), square.sum(axis=(0, 2)), (square * deviation).sum(axis=(0, 2)))


def _solve(own: FloatArray, score: FloatArray, method: str) -> FloatArray:
    """(U,) roots."""
    there = np.isfinite(own[1:])
    highest = there.sum(axis=(0, 2))
    low, high = np.full(score.size, -LIMIT), np.full(score.size, LIMIT)
    theta = np.log((score + 0.5) / (highest - score + 0.5))
    theta -= np.where(there, own[1:], 0.0).sum(axis=(0, 2)) / np.maximum(highest, 1)
    theta = np.clip(theta, -0.5 * LIMIT, 0.5 * LIMIT)
    for _ in range(200):
        m = moments(own, theta)
        gap = score - m.mean
        if method == "WLE":
            gap = gap + m.third / (2.0 * np.maximum(m.variance, 1e-300))
        low, high = np.where(gap > 0, theta, low), np.where(gap < 0, theta, high)
        new = theta + gap / np.maximum(m.variance, 1e-300)
        new = np.where((new > low) & (new < high), new, 0.5 * (low + high))
        done = (np.abs(new - theta) <= 1e-13 * (1.0 + np.abs(theta))) | (np.abs(gap) <= 1e-14 * highest)
        theta = new
        if done.all():
            break
    if method == "ML":
        theta = np.where(score <= 0, -np.inf, np.where(score >= highest, np.inf, theta))
    return theta


def approximate_information(c: FloatArray, places: Index, counts: FloatArray) -> FloatArray:
    """(C, C) information of the conditional likelihood on the log easiness, by a normal approximation of the score.

    Given its sum r the categories' covariance is about ``Sigma - v v' / s``, where Sigma is that of independent
    responses at the trait where r is expected, v their covariance with the score and s its variance. The error is of
    order one over the number of items.
    """
    pattern, score = np.nonzero(counts)
    weight = counts[pattern, score]
    n = c.size
    out = np.zeros((n + 1, n + 1))
    step = max(1, CHUNK // (places.shape[0] * (places.shape[2] + 1)))
    step = max(1, min(step, CHUNK // (n + 1)))
    for start in range(0, score.size, step):
        part = slice(start, start + step)
        own = own_parameters(c, places, pattern[part])
        theta = _solve(own, score[part].astype(np.float64), "ML")
        _add_information(out, probabilities(own, theta), places[:, pattern[part]].transpose(1, 0, 2), weight[part])
    return out[:n, :n]


def _add_information(out: FloatArray, p: FloatArray, place: Index, weight: FloatArray) -> None:
    k = np.arange(p.shape[0], dtype=np.float64)[:, None, None]
    v = p * (k - (p * k).sum(axis=0))
    s = np.maximum((v * k).sum(axis=(0, 2)), 1e-300)
    size = out.shape[0]
    for a in range(p.shape[0] - 1):
        for b in range(p.shape[0] - 1):
            own = p[a + 1] * ((a == b) - p[b + 1]) * weight[:, None]
            flat = place[:, :, a].astype(np.int64) * size + place[:, :, b]
            out += np.bincount(flat.ravel(), weights=own.ravel(), minlength=size * size).reshape(size, size)
    wide = np.zeros((weight.size, size))
    own_place = place.reshape(weight.size, -1)
    np.put_along_axis(wide, own_place, v[1:].transpose(1, 2, 0).reshape(weight.size, -1), axis=1)
    out -= (wide * (weight / s)[:, None]).T @ wide
