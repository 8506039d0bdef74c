"""Weights of chi-bar-square distributions: how often the projection on a cone falls on a face of each dimension."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SIMULATIONS, SIMULATIONS_MATRICES, SEED = 100_000, 20_000, 20
SWEEPS, STEPS, EM_STEPS = 400, 400, 300

EDGE = 1e-7
"""Share below which a vector lies in the polar cone, and short of 1 in the cone."""


def orthant_weights(information: FloatArray) -> FloatArray:
    """(K + 1,) probabilities that 0, ..., K coordinates of the projection on the positive orthant are positive.

    Exact for K = 1 and 2 and for orthogonal coordinates, otherwise simulated.

    Args:
        information: (K, K) inverse covariance of the normal vector, whose metric the projection has.
    """
    from scipy.special import comb

    scale = np.sqrt(np.diag(information))
    metric = information / np.outer(scale, scale)
    k = len(metric)
    if np.max(np.abs(metric - np.eye(k))) < 1e-10:
        return np.asarray(comb(k, np.arange(k + 1)) * 0.5**k)
    if k == 2:
        angle = float(np.arccos(np.clip(metric[0, 1], -1.0, 1.0))) / (2.0 * np.pi)
        return np.array([0.5 - angle, 0.5, angle])
    positive = np.sum(_project_orthant(metric) > 1e-9, axis=1)
    return np.bincount(positive, minlength=k + 1) / positive.size


def _project_orthant(metric: FloatArray) -> FloatArray:
    """(N, K) projections of N normal vectors by coordinate descent; unit diagonal."""
    z = _normals(metric, SIMULATIONS)
    score = z @ metric
    d = np.maximum(z, 0.0)
    for _ in range(SWEEPS):
        before = d.copy()
        for j in range(d.shape[1]):
            d[:, j] = np.maximum(0.0, score[:, j] - d @ metric[:, j] + d[:, j])
        if np.max(np.abs(d - before)) < 1e-12:
            break
    return d


def _normals(information: FloatArray, n: int) -> FloatArray:
    """(n, K) normal vectors with this inverse covariance."""
    root = np.linalg.inv(np.linalg.cholesky(information))
    return np.asarray(np.random.default_rng(SEED).standard_normal((n, len(information))) @ root)


def cone_weights(information: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """(D + 1,) weights for a product of cones of positive semidefinite (m, m) matrices, D the coordinates.

    The squared lengths of a normal vector's projections on a convex cone and on its polar are, with probability w_j,
    independent chi-squared variables on j and D - j degrees of freedom (Amelunxen et al. 2014, Inf. Inference 3,
    224-294, section 5), so that the share of the first is Beta(j / 2, (D - j) / 2). The weights are fitted to simulated
    shares by maximum likelihood.

    Args:
        information: (D, D) in the coordinates of ``boundary_information``: each matrix's lower triangle by rows, of an
            off-diagonal entry once. sizes: m of each matrix.
    """
    share = _projected_shares(_balanced(information, sizes), sizes)
    D = len(information)
    inside, outside = share > 1.0 - EDGE, share < EDGE
    middle = share[~inside & ~outside]
    j = np.arange(1.0, D)
    density = _beta(middle[:, None], np.asarray(0.5 * j), np.asarray(0.5 * (D - j)))
    weights = np.full(D - 1, 1.0 / max(D - 1, 1))
    for _ in range(EM_STEPS):
        mixed = density * weights
        weights = np.mean(mixed / mixed.sum(axis=1, keepdims=True), axis=0)
    n = share.size
    return np.concatenate([[outside.sum() / n], weights * (middle.size / n), [inside.sum() / n]])


def _beta(x: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    from scipy.special import betaln

    return np.asarray(np.exp((a - 1.0) * np.log(x) + (b - 1.0) * np.log1p(-x) - betaln(a, b)))


def _balanced(information: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """The information of ``A^{-1} D A^{-T}`` in place of D, which maps the cone to itself, A chosen near-orthonormal.

    Of one group with ``K = z'Pz`` the information of the entries (a, a) and (c, d) is ``K_ac K_ad``, twice it off the
    diagonal; A is the inverse of the factor of that K which the blocks of the information imply.
    """
    from scipy.linalg import block_diag

    parts, start = [], 0
    for m in sizes:
        size = m * (m + 1) // 2
        parts.append(_congruence(_implied(information[start : start + size, start : start + size], m)))
        start += size
    change = block_diag(*parts)
    return np.asarray(change.T @ information @ change)


def _implied(block: FloatArray, m: int) -> FloatArray:
    """(m, m) matrix A with ``A' K A`` the identity."""
    rows, cols = np.tril_indices(m)
    place = {(int(a), int(b)): i for i, (a, b) in enumerate(zip(rows, cols, strict=True))}
    own = [place[a, a] for a in range(m)]
    K: FloatArray = np.diag(np.sqrt(np.diag(block)[own]))
    for a in range(m):
        for c in range(a):
            one, two = block[own[a], place[a, c]] / K[a, a], block[own[c], place[a, c]] / K[c, c]
            K[a, c] = K[c, a] = 0.25 * (one + two)
    if np.linalg.eigvalsh(K)[0] <= 1e-6 * np.max(np.diag(K)):
        K = np.diag(np.diag(K))
    return np.asarray(np.linalg.inv(np.linalg.cholesky(K)).T)


def _congruence(A: FloatArray) -> FloatArray:
    """The linear map of lower triangles that ``D -> A D A'`` is."""
    m = len(A)
    rows, cols = np.tril_indices(m)
    out = np.empty((rows.size, rows.size))
    for j, (a, b) in enumerate(zip(rows, cols, strict=True)):
        unit = np.zeros((m, m))
        unit[a, b] = unit[b, a] = 1.0
        out[:, j] = (A @ unit @ A.T)[rows, cols]
    return out


def _projected_shares(information: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """(N,) share of the squared length that lies in the projection, by accelerated projected gradients."""
    z = _normals(information, SIMULATIONS_MATRICES)
    step = 1.0 / float(np.linalg.eigvalsh(_euclidean(information, sizes))[-1])
    scale = np.concatenate([_multiplicity(m) for m in sizes])
    d = _positive_part(z, sizes)
    ahead, t = d, 1.0
    for _ in range(STEPS):
        gradient = (ahead - z) @ information
        new = _positive_part(ahead - step * gradient / scale, sizes)
        t_new = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * t * t))
        ahead, t = new + (t - 1.0) / t_new * (new - d), t_new
        moved, d = float(np.max(np.abs(new - d))), new
        if moved < 1e-9:
            break
    inner = np.maximum(np.einsum("ni,ij,nj->n", d, information, d), 0.0)
    outer = np.maximum(np.einsum("ni,ij,nj->n", z - d, information, z - d), 0.0)
    return np.asarray(inner / (inner + outer))


def _multiplicity(m: int) -> FloatArray:
    """How often each entry of a lower triangle occurs in the matrix: its weight in the Frobenius norm."""
    rows, cols = np.tril_indices(m)
    return np.where(rows == cols, 1.0, 2.0)


def _euclidean(information: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """The information in coordinates whose length is the matrices' Frobenius norm."""
    scale = np.sqrt(np.concatenate([_multiplicity(m) for m in sizes]))
    return np.asarray(information / np.outer(scale, scale))


def _positive_part(values: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """The nearest positive semidefinite matrices in the Frobenius norm."""
    out, start = np.empty_like(values), 0
    for m in sizes:
        rows, cols = np.tril_indices(m)
        part = slice(start, start + rows.size)
        matrix = np.empty((len(values), m, m))
        matrix[:, rows, cols] = matrix[:, cols, rows] = values[:, part]
        eigenvalues, vectors = np.linalg.eigh(matrix)
        positive = (vectors * np.maximum(eigenvalues, 0.0)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
        out[:, part] = positive[:, rows, cols]
        start += rows.size
    return out
