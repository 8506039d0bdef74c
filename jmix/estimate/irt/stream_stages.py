"""The first stage of a fit of very many persons: the maximum for a sample of them."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from jmix.errors import ConvergenceWarning
from jmix.estimate.irt.solution import IrtSolution
from jmix.likelihood.irt.marginal import Integration, Marginal
from jmix.responses.data import Responses
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]

SUBSAMPLE = 100_000
"""Persons of the sample that the search begins with."""


def fit_sample(
    spec: IrtSpec, responses: Responses, integration: Integration | None, start: FloatArray | None = None
) -> tuple[IrtSolution, Marginal]:
    """The model fitted to a sample of persons that fits in memory."""
    from jmix.estimate.irt.fit import FitOptions, fit_irt
    from jmix.estimate.irt.sample import take_sample
    from jmix.estimate.irt.start import start_values
    from jmix.likelihood.irt.build import build_marginal

    sample = take_sample(responses)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit_irt(
            build_marginal(spec, responses, integration),
            sample,
            start_values(spec, sample) if start is None else start,
            FitOptions(se="none", progress=False, refine=integration is None),
        )


def two_stage_start(
    responses: Responses,
    spec: IrtSpec,
    start: FloatArray,
    *,
    integration: Integration | None = None,
    W: FloatArray | None = None,
    subsample: int = SUBSAMPLE,
    seed: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """Where a fit of many persons should begin: the maximum for a random sample of them.

    Args:
        start: (P,) where the sample's own search begins.

    Returns:
        x (P,), and the sample's Hessian (P, P) of the log likelihood times N / n.
    """
    from jmix.estimate.irt.fit import FitOptions, fit_irt
    from jmix.estimate.irt.sample import take_sample
    from jmix.likelihood.irt.build import build_marginal
    from jmix.responses.convert import take_persons

    n = responses.n_persons
    rows = np.sort(np.random.default_rng(seed).choice(n, size=min(subsample, n), replace=False))
    part = take_persons(responses, rows)
    marginal = build_marginal(spec, part, integration, None if W is None else W[rows])
    covariates = None if W is None else W.T @ W / len(W)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solution, marginal = fit_irt(
            marginal,
            take_sample(part),
            start,
            FitOptions(se="none", refine=False, progress=False),
            covariates=covariates,
        )
    share = _total_weight(responses) / _total_weight(part)
    return solution.x, np.asarray(marginal.hessian(solution.x)) * share


def _total_weight(responses: Responses) -> float:
    return float(responses.n_persons if responses.weights is None else responses.weights.sum())
