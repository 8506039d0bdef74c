"""Fit a changed specification to the responses of a fit."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.errors import ConvergenceWarning
from jmix.results.irt.rebuild import histogram_of, rebuilt
from jmix.spec.irt.spec import IrtSpec

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]


def refit_spec(fit: IrtFit, spec: IrtSpec, start: FloatArray, se: bool) -> IrtFit:
    """The model ``spec`` fitted to the responses of ``fit`` with the same quadrature, so that likelihoods compare.

    What did not converge says so in its ``status``, without a warning.
    """
    from jmix.estimate.irt.fit import FitOptions, fit_irt
    from jmix.estimate.irt.sample import take_sample

    W = fit.covariates
    marginal = rebuilt(spec, fit.responses, fit.solution.integration, W, histogram_of(fit.marginal))
    options = FitOptions(se="hessian" if se else "none", refine=False, progress=False)
    cross = None if W is None else W.T @ W / len(W)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solution, marginal = fit_irt(marginal, take_sample(fit.responses), start, options, covariates=cross)
    return replace(fit, solution=solution, marginal=marginal)
