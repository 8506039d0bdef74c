"""Plausible values: draws of each person's trait given the responses, at the estimates of the parameters.

An independence Metropolis chain for each person, all at once: candidates from a Student t with the mean and the
covariance of the posterior, accepted by the exact ratio of densities, so that the draws follow the posterior and not
its normal approximation (Mislevy 1991, Psychometrika 56; Chib & Greenberg 1995).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.estimate.irt.persons import Batch, PersonPrior, batches, parts_of
from jmix.results.irt.population import person_prior
from jmix.results.irt.rebuild import latent_density, log_density
from jmix.spec.irt.spec import unpack

if TYPE_CHECKING:
    from jmix.responses.data import Responses
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]

DF = 6.0
"""Degrees of freedom of the candidates: heavier tails than any posterior under a normal prior."""

BURN, THIN = 15, 8
"""Steps before the first and between two plausible values."""

CHUNK = 2048


def plausible_values(
    fit: IrtFit, responses: Responses | None, covariates: FloatArray | None, n: int, seed: int, turn: FloatArray | None
) -> pd.DataFrame:
    """(N, n D) draws, columns ``PV1_F1 PV1_F2 ... PV2_F1 ...``; see ``IrtFit.plausible_values``."""
    from jmix.results.irt.scores import moments

    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ModelError(f"n={n!r}: give the number of plausible values as a positive whole number")
    data = fit.responses if responses is None else responses
    found = moments(fit, responses, covariates)
    prior = person_prior(fit, data, fit.covariates if responses is None else covariates)
    draws = np.empty((n, data.n_persons, fit.spec.n_factors))
    streams = np.random.SeedSequence(seed)
    for batch in batches(data, CHUNK):
        rng = np.random.default_rng(streams.spawn(1)[0])
        chol: FloatArray = np.linalg.cholesky(found.covariance[batch.rows]).astype(np.float64)
        if fit.spec.cluster_sd is not None:
            z = rng.standard_normal((n, len(batch.rows), draws.shape[2]))
            draws[:, batch.rows] = found.mean[batch.rows] + np.einsum("nde,tne->tnd", chol, z)
            continue
        draws[:, batch.rows] = _draw(fit, batch, prior, found.mean[batch.rows], chol, int(n), rng)
    if turn is not None:
        draws = draws @ turn
    columns = [f"PV{r + 1}_{factor}" for r in range(n) for factor in fit.spec.factors]
    return pd.DataFrame(np.moveaxis(draws, 0, 1).reshape(data.n_persons, -1), index=data.persons, columns=columns)


def _draw(
    fit: IrtFit, batch: Batch, prior: PersonPrior, mean: FloatArray, chol: FloatArray, n: int, rng: np.random.Generator
) -> FloatArray:
    """(n, persons, D) draws for the persons of a batch."""
    rows, d = len(batch.rows), mean.shape[1]
    steps = BURN + THIN * (n - 1) + 1
    z = rng.standard_normal((steps, rows, d))
    z /= np.sqrt(rng.chisquare(DF, (steps, rows, 1)) / DF)
    theta = mean + np.einsum("nde,tne->tnd", chol, z)
    log_candidate = -0.5 * (DF + d) * np.log1p((z**2).sum(axis=2) / DF)
    weight = _log_density(fit, batch, prior, theta) - log_candidate
    chosen = np.zeros(rows, dtype=np.int64)
    out = np.empty((n, rows, d))
    log_u = np.log(rng.random((steps, rows)))
    at = np.arange(rows)
    for t in range(1, steps + 1):
        if t > BURN and (t - BURN - 1) % THIN == 0:
            out[(t - BURN - 1) // THIN] = theta[chosen, at]
        if t < steps:
            accept = log_u[t] < weight[t] - weight[chosen, at]
            chosen = np.where(accept, t, chosen)
    return out


def _log_density(fit: IrtFit, batch: Batch, prior: PersonPrior, theta: FloatArray) -> FloatArray:
    """(T, n) log likelihood plus log prior density at theta (T, n, D), but for a constant."""
    from jmix.estimate.irt.person_programs import LOGLIK

    values = unpack(np, fit.spec, np.asarray(fit.solution.x))
    kinds, parts = parts_of(fit.spec, values, batch)
    steps, rows, d = theta.shape
    size = batch.codes.shape[0]
    padded = np.zeros((1 << (steps - 1).bit_length(), size, d))
    padded[:steps, :rows] = theta
    loglik = np.asarray(LOGLIK(parts, padded, kinds=kinds))[:steps, :rows]
    r = theta - prior.mean[batch.rows]
    known = latent_density(fit)
    if known is not None:
        return np.asarray(loglik + log_density(known, r[:, :, 0] / np.sqrt(prior.covariance[batch.group, 0, 0])))
    precision = np.linalg.inv(prior.covariance[batch.group])
    return np.asarray(loglik - 0.5 * np.einsum("tnd,de,tne->tn", r, precision, r))
