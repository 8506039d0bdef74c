"""Predictions of a generalized linear mixed model and their standard errors by the delta method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results import glmm_variance
from jmix.results.glmm_average import average
from jmix.results.glmm_estimable import quadratic
from jmix.results.glmm_inputs import Evaluation, Inputs, evaluate

if TYPE_CHECKING:
    from jmix.families import Family
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]

TYPES = ("response", "link", "conditional", "probs", "zi", "disp")

DIFFERENCE = 6e-6
"""Relative step of central differences: the cube root of the rounding error."""


@dataclass(frozen=True)
class Target:
    """A quantity of each row.

    Attributes:
        value: (n,) of the inputs, or (K, n). needs: the inputs that it depends on by row.
        labels: names of the K quantities, or empty.
    """

    value: Callable[[Inputs], FloatArray]
    needs: frozenset[str]
    labels: tuple[str, ...] = ()


def predict(
    fit: GlmmFit,
    data: Any,
    *,
    type: str,
    conditional: bool,
    new_levels: str,
    se: bool,
    population_averaged: bool,
) -> pd.Series | pd.DataFrame:
    """The work behind ``GlmmFit.predict``; arguments are described there."""
    target = target_of(fit, type)
    averaged = population_averaged and bool(fit.terms) and "eta" in target.needs
    if averaged:
        _check_average(fit, type)
    at = evaluate(fit, data, target.needs, conditional=conditional, new_levels=new_levels, averaged=averaged)

    def value(inputs: Inputs) -> FloatArray:
        return target.value(inputs) if inputs.spread is None else average(fit.family, target.value, inputs)

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        estimate = _frame(value(at.inputs), at, target.labels, "fit")
        if not se:
            return estimate
        errors = _frame(_standard_errors(fit, at, value), at, target.labels, "se")
    if not target.labels:
        return pd.DataFrame({"fit": estimate, "se": errors}, index=at.index)
    return pd.concat({"fit": estimate, "se": errors}, axis=1)


def target_of(fit: GlmmFit, type: str) -> Target:
    """What a type of prediction computes.

    Raises:
        ModelError: another type, or one that the family does not have.
    """
    from jmix.families import mean

    family = fit.family
    if type not in TYPES:
        raise ModelError(f"type={type!r}: choose {', '.join(map(repr, TYPES))}")
    ordinal = family.name == "cumulative"
    if type == "probs" and not ordinal:
        raise ModelError("type='probs' is for a cumulative model; type='response' gives the expected response")
    if type == "zi" and not family.zero:
        raise ModelError("type='zi': the model has no zero inflation or hurdle")
    if type == "disp" and not family.has_dispersion:
        raise ModelError(f"type='disp': family {family.name!r} has no dispersion")
    if type == "conditional" and ordinal:
        raise ModelError("type='conditional': the response of a cumulative model is a category; choose 'probs'")
    if type in ("probs", "response") and ordinal:
        labels = fit.design.response.levels
        return Target(lambda at: probabilities(family, at), frozenset({"eta"}), labels)
    if type in ("response", "conditional"):
        needs = {"eta"} | ({"zi"} if family.zero else set()) | ({"log_phi"} if family.zero == "hurdle" else set())
        if type == "response":
            return Target(lambda at: np.asarray(mean(family, at.eta, at.aux)), frozenset(needs))
        return Target(lambda at: _count_mean(family, at), frozenset(needs - {"zi"}))
    if type == "zi":
        return Target(lambda at: np.asarray(expit(at.zi)), frozenset({"zi"}))
    if type == "disp":
        return Target(lambda at: np.exp(at.log_phi), frozenset({"log_phi"}))
    return Target(lambda at: np.asarray(at.eta), frozenset({"eta"}))


def _count_mean(family: Family, at: Inputs) -> FloatArray:
    """The mean with zero probability zero: of the counts of an inflated model, of the positive ones of a hurdle."""
    from jmix.families import mean

    return np.asarray(mean(family, at.eta, replace(at, zi=-np.inf).aux))


def expit(eta: Any) -> FloatArray:
    """The inverse logit."""
    from scipy import special

    return np.asarray(special.expit(eta))


def probabilities(family: Family, at: Inputs) -> FloatArray:
    """(K, ...) probabilities of the categories."""
    from jmix.families import category_probabilities

    return np.moveaxis(category_probabilities(family, np.asarray(at.eta), at.aux), -1, 0)


def _check_average(fit: GlmmFit, type: str) -> None:
    if type == "link":
        raise ModelError("population_averaged=True is for the response; the mean of the link is conditional=False")
    if fit.family.link in ("inverse", "1/mu^2"):
        raise ModelError(
            f"population_averaged=True: with the link {fit.family.link!r} the expected response over normal random "
            "effects does not exist; use a log link, or predict with conditional=False"
        )


def _frame(values: FloatArray, at: Evaluation, labels: tuple[str, ...], name: str) -> Any:
    values = np.where(at.valid, values, np.nan)
    if labels:
        return pd.DataFrame(values.T, index=at.index, columns=list(labels))
    return pd.Series(values, index=at.index, name=name)


def _standard_errors(fit: GlmmFit, at: Evaluation, value: Callable[[Inputs], FloatArray]) -> FloatArray:
    """By the delta method: derivatives of the quantity in its inputs, times theirs in the parameters.

    To the variance from the estimates that of the modes is added, where the rows have random effects.
    """
    total = derivatives(fit, at, value)
    own: Any = 0.0
    if at.inputs.eta is not None and at.rows is not None:
        own = np.square(_slope(value, at.inputs, "eta")) * glmm_variance.mode_variance(fit, at.rows)
    flat = total.reshape(-1, total.shape[-1])
    return np.sqrt(quadratic(fit, flat).reshape(total.shape[:-1]) + own)


def derivatives(fit: GlmmFit, at: Evaluation, value: Callable[[Inputs], FloatArray]) -> FloatArray:
    """(n, d) derivatives of a quantity of each row in the parameters; (K, n, d) of K quantities."""
    base = np.asarray(value(at.inputs))
    total = np.zeros((*base.shape, fit.solution.x.size))
    for name in ("eta", "log_phi", "zi", "spread"):
        if getattr(at.inputs, name) is not None:
            total += _slope(value, at.inputs, name)[..., None] * at.gradient(name)
    if at.inputs.tau is not None and base.ndim == 2:
        for k, gradient in enumerate(at.gradient("tau")):
            total += _tau_slope(value, at.inputs, k)[..., None] * gradient
    return total


def _slope(value: Callable[[Inputs], FloatArray], at: Inputs, name: str) -> FloatArray:
    """Central difference of the quantity in one input, row by row."""
    centre = np.asarray(getattr(at, name))
    step = DIFFERENCE * np.maximum(1.0, np.abs(centre))
    high, low = (value(replace(at, **{name: centre + sign * step})) for sign in (1.0, -1.0))
    return np.asarray((high - low) / (2.0 * step))


def _tau_slope(value: Callable[[Inputs], FloatArray], at: Inputs, k: int) -> FloatArray:
    assert at.tau is not None
    step = DIFFERENCE * np.eye(at.tau.size)[k]
    return (value(replace(at, tau=at.tau + step)) - value(replace(at, tau=at.tau - step))) / (2.0 * DIFFERENCE)


def fitted(fit: GlmmFit, type: str, *, conditional: bool) -> pd.Series:
    """The work behind ``GlmmFit.fitted``."""
    if type not in ("response", "link"):
        raise ModelError(f"fitted(type={type!r}): choose 'response' or 'link'; predict has more")
    target = target_of(fit, type)
    at = evaluate(fit, None, target.needs, conditional=conditional)
    values = target.value(at.inputs)
    if target.labels:
        values = values[fit.design.response.y.astype(np.int64), np.arange(fit.nobs)]
    return pd.Series(values, index=at.index, name="fitted")
