"""Responses drawn from a fitted item response model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.items import kind_of
from jmix.responses.data import MISSING
from jmix.results.irt.information import theta_values
from jmix.results.irt.items import group_number
from jmix.results.irt.latent import group_moments, person_means
from jmix.results.irt.rebuild import latent_density
from jmix.spec.irt.spec import unpack

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]

ENTRIES = 20_000_000
"""Probabilities held at a time."""


def simulate(fit: IrtFit, persons: int | None, seed: int, theta: Any, group: str | None, missing: bool) -> pd.DataFrame:
    """See ``IrtFit.simulate``."""
    rng = np.random.default_rng(_whole("seed", seed, 0))
    if theta is not None:
        values = theta_values(fit, theta)
        number = np.full(len(values), _group(fit, group), dtype=np.int64)
    elif persons is not None:
        number = np.full(_whole("persons", persons, 1), _group(fit, group), dtype=np.int64)
        values = _drawn(fit, rng, number, None, None)
    else:
        return _again(fit, rng, missing)
    return frame_of(fit, _responses(fit, values, number, rng), None)


def _again(fit: IrtFit, rng: np.random.Generator, missing: bool) -> pd.DataFrame:
    """New traits and responses of the persons of the fit."""
    data = fit.responses
    number = np.zeros(data.n_persons, dtype=np.int64) if data.group is None else data.group.astype(np.int64)
    theta = _drawn(fit, rng, number, fit.covariates, data.cluster)
    if missing and data.long is not None:
        return _listed(fit, theta, number, rng)
    codes = _responses(fit, theta, number, rng)
    if missing and data.table is not None:
        codes = np.where(data.table == MISSING, np.int8(MISSING), codes)
    return frame_of(fit, codes, data.persons)


def _listed(fit: IrtFit, theta: FloatArray, number: Any, rng: np.random.Generator) -> pd.DataFrame:
    """The list of the responses that were given, drawn anew: columns ``person item response``."""
    long = fit.responses.long
    assert long is not None
    person, codes = long.person(), np.zeros(long.n, dtype=np.int64)
    u = rng.random(long.n)
    v = unpack(np, fit.spec, np.asarray(fit.solution.x))
    for block, slopes, own in zip(fit.spec.blocks, v.slopes, v.own, strict=True):
        place = np.full(len(fit.spec.items), -1)
        place[list(block.columns)] = np.arange(len(block.columns))
        for g in range(len(fit.spec.groups)):
            rows = np.flatnonzero((place[long.item] >= 0) & (number[person] == g))
            item = place[long.item[rows]]
            eta = (slopes[g][item] * theta[person[rows]]).sum(axis=1)
            p = np.exp(kind_of(block.kind).log_table(np, eta, own[g][item], block.n_categories))
            codes[rows] = (u[rows, None] > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1)
    labels = [fit.responses.categories[j][k] for j, k in zip(long.item, codes, strict=True)]
    items = np.asarray(fit.responses.items, dtype=object)[long.item]
    return pd.DataFrame({"person": fit.responses.persons[person], "item": items, "response": labels})


def _drawn(
    fit: IrtFit, rng: np.random.Generator, number: Any, covariates: FloatArray | None, cluster: Any
) -> FloatArray:
    """(N, D) traits from the latent distribution, one effect a cluster."""
    within = np.linalg.cholesky(group_moments(fit.numbers, between=False)[1])
    mean = person_means(fit.numbers, number.astype(np.int32), len(number), covariates)
    theta = mean + np.einsum("nde,ne->nd", within[number], _standard(fit, rng, mean.shape))
    between = unpack(np, fit.spec, np.asarray(fit.solution.x)).cluster_sd
    if between is not None:
        which = np.arange(len(number)) if cluster is None else np.asarray(cluster)
        theta = theta + (rng.standard_normal((which.max() + 1, mean.shape[1])) * between)[which]
    return np.asarray(theta, dtype=np.float64)


def _standard(fit: IrtFit, rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Standardised traits, normal or of the density that was estimated."""
    known = latent_density(fit)
    if known is None:
        return rng.standard_normal(shape)
    points, density = known
    cumulative = np.cumsum(density) - 0.5 * density
    return np.interp(rng.random(shape), cumulative / density.sum(), points)


def _responses(fit: IrtFit, theta: FloatArray, number: Any, rng: np.random.Generator) -> Codes:
    """(N, J) codes drawn given the traits."""
    n_items, most = len(fit.spec.items), max(fit.responses.n_categories)
    out = np.empty((len(theta), n_items), dtype=np.int8)
    chunk = max(1, ENTRIES // (n_items * most))
    for g in np.unique(number):
        bank = fit.bank(fit.spec.groups[g])
        rows = np.flatnonzero(number == g)
        for i in range(0, rows.size, chunk):
            part = rows[i : i + chunk]
            below = np.cumsum(np.asarray(bank.probabilities(theta[part]))[:, :-1], axis=1)
            u = rng.random((n_items, 1, part.size))
            codes = (u > below).sum(axis=1)
            highest = np.asarray(fit.responses.n_categories)[:, None] - 1
            out[part] = np.minimum(codes, highest).T
    return out


def frame_of(fit: IrtFit, codes: Codes, index: Any) -> pd.DataFrame:
    """Codes as a frame of the categories' labels, NaN where missing."""
    columns: dict[str, Any] = {}
    for j, (name, labels) in enumerate(zip(fit.responses.items, fit.responses.categories, strict=True)):
        if all(isinstance(label, int | np.integer) and not isinstance(label, bool) for label in labels):
            values = np.asarray(labels)[codes[:, j]]
            gone = codes[:, j] == MISSING
            columns[name] = np.where(gone, np.nan, values) if gone.any() else values
        else:
            columns[name] = pd.Categorical.from_codes(codes[:, j], categories=pd.Index(labels), ordered=True)
    return pd.DataFrame(columns, index=index)


def _group(fit: IrtFit, group: str | None) -> int:
    return 0 if group is None else group_number(fit.spec, group)


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ModelError(f"{name}={value!r} must be a whole number of at least {least}")
    return int(value)
