"""The representative of equivalent solutions: positive standard deviations, factors that most items measure upwards."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.spec.irt.spec import IrtSpec, full_vector

FloatArray = npt.NDArray[np.float64]


def signs(spec: IrtSpec, x: FloatArray) -> FloatArray:
    """(P,) factors of 1 or -1 that make standard deviations positive and leave the likelihood as it is.

    The covariance of factors i and j is ``sd_i sd_j r_ij``, so that a change of sign of ``sd_i`` goes with one of its
    correlations. Where numbers are fixed, or shared by groups whose signs differ, x stays as it is.
    """
    v = full_vector(np, spec, x)
    out = np.ones(v.size)
    free = np.zeros(v.size, dtype=np.bool_)
    free[spec.table.free] = True
    rows, columns = np.tril_indices(spec.n_factors, -1)
    for g in range(len(spec.groups)):
        wanted = np.where(v[spec.sd[g]] < 0, -1.0, 1.0)
        pairs = np.where(v[spec.corr[g]] == 0.0, 1.0, wanted[rows] * wanted[columns])
        for places, sign in ((spec.sd[g], wanted), (spec.corr[g], pairs)):
            if np.any(~free[places] & (sign < 0)) or (g and np.any(out[places] != sign)):
                return np.ones(x.size)
            out[places] = sign
    if spec.cluster_sd is not None:
        out[spec.cluster_sd[v[spec.cluster_sd] < 0]] = -1.0
    return out[spec.table.free]


def orientation(spec: IrtSpec, x: FloatArray) -> FloatArray:
    """(P,) factors of 1 or -1 that turn round each factor whose slopes are negative on the whole.

    Where a slope, mean or coefficient that would change its sign is fixed, has a prior, or is computed from others, the
    factor stays.
    """
    v = full_vector(np, spec, x)
    out = np.ones(v.size)
    if spec.linear or not _known(spec):
        return out[spec.table.free]
    free = np.zeros(v.size, dtype=np.bool_)
    free[spec.table.free] = True
    rows, columns = np.tril_indices(spec.n_factors, -1)
    for d in range(spec.n_factors):
        slopes = np.unique(np.concatenate([block.slopes[..., d].ravel() for block in spec.blocks]))
        if not np.sum(np.sign(v[slopes])) < 0:
            continue
        regression = np.zeros(0, dtype=np.int64) if spec.regression is None else spec.regression[:, d]
        pairs = spec.corr[:, (rows == d) | (columns == d)].ravel()
        turned = np.unique(np.concatenate([slopes, spec.mean[:, d], regression, pairs]))
        turned = turned[v[turned] != 0.0]
        told = any(spec.table.priors[i] is not None for i in turned) if spec.table.priors else False
        other = [block.slopes[..., k].ravel() for block in spec.blocks for k in range(spec.n_factors) if k != d]
        shared = np.isin(turned, np.concatenate(other)).any() if other else False
        if np.all(free[turned]) and not told and not shared:
            out[turned] = -out[turned]
    return out[spec.table.free]


def _known(spec: IrtSpec) -> bool:
    """Whether all free numbers are those of items, means, standard deviations, correlations and regressions."""
    parts = [a for block in spec.blocks for a in (block.slopes, block.own)] + [spec.mean, spec.sd, spec.corr]
    parts += [a for a in (spec.regression, spec.cluster_sd) if a is not None]
    return bool(np.isin(spec.table.free, np.concatenate([a.ravel() for a in parts])).all())
