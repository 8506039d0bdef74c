"""Draws from the priors of a generalized linear mixed model alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.design_response import Side
from jmix.errors import ModelError
from jmix.estimate.draws import Draws, SamplerSettings
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.glmm_sampling import residual_sd
from jmix.estimate.prior_draws import ROUNDS, Source, no_stats
from jmix.spec.covariance import lower_column_major
from jmix.spec.glmm_priors import side_names
from jmix.spec.prior_sets import CoefficientPriors, GlmmPriorSet
from jmix.spec.supports import ScalarPrior

FloatArray = npt.NDArray[np.float64]


def draw_glmm_priors(objective: GlmmObjective, priors: GlmmPriorSet, draws: int, seed: int) -> Draws:
    """Independent draws, as one chain.

    Raises:
        ModelError: a flat prior, from which nothing can be drawn.
    """
    source, design = Source(seed), objective.design
    with runtime.float64():
        beta = source.coefficients(priors.fixed, [f"b_{n}" for n in design.base.x_names], "Intercept", draws)
        chols = [source.chol(own, draws) for own in priors.terms]
        disp = priors.sign * _part(
            source, priors.dispersion, priors.dispersion_side, priors.dispersion_name, design.disp, draws, np.log
        )
        zi = _part(source, priors.zero, priors.zero_side, priors.zero_name, design.zi, draws, _logit)
        tau = _thresholds(source, priors, beta, draws)
        nu = None if priors.nu is None else source.positive(priors.nu, "nu", draws)
    lower = [c[:, *lower_column_major(c.shape[-1])] for c in chols]
    gaps = np.concatenate([tau[:, :1], np.log(np.diff(tau, axis=1))], axis=1) if tau.size else tau
    shape = np.zeros((draws, 0)) if nu is None else np.log(nu - 1.0)[:, None]
    x = np.concatenate([beta, *lower, disp, zi, gaps, shape], axis=1)[None]
    return Draws(
        beta=beta[None],
        chol=tuple(c[None] for c in chols),
        sigma=residual_sd(objective, x),
        log_density=np.zeros((1, draws)),
        stats=no_stats(draws),
        settings=SamplerSettings(draws, 0, 1, seed, chain_method="prior", init="prior"),
        nu=None if nu is None else nu[None],
        x=x,
        tau=tau[None] if design.family.n_thresholds else None,
    )


def _logit(p: FloatArray) -> FloatArray:
    return np.asarray(np.log(p) - np.log1p(-p))


def _part(
    source: Source,
    own: ScalarPrior | None,
    side: CoefficientPriors | None,
    name: str,
    columns: Side | None,
    draws: int,
    link: Callable[[FloatArray], FloatArray],
) -> FloatArray:
    """(draws, p) coefficients of a part, for its natural name."""
    if own is not None:
        return np.asarray(link(source.positive(own, name, draws)))[:, None]
    if side is None:
        return np.zeros((draws, 0))
    return source.coefficients(side, side_names(name, columns), f"Intercept_{name}", draws)


def _thresholds(source: Source, priors: GlmmPriorSet, beta: FloatArray, draws: int) -> FloatArray:
    """(draws, K - 1) thresholds: independent draws from the priors of all, kept where they increase."""
    if not priors.thresholds:
        return np.zeros((draws, 0))
    names = [f"Intercept[{k + 1}]" for k in range(len(priors.thresholds))]
    flat = [name for name, own in zip(names, priors.thresholds, strict=True) if own.prior.flat]
    if flat:
        raise ModelError(
            f"{flat[0]} has a flat prior, from which nothing can be drawn: give priors={{'Intercept': ...}}"
        )
    kept = np.zeros((0, len(names)))
    same = len({repr(own.prior) for own in priors.thresholds}) == 1
    for _ in range(ROUNDS):
        tried = np.stack([source.variable(own, n, draws) for own, n in zip(priors.thresholds, names, strict=True)], 1)
        # exchangeable priors given the order are the order statistics
        tried = np.sort(tried, axis=1) if same else tried[np.all(np.diff(tried, axis=1) > 0, axis=1)]
        kept = np.concatenate([kept, tried])
        if len(kept) >= draws:
            break
    else:
        raise ModelError("the priors of the thresholds hardly ever put them in increasing order")
    centre = priors.threshold_centre
    return kept[:draws] + (0.0 if centre is None else (beta @ centre)[:, None])
