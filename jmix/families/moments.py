"""Means and variances of responses, for results: NumPy and SciPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.families.links import inverse_link
from jmix.families.names import Aux, Family

FloatArray = npt.NDArray[np.float64]


class Count(NamedTuple):
    """The count part of a family with zeros, in each row.

    Attributes:
        mu: mean. variance: variance. r: size of the negative binomial, infinite for a Poisson.
        log_zero: log probability of 0.
    """

    mu: FloatArray
    variance: FloatArray
    r: FloatArray
    log_zero: FloatArray


def phi_of(aux: Aux) -> FloatArray:
    """Dispersion in each row."""
    return np.asarray(np.exp(np.asarray(aux.log_phi, dtype=np.float64)))


def zero_probability(aux: Aux) -> FloatArray:
    """The zero probability of an inflated or hurdle model in each row."""
    from scipy.special import expit

    return np.asarray(expit(np.asarray(aux.zi, dtype=np.float64)))


def count_part(family: Family, eta: FloatArray, aux: Aux) -> Count:
    """The count part at linear predictors ``eta``."""
    mu = np.asarray(inverse_link(family, np.asarray(eta, dtype=np.float64)))
    if family.name == "poisson":
        return Count(mu, mu, np.full_like(mu, np.inf), -mu)
    phi = phi_of(aux)
    if family.name == "nbinom2":
        return Count(mu, mu + mu * mu / phi, np.broadcast_to(phi, mu.shape), -phi * np.log1p(mu / phi))
    r = mu / phi
    return Count(mu, mu * (1.0 + phi), r, -r * np.log1p(phi))


def category_probabilities(family: Family, eta: FloatArray, aux: Aux) -> FloatArray:
    """(n, K) probabilities of the categories of a cumulative family."""
    return np.diff(cumulative_probabilities(family, eta, aux), axis=-1)


def cumulative_probabilities(family: Family, eta: FloatArray, aux: Aux) -> FloatArray:
    """(n, K + 1) probabilities ``F(tau_k - eta)`` with 0 before and 1 after."""
    distance = np.asarray(aux.tau, dtype=np.float64) - np.asarray(eta, dtype=np.float64)[..., None]
    inner = inverse_link(family, distance)
    ends = np.zeros((*distance.shape[:-1], 1))
    return np.concatenate([ends, inner, ends + 1.0], axis=-1)


def mean(family: Family, eta: FloatArray, aux: Aux) -> FloatArray:
    """Expected response in each row, its zeros included.

    Args:
        family: the response family.
        eta: (n,) linear predictors.
        aux: the family's other parameters.

    Returns:
        (n,) expected responses, of a binomial the expected proportion; (n, K) category probabilities of a cumulative
        family. Student's with nu <= 1 has no mean: its location.
    """
    eta = np.asarray(eta, dtype=np.float64)
    if family.name == "cumulative":
        return category_probabilities(family, eta, aux)
    if not family.zero:
        return np.asarray(inverse_link(family, eta))
    part = count_part(family, eta, aux)
    return (1.0 - zero_probability(aux)) * part.mu / _positive_share(family, part)


def _positive_share(family: Family, part: Count) -> FloatArray | float:
    """Probability by which a hurdle divides the moments of the count part; 1 under inflation."""
    if family.zero != "hurdle":
        return 1.0
    return np.maximum(-np.expm1(part.log_zero), np.finfo(np.float64).tiny)


def variance(family: Family, eta: FloatArray, aux: Aux, size: FloatArray | None = None) -> FloatArray:
    """Variance of the response in each row, its zeros included.

    Args:
        family: the response family.
        eta: (n,) linear predictors.
        aux: the family's other parameters.
        size: (n,) trials of a binomial: the variance is that of the proportion; of one trial when None.

    Returns:
        (n,) variances. Student's with nu <= 2: infinite. Of a cumulative family that of the code 0..K-1.
    """
    eta = np.asarray(eta, dtype=np.float64)
    name = family.name
    if name == "cumulative":
        p = category_probabilities(family, eta, aux)
        codes = np.arange(p.shape[-1])
        return np.asarray(p @ np.square(codes) - np.square(p @ codes))
    if family.zero:
        part, pi = count_part(family, eta, aux), zero_probability(aux)
        share = (1.0 - pi) / _positive_share(family, part)
        return np.asarray(share * (part.variance + part.mu**2) - np.square(share * part.mu))
    if name in {"poisson", "nbinom1", "nbinom2"}:
        return count_part(family, eta, aux).variance
    mu = np.asarray(inverse_link(family, eta))
    if name in {"bernoulli", "binomial"}:
        trials = 1.0 if size is None or name == "bernoulli" else np.asarray(size, dtype=np.float64)
        return mu * (1.0 - mu) / trials
    return _continuous_variance(name, mu, aux)


def _continuous_variance(name: str, mu: FloatArray, aux: Aux) -> FloatArray:
    phi = phi_of(aux)
    if name == "gaussian":
        return np.asarray(phi**2 + 0.0 * mu)
    if name == "student":
        nu = float(np.asarray(aux.shape))
        return np.asarray(phi**2 * (nu / (nu - 2.0) if nu > 2.0 else np.inf) + 0.0 * mu)
    if name == "gamma":
        return np.asarray(phi * mu**2)
    return np.asarray(phi * mu**3) if name == "inverse_gaussian" else np.asarray(mu * (1.0 - mu) / (1.0 + phi))
