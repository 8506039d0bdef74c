"""Item response likelihoods from their definitions, in NumPy: one loop over items, one dense grid, nothing of jmix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit

Array = Any


@dataclass(frozen=True)
class Item:
    """One item.

    Attributes:
        kind: "2PL", "4PL", "graded", "gpcm", "nominal", "sequential". a: (D,) slopes. d: (K - 1,) intercepts. c, u:
            asymptotes. ak: (K,) scores of the nominal model.
    """

    kind: str
    a: Array
    d: Array
    c: float = 0.0
    u: float = 1.0
    ak: Array = None


def probabilities(item: Item, theta: Array) -> Array:
    """(K, Q) at theta (Q, D)."""
    eta = theta @ np.asarray(item.a, float)
    d = np.asarray(item.d, float)
    if item.kind in ("2PL", "4PL"):
        p = item.c + (item.u - item.c) * expit(eta + d[0])
        return np.stack([1 - p, p])
    if item.kind == "graded":
        at_least = np.concatenate([np.ones((1, eta.size)), expit(eta + d[:, None]), np.zeros((1, eta.size))])
        return at_least[:-1] - at_least[1:]
    if item.kind == "sequential":
        go = expit(eta + d[:, None])
        reach = np.concatenate([np.ones((1, eta.size)), np.cumprod(go, axis=0)])
        return reach * np.concatenate([1 - go, np.ones((1, eta.size))])
    scores = np.arange(d.size + 1) if item.ak is None else np.asarray(item.ak, float)
    weight = np.exp(scores[:, None] * eta + np.concatenate([[0.0], d])[:, None])
    return weight / weight.sum(axis=0)


def grid(mean: Array, covariance: Array, nodes: int = 81, limit: float = 8.0) -> tuple[Array, Array]:
    """(Q, D) theta and (Q,) weights of a normal density, equally spaced in its principal axes."""
    mean, covariance = np.atleast_1d(np.asarray(mean, float)), np.atleast_2d(np.asarray(covariance, float))
    z = np.linspace(-limit, limit, nodes)
    mesh = np.stack(np.meshgrid(*[z] * mean.size, indexing="ij"), -1).reshape(-1, mean.size)
    weight = np.exp(-0.5 * np.sum(mesh**2, axis=1))
    values, vectors = np.linalg.eigh(covariance)
    return mean + (mesh * np.sqrt(values)) @ vectors.T, weight / weight.sum()


def given_theta(items: list[Item], responses: Array, theta: Array) -> Array:
    """(N, Q) probability of each person's responses; -1 is missing."""
    out = np.ones((len(responses), len(theta)))
    for j, item in enumerate(items):
        table = np.concatenate([probabilities(item, theta), np.ones((1, len(theta)))])
        out *= table[responses[:, j]]
    return out


def log_likelihoods(
    items: list[Item], responses: Array, mean: Array = 0.0, covariance: Array = 1.0, **how: Any
) -> Array:
    """(N,) log likelihoods, theta integrated out."""
    theta, weight = grid(mean, covariance, **how)
    return np.log(given_theta(items, responses, theta) @ weight)


def posterior(
    items: list[Item], responses: Array, mean: Array = 0.0, covariance: Array = 1.0, **how: Any
) -> tuple[Array, Array]:
    """(N, D) means and (N, D, D) covariances of theta given the responses."""
    theta, weight = grid(mean, covariance, **how)
    p = given_theta(items, responses, theta) * weight
    p /= p.sum(axis=1, keepdims=True)
    m = p @ theta
    centred = theta[None] - m[:, None]
    return m, np.einsum("nq,nqd,nqe->nde", p, centred, centred)


def clustered(items: list[Item], responses: Array, cluster: Array, sd_within: float, sd_between: float) -> float:
    """Log likelihood with a normal effect of each cluster, by two nested grids."""
    v, weight = grid(0.0, sd_between**2, nodes=101)
    each = np.stack([log_likelihoods(items, responses, float(at), sd_within**2) for at in v[:, 0]], axis=1)
    total = np.zeros((int(cluster.max()) + 1, v.shape[0]))
    np.add.at(total, cluster, each)
    return float(np.sum(np.log(np.exp(total - total.max(1, keepdims=True)) @ weight) + total.max(1)))


def gradient(function: Any, x: Array, step: float = 1e-3) -> Array:
    """Fourth-order central differences."""
    out = np.zeros(len(x))
    for k in range(len(x)):
        e = np.zeros(len(x))
        e[k] = step
        out[k] = (8 * (function(x + e) - function(x - e)) - (function(x + 2 * e) - function(x - 2 * e))) / (12 * step)
    return out


def hessian(function: Any, x: Array, step: float = 1e-3) -> Array:
    """Fourth-order central differences of the gradient."""
    columns = []
    for k in range(len(x)):
        e = np.zeros(len(x))
        e[k] = step
        near = gradient(function, x + e) - gradient(function, x - e)
        far = gradient(function, x + 2 * e) - gradient(function, x - 2 * e)
        columns.append((8 * near - far) / (12 * step))
    found = np.stack(columns)
    return 0.5 * (found + found.T)


def simulate(items: list[Item], theta: Array, seed: int) -> Array:
    """(N, J) responses."""
    uniform = stats.uniform.rvs(size=(len(items), len(theta)), random_state=np.random.default_rng(seed))
    columns = [
        np.sum(np.cumsum(probabilities(item, theta), axis=0)[:-1] < u, axis=0)
        for item, u in zip(items, uniform, strict=True)
    ]
    return np.stack(columns, axis=1).astype(np.int8)
