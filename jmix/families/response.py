"""Whether a response suits a family, and starting values from it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError
from jmix.families.links import link_function
from jmix.families.names import Family

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def check_response(family: Family, y: FloatArray, size: FloatArray | None, name: str) -> None:
    """Refuse a response that the family cannot have produced.

    Args:
        family: the response family.
        y: (n,) responses; successes of a binomial, codes of a cumulative family.
        size: (n,) trials of a binomial, or None.
        name: what to call the response in a message.

    Raises:
        DataError: names the response, the first bad value and its row (from 0), and the remedy.
    """
    y = np.asarray(y, dtype=np.float64)
    label = f"the response {name}" if not name.startswith("the ") else name
    if y.size == 0:
        raise DataError(f"{label} has no rows")
    _refuse(~np.isfinite(y), y, label, "holds values that are not finite; drop or replace them")
    if family.name == "binomial":
        _check_trials(y, size, label)
    elif family.name == "bernoulli":
        remedy = "for successes out of several trials use family='binomial'"
        _refuse((y != 0) & (y != 1), y, label, f"must be 0 or 1 in a Bernoulli model; {remedy}")
    elif family.name in {"poisson", "nbinom1", "nbinom2"}:
        _check_count(family, y, label)
    elif family.name in {"gamma", "inverse_gaussian"}:
        _check_positive(family, y, label)
    elif family.name == "beta":
        _check_beta(y, label)
    elif family.name == "cumulative":
        k = family.n_categories or math.inf
        bad = (y != np.round(y)) | (y < 0) | (y >= k)
        _refuse(
            bad, y, label, f"must hold codes 0 to {k - 1:g}" if family.n_categories else "must hold codes from 0 up"
        )


def _refuse(bad: BoolArray, y: FloatArray, label: str, why: str) -> None:
    count = int(np.sum(bad))
    if count:
        row = int(np.argmax(bad))
        where = f"{y[row]:g} in row {row}" + (f", and {count - 1:,} more" if count > 1 else "")
        raise DataError(f"{label} {why} (found {where})")


def _check_trials(y: FloatArray, size: FloatArray | None, label: str) -> None:
    if size is None:
        raise DataError(f"{label} is a binomial one and needs its trials: write cbind(successes, failures)")
    n = np.asarray(size, dtype=np.float64)
    if n.shape != y.shape:
        raise DataError(f"{label} has {y.size} rows, its trials {n.size}")
    _refuse(~np.isfinite(n) | (n < 0) | (n != np.round(n)), n, label, "needs whole, non-negative numbers of trials")
    _refuse(y < 0, y, label, "counts successes and must not be negative")
    remedy = "give cbind(successes, failures), or a proportion with its trials as weights"
    _refuse(y != np.round(y), y, label, f"counts successes and must be whole; {remedy}")
    _refuse(y > n, y, label, f"has more successes than trials; {remedy}, not cbind(successes, trials)")


def _check_count(family: Family, y: FloatArray, label: str) -> None:
    _refuse(y < 0, y, label, f"must not be negative in family {family.name!r}; for real responses use 'gaussian'")
    remedy = "for a rate give the count, with offset=log(exposure); for positive numbers use family='gamma'"
    _refuse(y != np.round(y), y, label, f"must hold whole counts in family {family.name!r}; {remedy}")
    if family.zero == "hurdle" and not np.any(y > 0):
        raise DataError(f"{label} is zero everywhere; a hurdle model needs positive counts")
    if family.zero and not np.any(y == 0):
        raise DataError(f"{label} has no zeros, so that their probability cannot be estimated; leave the zero part out")


def _check_positive(family: Family, y: FloatArray, label: str) -> None:
    kind = f"must be positive in family {family.name!r}"
    _refuse(y < 0, y, label, f"{kind}; for responses of either sign use 'gaussian' or 'student'")
    remedy = "model zeros apart, by a Bernoulli model of y > 0 and this one of the positive rows, or use 'gaussian'"
    _refuse(y == 0, y, label, f"{kind}, and holds zeros; {remedy}")


def _check_beta(y: FloatArray, label: str) -> None:
    remedy = "divide percentages by 100; for successes out of trials use family='binomial'"
    _refuse((y < 0) | (y > 1), y, label, f"must lie between 0 and 1 in family 'beta'; {remedy}")
    squeeze = "(y * (n - 1) + 0.5) / n moves them inside (Smithson & Verkuilen 2006), or model them apart"
    _refuse((y == 0) | (y == 1), y, label, f"must lie strictly between 0 and 1 in family 'beta'; {squeeze}")


def start_mean(family: Family, y: FloatArray, size: FloatArray | None) -> FloatArray:
    """(n,) starting means inside the domain of the link: the ``mustart`` of R's families."""
    y = np.asarray(y, dtype=np.float64)
    name = family.name
    if name in {"bernoulli", "binomial"}:
        n = 1.0 if size is None or name == "bernoulli" else np.asarray(size, dtype=np.float64)
        return np.asarray((y + 0.5) / (n + 1.0))
    if name == "beta":
        return np.clip(y, 1e-3, 1.0 - 1e-3)
    if name in {"gaussian", "student"}:
        return _real_start(family.link, y)
    if family.zero:
        positive = y[y > 0]
        centre = float(np.mean(positive if family.zero == "hurdle" and positive.size else y))
        return np.where(y > 0, y, max(centre, 0.1))
    if name == "poisson":
        return y + 0.1
    return y + (y == 0) / 6.0 if name in {"nbinom1", "nbinom2"} else y


def _real_start(link: str, y: FloatArray) -> FloatArray:
    if link == "identity":
        return y
    small = max(0.1 * float(np.mean(np.abs(y))), 1e-8)
    if link == "log":
        return np.maximum(y, small)
    return np.where(np.abs(y) < small, np.copysign(small, y), y)


def start_eta(family: Family, y: FloatArray, size: FloatArray | None) -> FloatArray:
    """(n,) starting linear predictors, as R's ``glm``; 0 for a cumulative family."""
    if family.name == "cumulative":
        return np.zeros(np.shape(y))
    return np.asarray(link_function(family, start_mean(family, y, size)), dtype=np.float64)


def start_dispersion(family: Family, y: FloatArray, mu: FloatArray, size: FloatArray | None = None) -> float:
    """Starting value of log phi by moments of ``y - mu``; 0 for a family without dispersion.

    Args:
        family: the response family.
        y: (n,) responses.
        mu: (n,) means of a preliminary fit.
        size: ignored; here for the likeness of the signatures.
    """
    y, mu = np.asarray(y, dtype=np.float64), np.asarray(mu, dtype=np.float64)
    square = np.square(y - mu)
    name = family.name
    if not family.has_dispersion:
        return 0.0
    if name in {"gaussian", "student"}:
        scale = float(np.median(np.abs(y - mu))) * 1.4826 if name == "student" else 0.0
        scale = scale or math.sqrt(float(np.mean(square)))
        return math.log(max(scale, 1e-8 * float(np.max(np.abs(y), initial=0.0)), 1e-300))
    if name == "gamma":
        return _log_within(float(np.mean(square / mu**2)), 1e-8, 1e4)
    if name == "inverse_gaussian":
        return _log_within(float(np.mean(square / mu**3)), 1e-12, 1e12)
    if name == "nbinom2":
        excess = float(np.sum(square - mu)) / float(np.sum(mu**2))
        return -_log_within(excess, 0.01, 20.0)
    if name == "nbinom1":
        return _log_within(float(np.mean(square / mu)) - 1.0, 0.05, 1e4)
    spread = max(float(np.mean(square)), 1e-12)
    return _log_within(float(np.mean(mu * (1.0 - mu))) / spread - 1.0, 0.1, 1e8)


def _log_within(value: float, low: float, high: float) -> float:
    return math.log(min(max(value, low), high))
