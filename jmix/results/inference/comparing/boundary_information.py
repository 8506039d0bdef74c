"""Fisher information of the covariances that a smaller model sets to zero.

With ``V = W^{-1} + Z Omega Z'`` (over sigma^2) and ``P = V^{-1} - V^{-1} X (X'V^{-1}X)^{-1} X'V^{-1}`` the information
of two variance parameters is ``tr(P V_i P V_j) / 2`` (Searle, Casella & McCulloch 1992, *Variance Components*, section
6.6); all of it follows from ``K = Z'PZ``. Generalized models enter by their linearisation: W the curvature of the log
density at the modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.results.inference.comparing.lrt_nested import TermCase

if TYPE_CHECKING:
    from jmix.design import RandomTerm
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]

LARGEST = 4000
"""Random effects up to which the dense matrices are formed."""


def cone_information(small: FitBase, big: FitBase, cases: Sequence[TermCase]) -> FloatArray | None:
    """Information of the vanished covariance matrices given all else, lower triangles by rows, term by term.

    None where it is too large to compute, or not positive definite.
    """
    sizes = [len(t.levels) * len(t.columns) for t in big.terms]
    weights = _weights(small)
    if sum(sizes) > LARGEST or weights is None:
        return None
    omegas = _embedded(small, big, cases)
    turns = [np.concatenate([c.kept, c.gone], axis=1) for c in cases]
    blocks = [_columns(t, turn) for t, turn in zip(big.terms, turns, strict=True)]
    inner = [turn.T @ omega @ turn for omega, turn in zip(omegas, turns, strict=True)]
    levels = [len(t.levels) for t in big.terms]
    K = _projected(blocks, [np.kron(np.eye(j), omega) for j, omega in zip(levels, inner, strict=True)], small, weights)
    omega = _block_diagonal([np.kron(np.eye(j), o) for j, o in zip(levels, inner, strict=True)])
    full, gone = _information(K, omega, levels, cases, small)
    return _schur(full, gone)


def _weights(small: FitBase) -> FloatArray | None:
    """(n,) precision of each row given the random effects, over sigma^2."""
    from jmix.results.inference.comparing.lrt_refit import is_linear

    if is_linear(small):
        given = small.design.weights
        return np.ones(small.nobs) if given is None else np.asarray(given)
    from jmix.results.inference.comparing.lrt_curvature import row_weights

    return row_weights(small)


def _embedded(small: FitBase, big: FitBase, cases: Sequence[TermCase]) -> list[FloatArray]:
    """(q, q) covariance of each term of the larger model at the estimates of the smaller, over theta's scale."""
    from jmix.results.inference.comparing.lrt_nested import _within

    out = [np.zeros((len(t.columns), len(t.columns))) for t in big.terms]
    for term, lam in zip(small.terms, small.spec.split(small.theta_values), strict=True):
        for j in sorted(range(len(out)), key=lambda i: len(big.terms[i].columns)):
            basis = _within(term, big.terms[j])
            if basis is not None:
                middle = lam @ lam.T if basis.shape[1] == len(lam) else lam[0, 0] ** 2 * np.eye(basis.shape[1])
                out[j] += basis @ middle @ basis.T
                break
    return out


def _columns(term: RandomTerm, turn: FloatArray) -> Any:
    """Sparse (n, J q) columns of a term in another basis, level by level."""
    from scipy.sparse import csc_array

    z = np.stack(term.columns, axis=1) @ turn
    n, q = z.shape
    place = term.codes.astype(np.int64)[:, None] * q + np.arange(q)
    rows = np.repeat(np.arange(n), q)
    return csc_array((z.reshape(-1), (rows, place.reshape(-1))), shape=(n, q * len(term.levels)))


def _projected(blocks: list[Any], omegas: list[FloatArray], small: FitBase, weights: FloatArray) -> FloatArray:
    """``K = Z'PZ``."""
    from scipy.sparse import hstack

    Z = hstack(blocks, format="csc")
    weighted = Z.multiply(weights[:, None]).tocsc()
    X = small.base.X
    A, B = (Z.T @ weighted).toarray(), np.asarray(weighted.T @ X)
    omega = _block_diagonal(omegas)
    inner = np.linalg.inv(np.eye(len(A)) + A @ omega)
    G, H = inner @ A, inner @ B
    if X.shape[1] == 0:
        return np.asarray(G)
    F = X.T @ (weights[:, None] * X) - B.T @ omega @ H
    return np.asarray(G - H @ np.linalg.solve(F, H.T))


def _block_diagonal(parts: list[FloatArray]) -> FloatArray:
    from scipy.linalg import block_diag

    return np.asarray(block_diag(*parts))


def _information(
    K: FloatArray, omega: FloatArray, levels: list[int], cases: Sequence[TermCase], small: FitBase
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Information of sigma^2, where there is one, and of all covariances; and which of them vanish."""
    from jmix.results.inference.comparing.lrt_refit import is_linear

    qs = [c.kept.shape[1] + c.n_gone for c in cases]
    pairs = [[(a, b) for a in range(q) for b in range(a + 1)] for q in qs]
    starts = np.cumsum([0, *(j * q for j, q in zip(levels, qs, strict=True))])
    rows = []
    for s in range(len(qs)):
        rows.append(np.concatenate([_traces(K, starts, levels, qs, s, t, pairs) for t in range(len(qs))], axis=1))
    full = np.concatenate(rows)
    gone = [a >= c.kept.shape[1] and b >= c.kept.shape[1] for c, own in zip(cases, pairs, strict=True) for a, b in own]
    if not is_linear(small):
        return full, np.array(gone)
    KO = K @ omega
    M = K - KO @ K
    cross = np.concatenate([_diagonal_sums(M, starts[s], levels[s], qs[s], pairs[s]) for s in range(len(qs))])
    nu = small.nobs - len(small.x_names)
    first = nu - 2.0 * np.trace(KO) + np.sum(KO * KO.T)
    out = np.block([[np.array([[first]]), cross[None, :]], [cross[:, None], full]])
    return out, np.array([False, *gone])


def _traces(
    K: FloatArray, starts: Any, levels: list[int], qs: list[int], s: int, t: int, pairs: list[list[tuple[int, int]]]
) -> FloatArray:
    """``tr(P V_i P V_j)`` for all covariances i of one term and j of another."""
    block = K[starts[s] : starts[s + 1], starts[t] : starts[t + 1]].reshape(levels[s], qs[s], levels[t], qs[t])
    flat = block.transpose(1, 3, 0, 2).reshape(qs[s] * qs[t], -1)
    G = (flat @ flat.T).reshape(qs[s], qs[t], qs[s], qs[t])  # G[a, c, b, d]
    out = np.empty((len(pairs[s]), len(pairs[t])))
    for i, (a, b) in enumerate(pairs[s]):
        for j, (c, d) in enumerate(pairs[t]):
            value = G[a, c, b, d] + G[a, d, b, c]
            out[i, j] = value * (1.0 if a != b else 0.5) * (1.0 if c != d else 0.5) * 2.0
    return out


def _diagonal_sums(M: FloatArray, start: int, levels: int, q: int, pairs: list[tuple[int, int]]) -> FloatArray:
    part = M[start : start + levels * q, start : start + levels * q].reshape(levels, q, levels, q)
    sums = np.einsum("lalb->ab", part)
    return np.array([sums[a, b] * (1.0 if a == b else 2.0) for a, b in pairs])


def _schur(full: FloatArray, gone: npt.NDArray[np.bool_]) -> FloatArray | None:
    """Information of the vanished parameters given the others; None where it is not positive definite."""
    size = np.sqrt(np.maximum(np.diag(full), 1e-300))
    scaled = full / np.outer(size, size)
    cross, rest = scaled[np.ix_(gone, ~gone)], scaled[np.ix_(~gone, ~gone)]
    out = scaled[np.ix_(gone, gone)] - cross @ np.linalg.pinv(rest, rcond=1e-10, hermitian=True) @ cross.T
    values = np.linalg.eigvalsh(out)
    if not np.all(np.isfinite(out)) or values[0] <= 1e-10:
        return None
    own = size[gone]
    return np.asarray(out * np.outer(own, own))
