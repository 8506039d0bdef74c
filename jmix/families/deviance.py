"""Unit deviances, as the ``dev.resids`` of R's families."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.families.links import inverse_link
from jmix.families.moments import phi_of
from jmix.families.names import Aux, Family

FloatArray = npt.NDArray[np.float64]

WITH_DEVIANCE = frozenset({"gaussian", "bernoulli", "binomial", "poisson", "nbinom2", "gamma", "inverse_gaussian"})


def deviance_units(family: Family, y: FloatArray, size: FloatArray | None, eta: FloatArray, aux: Aux) -> FloatArray:
    """Contribution of each row to the deviance, before prior weights; trials of a binomial are counted in.

    R's ``family()$dev.resids`` (McCullagh & Nelder 1989, Generalized Linear Models, table 2.1); of the negative
    binomial MASS's, and glmmTMB's ``nbinom2``, which take phi as known.

    Args:
        family: the response family.
        y: (n,) responses; successes of a binomial.
        size: (n,) trials of a binomial.
        eta: (n,) linear predictors.
        aux: the family's other parameters; ``log_phi`` is used by nbinom2 alone.

    Raises:
        ModelError: a family without a deviance, or a model of the zeros.
    """
    name = family.name
    if family.zero or name not in WITH_DEVIANCE:
        raise ModelError(f"{family.title} has no deviance; use quantile or Pearson residuals")
    y, eta = np.asarray(y, dtype=np.float64), np.asarray(eta, dtype=np.float64)
    mu = np.asarray(inverse_link(family, eta))
    if name in {"bernoulli", "binomial"}:
        n = 1.0 if size is None or name == "bernoulli" else np.asarray(size, dtype=np.float64)
        p = y / n
        return np.asarray(2.0 * n * (_y_log(p, p, mu) + _y_log(1.0 - p, 1.0 - p, 1.0 - mu)))
    if name == "gaussian":
        return np.square(y - mu)
    if name == "poisson":
        return np.asarray(2.0 * (_y_log(y, y, mu) - (y - mu)))
    if name == "gamma":
        return np.asarray(-2.0 * (np.log(np.where(y == 0, 1.0, y / mu)) - (y - mu) / mu))
    if name == "inverse_gaussian":
        return np.asarray(np.square(y - mu) / (y * mu**2))
    theta = phi_of(aux)
    return np.asarray(2.0 * (_y_log(y, np.maximum(y, 1.0), mu) - (y + theta) * np.log((y + theta) / (mu + theta))))


def _y_log(weight: FloatArray, over: FloatArray, under: FloatArray) -> FloatArray:
    """``weight log(over / under)``, 0 where the weight is."""
    positive = weight > 0
    ratio = np.where(positive, over, 1.0) / np.where(positive, under, 1.0)
    return np.asarray(weight * np.log(ratio))
