"""The parameter vector of a generalized linear mixed model: its parts on their natural scales, and their names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.design_response import GlmmDesign
from jmix.errors import ModelError
from jmix.likelihood.glmm_rows import RowPlan, split_x
from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]


class GlmmParameters(NamedTuple):
    """The pieces of a parameter vector, on their natural scales.

    Attributes:
        beta: (p,). theta: (k,) lower triangles of the absolute factors. disp: (p_disp,) of log phi. zi: (p_zi,) of the
            logit of the zero probability. thresholds: (K-1,) increasing. shape: Student's degrees of freedom, or None.
    """

    beta: FloatArray
    theta: FloatArray
    disp: FloatArray
    zi: FloatArray
    thresholds: FloatArray
    shape: float | None


def split_parameters(x: FloatArray, plan: RowPlan) -> GlmmParameters:
    """The parts of x (d,), thresholds and degrees of freedom on their natural scales."""
    parts = split_x(x, plan)
    tau = np.cumsum(np.append(parts.tau[:1], np.exp(parts.tau[1:])))
    shape = 1.0 + float(np.exp(parts.shape[0])) if parts.shape.size else None
    return GlmmParameters(parts.beta, parts.theta, parts.disp, parts.zi, tau, shape)


def join_parameters(parameters: GlmmParameters) -> FloatArray:
    """The inverse of ``split_parameters``.

    Raises:
        ModelError: thresholds that do not increase, or degrees of freedom of one or less.
    """
    tau = np.asarray(parameters.thresholds, dtype=np.float64)
    if np.any(np.diff(tau) <= 0):
        raise ModelError("thresholds must increase")
    if parameters.shape is not None and not parameters.shape > 1:
        raise ModelError(f"degrees of freedom must exceed 1, not {parameters.shape!r}")
    shape = [] if parameters.shape is None else [np.log(parameters.shape - 1.0)]
    gaps = np.append(tau[:1], np.log(np.diff(tau)))
    return np.concatenate([*map(np.asarray, parameters[:4]), gaps, shape]).astype(np.float64)


def parameter_names(design: GlmmDesign, spec: CovarianceSpec) -> list[str]:
    """Names of the entries of x: columns, theta as in lme4, and ``disp_``, ``zi_``, ``tau``, ``shape``."""
    family = design.family
    names = [*design.base.x_names, *spec.theta_names()]
    if family.has_dispersion:
        names += [f"disp_{name}" for name in (design.disp.names if design.disp else ["(Intercept)"])]
    if family.zero:
        names += [f"zi_{name}" for name in (design.zi.names if design.zi else ["(Intercept)"])]
    names += [f"tau{k}" if k == 1 else f"log(tau{k} - tau{k - 1})" for k in range(1, family.n_thresholds + 1)]
    return names + ["log(nu - 1)"] * family.n_shape
