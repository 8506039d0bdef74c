"""Least squares for formulas without random terms, as a solution of the same kind."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.design import Design
from jmix.estimate.lmm import LmmSolution
from jmix.estimate.refit import RefitSolutions
from jmix.estimate.status import Status
from jmix.likelihood.fixed import fixed_basis

FloatArray = npt.NDArray[np.float64]


def fit_ols(design: Design, *, reml: bool) -> LmmSolution:
    """Ordinary or weighted least squares, with the (restricted) Gaussian likelihood as criterion.

    Args:
        reml: sigma from n - p degrees of freedom and the restricted likelihood, or n and the likelihood.
    """
    return _least_squares(design, unbiased=reml, restricted=reml)


def fit_lm(design: Design) -> LmmSolution:
    """Least squares as R's ``lm``: sigma from n - p degrees of freedom, the likelihood at its own maximum."""
    return _least_squares(design, unbiased=True, restricted=False)


def _least_squares(design: Design, *, unbiased: bool, restricted: bool) -> LmmSolution:
    n, p = design.X.shape
    y = design.y if design.offset is None else design.y - design.offset
    fixed = fixed_basis(design.X, y, design.weights)
    sigma = fixed.y_scale * np.sqrt(n / (n - p if unbiased else n))
    log_weights = 0.0 if design.weights is None else float(np.log(design.weights).sum())
    nu = n - p if restricted else n
    with np.errstate(divide="ignore"):
        criterion = nu * (1.0 + np.log(2.0 * np.pi * n / nu) + 2.0 * np.log(fixed.y_scale)) - log_weights
    if restricted:
        criterion += 2.0 * fixed.log_det + p * np.log(n)
    return LmmSolution(
        theta=np.zeros(0),
        phi=np.zeros(0),
        hessian=np.zeros((0, 0)),
        beta=fixed.beta_ols,
        vcov=sigma**2 * fixed.inverse @ fixed.inverse.T / n,
        sigma=float(sigma),
        criterion=float(criterion),
        contrast=np.append(np.zeros(p), 1.0),
        status=Status(True, False, 0.0, 0.0, 1.0, 1, 0, ()),
    )


def refit_ols(design: Design, y: FloatArray, *, unbiased: bool, restricted: bool) -> RefitSolutions:
    """Least squares of every column of y (n, R), with the (restricted) Gaussian likelihood as criterion."""
    n, p = design.X.shape
    y = y if design.offset is None else y - design.offset[:, None]
    fixed = fixed_basis(design.X, y[:, 0], design.weights)
    root = np.ones(n) if design.weights is None else np.sqrt(design.weights)
    basis = (design.X @ fixed.inverse) * root[:, None]
    beta = np.zeros((p, y.shape[1]))
    residual = y * root[:, None]
    for _ in range(2):
        gamma = basis.T @ residual / n
        beta += fixed.inverse @ gamma
        residual -= basis @ gamma
    sigma = np.sqrt(np.sum(residual * residual, axis=0) / (n - p if unbiased else n))
    nu, scale = n - p if restricted else n, np.sqrt(np.mean(residual * residual, axis=0))
    log_weights = 0.0 if design.weights is None else float(np.log(design.weights).sum())
    with np.errstate(divide="ignore"):
        criterion = nu * (1.0 + np.log(2.0 * np.pi * n / nu) + 2.0 * np.log(scale)) - log_weights
    if restricted:
        criterion += 2.0 * fixed.log_det + p * np.log(n)
    count, none = y.shape[1], np.zeros((y.shape[1], 0))
    return RefitSolutions(
        theta=none,
        beta=beta.T,
        sigma=sigma,
        criterion=criterion,
        converged=np.ones(count, dtype=np.bool_),
        singular=np.zeros(count, dtype=np.bool_),
        vcov=sigma[:, None, None] ** 2 * (fixed.inverse @ fixed.inverse.T / n),
        phi=none,
        gradient=none,
        hessian=np.zeros((count, 0, 0)),
        contrast=np.concatenate([np.zeros((count, p)), np.ones((count, 1))], axis=1),
    )
