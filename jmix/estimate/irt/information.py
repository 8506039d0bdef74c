"""The information that complete data would give: the scale of the parameters, and the step of an EM cycle.

Were theta known, each item would be a regression with expected information ``n E[s s']`` over the distribution of
theta. It bounds the information of the data from above, so that ``x + I^{-1} g``, the EM gradient step (Lange 1995,
J. R. Stat. Soc. B 57, 425-437), climbs without overshooting where the model is near to the data.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.estimate.irt.sample import Sample
from jmix.spec.irt.spec import Block, IrtSpec, Values, full_vector, unpack

FloatArray = npt.NDArray[np.float64]

NODES = 11
STEP = 1e-4
"""Step of the central differences of log probabilities."""

LEAST = 1e-4
"""Smallest information of a parameter, relative to its group's largest, that is taken at its word."""


def complete_information(spec: IrtSpec, x: FloatArray, sample: Sample, covariates: FloatArray | None) -> FloatArray:
    """(P, P) expected information of complete data at x, positive definite.

    Args:
        covariates: (p, p) mean cross-product of the person model matrix, or None without latent regression.
    """
    values, size = unpack(np, spec, x), len(spec.table.names)
    out = np.zeros((size, size)) if spec.linear else np.zeros((spec.n_free, spec.n_free))
    place = np.arange(size) if spec.linear else _free_places(spec)
    for b, block in enumerate(spec.blocks):
        for g in range(len(spec.groups)):
            local = _item_information(block, values, b, g) * sample.counts[g, list(block.columns)][:, None, None]
            index = place[np.concatenate([block.slopes[g], block.own[g]], axis=1)]
            _scatter(out, index, local)
    _latent(out, spec, values, sample, covariates, place)
    if spec.linear:
        change = jacobian(spec)
        out = change.T @ out @ change
    return _definite(out)


def jacobian(spec: IrtSpec) -> FloatArray:
    """(M, P) derivative of all numbers in the free ones; the map is affine."""
    base = full_vector(np, spec, np.zeros(spec.n_free))
    return np.stack([full_vector(np, spec, row) - base for row in np.eye(spec.n_free)], axis=1)


def _free_places(spec: IrtSpec) -> npt.NDArray[np.int64]:
    place = np.full(len(spec.table.names), -1)
    place[spec.table.free] = np.arange(spec.n_free)
    return place


def _scatter(out: FloatArray, index: npt.NDArray[np.int64], local: FloatArray) -> None:
    """Add (J, m, m) matrices at the places (J, m), where both are free."""
    rows = np.broadcast_to(index[:, :, None], local.shape)
    columns = np.broadcast_to(index[:, None, :], local.shape)
    use = (rows >= 0) & (columns >= 0)
    np.add.at(out, (rows[use], columns[use]), local[use])


def _item_information(block: Block, values: Values, b: int, g: int) -> FloatArray:
    """(J, D + m, D + m) expected information of one response."""
    slopes, own = values.slopes[b][g], values.own[b][g]
    mean, chol = values.mean[g], values.chol[g]
    covariance = chol @ chol.T
    centre, along = slopes @ mean, slopes @ covariance
    variance = np.maximum(np.sum(along * slopes, axis=1), 1e-12)
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    eta = centre[:, None] + np.sqrt(variance)[:, None] * nodes
    both = _per_node(block, eta, own) * weights
    # theta given eta is normal: its first two moments, (J, D, Q) and (J, D, D, Q)
    first = mean[None, :, None] + (along / variance[:, None])[:, :, None] * (eta - centre[:, None])[:, None, :]
    left = covariance - along[:, :, None] * along[:, None, :] / variance[:, None, None]
    second = first[:, :, None] * first[:, None] + left[..., None]
    d = slopes.shape[1]
    out = np.empty((len(slopes), d + own.shape[1], d + own.shape[1]))
    out[:, :d, :d] = np.sum(both[:, :1, :1] * second, axis=-1)
    out[:, :d, d:] = np.sum(first[:, :, None] * both[:, :1, 1:], axis=-1)
    out[:, d:, :d] = np.swapaxes(out[:, :d, d:], 1, 2)
    out[:, d:, d:] = np.sum(both[:, 1:, 1:], axis=-1)
    return out


def _per_node(block: Block, eta: FloatArray, own: FloatArray) -> FloatArray:
    """(J, 1 + m, 1 + m, Q) expected information of eta and an item's own parameters at each node."""
    from jmix.items import kind_of

    kind, k = kind_of(block.kind), block.n_categories

    def table(eta: FloatArray, own: FloatArray) -> FloatArray:
        return np.asarray(kind.log_table(np, eta, own, k))

    with np.errstate(all="ignore"):
        probability = np.exp(table(eta, own))
        scores = [(table(eta + STEP, own) - table(eta - STEP, own)) / (2.0 * STEP)]
        for i in range(own.shape[1]):
            shift = np.zeros_like(own)
            shift[:, i] = STEP
            scores.append((table(eta, own + shift) - table(eta, own - shift)) / (2.0 * STEP))
        s = np.nan_to_num(np.stack(scores, axis=1), posinf=0.0, neginf=0.0)
    return np.einsum("jukq,jvkq,jkq->juvq", s, s, probability)


def _latent(
    out: FloatArray,
    spec: IrtSpec,
    values: Values,
    sample: Sample,
    covariates: FloatArray | None,
    place: npt.NDArray[np.int64],
) -> None:
    """Means, standard deviations, correlations and regressions, were theta observed."""
    for g, n in enumerate(sample.sizes):
        precision = np.linalg.inv(values.chol[g] @ values.chol[g].T)
        _scatter(out, place[spec.mean[g]][None], n * precision[None])
        sd = np.sqrt(np.sum(values.chol[g] ** 2, axis=1))
        _scatter(out, place[spec.sd[g]][:, None], (2.0 * n / sd**2)[:, None, None])
        r = full_correlations(values.chol[g])
        _scatter(out, place[spec.corr[g]][:, None], (n * (1.0 + r**2) / (1.0 - r**2) ** 2)[:, None, None])
        if spec.regression is not None and covariates is not None:
            local = np.kron(covariates, precision) * n
            _scatter(out, place[spec.regression].reshape(1, -1), local[None])
    if spec.cluster_sd is not None:
        sd = np.maximum(np.abs(values.cluster_sd), 0.1)
        _scatter(out, place[spec.cluster_sd][:, None], (0.2 * sample.sizes.sum() / sd**2)[:, None, None])


def full_correlations(chol: FloatArray) -> FloatArray:
    """(D (D - 1) / 2,) correlations, row by row of the lower triangle."""
    covariance = chol @ chol.T
    sd = np.sqrt(np.diag(covariance))
    r = covariance / np.outer(sd, sd)
    return np.asarray(np.clip(r[np.tril_indices(len(r), -1)], -0.99, 0.99))


def _definite(information: FloatArray) -> FloatArray:
    """The matrix with a floor under its scaled eigenvalues."""
    diagonal = np.diag(information)
    floor = LEAST * float(np.max(diagonal, initial=1e-300))
    size = np.sqrt(np.maximum(diagonal, floor))
    scaled = information / np.outer(size, size)
    scaled[np.diag_indices(len(scaled))] = 1.0 + 1e-4
    return np.asarray(scaled * np.outer(size, size))
