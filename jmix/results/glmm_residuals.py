"""Residuals of a generalized linear mixed model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.glmm_estimates import SCALED
from jmix.results.glmm_law import Law, law
from jmix.results.glmm_simulate import responses
from jmix.results.predict import check_draws

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]

TYPES = ("deviance", "pearson", "scaled", "response", "working", "quantile")
SIMULATIONS = 250


def residuals(fit: GlmmFit, type: str, *, simulated: bool, n: int, seed: int) -> pd.Series:
    """The work behind ``GlmmFit.residuals``; arguments are described there."""
    if type not in TYPES:
        raise ModelError(f"residuals(type={type!r}): choose {', '.join(map(repr, TYPES))}")
    if simulated and type != "quantile":
        raise ModelError(f"residuals(type={type!r}, simulated=True): only quantile residuals are simulated")
    rng = check_draws("residuals", n, seed)
    if simulated:
        values = _simulated(fit, int(n), rng)
    elif type == "quantile":
        values = quantile(fit, law(fit), rng)
    else:
        values = _plain(fit, type)
    return pd.Series(values, index=fit.base.index, name="residual")


def _plain(fit: GlmmFit, type: str) -> FloatArray:
    if fit.family.name == "cumulative":
        raise ModelError(
            f"residuals(type={type!r}): the response of a cumulative model is a category; choose 'quantile'"
        )
    own = law(fit)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if type == "deviance":
            return _deviance(fit, own)
        difference = proportions(fit) - own.mean()
        if type == "response":
            return difference
        if type == "working":
            return difference / _slope(fit, own)
        return difference * np.sqrt(_weights(fit) / _variance(fit, own, unit=type == "pearson"))


def proportions(fit: GlmmFit) -> FloatArray:
    """(n,) the response on the scale of its mean: of a binomial, the proportion of successes."""
    response = fit.design.response
    return response.y / response.size if fit.family.has_trials and response.size is not None else response.y


def _weights(fit: GlmmFit) -> FloatArray | float:
    return 1.0 if fit.design.weights is None else fit.design.weights


def _slope(fit: GlmmFit, own: Law) -> FloatArray:
    """``d mu / d eta``."""
    from jmix.families import link_derivative

    if fit.family.zero:
        raise ModelError("residuals(type='working') are those of a model without zero inflation or hurdle")
    return np.asarray(link_derivative(fit.family, own.inputs.eta))


def _variance(fit: GlmmFit, own: Law, *, unit: bool) -> FloatArray:
    """Variances of the responses; ``unit`` leaves out a dispersion that scales them, as R's Pearson residuals do."""
    family = fit.family
    if family.name == "student":
        return np.ones(fit.nobs) if unit else np.exp(2.0 * np.broadcast_to(own.inputs.log_phi, (fit.nobs,)))
    total = own.variance()
    if not unit or family.name not in SCALED:
        return total
    power = 2.0 if family.name == "gaussian" else 1.0
    return total / np.exp(power * np.asarray(own.inputs.log_phi))


def _deviance(fit: GlmmFit, own: Law) -> FloatArray:
    """``sign(y - mu) sqrt(w d(y, mu))`` with the unit deviances d of the family."""
    from jmix.families import deviance_units

    if not fit.has_deviance:
        kind = "a model of the zeros" if fit.family.zero else f"family {fit.family.name!r}"
        raise ModelError(f"residuals(type='deviance'): {kind} has no deviance; choose 'quantile' or 'pearson'")
    response, mu = fit.design.response, own.mean()
    units = np.asarray(deviance_units(fit.family, response.y, response.size, own.inputs.eta, own.inputs.aux))
    return np.sign(proportions(fit) - mu) * np.sqrt(_weights(fit) * np.maximum(units, 0.0))


def conditional_deviance(fit: GlmmFit) -> float:
    """Sum of the squared deviance residuals: lme4's ``deviance``, given the random effects."""
    return float(np.sum(np.square(_plain(fit, "deviance"))))


def quantile(fit: GlmmFit, own: Law, rng: np.random.Generator) -> FloatArray:
    """(n,) normal quantiles of F(y), uniform over the jump of F at a discrete y (Dunn & Smyth 1996, J. Comput. Graph.
    Stat. 5(3), section 2).
    """
    from scipy.special import ndtri

    y = fit.design.response.y
    upper = own.cdf(y)
    if fit.family.discrete:
        lower = own.below(y)
        upper = lower + rng.uniform(size=y.size) * (upper - lower)
    tiny = np.finfo(np.float64).tiny
    return np.asarray(ndtri(np.clip(upper, tiny, 1.0 - 2.0**-53)))


def _simulated(fit: GlmmFit, n: int, rng: np.random.Generator) -> FloatArray:
    """(n,) ranks in (0, 1) of the responses among n simulated with new random effects.

    DHARMa's scaled residuals (Hartig 2022, R package, method "PIT"), ties broken at random and each rank spread over
    its share 1 / (n + 1), so that they are uniform under the model for every n.
    """
    y = fit.design.response.y
    below, equal = np.zeros(y.size), np.zeros(y.size)
    for draw in responses(fit, n, rng, conditional=False):
        below += draw < y
        equal += draw == y
    return np.asarray((below + rng.uniform(size=y.size) * (equal + 1.0)) / (n + 1.0))
