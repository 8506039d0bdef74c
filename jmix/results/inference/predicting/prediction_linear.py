"""Prediction intervals of linear mixed models: normal theory with Satterthwaite's degrees of freedom, or calibrated.

The prediction error is ``x'(b_hat - beta) + z'(u_hat - u) - e``; its variance has the parts of Henderson's mixed
model equations and the residual's. Its estimate has ``2 v^2 / Var(v_hat)`` degrees of freedom, Satterthwaite's rule
for the whole sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.glmm_inputs import _factors
from jmix.results.inference.predicting.prediction import Intervals, Request, row_weights
from jmix.results.predict import fitted_rows, new_rows
from jmix.results.rows import Rows, add_random, conditional_parts, fixed_part, population_variance

if TYPE_CHECKING:
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

STEP = 1e-4
"""Relative step of central differences of a variance in theta."""

MANY = 5000
"""Random effects beyond which normal quantiles are the default: the derivatives cost more than they change."""


@dataclass(frozen=True)
class Targets:
    """Rows to predict.

    Attributes:
        rows: with random effects where ``conditional``. factors: (m, q) columns of each random term, of rows without
            groups. weights: (m,). valid: rows without missing values. index: their labels.
    """

    rows: Rows
    factors: tuple[FloatArray, ...]
    weights: FloatArray
    valid: BoolArray
    index: Any

    @property
    def conditional(self) -> bool:
        """Whether random effects of known groups take part."""
        return bool(self.rows.columns)


def linear_intervals(fit: Fit, data: Any, request: Request, method: str, df: Any, weights: Any) -> pd.DataFrame:
    """Intervals of a linear model as a table."""
    at = targets(fit, data, request, weights)
    if method == "bootstrap":
        if df is not None:
            raise ModelError("df= is for method='analytic'; a bootstrap has quantiles of its own")
        from jmix.results.inference.predicting.prediction_bootstrap import calibrated

        return calibrated(fit, at, request).frame(at.valid, at.index)
    centre = prediction(fit, at)
    variances = variance_parts(fit, at, request)
    total = np.sqrt(sum(variances.values()))
    if method == "simulate":
        if df is not None:
            raise ModelError("df= is for method='analytic'")
        lower, upper = _simulated(centre, variances, request)
        return Intervals(centre, lower, upper, variances).frame(at.valid, at.index)
    freedom = degrees(fit, at, request, df)
    half = _quantile(freedom, request.level) * total
    shown = None if np.all(np.isinf(freedom)) else freedom
    return Intervals(centre, centre - half, centre + half, variances, shown).frame(at.valid, at.index)


def targets(fit: Fit, data: Any, request: Request, weights: Any) -> Targets:
    """The rows, with missing values set to zero where they are not valid."""
    conditional = request.conditional and bool(fit.terms)
    if data is None:
        rows, valid, index = fitted_rows(fit.design, conditional), np.ones(fit.nobs, dtype=np.bool_), fit.design.index
    else:
        rows, valid, index = new_rows(fit.design, data, conditional, request.new_levels)
    factors: tuple[FloatArray, ...] = ()
    if not conditional and fit.terms and "random" in request.parts:
        factors, complete = _factors(fit, data, rows.n)  # type: ignore[arg-type]
        valid = valid & complete
    own = row_weights(weights, fit.design.weights, data, rows.n)
    return Targets(_blanked(rows, valid), tuple(np.where(valid[:, None], f, 0.0) for f in factors), own, valid, index)


def _blanked(rows: Rows, valid: BoolArray) -> Rows:
    """Zeros in rows that cannot be predicted."""
    if valid.all():
        return rows
    return Rows(
        np.where(valid[:, None], rows.X, 0.0),
        None if rows.offset is None else np.where(valid, rows.offset, 0.0),
        {g: np.where(valid, c, -1).astype(c.dtype) for g, c in rows.codes.items()},
        {g: tuple(np.where(valid, c, 0.0) for c in columns) for g, columns in rows.columns.items()},
    )


def prediction(fit: Fit, at: Targets) -> FloatArray:
    """(m,) x'b, with the modes of known groups."""
    return add_random(fixed_part(fit, at.rows), at.rows, fit.modes if at.conditional else {})


def variance_parts(fit: Fit, at: Targets, request: Request) -> dict[str, FloatArray]:
    """(m,) variance of each part, zero for those that are not included."""
    m = at.rows.n
    scale = fit.sigma**2
    if at.conditional:
        fixed, random = (scale * part for part in conditional_parts(fit, at.rows))
    else:
        fixed, random = population_variance(fit, at.rows), np.zeros(m)
        for z, cov in zip(at.factors, fit.cov_terms(), strict=False):
            random = random + np.einsum("ia,ab,ib->i", z, cov, z)
    parts = {"fixed": fixed, "random": np.maximum(random, 0.0), "residual": scale / at.weights}
    return {name: values if name in request.parts else np.zeros(m) for name, values in parts.items()}


def _quantile(df: FloatArray, level: float) -> FloatArray:
    from scipy.special import ndtri, stdtrit

    upper = 0.5 + 0.5 * level
    finite = np.isfinite(df)
    return np.where(finite, stdtrit(np.where(finite, df, 1.0), upper), ndtri(upper))


def _simulated(centre: FloatArray, variances: dict[str, FloatArray], request: Request) -> tuple[FloatArray, FloatArray]:
    total = np.broadcast_to(centre, (request.n, centre.size)).copy()
    for values in variances.values():
        total += np.sqrt(values) * request.rng.standard_normal((request.n, centre.size))
    tail = 0.5 - 0.5 * request.level
    lower, upper = np.quantile(total, [tail, 1.0 - tail], axis=0)
    return lower, upper


def degrees(fit: Fit, at: Targets, request: Request, df: Any) -> FloatArray:
    """(m,) degrees of freedom of the estimated variance of the prediction error; infinite for normal quantiles.

    Raises:
        ModelError: another rule, or one that the fit does not have.
    """
    least = fit.method == "OLS" or (fit.method == "REML" and not fit.terms)
    mixed = fit.method in ("REML", "ML") and bool(fit.terms)
    small = mixed and sum(t.q * len(term.levels) for t, term in zip(fit.spec.terms, fit.terms, strict=True)) <= MANY
    rule = df if df is not None else "residual" if least else "satterthwaite" if small else "none"
    m = at.rows.n
    if rule == "none":
        return np.full(m, np.inf)
    if rule == "residual" and not fit.terms:
        return np.full(m, float(fit.nobs - len(fit.beta)))
    if rule != "satterthwaite" or not mixed:
        own = "'residual' or 'none'" if not fit.terms else "'satterthwaite' or 'none'" if mixed else "'none'"
        raise ModelError(f"df={df!r}: this fit by {fit.method} has prediction intervals with df={own}")
    return _satterthwaite(fit, at, request)


def _satterthwaite(fit: Fit, at: Targets, request: Request) -> FloatArray:
    """``2 v^2 / (g'A g)`` with g the derivatives of the variance in (theta, sigma) and A their covariance."""
    from jmix.estimate.inference.satterthwaite import covariance_curve

    assert fit.objective is not None
    curve = covariance_curve(fit.objective, fit.solution, reml=fit.reml)

    def total(theta: FloatArray, sigma: float) -> FloatArray:
        return np.asarray(sum(variance_parts(moved(fit, theta, sigma), at, request).values()))

    theta, sigma = fit.theta_values, fit.sigma
    slopes = [_slope(lambda s: total(theta, s), sigma)]
    for i in range(theta.size - 1, -1, -1):
        slopes.insert(0, _slope(lambda value, i=i: total(_with(theta, i, value), sigma), theta[i]))  # type: ignore[misc]
    gradient = np.stack(slopes, axis=1)
    spread = np.einsum("mk,kl,ml->m", gradient, curve.parameters, gradient)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = 2.0 * np.square(total(theta, sigma)) / spread
    return np.where(np.isfinite(value), np.maximum(value, 1.0), np.inf)


def _slope(function: Callable[[float], FloatArray], at: float) -> FloatArray:
    """Central difference with one step of Richardson's extrapolation."""
    step = STEP * max(1.0, abs(at))
    wide, narrow = ((function(at + h) - function(at - h)) / (2.0 * h) for h in (step, 0.5 * step))
    return np.asarray((4.0 * narrow - wide) / 3.0)


def _with(theta: FloatArray, i: int, value: float) -> FloatArray:
    out = theta.copy()
    out[i] = value
    return out


def moved(fit: Fit, theta: FloatArray, sigma: float) -> Fit:
    """The fit at other variance parameters: what variances of predictions need follows, nothing else."""
    assert fit.objective is not None
    phi, fixed, p = fit.objective.to_phi @ theta, fit.objective.reduced.fixed, fit.objective.p
    gram = fit.objective.reduce(phi)[1][:p, :p]
    vcov = sigma**2 * fixed.inverse @ np.linalg.inv(gram) @ fixed.inverse.T
    return replace(fit, solution=replace(fit.solution, theta=theta, phi=phi, sigma=sigma, vcov=vcov))
