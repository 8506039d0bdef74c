"""Kernel density curves of draws that stop where their parameter's range does, and where those ranges are."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from jmix.results.diagnostics import FEWEST_DRAWS, array_stats
from jmix.spec.names import cor_names, sd_names
from jmix.spec.supports import ScalarPrior

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior
    from jmix.spec.prior_sets import Priors

FloatArray = npt.NDArray[np.float64]
Range = tuple[float, float]

POINTS = 256
FAR = 15.0
"""Interquartile ranges from the median beyond which a draw has no part in the picture: 20 standard deviations of a
normal distribution.
"""


def ranges(post: Posterior) -> dict[str, Range]:
    """Lower and upper bound of every parameter: standard deviations from zero, correlations from -1 to 1, and the
    bounds of their priors.
    """
    out: dict[str, Range] = dict.fromkeys(post.parameters, (-np.inf, np.inf))
    for names in sd_names(post.spec):
        out |= dict.fromkeys(names, (0.0, np.inf))
    for names in cor_names(post.spec):
        out |= dict.fromkeys(names, (-1.0, 1.0))
    positive = {name for name in post.law.parameters() if name not in post.law.coefficients}
    out |= {name: (0.0, 1.0 if name in ("zi", "hu") else np.inf) for name in out if name in positive}
    priors = cast("Priors | None", post.priors)
    if priors is None:
        return out
    scalars = dict(zip(post.design.x_names, priors.coefficients, strict=True)) | dict(priors.scalars)
    for names, term in zip(sd_names(post.spec), priors.terms, strict=True):
        scalars |= dict(zip(names, term.sds, strict=True)) if term.matrix is None else {}
    return {name: _within(bound, scalars.get(name)) for name, bound in out.items()}


def _within(bound: Range, prior: ScalarPrior | None) -> Range:
    """The part of a range that the prior allows."""
    if prior is None:
        return bound
    ends = [prior.low, prior.high]
    if prior.on != "value":
        with np.errstate(divide="ignore"):
            ends = [float(prior.parameter(np.float64(max(end, 0.0)))) for end in ends]
    return max(bound[0], min(ends)), min(bound[1], max(ends))


def density_curve(draws: FloatArray, bound: Range) -> tuple[FloatArray, FloatArray]:
    """Grid and density, each (256,), of (N,) draws; empty where there is nothing to estimate.

    The estimate is reflected at a bound of the parameter. Elsewhere the grid reaches beyond the draws, far enough for
    the curve to come down; but a few draws in a heavy tail, very far from the others, are beyond its ends.
    """
    everything = draws[np.isfinite(draws)]
    if everything.size < FEWEST_DRAWS or everything.min() == everything.max():
        return np.zeros(0), np.zeros(0)
    draws = _near(everything)
    reach = 3.0 * float(draws.std()) * draws.size ** (-0.2)
    low, high = max(bound[0], float(draws.min()) - reach), min(bound[1], float(draws.max()) + reach)
    shift, scale = float(draws.min()), float(np.ptp(draws))
    limits = (min((low - shift) / scale, 0.0), max((high - shift) / scale, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimate = array_stats().kde((draws - shift) / scale, bw="silverman", grid_len=POINTS, custom_lims=limits)
    grid, density = (np.asarray(part, dtype=np.float64) for part in estimate[:2])
    return grid * scale + shift, density / scale * (draws.size / everything.size)


def _near(draws: FloatArray) -> FloatArray:
    """The draws within many times the interquartile range of the median."""
    lower, median, upper = np.quantile(draws, [0.25, 0.5, 0.75])
    return draws[np.abs(draws - median) <= FAR * (upper - lower)] if upper > lower else draws
