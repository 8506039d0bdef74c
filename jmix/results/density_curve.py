"""Kernel density curves of draws that stop where their parameter's range does, and where those ranges are."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.results.diagnostics import FEWEST_DRAWS, array_stats
from jmix.spec.names import cor_names, sd_names
from jmix.spec.supports import ScalarPrior

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior

FloatArray = npt.NDArray[np.float64]
Range = tuple[float, float]

POINTS = 256


def ranges(post: Posterior) -> dict[str, Range]:
    """Lower and upper bound of every parameter: standard deviations from zero, correlations from -1 to 1, and the
    bounds of their priors.
    """
    out: dict[str, Range] = dict.fromkeys(post.parameters, (-np.inf, np.inf))
    for names in sd_names(post.spec):
        out |= dict.fromkeys(names, (0.0, np.inf))
    for names in cor_names(post.spec):
        out |= dict.fromkeys(names, (-1.0, 1.0))
    out |= {name: (0.0, np.inf) for name in ("sigma", "nu") if name in out}
    priors = post.priors
    if priors is None:
        return out
    scalars = dict(zip(post.design.x_names, priors.coefficients, strict=True)) | {"sigma": priors.sigma}
    for names, term in zip(sd_names(post.spec), priors.terms, strict=True):
        scalars |= dict(zip(names, term.sds, strict=True)) if term.matrix is None else {}
    if priors.nu is not None:
        scalars["nu"] = priors.nu
    return {name: _within(bound, scalars.get(name)) for name, bound in out.items()}


def _within(bound: Range, prior: ScalarPrior | None) -> Range:
    """The part of a range that the prior allows."""
    if prior is None:
        return bound
    with np.errstate(divide="ignore"):
        ends = [float(prior.parameter(np.float64(end))) if _usable(prior, end) else end for end in prior_ends(prior)]
    return max(bound[0], min(ends)), min(bound[1], max(ends))


def prior_ends(prior: ScalarPrior) -> Range:
    """Bounds of the prior's own variable; that of a precision or a variance is positive."""
    return (prior.low if prior.on == "value" else max(prior.low, 0.0)), prior.high


def _usable(prior: ScalarPrior, end: float) -> bool:
    return prior.on != "value" and not np.isnan(end)


def density_curve(draws: FloatArray, bound: Range) -> tuple[FloatArray, FloatArray]:
    """Grid and density, each (256,), of (N,) draws; empty where there is nothing to estimate.

    The estimate is reflected at a bound of the parameter. Elsewhere the grid reaches beyond the draws, far enough for
    the curve to come down.
    """
    draws = draws[np.isfinite(draws)]
    if draws.size < FEWEST_DRAWS or draws.min() == draws.max():
        return np.zeros(0), np.zeros(0)
    reach = 3.0 * float(draws.std()) * draws.size ** (-0.2)
    low, high = max(bound[0], float(draws.min()) - reach), min(bound[1], float(draws.max()) + reach)
    shift, scale = float(draws.min()), float(np.ptp(draws))
    limits = (min((low - shift) / scale, 0.0), max((high - shift) / scale, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grid, density, _ = array_stats().kde((draws - shift) / scale, grid_len=POINTS, custom_lims=limits)
    return np.asarray(grid * scale + shift), np.asarray(density / scale)
