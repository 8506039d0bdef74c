"""Prediction intervals calibrated by the parametric bootstrap.

In every replicate the true random effects and new observations are known: the studentized prediction errors
``(y - y_hat*) / s*`` have the distribution, nearly, of that of the data, estimation of the variances included
(Chatterjee, Lahiri & Li 2008, Ann. Stat. 36(3), 1221-1245; Beran 1990, Ann. Stat. 18(4)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.inference.watch import counting
from jmix.results.inference.bootstrapping.bootstrap import batches
from jmix.results.inference.predicting.prediction import Intervals, Request
from jmix.results.inference.predicting.prediction_linear import Targets, prediction, variance_parts
from jmix.results.predict import draw_effects, fitted_rows
from jmix.results.rows import Rows, add_random, fixed_part, prior_covariances

if TYPE_CHECKING:
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]


def calibrated(fit: Fit, at: Targets, request: Request) -> Intervals:
    """Limits ``y_hat - s q`` with q the quantiles of the replicates' studentized errors, row by row.

    Raises:
        ModelError: after MAP, or without the uncertainty of the fixed effects.
    """
    if fit.method == "MAP":
        raise ModelError("method='bootstrap' is for REML and maximum likelihood; after fit('map') use 'analytic'")
    if "fixed" not in request.parts:
        raise ModelError("method='bootstrap' estimates all parameters anew: include 'fixed', or use 'analytic'")
    ratios: list[FloatArray] = []
    with counting(request.progress, "replicates", request.n) as watch:
        try:
            for size in batches(fit, request.n):
                truths, responses = _worlds(fit, at, request, size)
                refits: Any = fit.refit(responses, progress=False)
                for i, replicate in enumerate(refits):
                    ratios.append(_ratio(replicate, at, request, truths[i]))
                    watch.advance(1)
        except KeyboardInterrupt:
            if len(ratios) < 20:
                raise
    centre, variances = prediction(fit, at), variance_parts(fit, at, request)
    error = np.sqrt(sum(variances.values()))
    tail = 0.5 - 0.5 * request.level
    low, high = np.nanquantile(np.stack(ratios), [tail, 1.0 - tail], axis=0)
    return Intervals(centre, centre + error * low, centre + error * high, variances)


def _worlds(fit: Fit, at: Targets, request: Request, count: int) -> tuple[FloatArray, FloatArray]:
    """What is to be predicted (count, m) and responses (rows, count), from the same random effects."""
    rng, rows = request.rng, fitted_rows(fit.design, True)
    noise = fit.sigma if fit.design.weights is None else fit.sigma / np.sqrt(fit.design.weights)
    population, own = fixed_part(fit, rows), fixed_part(fit, at.rows)
    truths, responses = np.empty((count, at.rows.n)), np.empty((fit.nobs, count), order="F")
    for i in range(count):
        effects = draw_effects(fit, rng)
        responses[:, i] = add_random(population, rows, effects) + noise * rng.standard_normal(fit.nobs)
        truths[i] = own + _random(fit, at, effects, request)
        if "residual" in request.parts:
            truths[i] += fit.sigma / np.sqrt(at.weights) * rng.standard_normal(at.rows.n)
    return truths, responses


def _random(fit: Fit, at: Targets, effects: dict[str, FloatArray], request: Request) -> FloatArray:
    """(m,) z'b of the rows: of their own groups, or of new ones."""
    rng, total = request.rng, np.zeros(at.rows.n)
    if not at.conditional:
        for z, cov in zip(at.factors, fit.cov_terms(), strict=False):
            spread = np.sqrt(np.maximum(np.einsum("ia,ab,ib->i", z, cov, z), 0.0))
            total = total + spread * rng.standard_normal(at.rows.n)
        return total
    if "random" not in request.parts:
        return total + add_random(total, at.rows, effects)
    return add_random(total, at.rows, effects) + _unseen(fit, at.rows, rng)


def _unseen(fit: Fit, rows: Rows, rng: np.random.Generator) -> FloatArray:
    total = np.zeros(rows.n)
    for group, cov in prior_covariances(fit).items():
        z = np.stack(rows.columns[group], axis=1)
        spread = fit.sigma * np.sqrt(np.maximum(np.einsum("ia,ab,ib->i", z, cov, z), 0.0))
        total += np.where(rows.codes[group] < 0, spread * rng.standard_normal(rows.n), 0.0)
    return total


def _ratio(replicate: Fit, at: Targets, request: Request, truth: FloatArray) -> FloatArray:
    """(m,) studentized prediction errors of a replicate."""
    error = np.sqrt(sum(variance_parts(replicate, at, request).values()))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((truth - prediction(replicate, at)) / error)
