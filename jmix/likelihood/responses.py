"""Sufficient statistics of further responses on a design already reduced."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
import numpy.typing as npt

from jmix.likelihood.elimination import internal_codes
from jmix.likelihood.fixed import ROUNDING, chunks
from jmix.likelihood.structure import Array
from jmix.likelihood.suffstats import Reduced, add_by_level

FloatArray = npt.NDArray[np.float64]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ResponseStats:
    """What of ``GaussianStats`` depends on the response, for R responses.

    Attributes:
        blocks: (R, q, J) ``Z'e`` of each chain factor. tail: (R, Q2). gram: (R, p + 1) last row of the cross-product.
    """

    blocks: tuple[Array, ...]
    tail: Array
    gram: Array


@dataclass(frozen=True)
class Responses:
    """Statistics with the least-squares coefficients (R, p) and residual scales (R,) that they are relative to.

    ``exact`` (R,) marks responses that the fixed effects fit up to rounding; their scale is set to 1.
    """

    stats: ResponseStats
    beta: FloatArray
    scale: FloatArray
    exact: npt.NDArray[np.bool_]


def response_stats(reduced: Reduced, y: FloatArray) -> Responses:
    """Reduce (n, R) responses, offset already subtracted."""
    n, count = y.shape
    rows = reduced.rows
    basis = [rows.basis(r) for r in chunks(n)]
    gamma = sum(b @ (y[r] * rows.root_column(r)) for b, r in zip(basis, chunks(n), strict=True)) / n
    elimination = reduced.elimination
    chain = elimination.chain
    codes = [internal_codes(f, o) for f, o in zip(chain, elimination.order, strict=True)]
    sums = [np.zeros((f.n_levels, f.q * count)) for f in chain]
    tails = [np.zeros((f.n_levels, f.q * count)) for f in elimination.tail]
    cross, squares = np.zeros((rows.x.shape[1], count)), np.zeros(count)
    for b, r in zip(basis, chunks(n), strict=True):
        e = y[r] * rows.root_column(r) - b.T @ gamma
        cross += b @ e
        squares += np.sum(e * e, axis=0)
        for f, c, out in [
            *zip(chain, codes, sums, strict=True),
            *((f, f.codes, t) for f, t in zip(elimination.tail, tails, strict=True)),
        ]:
            z = f.transformed(r) * rows.root(r)
            add_by_level(c[r], (z[:, None] * e.T[None]).reshape(f.q * count, -1), out)
    scale = np.sqrt(squares / n)
    exact = scale <= ROUNDING * np.sum(np.abs(gamma), axis=0)
    scale[exact] = 1.0
    stats = ResponseStats(
        tuple(_by_response(s, f.q, count, scale) for s, f in zip(sums, chain, strict=True)),
        _tail(tails, [f.q for f in elimination.tail], count, scale),
        np.concatenate([(cross / scale).T, np.full((count, 1), float(n))], axis=1),
    )
    return Responses(stats, (reduced.fixed.inverse @ gamma).T, scale, exact)


def _by_response(sums: FloatArray, q: int, count: int, scale: FloatArray) -> FloatArray:
    """(J, q R) sums to (R, q, J)."""
    shaped = sums.reshape(-1, q, count) / scale
    return np.ascontiguousarray(np.transpose(shaped, (2, 1, 0)))


def _tail(tails: list[FloatArray], qs: list[int], count: int, scale: FloatArray) -> FloatArray:
    """(R, Q2), level-major within a factor."""
    parts = [
        np.transpose(t.reshape(-1, q, count) / scale, (2, 0, 1)).reshape(count, -1)
        for t, q in zip(tails, qs, strict=True)
    ]
    return np.concatenate(parts, axis=1) if parts else np.zeros((count, 0))
