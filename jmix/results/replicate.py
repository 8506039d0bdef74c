"""Light fits of replicates: estimates from a batch; the objective is built when something asks for it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.estimate.lmm import LmmSolution
from jmix.estimate.objective import GaussianObjective, build_objective
from jmix.estimate.status import Status, vanished_directions
from jmix.results.fit import Fit
from jmix.spec.covariance import CovarianceSpec

if TYPE_CHECKING:
    from jmix.estimate.refit import RefitSolutions

FloatArray = npt.NDArray[np.float64]


class Replicate(Fit):
    """A fit whose likelihood is reduced from the data when it is first asked for."""

    @cached_property
    def objective(self) -> GaussianObjective | None:
        """The likelihood of these data; None for least squares."""
        return build_objective(self.design, self.terms, self.spec) if self.terms else None


def replicate(fit: Fit, y: FloatArray, solutions: RefitSolutions, i: int) -> Fit:
    """The fit of response i."""
    light = object.__new__(Replicate)
    fields: dict[str, Any] = {
        "design": replace(fit.design, y=y),
        "spec": fit.spec,
        "terms": fit.terms,
        "method": fit.method,
        "solution": solution_of(solutions, i, fit.spec),
    }
    light.__dict__.update(fields)
    return light


def solution_of(solutions: RefitSolutions, i: int, spec: CovarianceSpec) -> LmmSolution:
    """Row i as a solution of its own."""
    own = solutions
    converged = bool(own.converged[i])
    return LmmSolution(
        theta=own.theta[i],
        phi=own.phi[i],
        hessian=own.hessian[i],
        beta=own.beta[i],
        vcov=own.vcov[i],
        sigma=float(own.sigma[i]),
        criterion=float(own.criterion[i]),
        contrast=own.contrast[i],
        status=_status(spec, own.theta[i], own.gradient[i], own.hessian[i], converged),
    )


def _status(
    spec: CovarianceSpec, theta: FloatArray, gradient: FloatArray, hessian: FloatArray, converged: bool
) -> Status:
    """The certificate of a member of a batch."""
    vanished = vanished_directions(spec, spec.split(theta))
    messages = [f"boundary (singular) fit: {text}" for text in vanished]
    if not converged:
        messages.append("not converged in the batch of refits; refit this response by itself")
    if not theta.size:
        return Status(converged, False, 0.0, 0.0, 1.0, 1, 0, tuple(messages))
    values, vectors = np.linalg.eigh(hessian)
    top = max(float(np.max(np.abs(values))), 1e-300)
    scaled = (vectors.T @ gradient) / np.sqrt(np.maximum(np.abs(values), 1e-9 * top))
    return Status(
        converged=converged,
        singular=bool(vanished),
        max_gradient=float(np.max(np.abs(scaled))),
        decrement=0.5 * float(scaled @ scaled),
        min_eigenvalue=float(values[0] / top),
        n_evaluations=0,
        n_hessians=0,
        messages=tuple(messages),
    )
