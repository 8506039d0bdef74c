"""Importance sampling of a log likelihood from start to end: points, compiled programs, summary."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ModelError
from jmix.likelihood import implicit
from jmix.likelihood.importance import NUMBERS, Importance, chain_rules, log_ratios, summarise, tail_points
from jmix.likelihood.laplace import Laplace, LaplaceData

FloatArray = npt.NDArray[np.float64]

_VALUE = runtime.Program(lambda x, data, u, approx: implicit.value(approx, x, data, u), static=("approx",))
_RATIOS = runtime.Program(
    lambda x, data, u, tails, rules, approx, batch: log_ratios(approx, x, data, u, tails, rules, batch),
    static=("approx", "batch"),
)


def importance(
    approx: Laplace,
    x: FloatArray,
    data: LaplaceData,
    u: Any = None,
    *,
    n_points: int = 128,
    replications: int = 8,
    nodes: int | None = None,
    seed: int = 0,
) -> Importance:
    """The exact log likelihood at x, by quadrature over the chain and quasi-Monte Carlo over crossed factors.

    Args:
        x: parameters. u: the mode at x or near it, to start from; None for zero.
        n_points: draws of each scrambling, rounded up to a power of two. replications: independent scramblings, from
            which the standard error comes. nodes: Gauss-Hermite nodes of each random effect of the chain; None for 15
            in one dimension and fewer in more.

    Raises:
        ModelError: too many nodes or dimensions.
    """
    with runtime.float64():
        start = approx.start(data) if u is None else u
    laplace, mode, found = _VALUE(np.asarray(x), data, start, approx=approx)
    n_chain = len(data.crossing.parents)
    rules = chain_rules(approx, n_chain, nodes)
    sizes = approx.sizes[n_chain:]
    size = sum(q * j for q, j in sizes)
    counts = tuple(rule.nodes.shape[0] for rule in rules)
    batch = max(1, NUMBERS // (int(np.prod(counts)) * data.rows.y.shape[0]))
    if not size:
        tails, ratio = np.zeros((1, 1, 0)), np.zeros((1, 1))
    else:
        drawn = [tail_points(n_points, size, seed * replications + r) for r in range(replications)]
        tails, ratio = np.stack([d[0] for d in drawn]), np.stack([d[1] for d in drawn])
    count = tails.shape[0] * tails.shape[1]
    flat = tails.reshape(count, size)
    logs = _RATIOS(np.asarray(x), data, mode, flat, rules, approx=approx, batch=min(batch, count))
    out = summarise(float(laplace), np.asarray(logs).reshape(ratio.shape) + ratio, counts)
    if not bool(found.converged):
        raise ModelError("the modes of the random effects were not found at these parameters")
    return out
