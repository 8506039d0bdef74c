"""Maximum likelihood and REML for linear mixed models."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.errors import ConvergenceWarning
from jmix.estimate.boundary import settle
from jmix.estimate.identified import check_residual_share
from jmix.estimate.lbfgs import lbfgs
from jmix.estimate.newton import Optimum, Point, newton
from jmix.estimate.objective import GaussianObjective
from jmix.estimate.retraction import retract
from jmix.estimate.start import expected_hessian, interior, moment_start
from jmix.estimate.status import Status, vanished_directions
from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LmmSolution:
    """Estimates of a linear mixed model on the user's scale.

    Attributes:
        theta: (k,) relative covariance parameters. phi: the same in the internal basis. hessian: (k, k) of the profiled
            criterion in theta. beta: (p,). vcov: (p, p). sigma: residual standard deviation. criterion: deviance (ML)
            or REML criterion.
        contrast: (p + 1,) internal coefficients that turn [X y] into residuals.
        laplace: after MAP, the covariance of all parameters in the order of ``spec.names.parameter_names``.
    """

    theta: FloatArray
    phi: FloatArray
    hessian: FloatArray
    beta: FloatArray
    vcov: FloatArray
    sigma: float
    criterion: float
    contrast: FloatArray
    status: Status
    laplace: FloatArray | None = None


def fit_lmm(
    objective: GaussianObjective,
    *,
    reml: bool,
    start: FloatArray | None = None,
    optimizer: str = "newton",
    max_iterations: int = 200,
) -> LmmSolution:
    """Maximise the likelihood or the restricted likelihood.

    Args:
        start: (k,) theta to start from; by default moment estimates. optimizer: "newton", or "lbfgs" to approach the
            optimum by L-BFGS before the Newton steps.
    """
    reduced, spec = objective.reduced, objective.spec
    if start is None:
        phi = moment_start(reduced.stats, reduced.layout, spec.n_theta)
    else:
        phi = interior(spec, objective.to_phi @ start)
    if optimizer == "lbfgs":
        phi = lbfgs(lambda t: objective.first(t, reml)[:2], phi, scale=1.0 / objective.n)
    dear = objective.expensive

    def full(t: FloatArray) -> Point:
        return objective.full(t, reml)

    optimum = newton(
        full,
        phi,
        first=(lambda t: objective.first(t, reml)) if dear else None,
        guess=expected_hessian(reduced.stats, reduced.layout, phi) if dear else None,
        retraction=lambda t, step: retract(np, t, step, reduced.layout),
        max_iterations=max_iterations,
    )
    solution = solution_at(objective, optimum if optimum.interrupted else settle(full, optimum, spec), reml)
    if not solution.status.converged:
        warnings.warn(solution.status.messages[-1], ConvergenceWarning, stacklevel=4)
    return solution


def solution_at(objective: GaussianObjective, optimum: Optimum, reml: bool) -> LmmSolution:
    """Everything that follows from theta in closed form.

    Raises:
        ModelError: the levels of the grouping factors fit the response exactly.
    """
    fixed, n, p = objective.reduced.fixed, objective.n, objective.p
    gram = optimum.extra
    inverse = np.linalg.inv(gram[:p, :p])
    gamma = inverse @ gram[:p, p]
    rss = float(gram[p, p] - gram[:p, p] @ gamma)
    check_residual_share(rss, n, objective.response, objective.spec.groups, converged=optimum.converged)
    sigma = fixed.y_scale * np.sqrt(rss / (n - p if reml else n))
    back = objective.to_phi
    theta = objective.to_theta @ optimum.theta
    return LmmSolution(
        theta=theta,
        phi=optimum.theta,
        hessian=back.T @ optimum.hessian @ back,
        beta=fixed.beta_ols + fixed.y_scale * (fixed.inverse @ gamma),
        vcov=sigma**2 * fixed.inverse @ inverse @ fixed.inverse.T,
        sigma=float(sigma),
        criterion=optimum.value + objective.constant(reml),
        contrast=np.append(-gamma, 1.0),
        status=certificate(objective.spec, theta, optimum),
    )


def certificate(spec: CovarianceSpec, theta: FloatArray, optimum: Optimum) -> Status:
    """The status of an optimum, in words where something needs saying."""
    values, vectors = np.linalg.eigh(optimum.hessian)
    top = max(float(np.max(np.abs(values))), 1e-300)
    scaled = (vectors.T @ optimum.gradient) / np.sqrt(np.maximum(np.abs(values), 1e-9 * top))
    vanished = vanished_directions(spec, spec.split(theta))
    messages = [f"boundary (singular) fit: {text}" for text in vanished]
    if optimum.interrupted:
        messages.append("interrupted: these are the best estimates so far; fit again with start=fit.theta to go on")
    elif not optimum.converged:
        messages.append(
            f"not converged: Newton decrement {optimum.decrement:.2g} after {optimum.n_evaluations} evaluations; "
            "raise control={'max_iterations': ...}, rescale the predictors or simplify the random effects"
        )
    return Status(
        converged=optimum.converged,
        singular=bool(vanished),
        max_gradient=float(np.max(np.abs(scaled))),
        decrement=optimum.decrement,
        min_eigenvalue=float(values[0] / top),
        n_evaluations=optimum.n_evaluations,
        n_hessians=optimum.n_hessians,
        messages=tuple(messages),
        interrupted=optimum.interrupted,
    )
