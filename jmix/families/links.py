"""Links, their inverses and the derivatives of these, in NumPy or JAX."""

from __future__ import annotations

from typing import Any

import numpy as np

from jmix.families.names import Family


def _normal_cdf(eta: Any, xp: Any) -> Any:
    if xp is np:
        from scipy.special import ndtr
    else:
        from jax.scipy.special import ndtr
    return ndtr(eta)


def inverse_link(family: Family, eta: Any, xp: Any = np) -> Any:
    """The mean ``mu`` at linear predictor ``eta``: ``g^{-1}(eta)`` for the family's link g.

    For counts with a model of their zeros it is the mean of the count part; see ``mean`` for that of the response.

    Args:
        family: the response family.
        eta: linear predictors, any shape.
        xp: the module of the arrays, ``numpy`` or ``jax.numpy``.
    """
    link = family.link
    if link == "identity":
        return eta
    if link == "log":
        return xp.exp(eta)
    if link == "logit":
        e = xp.exp(-xp.abs(eta))
        return xp.where(eta >= 0, 1.0, e) / (1.0 + e)
    if link == "probit":
        return _normal_cdf(eta, xp)
    if link == "cloglog":
        return -xp.expm1(-xp.exp(eta))
    if link == "cauchit":
        return xp.arctan2(xp.ones_like(eta), -eta) / np.pi
    if link == "sqrt":
        return eta * eta
    return 1.0 / eta if link == "inverse" else 1.0 / xp.sqrt(eta)


def link_function(family: Family, mu: Any) -> Any:
    """The linear predictor ``g(mu)`` at mean ``mu`` (NumPy)."""
    link = family.link
    if link == "identity":
        return mu
    if link == "log":
        return np.log(mu)
    if link == "logit":
        return np.log(mu) - np.log1p(-mu)
    if link == "probit":
        from scipy.special import ndtri

        return ndtri(mu)
    if link == "cloglog":
        return np.log(-np.log1p(-mu))
    if link == "cauchit":
        return np.tan(np.pi * (mu - 0.5))
    if link == "sqrt":
        return np.sqrt(mu)
    return 1.0 / mu if link == "inverse" else 1.0 / np.square(mu)


def link_derivative(family: Family, eta: Any) -> Any:
    """``d mu / d eta`` at linear predictor ``eta`` (NumPy)."""
    link = family.link
    if link == "identity":
        return np.ones_like(eta)
    if link == "log":
        return np.exp(eta)
    if link == "logit":
        e = np.exp(-np.abs(eta))
        return e / np.square(1.0 + e)
    if link == "probit":
        return np.exp(-0.5 * np.square(eta)) / np.sqrt(2.0 * np.pi)
    if link == "cloglog":
        return np.exp(eta - np.exp(eta))
    if link == "cauchit":
        return 1.0 / (np.pi * (1.0 + np.square(eta)))
    if link == "sqrt":
        return 2.0 * eta
    return -1.0 / np.square(eta) if link == "inverse" else -0.5 * eta**-1.5
