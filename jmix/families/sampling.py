"""Random responses given the linear predictors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.families.links import inverse_link
from jmix.families.moments import Count, count_part, cumulative_probabilities, phi_of, zero_probability
from jmix.families.names import Aux, Family

FloatArray = npt.NDArray[np.float64]

LARGEST_RATE = 1e18
"""Poisson rates are cut here: NumPy's generator takes none beyond the range of 64-bit integers."""


def sample(family: Family, rng: np.random.Generator, size: FloatArray | None, eta: FloatArray, aux: Aux) -> FloatArray:
    """One response in each row.

    Args:
        family: the response family.
        rng: source of randomness.
        size: trials of a binomial, broadcastable to eta; ignored otherwise.
        eta: linear predictors, any shape.
        aux: the family's other parameters.

    Returns:
        Responses of the shape of eta: successes of a binomial, codes 0..K-1 of a cumulative family.
    """
    eta = np.asarray(eta, dtype=np.float64)
    name = family.name
    if name == "cumulative":
        table = cumulative_probabilities(family, eta, aux)[..., 1:-1]
        return np.sum(rng.uniform(size=(*eta.shape, 1)) > table, axis=-1).astype(np.float64)
    if name in {"poisson", "nbinom1", "nbinom2"}:
        return _counts(family, rng, eta, aux)
    mu = np.asarray(inverse_link(family, eta))
    if name in {"bernoulli", "binomial"}:
        trials = 1 if size is None or name == "bernoulli" else np.asarray(size).astype(np.int64)
        return rng.binomial(trials, np.clip(mu, 0.0, 1.0), size=eta.shape).astype(np.float64)
    return _continuous(name, rng, mu, aux)


def _continuous(name: str, rng: np.random.Generator, mu: FloatArray, aux: Aux) -> FloatArray:
    phi = np.broadcast_to(phi_of(aux), mu.shape)
    if name == "gaussian":
        return np.asarray(mu + phi * rng.standard_normal(mu.shape))
    if name == "student":
        return np.asarray(mu + phi * rng.standard_t(float(np.asarray(aux.shape)), size=mu.shape))
    tiny = np.finfo(np.float64).tiny
    if name == "gamma":
        return np.maximum(rng.gamma(1.0 / phi, phi * mu), tiny)
    if name == "inverse_gaussian":
        return np.maximum(rng.wald(mu, 1.0 / phi), tiny)
    draws = rng.beta(np.maximum(mu * phi, tiny), np.maximum((1.0 - mu) * phi, tiny))
    return np.asarray(np.clip(draws, tiny, 1.0 - 2.0**-53))


def _counts(family: Family, rng: np.random.Generator, eta: FloatArray, aux: Aux) -> FloatArray:
    part = count_part(family, eta, aux)
    if not family.zero:
        return _plain(rng, part.mu, part.r)
    extra = rng.uniform(size=eta.shape) < zero_probability(aux)
    counts = _truncated(rng, part) if family.zero == "hurdle" else _plain(rng, part.mu, part.r)
    return np.where(extra, 0.0, counts)


def _plain(rng: np.random.Generator, mu: FloatArray, r: FloatArray) -> FloatArray:
    """Poisson of a gamma rate with shape r, which for infinite r is mu itself."""
    mixed = np.isfinite(r) & (r > 0)
    shape = np.where(mixed, r, 1.0)
    rate = np.where(mixed, rng.gamma(shape, mu / shape), mu)
    return rng.poisson(np.minimum(rate, LARGEST_RATE)).astype(np.float64)


def _truncated(rng: np.random.Generator, part: Count) -> FloatArray:
    """Counts above zero, exactly and without rejection.

    A negative binomial is a Poisson number, of mean ``A = -log f(0)``, of clusters with logarithmic sizes (Quenouille
    1949, Biometrics 5); for a Poisson the sizes are 1. As arrivals in [0, A], given that there is one, the first comes
    at ``t = -log(1 - U (1 - exp(-A)))`` and brings one cluster; the clusters after it sum to a count of the same kind
    with its size and mean multiplied by ``1 - t/A``.
    """
    total = np.maximum(-part.log_zero, np.finfo(np.float64).tiny)
    first = -np.log1p(rng.uniform(size=total.shape) * np.expm1(-total))
    left = np.clip(1.0 - first / total, 0.0, 1.0)
    log_series = part.mu / (part.mu + part.r)
    cluster = rng.logseries(np.clip(log_series, 0.0, 1.0 - 2.0**-53))
    return cluster + _plain(rng, part.mu * left, part.r * left)
