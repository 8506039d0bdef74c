"""The latent distribution: means, standard deviations, correlations and regressions with standard errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.irt.numbers import Numbers, standard_error
from jmix.spec.irt.spec import unpack

FloatArray = npt.NDArray[np.float64]


class Row(NamedTuple):
    """One quantity of the latent distribution with its derivatives in the numbers at ``places``."""

    group: str
    parameter: str
    term: str
    estimate: float
    places: tuple[int, ...]
    gradient: tuple[float, ...]


def latent_table(numbers: Numbers) -> pd.DataFrame:
    """See ``IrtFit.latent``."""
    rows = list(_rows(numbers))
    frame = pd.DataFrame([row[:4] for row in rows], columns=["group", "parameter", "term", "estimate"])
    if numbers.vcov is not None:
        frame["se"] = [_se(numbers, row) for row in rows]
    known = (numbers.place < 0) & ~numbers.derived
    frame["fixed"] = [bool(known[list(row.places)].all()) for row in rows]
    return frame


def _se(numbers: Numbers, row: Row) -> float:
    gradient = np.array(row.gradient)
    covariance = numbers.covariance(np.array(row.places, dtype=np.int32))
    return float(standard_error(np.array(gradient @ covariance @ gradient)))


def _rows(numbers: Numbers) -> Iterator[Row]:
    spec, v = numbers.spec, numbers.v
    for g, group in enumerate(spec.groups):
        for d, factor in enumerate(spec.factors):
            yield Row(group, "mean", factor, float(v[spec.mean[g, d]]), (int(spec.mean[g, d]),), (1.0,))
        for d, factor in enumerate(spec.factors):
            yield Row(group, "sd", factor, float(v[spec.sd[g, d]]), (int(spec.sd[g, d]),), (1.0,))
        yield from _covariances(numbers, g, group)
    for i, covariate in enumerate(spec.covariates if spec.regression is not None else ()):
        for d, factor in enumerate(spec.factors):
            assert spec.regression is not None
            place = int(spec.regression[i, d])
            yield Row("", "beta", f"{factor}:{covariate}", float(v[place]), (place,), (1.0,))
    if spec.cluster_sd is not None:
        for d, factor in enumerate(spec.factors):
            place = int(spec.cluster_sd[d])
            yield Row("", "cluster_sd", factor, float(v[place]), (place,), (1.0,))


def _covariances(numbers: Numbers, g: int, group: str) -> Iterator[Row]:
    """Variances, correlations and covariances, by the delta method."""
    spec, v = numbers.spec, numbers.v
    for d, factor in enumerate(spec.factors):
        place = int(spec.sd[g, d])
        yield Row(group, "var", factor, float(v[place] ** 2), (place,), (2.0 * float(v[place]),))
    at = 0
    for i in range(spec.n_factors):
        for j in range(i):
            r, si, sj = (int(p) for p in (spec.corr[g, at], spec.sd[g, i], spec.sd[g, j]))
            term = f"{spec.factors[j]},{spec.factors[i]}"
            yield Row(group, "corr", term, float(v[r]), (r,), (1.0,))
            slopes = float(v[si] * v[sj]), float(v[r] * v[sj]), float(v[r] * v[si])
            yield Row(group, "cov", term, float(v[r] * v[si] * v[sj]), (r, si, sj), slopes)
            at += 1


def group_moments(numbers: Numbers, *, between: bool = True) -> tuple[FloatArray, FloatArray]:
    """(G, D) means and (G, D, D) covariances of theta by group, given the covariates.

    Args:
        between: add the variances between clusters.
    """
    values = unpack(np, numbers.spec, numbers.x)
    covariance = values.chol @ np.swapaxes(values.chol, 1, 2)
    if between and values.cluster_sd is not None:
        covariance = covariance + np.diag(values.cluster_sd**2)
    return np.asarray(values.mean), np.asarray(covariance)


def person_means(
    numbers: Numbers, group: npt.NDArray[np.int32] | None, n: int, covariates: FloatArray | None
) -> FloatArray:
    """(N, D) mean of theta of each person: of the group, plus the regression on the person model matrix (N, p)."""
    values = unpack(np, numbers.spec, numbers.x)
    mean = np.broadcast_to(values.mean[0], (n, numbers.spec.n_factors)) if group is None else values.mean[group]
    if values.regression is not None and covariates is not None:
        mean = mean + covariates @ values.regression
    return np.array(mean, dtype=np.float64)
