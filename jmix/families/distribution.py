"""Distribution functions of responses, for quantile residuals: NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.families.links import inverse_link
from jmix.families.moments import Count, count_part, cumulative_probabilities, phi_of, zero_probability
from jmix.families.names import Aux, Family

FloatArray = npt.NDArray[np.float64]


def cdf(family: Family, y: FloatArray, size: FloatArray | None, eta: FloatArray, aux: Aux) -> FloatArray:
    """``P(Y <= y)`` in each row.

    Args:
        family: the response family.
        y: (n,) responses: successes of a binomial, codes 0..K-1 of a cumulative family.
        size: (n,) trials of a binomial; ignored otherwise.
        eta: (n,) linear predictors.
        aux: the family's other parameters.
    """
    y, eta = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(eta, dtype=np.float64))
    if family.name == "cumulative":
        table = cumulative_probabilities(family, eta, aux)
        code = np.clip(np.floor(y) + 1.0, 0.0, table.shape[-1] - 1.0).astype(np.int64)
        return np.asarray(np.take_along_axis(table, code[..., None], axis=-1)[..., 0])
    if family.name in {"bernoulli", "binomial"}:
        return _binary_cdf(family, y, size, eta)
    if family.name in {"poisson", "nbinom1", "nbinom2"}:
        return _count_cdf(family, y, eta, aux)
    return _continuous_cdf(family, y, np.asarray(inverse_link(family, eta)), aux)


def cdf_below(family: Family, y: FloatArray, size: FloatArray | None, eta: FloatArray, aux: Aux) -> FloatArray:
    """``P(Y < y)`` in each row: ``cdf`` for a continuous family, ``cdf`` at y - 1 for a discrete one."""
    shift = 1.0 if family.discrete else 0.0
    return cdf(family, np.asarray(y, dtype=np.float64) - shift, size, eta, aux)


def _binary_cdf(family: Family, y: FloatArray, size: FloatArray | None, eta: FloatArray) -> FloatArray:
    from scipy.special import betainc

    n = np.broadcast_to(1.0 if size is None or family.name == "bernoulli" else np.asarray(size, dtype=float), y.shape)
    q = 1.0 - np.asarray(inverse_link(family, eta))
    k = np.clip(np.floor(y), 0.0, np.maximum(n - 1.0, 0.0))
    inner = betainc(np.maximum(n - k, 1.0), k + 1.0, np.clip(q, 0.0, 1.0))
    return np.asarray(np.where(y < 0, 0.0, np.where(y >= n, 1.0, inner)))


def _count_cdf(family: Family, y: FloatArray, eta: FloatArray, aux: Aux) -> FloatArray:
    part = count_part(family, eta, aux)
    plain = _plain_count_cdf(family, np.maximum(np.floor(y), 0.0), part)
    if family.zero:
        pi = zero_probability(aux)
        if family.zero == "hurdle":
            positive = np.maximum(-np.expm1(part.log_zero), np.finfo(np.float64).tiny)
            plain = np.where(y < 1, 0.0, np.clip((plain - np.exp(part.log_zero)) / positive, 0.0, 1.0))
        plain = pi + (1.0 - pi) * plain
    return np.asarray(np.where(y < 0, 0.0, plain))


def _plain_count_cdf(family: Family, y: FloatArray, part: Count) -> FloatArray:
    from scipy.special import betainc, gammaincc

    if family.name == "poisson":
        return np.asarray(gammaincc(y + 1.0, part.mu))
    return np.asarray(betainc(part.r, y + 1.0, part.r / (part.r + part.mu)))


def _continuous_cdf(family: Family, y: FloatArray, mu: FloatArray, aux: Aux) -> FloatArray:
    from scipy.special import betainc, gammainc, log_ndtr, ndtr, stdtr

    phi = phi_of(aux)
    if family.name == "gaussian":
        return np.asarray(ndtr((y - mu) / phi))
    if family.name == "student":
        return np.asarray(stdtr(float(np.asarray(aux.shape)), (y - mu) / phi))
    if family.name == "gamma":
        return np.asarray(gammainc(1.0 / phi, np.maximum(y, 0.0) / (phi * mu)))
    if family.name == "beta":
        return np.asarray(betainc(mu * phi, (1.0 - mu) * phi, np.clip(y, 0.0, 1.0)))
    safe = np.maximum(y, np.finfo(np.float64).tiny)
    root = np.sqrt(1.0 / (phi * safe))
    upper = np.exp(2.0 / (phi * mu) + log_ndtr(-root * (safe / mu + 1.0)))
    return np.asarray(np.where(y > 0, np.minimum(ndtr(root * (safe / mu - 1.0)) + upper, 1.0), 0.0))
