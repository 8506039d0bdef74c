"""The representative of equivalent solutions: positive standard deviations."""

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
