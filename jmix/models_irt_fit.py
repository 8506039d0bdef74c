"""The steps of ``IrtModel.fit``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.irt.begin import begin
from jmix.estimate.irt.fit import FitOptions, fit_irt
from jmix.estimate.irt.uncertainty import standard_error_type
from jmix.models_irt_options import positive_whole
from jmix.results.irt.fit import IrtFit

if TYPE_CHECKING:
    from jmix.models_irt import IrtModel

FloatArray = npt.NDArray[np.float64]

HESSIAN = 2000
"""Most parameters whose standard errors come from the whole Hessian unless asked for."""


def checked_method(model: IrtModel, method: Any) -> str:
    """The method; None is "map" where there are priors and "ml" where there are none.

    Raises:
        ModelError: another method, or "map" without priors.
    """
    method = ("map" if model.has_priors else "ml") if method is None else method
    if method not in ("ml", "map"):
        raise ModelError(f"method={method!r}: choose 'ml' or 'map'; conditional ML is jmix.irt(..., method='cml')")
    if method == "map" and not model.has_priors:
        raise ModelError("method='map' needs priors: give priors={'a': 'lognormal(0, 0.5)'} or priors='default'")
    return str(method)


def fit_options(
    model: IrtModel, se: Any, max_iterations: Any, progress: bool | None, checkpoint: str | Path | None
) -> FitOptions:
    """Options of the fit, checked."""
    if se is None:
        se = "hessian" if model.spec.n_free <= HESSIAN else "item"
    keep = None
    if checkpoint is not None:
        from jmix.estimate.irt.checkpoint import checkpoint_for

        keep = checkpoint_for(checkpoint, model.spec, model.responses)
    kind, limit = standard_error_type(se), positive_whole("max_iterations", max_iterations)
    return FitOptions(kind, limit, model.refine, progress, keep)


def fitted(model: IrtModel, options: FitOptions, start: Any) -> IrtFit:
    """The fit from a start of the user's, or from the usual one."""
    x, guess = model.start(start), None
    if model.density is not None:
        return _with_density(model, options, x)
    if start is None and options.checkpoint is None:
        x, guess = begin(model.responses, model.spec, x, model.chosen_integration(), model.W)
    solution, marginal = fit_irt(
        model.marginal,
        model.sample_statistics,
        x,
        options,
        covariates=model.covariates,
        guess=guess,
        notes=model.notes,
    )
    return IrtFit(solution, model.responses, marginal, model.W, model.encodings)


def _with_density(model: IrtModel, options: FitOptions, x: FloatArray) -> IrtFit:
    """A fit with an estimated latent density."""
    from jmix.estimate.irt.density import fit_davidian, fit_histogram

    assert model.density is not None
    name, order = model.density
    args = (model.spec, model.responses, model.chosen_integration(), model.sample_statistics, x)
    if name == "davidian":
        found = fit_davidian(*args, order=order, options=options)
    else:
        found = fit_histogram(*args, options=options)
    solution = replace(found.solution, notes=(*model.notes, *found.solution.notes))
    return IrtFit(solution, model.responses, found.marginal, model.W, model.encodings)
