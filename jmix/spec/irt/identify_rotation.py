"""Whether the slopes of a confirmatory model with several factors can be told apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.spec.irt.spec import IrtSpec, unpack

FloatArray = npt.NDArray[np.float64]

SAMPLES = (40, 120)
"""Items looked at, where there are more; what too few items leave open is looked at again."""
TOLERANCE = 1e-7


def check_rotation(spec: IrtSpec) -> None:
    """Refuse a pattern of slopes that a rotation of the factors leaves as it is.

    The covariances ``a_i' Phi a_j`` of the items' linear predictors must determine the free slopes, standard
    deviations and correlations locally: their Jacobian has full column rank at random values (Bekker, Merckens &
    Wansbeek 1994). Looked at for one group, without priors; exploratory and bifactor models are left alone.

    Raises:
        ModelError: naming the parameters that can be traded against each other.
    """
    if spec.n_factors < 2 or len(spec.groups) > 1 or spec.exploratory or spec.specific is not None:
        return
    if any(spec.table.priors) or spec.linear or spec.regression is not None:
        return
    for most in SAMPLES:
        names = _traded(spec, most)
        if not names:
            return
    raise ModelError(
        f"the slopes are not identified: {', '.join(names)} and others can be traded against each other without a "
        "change of the likelihood. Leave items out of a factor, correlate factors that share no items, fix a slope or "
        "a correlation, or use an exploratory model (model=2)"
    )


def _traded(spec: IrtSpec, most: int) -> list[str]:
    """Up to four of the parameters in a direction that leaves the covariances of a sample of the items alone."""
    rng = np.random.default_rng(0)
    columns = _sample(spec, rng, most)
    free = spec.table.free
    r = 0.5 / spec.n_factors
    x = np.where(np.isin(free, spec.corr), rng.uniform(-r, r, free.size), rng.uniform(0.6, 1.4, free.size))
    used = _used(spec, columns)
    if not used:
        return []
    jacobian = np.stack([_derivative(spec, columns, x, p) for p in used], axis=1)
    scale = np.linalg.norm(jacobian, axis=0)
    triangle = np.linalg.qr(jacobian / np.where(scale > 0, scale, 1.0), mode="r")
    _, singular, right = np.linalg.svd(triangle)
    rank = int((singular > TOLERANCE * singular[0]).sum())
    if rank == len(used):
        return []
    direction = np.abs(right[rank:]).max(axis=0)
    return [spec.table.names[free[used[i]]] for i in np.argsort(-direction, kind="stable")[:4]]


def _sample(spec: IrtSpec, rng: np.random.Generator, most: int) -> npt.NDArray[np.int64]:
    """About ``most`` columns, every factor with the same share."""
    n = len(spec.items)
    if n <= most:
        return np.arange(n)
    loads = np.zeros((n, spec.n_factors), dtype=np.bool_)
    for block in spec.blocks:
        at = block.slopes[0]
        loads[list(block.columns)] = np.isin(at, spec.table.free) | (spec.table.values[at] != 0)
    per_factor = max(4, most // spec.n_factors)
    chosen = [rng.permutation(np.flatnonzero(mine))[:per_factor] for mine in loads.T]
    kinds = np.unique(loads, axis=0, return_index=True)[1]
    return np.unique(np.concatenate([*chosen, kinds]))


def _used(spec: IrtSpec, columns: npt.NDArray[np.int64]) -> list[int]:
    """Places among the free parameters of what the covariances of these items depend on."""
    wanted = set(columns.tolist())
    places = [spec.sd.ravel(), spec.corr.ravel()]
    for block in spec.blocks:
        places.append(block.slopes[:, [at for at, j in enumerate(block.columns) if j in wanted]].ravel())
    return np.flatnonzero(np.isin(spec.table.free, np.concatenate(places))).tolist()


def _covariances(spec: IrtSpec, columns: npt.NDArray[np.int64], x: FloatArray) -> FloatArray:
    """Below the diagonal of ``A Phi A'`` of the items."""
    values = unpack(np, spec, x)
    a = np.zeros((len(spec.items), spec.n_factors))
    for block, slopes in zip(spec.blocks, values.slopes, strict=True):
        a[list(block.columns)] = slopes[0]
    loadings = a[columns] @ values.chol[0]
    covariance: FloatArray = (loadings @ loadings.T)[np.tril_indices(columns.size, -1)]
    return covariance


def _derivative(spec: IrtSpec, columns: npt.NDArray[np.int64], x: FloatArray, p: int) -> FloatArray:
    h = 1e-5 * (np.arange(x.size) == p)
    return (_covariances(spec, columns, x + h) - _covariances(spec, columns, x - h)) / 2e-5
