"""Responses drawn from a fit for the bootstrap: those of ``simulate``, many at once; or from resampled residuals.

The draws of one seed are the same however many are taken at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.results.predict import fitted_rows
from jmix.results.rows import add_random

if TYPE_CHECKING:
    from jmix.results.fit import Fit
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]
Draw = Callable[[int], FloatArray]


def parametric(fit: Any, rng: np.random.Generator, *, conditional: bool) -> Draw:
    """A function that draws the next (rows, R) responses from the fitted distribution.

    Args:
        conditional: keep the random effects at their modes; otherwise draw new ones.
    """
    if hasattr(fit, "family"):
        return _generalized(fit, rng, conditional)
    return _gaussian(fit, rng, conditional)


def _gaussian(fit: Fit, rng: np.random.Generator, conditional: bool) -> Draw:
    mean = fit.linear_parts[int(conditional)][:, None]
    weights = fit.design.weights
    noise = fit.sigma if weights is None else (fit.sigma / np.sqrt(weights))[:, None]
    terms = [] if conditional else list(zip(fit.terms, fit.spec.split(fit.theta_values), strict=True))
    sizes = [len(term.levels) * lam.shape[0] for term, lam in terms]

    def draw(count: int) -> FloatArray:
        unit = rng.standard_normal((count, sum(sizes) + fit.nobs)).T
        out = mean + noise * unit[sum(sizes) :]
        start = 0
        for (term, lam), size in zip(terms, sizes, strict=True):
            q = lam.shape[0]
            effects = unit[start : start + size].reshape(-1, q, count)
            for i, column in enumerate(term.columns):
                own = fit.sigma * np.tensordot(lam[i], effects, axes=(0, 1))
                out += column[:, None] * own[term.codes]
            start += size
        return out

    return draw


def _generalized(fit: GlmmFit, rng: np.random.Generator, conditional: bool) -> Draw:
    from jmix.results.glmm_simulate import responses

    def draw(count: int) -> FloatArray:
        return np.stack(list(responses(fit, count, rng, conditional=conditional)), axis=1)

    return draw


def residual(fit: Fit, rng: np.random.Generator) -> Draw:
    """A function that draws the next (rows, R) responses from resampled random effects and residuals.

    Both are centred and rescaled so that their empirical covariances are the estimates, which shrinkage has made them
    fall short of (Carpenter, Goldstein & Rasbash 2003, Appl. Stat. 52(4), 431-443).
    """
    rows = fitted_rows(fit.design, True)
    mean = fit.linear_parts[0]
    effects = {g: reflated(fit.modes[g], cov) for g, cov in _covariances(fit).items()}
    weights = fit.design.weights
    root = np.ones(fit.nobs) if weights is None else np.sqrt(weights)
    errors = reflated(fit.residuals("pearson").to_numpy()[:, None], np.array([[fit.sigma**2]]))[:, 0]

    def draw(count: int) -> FloatArray:
        out = np.empty((fit.nobs, count), order="F")
        for i in range(count):
            drawn = {g: values[rng.integers(len(values), size=len(values))] for g, values in effects.items()}
            out[:, i] = add_random(mean, rows, drawn) + errors[rng.integers(fit.nobs, size=fit.nobs)] / root
        return out

    return draw


def _covariances(fit: Fit) -> dict[str, FloatArray]:
    from jmix.results.rows import prior_covariances

    return {g: fit.sigma**2 * cov for g, cov in prior_covariances(fit).items()}


def reflated(values: FloatArray, covariance: FloatArray) -> FloatArray:
    """(J, q) values centred and transformed linearly to have ``covariance`` (q, q) as their empirical covariance.

    Directions in which the values do not vary stay as they are.
    """
    centred = values - values.mean(axis=0)
    now = centred.T @ centred / len(values)
    return centred @ inverse_root(now) @ root(covariance)


def root(matrix: FloatArray) -> FloatArray:
    """The symmetric square root of a semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T)


def inverse_root(matrix: FloatArray) -> FloatArray:
    """The symmetric pseudo-inverse of the square root of a semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    good = values > 1e-10 * max(float(values[-1]), 1e-300)
    inverse = np.where(good, 1.0 / np.sqrt(np.where(good, values, 1.0)), 0.0)
    return np.asarray(vectors * inverse @ vectors.T)
