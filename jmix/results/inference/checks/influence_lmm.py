"""Groups or rows left out of a linear model: estimates and covariances without each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.boundary import canonical_signs
from jmix.estimate.inference import influence as numerics
from jmix.estimate.inference import influence_lanes as lanes
from jmix.estimate.inference.influence_independent import independent_one_step, owners_of

if TYPE_CHECKING:
    from jmix.estimate.objective import GaussianObjective
    from jmix.results.fit import Fit
    from jmix.results.inference.checks.check_groups import RowGroups

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MOST_LANES = 3000
"""Groups of a design with crossed factors whose criteria are evaluated in lanes."""

MOST_DOUBTFUL = 400
"""Groups at which one step is not enough that are refitted without being asked for."""


@dataclass(frozen=True)
class Deleted:
    """Estimates without each of G groups.

    Attributes:
        beta: (G, p). vcov: (G, p, p). theta: (G, k). sigma: (G,); NaN for models without. parameters: (G, P) as named
            by ``spec.names.parameter_names``, or the flat vector of a generalized model. displacement: (G,).
        refitted: (G,) by a true refit. converged: (G,).
    """

    beta: FloatArray
    vcov: FloatArray
    theta: FloatArray
    sigma: FloatArray
    parameters: FloatArray
    displacement: FloatArray
    refitted: BoolArray
    converged: BoolArray


def deleted(fit: Fit, groups: RowGroups, *, exact: bool) -> Deleted:
    """All groups at once: one step, or refits where ``exact`` or where one step is not enough."""
    if fit.objective is None:
        return least_squares(fit, groups)
    objective, counts, codes = fit.objective, groups.counts, groups.codes
    phi, hessian = fit.solution.phi, internal_hessian(fit)
    owners = owners_of(objective, codes)
    if owners is not None:
        found = independent_one_step(objective, phi, codes, counts, owners, hessian, reml=fit.reml)
    else:
        if groups.n_groups > MOST_LANES:
            raise ModelError(
                f"{groups.n_groups} groups that share levels of crossed factors would be left out one by one; at most "
                f"{MOST_LANES} are: choose a coarser group, or influence() for rows, which holds theta at its estimate"
            )
        found = lanes.one_step(objective, phi, codes, counts, hessian, reml=fit.reml)
    which = np.arange(counts.size) if exact else doubtful(found)
    refitted = np.zeros(counts.size, dtype=bool)
    if which.size:
        starts = np.where(np.isfinite(found.phi) & np.isfinite(found.doubt)[:, None], found.phi, phi)
        again = lanes.refit(objective, starts, codes, counts, which, reml=fit.reml)
        which = which[np.isfinite(again.doubt[which])]
        for name in ("phi", "gamma", "inverse", "rss", "converged", "logdet", "gram"):
            getattr(found, name)[which] = getattr(again, name)[which]
        refitted[which] = True
    return _on_scale(fit, objective, found, refitted)


def doubtful(found: numerics.LeftOut) -> npt.NDArray[np.int64]:
    """The groups at which one step is not enough, the most doubtful ones where there are many."""
    known = np.isfinite(found.rss) & (found.doubt > numerics.APART)
    order = np.argsort(np.where(known, -found.doubt, 0.0), kind="stable")
    return np.sort(order[: min(int(known.sum()), MOST_DOUBTFUL)])


def internal_hessian(fit: Fit) -> FloatArray:
    """(k, k) Hessian of the criterion in phi."""
    assert fit.objective is not None
    to_theta = fit.objective.to_theta
    return np.asarray(to_theta.T @ fit.solution.hessian @ to_theta)


def _on_scale(fit: Fit, objective: GaussianObjective, found: numerics.LeftOut, refitted: BoolArray) -> Deleted:
    """Back to the user's scales."""
    fixed, p = objective.reduced.fixed, objective.p
    nu = found.n - p if fit.reml else found.n
    with np.errstate(invalid="ignore", divide="ignore"):
        sigma2 = np.where(nu > 0, found.rss / np.maximum(nu, 1), np.nan)
        sigma2 = np.where(sigma2 > 0, sigma2, np.nan)
    phi = np.stack([canonical_signs(fit.spec, own) * own for own in found.phi])
    theta = phi @ objective.to_theta.T
    theta[~np.isfinite(found.rss)] = np.nan
    beta = fixed.beta_ols - fixed.y_scale * found.gamma[:, :p] @ fixed.inverse.T
    vcov = (fixed.y_scale**2 * sigma2)[:, None, None] * (fixed.inverse @ found.inverse @ fixed.inverse.T)
    sigma = fixed.y_scale * np.sqrt(sigma2)
    own = numerics.criteria(objective, found, sigma2, reml=fit.reml)
    at = fit.solution.criterion - objective.constant(fit.reml)
    n = objective.n - p if fit.reml else objective.n
    # the criterion leaves out the constant of the profiled variance
    displacement = own - (at + n - n * np.log(n))
    parameters = np.concatenate([beta, sds_and_correlations(fit.spec, theta, sigma), sigma[:, None]], axis=1)
    return Deleted(beta, vcov, theta, sigma, parameters, displacement, refitted, found.converged)


def sds_and_correlations(spec: object, theta: FloatArray, scale: FloatArray) -> FloatArray:
    """(G, .) standard deviations of all terms, then their correlations, from theta (G, k) relative to scale (G,)."""
    sds, cors = [], []
    for term, start in zip(spec.terms, spec.offsets, strict=True):  # type: ignore[attr-defined]
        cols, rows = np.triu_indices(term.q)
        lam = np.zeros((theta.shape[0], term.q, term.q))
        lam[:, rows, cols] = theta[:, start : start + term.n_theta]
        omega = lam @ np.swapaxes(lam, 1, 2)
        sd = np.sqrt(np.einsum("gaa->ga", omega))
        sds.append(scale[:, None] * sd)
        with np.errstate(invalid="ignore", divide="ignore"):
            cors.append((omega[:, rows, cols] / (sd[:, rows] * sd[:, cols]))[:, rows != cols])
    return np.concatenate([np.zeros((theta.shape[0], 0)), *sds, *cors], axis=1)


def least_squares(fit: Fit, groups: RowGroups) -> Deleted:
    """Groups left out of least squares, exactly, from cross-products."""
    root = np.ones(fit.nobs) if fit.design.weights is None else np.sqrt(fit.design.weights)
    basis = np.linalg.inv(np.linalg.qr(fit.design.X * root[:, None], mode="r"))
    y = fit.design.y - fit.linear_parts[0]
    table = np.column_stack([fit.design.X @ basis, y]) * root[:, None]
    own = groups.sums(table[:, :, None] * table[:, None, :])
    gamma, inverse, rss = numerics.closed_form(own.sum(axis=0) - own)
    p, n = basis.shape[0], fit.nobs - groups.counts
    nu = n if fit.method == "ML" else n - p
    with np.errstate(invalid="ignore", divide="ignore"):
        sigma2 = np.where(nu > 0, rss / np.maximum(nu, 1), np.nan)
    beta = fit.beta - gamma[:, :p] @ basis.T
    vcov = sigma2[:, None, None] * (basis @ inverse @ basis.T)
    at, sigma = fit.sigma**2, np.sqrt(sigma2)
    whole = own.sum(axis=0)
    full = np.einsum("ga,ab,gb->g", gamma, whole, gamma)
    rest = fit.nobs if fit.method == "ML" else fit.nobs - p
    start = rest * np.log(at) + float(whole[p, p]) / at
    displacement = rest * np.log(sigma2) + (full if fit.method == "ML" else float(whole[p, p])) / sigma2 - start
    ones = np.ones(groups.n_groups, dtype=bool)
    parameters = np.concatenate([beta, sigma[:, None]], axis=1)
    theta = np.zeros((groups.n_groups, 0))
    return Deleted(beta, vcov, theta, sigma, parameters, displacement, ones, np.isfinite(rss))


def rows_given_theta(fit: Fit) -> Deleted:
    """Every row left out with theta held at its estimate: exact in beta and sigma, for any structure.

    With ``P = V^{-1} - V^{-1}X M X'V^{-1}`` over sigma^2, leaving out row i moves beta by ``-M (V^{-1}X)_i' (P y)_i /
    P_ii`` and takes ``(P y)_i^2 / P_ii`` off the residual sum of squares (cf. Christensen, Pearson & Johnson 1992,
    Technometrics 34, 38-45).
    """
    from jmix.results.inference.checks.residual_standard import row_precisions
    from jmix.results.inference.checks.sandwich import working

    x, weighted, basis = working(fit)
    weights = np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights
    bread: FloatArray = np.asarray(np.linalg.inv(x.T @ weighted), dtype=np.float64)
    pulled = weights * (fit.design.y - fit.linear_parts[1])
    diagonal = row_precisions(fit, weighted, bread)
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = -(weighted @ bread) * (pulled / diagonal)[:, None]
        whole = fit.sigma**2 * (fit.nobs if fit.method == "ML" else fit.nobs - x.shape[1])
        nu = fit.nobs - 1 - (0 if fit.method == "ML" else x.shape[1])
        sigma2 = (whole - pulled**2 / diagonal) / nu
    beta = fit.beta + shift @ basis.T
    reach = weighted @ bread
    inverse = bread + reach[:, :, None] * reach[:, None, :] / diagonal[:, None, None]
    vcov = sigma2[:, None, None] * (basis @ inverse @ basis.T)
    sigma, theta = np.sqrt(sigma2), np.tile(fit.theta_values, (fit.nobs, 1))
    parameters = np.concatenate([beta, sds_and_correlations(fit.spec, theta, sigma), sigma[:, None]], axis=1)
    nothing = np.full(fit.nobs, np.nan)
    flags = np.zeros(fit.nobs, dtype=bool)
    return Deleted(beta, vcov, theta, sigma, parameters, nothing, flags, np.isfinite(sigma2))
