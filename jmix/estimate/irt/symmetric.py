"""Elementary symmetric functions of item parameters on the log scale, by summation: every term is positive.

With ``e_jk = exp(c_jk)``, ``c_j0 = 0``, the function of order r of the items in S is
``gamma_r(S) = sum over responses x with sum x = r of prod_j e_{j, x_j}``. Items are added one at a time,
``gamma_r(S + j) = sum_k e_jk gamma_{r - k}(S)`` (Verhelst, Glas & van der Sluis 1984, Comput. Stat. Q. 1; Fischer &
Ponocny 1994, Psychometrika 59 for more than two categories).

The shares of the terms, ``w_jk(r) = e_jk gamma_{r - k} / gamma_r``, are the probabilities of a Markov chain that runs
backwards over the items: response k to the last item given the sum r, then the item before it given the sum r - k.
First and second moments of the responses given their sum are flows through that chain. No difference of symmetric
functions is taken anywhere: there is no cancellation, and on the log scale no overflow, however long the test.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

NEVER = -1e30
"""Log of a category that does not exist, and of a sum that cannot occur."""

BLOCK = 1 << 16
"""Numbers of a block of flows: they stay in the cache."""


class Symmetric(NamedTuple):
    """Symmetric functions of M sets of L items.

    Attributes:
        log_gamma: (M, R) by sum, about ``NEVER`` where a sum cannot occur. shares: (L, K, M, R).
    """

    log_gamma: FloatArray
    shares: FloatArray


def symmetric(c: FloatArray, n_scores: int) -> Symmetric:
    """Symmetric functions of the orders 0 to ``n_scores - 1``.

    Args:
        c: (L, M, K - 1) log e_jk of the categories above the lowest; ``NEVER`` for those that an item lacks.
    """
    length, m, steps = c.shape
    shares = np.empty((length, steps + 1, m, n_scores))
    gamma = np.full((m, n_scores), NEVER)
    gamma[:, 0] = 0.0
    for own, terms in zip(c, shares, strict=True):
        terms[0] = gamma
        for k in range(1, steps + 1):
            terms[k, :, :k] = NEVER
            np.add(gamma[:, : n_scores - k], own[:, k - 1, None], out=terms[k, :, k:])
        top = terms.max(axis=0)
        terms -= top
        np.exp(terms, out=terms)
        total = terms.sum(axis=0)
        terms /= total
        gamma = top + np.log(total)
    return Symmetric(gamma, shares)


def expected_totals(shares: FloatArray, counts: FloatArray) -> FloatArray:
    """(L, M, K - 1) expected number of responses in each category above the lowest, given the scores.

    Args:
        counts: (M, R) number of persons by score.
    """
    length, n_categories, m, _ = shares.shape
    out = np.empty((length, m, n_categories - 1))
    flow = counts
    for place in range(length - 1, -1, -1):
        moved = shares[place] * flow
        out[place] = moved[1:].sum(axis=2).T
        flow = _arrived(moved)
    return out


def information(shares: FloatArray, counts: FloatArray) -> FloatArray:
    """(M, L (K - 1), L (K - 1)) covariance of the responses given the score, summed over the persons of each set."""
    length, n_categories, m, n_scores = shares.shape
    steps = n_categories - 1
    size = length * steps
    mean = np.zeros((m, size, n_scores))
    second = np.zeros((m, size, size))
    _given_score(shares, counts, mean)
    _pairs(shares, counts, second)
    second += np.tril(second, -1).transpose(0, 2, 1)
    scaled = mean * counts[:, None, :]
    at = np.arange(size)
    second[:, at[:, None] // steps == at // steps] = 0.0
    second[:, at, at] = scaled.sum(axis=2)
    return second - scaled @ mean.transpose(0, 2, 1)


def _given_score(shares: FloatArray, counts: FloatArray, out: FloatArray) -> None:
    """Probability of each category given the score: (M, L (K - 1), R), in the columns of the scores that occur."""
    length, n_categories, m, n_scores = shares.shape
    steps = n_categories - 1
    used = counts > 0
    order = np.argsort(~used, axis=1, kind="stable")[:, : int(used.sum(axis=1).max(initial=0))]
    rows = max(1, BLOCK // (n_scores * m))
    for start in range(0, order.shape[1], rows):
        own = order[:, start : start + rows]
        flow, spare = np.zeros((m, own.shape[1], n_scores)), np.empty((m, own.shape[1], n_scores))
        np.put_along_axis(flow, own[:, :, None], 1.0, axis=2)
        width = int(own.max()) + 1
        for place in range(length - 1, -1, -1):
            width = min(width, (place + 1) * steps + 1)  # what the items up to here can sum to
            found = _share_of(shares[place], flow, width)
            for k in range(steps):
                np.put_along_axis(out[:, place * steps + k], own, found[:, :, k], axis=1)
            _pass(shares[place], flow, spare, width)


def _pairs(shares: FloatArray, counts: FloatArray, out: FloatArray) -> None:
    """Expected number of persons by the categories of two items, in the rows of the later one."""
    length, n_categories, m, n_scores = shares.shape
    steps = n_categories - 1
    starts = _starts(shares, counts)
    rows = max(1, BLOCK // (n_scores * steps * m))
    for stop in range(length, 0, -rows):
        first = max(0, stop - rows)
        shape = (m, (stop - first) * steps, n_scores)
        active, spare = np.empty(shape), np.empty(shape)
        filled = 0
        for place in range(stop - 1, -1, -1):
            if filled:
                width = min(n_scores, (place + 1) * steps + 1)
                own = _share_of(shares[place], active[:, :filled], width)
                out[:, stop * steps - filled : stop * steps, place * steps : (place + 1) * steps] = own[:, ::-1]
                _pass(shares[place], active[:, :filled], spare[:, :filled], width)
            if place >= first:
                # rows are filled from the last item down, so that they read backwards
                active[:, filled : filled + steps] = starts[place][:, ::-1]
                filled += steps


def _starts(shares: FloatArray, counts: FloatArray) -> FloatArray:
    """(L, M, K - 1, R) persons by the sum that is left once the item has got its category."""
    length, n_categories, m, n_scores = shares.shape
    out = np.zeros((length, m, n_categories - 1, n_scores))
    flow = counts
    for place in range(length - 1, -1, -1):
        moved = shares[place] * flow
        for k in range(1, n_categories):
            out[place, :, k - 1, : n_scores - k] = moved[k, :, k:]
        flow = _arrived(moved)
    return out


def _share_of(shares: FloatArray, flow: FloatArray, width: int) -> FloatArray:
    """(M, rows, K - 1) what of each flow takes the categories above the lowest."""
    return flow[:, :, :width] @ shares[1:, :, :width].transpose(1, 2, 0)


def _pass(shares: FloatArray, flow: FloatArray, spare: FloatArray, width: int) -> None:
    """One step of the chain for flows (M, rows, R), of which the first ``width`` columns count, in place."""
    now, moved = flow[:, :, :width], spare[:, :, :width]
    own = shares[:, :, None, :width]
    if own.shape[0] == 2:
        np.multiply(now[:, :, 1:], own[1, :, :, 1:], out=moved[:, :, 1:])
        now *= own[0]
        now[:, :, :-1] += moved[:, :, 1:]
        return
    before = now.copy()
    now *= own[0]
    for k in range(1, min(own.shape[0], width)):
        np.multiply(before[:, :, k:], own[k, :, :, k:], out=moved[:, :, k:])
        now[:, :, : width - k] += moved[:, :, k:]


def _arrived(moved: FloatArray) -> FloatArray:
    """(M, R) or (R,) where the parts (K, ..., R) of a flow go."""
    out = moved[0].copy()
    n = out.shape[-1]
    for k in range(1, moved.shape[0]):
        out[..., : n - k] += moved[k][..., k:]
    return out
