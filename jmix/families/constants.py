"""The part of each log density that is free of eta and of every parameter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jmix.families.names import Family

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


def log_constant(family: Family, y: FloatArray, size: FloatArray | None) -> FloatArray:
    """What ``log_density`` leaves out, in each row: their sum is the normalised log density.

    Args:
        family: the response family.
        y: (n,) responses.
        size: (n,) trials of a binomial; ignored otherwise.

    Returns:
        (n,) constants; 0 for a Bernoulli and a cumulative family.
    """
    from scipy.special import gammaln

    y = np.asarray(y, dtype=np.float64)
    if family.name in {"bernoulli", "cumulative"}:
        return np.zeros_like(y)
    if family.name == "binomial":
        n = np.asarray(size, dtype=np.float64)
        return np.asarray(gammaln(n + 1.0) - gammaln(y + 1.0) - gammaln(n - y + 1.0))
    if family.name in {"poisson", "nbinom1", "nbinom2"}:
        return np.asarray(-gammaln(y + 1.0))
    if family.name in {"gaussian", "student"}:
        return np.full_like(y, -0.5 * math.log(2.0 * math.pi))
    if family.name == "beta":
        return np.asarray(-np.log(y) - np.log1p(-y))
    if family.name == "gamma":
        return np.asarray(-np.log(y))
    return np.asarray(-0.5 * (math.log(2.0 * math.pi) + 3.0 * np.log(y)))
