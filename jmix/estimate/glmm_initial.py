"""Starting values that a user gives a sampler of a generalized linear mixed model, by the names of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.glmm_objective import GlmmObjective, GlmmParameters
from jmix.estimate.initial import with_values
from jmix.estimate.parameters import parameter_array
from jmix.spec.glmm_priors import DISPERSION, dispersion_name, side_names, threshold_names, zero_name
from jmix.spec.names import cor_names, parameter_names, sd_names
from jmix.spec.prior_sets import GlmmPriorSet

FloatArray = npt.NDArray[np.float64]


def family_names(objective: GlmmObjective) -> list[str]:
    """Names of the parameters that are neither coefficients nor covariances, in the order of ``family_values``."""
    design = objective.design
    family = design.family
    names = [*threshold_names(family), *side_names(dispersion_name(family), design.disp)]
    return [*names, *side_names(zero_name(family), design.zi), *(["nu"] if family.has_shape else [])]


def family_values(objective: GlmmObjective, x: FloatArray) -> FloatArray:
    """(..., m) values of those parameters on their natural scales, from (..., d) parameters of the density."""
    design, parts = objective.design, objective.slices
    tau, disp, zi, shape = (x[..., parts[name]] for name in ("tau", "disp", "zi", "shape"))
    steps = np.concatenate([tau[..., :1], np.exp(tau[..., 1:])], axis=-1)
    sign = DISPERSION.get(design.family.name, ("", 1))[1]
    if design.disp is not None:
        disp = np.exp(sign * disp) if design.disp.intercept_only else sign * disp
    if design.zi is not None and design.zi.intercept_only:
        zi = 1.0 / (1.0 + np.exp(-zi))
    return np.concatenate([np.cumsum(steps, axis=-1), disp, zi, 1.0 + np.exp(shape)], axis=-1)


def overridden(
    objective: GlmmObjective, priors: GlmmPriorSet, found: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[GlmmParameters, list[FloatArray]]:
    """Parameters and Cholesky factors with some replaced by the user's, by name.

    Raises:
        ModelError: an unknown name, or a value out of range.
    """
    design, spec = objective.design, objective.spec
    own = family_names(objective)
    known = parameter_names(design.base.x_names, spec, others=own)
    unknown = [str(name) for name in given if name not in known]
    if unknown:
        raise ModelError(f"init: there is no parameter '{unknown[0]}'; there are: {', '.join(known)}")
    values = {str(k): float(parameter_array(f"init['{k}']", [v], 1)[0]) for k, v in given.items()}
    beta = np.array(found["beta"])
    for i, name in enumerate(known[: beta.size]):
        beta[i] = values.get(name, beta[i])
    chols = [
        with_values(np.asarray(chol), [values.get(n) for n in sds], [values.get(n) for n in cors])
        for chol, sds, cors in zip(found["chol"], sd_names(spec), cor_names(spec), strict=True)
    ]
    natural = family_values(objective, np.asarray(found["x"]))
    natural = np.array([values.get(name, v) for name, v in zip(own, natural, strict=True)])
    if any(np.any(np.diag(c) <= 0) for c in chols):
        raise ModelError("init: standard deviations must be positive")
    return _parameters(objective, priors, beta, chols, natural), chols


def _parameters(
    objective: GlmmObjective, priors: GlmmPriorSet, beta: FloatArray, chols: list[FloatArray], natural: FloatArray
) -> GlmmParameters:
    """The pieces of x from natural parameters."""
    parts = objective.slices
    sizes = [parts[name].stop - parts[name].start for name in ("tau", "disp", "zi", "shape")]
    tau, disp, zi, nu = np.split(natural, np.cumsum(sizes)[:-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        disp = priors.sign * (disp if priors.dispersion is None else np.log(disp))
        zi = zi if priors.zero is None else np.log(zi) - np.log1p(-zi)
    finite = np.isfinite(disp).all() and np.isfinite(zi).all()
    if not finite or np.any(np.diff(tau) <= 0) or np.any(nu <= 1.0):
        raise ModelError(
            "init: dispersions must be positive, probabilities between 0 and 1, thresholds increasing and nu above 1"
        )
    shape = float(nu[0]) if nu.size else None
    return GlmmParameters(beta, objective.spec.join(chols), disp, zi, tau, shape)
