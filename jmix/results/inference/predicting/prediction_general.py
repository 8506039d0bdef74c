"""Prediction intervals of generalized linear mixed models, by simulation.

For every draw: all parameters from their asymptotic normal distribution; the random effects of known groups from
their normal approximation about modes that move with the parameters, those of new groups from their distribution; and
a response given these. The limits are quantiles of the responses, or of their means without "residual".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results import glmm_variance
from jmix.results.glmm_average import average
from jmix.results.glmm_estimable import quadratic
from jmix.results.glmm_inputs import Evaluation, Inputs, evaluate
from jmix.results.inference.predicting.prediction import Intervals, Request, row_weights

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]

DISCRETE = frozenset({"bernoulli", "binomial", "poisson", "nbinom1", "nbinom2"})

CELLS = 1 << 22
"""Simulated responses that are held at a time."""


def general_intervals(fit: GlmmFit, data: Any, request: Request, weights: Any) -> pd.DataFrame:
    """Intervals of a generalized model as a table."""
    if fit.family.name == "cumulative":
        raise ModelError(
            "predict_interval: the response of a cumulative model is a category, which has no interval; "
            "predict(type='probs', se=True) gives the probabilities with their standard errors"
        )
    if "residual" in request.parts and not request.conditional and fit.terms and "random" not in request.parts:
        raise ModelError(
            "include= has 'residual' without 'random': a response of a new group varies with its group; include both, "
            "or neither for the population-averaged mean"
        )
    family = fit.family
    needs = frozenset({"eta", *(["log_phi"] if family.has_dispersion else []), *(["zi"] if family.zero else [])})
    averaged = not request.conditional and bool(fit.terms)
    at = evaluate(fit, data, needs, conditional=request.conditional, new_levels=request.new_levels, averaged=averaged)
    size = row_weights(weights, fit.design.response.size, data, at.valid.size) if family.name == "binomial" else None
    variances, half = _variances(fit, at, request, size), np.full(at.valid.size, 0.0)
    centre = _mean(fit, at.inputs)
    lower, upper = np.full(half.size, np.nan), np.full(half.size, np.nan)
    step = max(1, CELLS // request.n)
    moves = _parameter_moves(fit, request)
    for start in range(0, half.size, step):
        part = slice(start, min(start + step, half.size))
        draws = _draws(fit, at, request, moves, part, None if size is None else size[part])
        lower[part], upper[part] = _limits(draws, request, family.name in DISCRETE and "residual" in request.parts)
    unknown = ~np.isfinite(variances["fixed"])
    lower, upper = np.where(unknown, np.nan, lower), np.where(unknown, np.nan, upper)
    return Intervals(centre, lower, upper, variances).frame(at.valid, at.index)


def _mean(fit: GlmmFit, inputs: Inputs) -> FloatArray:
    """(m,) expected response, averaged over the random effects where ``inputs.spread`` is given."""
    if inputs.spread is None:
        return _response_mean(fit, inputs)
    return average(fit.family, lambda own: _response_mean(fit, own), inputs)


def _response_mean(fit: GlmmFit, inputs: Inputs) -> FloatArray:
    from jmix.families import mean

    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(mean(fit.family, inputs.eta, inputs.aux))


def _variances(fit: GlmmFit, at: Evaluation, request: Request, size: FloatArray | None) -> dict[str, FloatArray]:
    from jmix.families import variance

    m, inputs = at.valid.size, at.inputs
    assert at.rows is not None
    fixed = quadratic(fit, at.gradient("eta"))
    random = np.square(inputs.spread) if inputs.spread is not None else glmm_variance.mode_variance(fit, at.rows)
    with np.errstate(over="ignore", invalid="ignore"):
        residual = np.asarray(variance(fit.family, inputs.eta, inputs.aux, size))
    parts = {"fixed": fixed, "random": random, "residual": residual}
    return {name: values if name in request.parts else np.zeros(m) for name, values in parts.items()}


def _parameter_moves(fit: GlmmFit, request: Request) -> FloatArray:
    """(n, d) draws of the parameters less their estimates; those without a variance stay where they are."""
    d = fit.solution.x.size
    if "fixed" not in request.parts:
        return np.zeros((request.n, d))
    covariance = np.where(np.isnan(fit.solution.vcov), 0.0, fit.solution.vcov)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(request.rng.standard_normal((request.n, d)) @ root.T)


def _draws(
    fit: GlmmFit, at: Evaluation, request: Request, moves: FloatArray, part: slice, size: FloatArray | None
) -> FloatArray:
    """(n, m) responses of some rows, or their means; proportions of a binomial."""
    from jmix.families import sample

    inputs = _inputs(fit, at, request, moves, part)
    with np.errstate(over="ignore", invalid="ignore"):
        if "residual" not in request.parts:
            return _mean(fit, inputs) if inputs.spread is None else _averaged(fit, inputs)
        eta = np.nan_to_num(inputs.eta)
        drawn = np.asarray(sample(fit.family, request.rng, size, eta, replace(inputs, eta=eta).aux))
    return drawn if size is None else drawn / size


def _averaged(fit: GlmmFit, inputs: Inputs) -> FloatArray:
    """Means averaged over the random effects, draw by draw."""
    by_row = ("eta", "log_phi", "zi", "spread")
    out = np.empty(inputs.eta.shape)
    for i in range(out.shape[0]):
        own = {f: None if (v := getattr(inputs, f)) is None else v[i] for f in by_row}
        out[i] = _mean(fit, replace(inputs, **own))
    return out


def _inputs(fit: GlmmFit, at: Evaluation, request: Request, moves: FloatArray, part: slice) -> Inputs:
    """Linear predictors (n, m) of every draw; with the spread of the random effects where it is averaged over."""
    base = at.inputs.rows(part)
    out: dict[str, Any] = {"spread": None}
    for name in ("eta", "log_phi", "zi"):
        if getattr(base, name) is not None:
            out[name] = getattr(base, name) + moves @ at.gradient(name)[part].T
    spread = _spread(fit, at, moves, part)
    if "random" in request.parts:
        out["eta"] = out["eta"] + spread * request.rng.standard_normal(out["eta"].shape)
    elif at.inputs.spread is not None:
        out["spread"] = spread
    return replace(base, **out)


def _spread(fit: GlmmFit, at: Evaluation, moves: FloatArray, part: slice) -> FloatArray:
    """Standard deviations of z'b: (1, m) about the modes; (n, m) of new groups, with every draw's theta."""
    if at.inputs.spread is None:
        assert at.rows is not None
        return np.sqrt(np.maximum(glmm_variance.mode_variance(fit, at.rows)[part], 0.0))[None]
    theta = fit.theta_values + moves[:, fit.parts.slices["theta"]]
    variance = np.zeros((moves.shape[0], part.stop - part.start))
    lams = [fit.spec.split(one) for one in theta]
    for i, z in enumerate(at.factors):
        own = np.stack([lam[i] for lam in lams])
        variance += np.sum(np.square(np.einsum("mq,nqr->nmr", z[part], own)), axis=2)
    return np.sqrt(variance)


def _limits(draws: FloatArray, request: Request, discrete: bool) -> tuple[FloatArray, FloatArray]:
    tail = 0.5 - 0.5 * request.level
    both = [tail, 1.0 - tail]
    ends = np.quantile(draws, both, axis=0, method="inverted_cdf") if discrete else np.quantile(draws, both, axis=0)
    return ends[0], ends[1]
