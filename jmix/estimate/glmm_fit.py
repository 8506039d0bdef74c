"""Maximum likelihood for generalized linear (mixed) models: all parameters jointly, finished by exact Newton steps."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.errors import ConvergenceWarning, ModelError
from jmix.estimate.glmm_boundary import settle
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.glmm_search import Search, minimise
from jmix.estimate.glmm_solution import GlmmSolution, covariance
from jmix.estimate.glmm_start import Start, find_start
from jmix.estimate.glmm_status import Findings, examine, status_of
from jmix.estimate.newton import Point
from jmix.estimate.parameters import parameter_array

FloatArray = npt.NDArray[np.float64]

CANCELLED = 1e-14
"""What rounding leaves of a difference, relative to its parts."""


@dataclass
class Coordinates:
    """The objective in ``x = x0 + S z``, as a negative log likelihood to minimise.

    Attributes:
        hessians: exact Hessians computed. evaluations: values and gradients.
    """

    objective: GlmmObjective
    x0: FloatArray
    scale: FloatArray

    def x(self, z: FloatArray) -> FloatArray:
        """Natural parameters."""
        return np.asarray(self.x0 + self.scale @ z)

    def x_exact(self, z: FloatArray) -> FloatArray:
        """Natural parameters, with exact zeros in theta where ``x0`` and ``S z`` cancel but for rounding."""
        x, place = self.x(z), self.objective.slices["theta"]
        reach = np.abs(self.x0[place]) + np.abs(self.scale[place, place]) @ np.abs(z[place])
        x[place] = np.where(np.abs(x[place]) <= CANCELLED * reach, 0.0, x[place])
        return x

    def first(self, z: FloatArray) -> Point:
        """Value and gradient; infinite where the modes cannot be found."""
        value, gradient = self.objective.evaluate(self.x(z))
        if not np.isfinite(value):
            return Point(np.inf, np.full(z.size, np.nan), None)
        return Point(-value, -(self.scale.T @ gradient), None)

    def second(self, z: FloatArray) -> FloatArray:
        """Exact Hessian."""
        with np.errstate(invalid="ignore"):
            return np.asarray(-(self.scale.T @ self.objective.hessian(self.x(z)) @ self.scale))


def fit_glmm(objective: GlmmObjective, *, start: FloatArray | None = None, max_iterations: int = 200) -> GlmmSolution:
    """Maximise the approximate marginal likelihood over all parameters.

    Args:
        start: (d,) parameters to start from, in the order of ``objective.names``; by default moment estimates.

    Raises:
        ModelError: a start of the wrong length, or at which the likelihood is not finite.

    Warns:
        ConvergenceWarning: the search did not arrive, or some estimates are unbounded; ``status`` says which and why.
    """
    objective.forget()
    begin = find_start(objective.design, objective.terms, objective.spec)
    x0 = begin.x
    if start is not None:
        x0 = _interior(objective, parameter_array("start", start, objective.size, objective.names), begin)
    space = Coordinates(objective, x0, begin.scale)
    search = _begin(space, begin, max_iterations)
    if not search.interrupted:
        search = settle(space, search, objective)
    solution = solution_at(space, search, begin)
    if not solution.status.converged:
        warnings.warn("; ".join(solution.status.messages), ConvergenceWarning, stacklevel=3)
    return solution


def _interior(objective: GlmmObjective, x: FloatArray, begin: Start) -> FloatArray:
    """A given start with columns of Lambda at zero, where the gradient vanishes, moved to the default start's."""
    place = objective.slices["theta"]
    lams = objective.spec.split(x[place])
    for lam, own in zip(lams, objective.spec.split(begin.x[place]), strict=True):
        zero = np.all(lam == 0.0, axis=0)
        lam[:, zero] = own[:, zero]
    x = x.copy()
    x[place] = objective.spec.join(lams)
    return x


def _begin(space: Coordinates, begin: Start, max_iterations: int) -> Search:
    """Search from the start; where the likelihood is not finite there, from smaller variances."""
    zero = np.zeros(begin.x.size)
    for shrink in (1.0, 0.3, 0.1, 0.03):
        place = space.objective.slices["theta"]
        space.x0 = space.x0.copy()
        space.x0[place] *= shrink
        at = space.first(zero)
        if np.isfinite(at.value):
            return minimise(space.first, space.second, zero, begin.guess, at=at, max_iterations=max_iterations)
    raise ModelError(
        f"the likelihood of {space.objective.design.base.y_name} is not finite at moment estimates: check the response "
        "and the offset for extreme values, or give start=..."
    )


def solution_at(space: Coordinates, search: Search, begin: Start) -> GlmmSolution:
    """Estimates, covariance and status at the end of a search."""
    objective = space.objective
    x = space.x_exact(search.z)
    if not search.exact:
        search.refresh()
    hessian = search.hessian if search.exact else np.full_like(search.hessian, np.nan)
    findings: Findings = examine(objective, x, search, begin)
    vcov, eigenvalues = covariance(hessian, space.scale, findings.boundary, findings.unbounded)
    inverse = np.linalg.inv(space.scale)
    parts = objective.split(x)
    return GlmmSolution(
        x=x,
        loglik=-search.at.value,
        gradient=-(inverse.T @ search.at.gradient),
        hessian=inverse.T @ hessian @ inverse,
        vcov=vcov,
        se=np.sqrt(np.diag(vcov)),
        status=status_of(search, findings, eigenvalues),
        method=objective.title,
        beta=parts.beta,
        theta=parts.theta,
        disp=parts.disp,
        zi=parts.zi,
        thresholds=parts.thresholds,
        shape=parts.shape,
        unbounded=findings.unbounded,
        boundary=findings.boundary,
    )
