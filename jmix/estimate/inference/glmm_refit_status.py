"""What can be vouched for of searches that arrived: covariances, boundaries, and estimates that do not exist.

A cheap look at all estimates finds those that could be running off to a limit; only these are examined as a fit by
itself is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.estimate.boundary import zero_columns
from jmix.estimate.glmm_limits import WIDE
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.glmm_scoring import bounded_link
from jmix.estimate.glmm_search import Search
from jmix.estimate.glmm_separation import COUNTS
from jmix.estimate.glmm_solution import covariance
from jmix.estimate.glmm_start import find_start
from jmix.estimate.glmm_status import examine
from jmix.estimate.newton import Point

if TYPE_CHECKING:
    from jmix.estimate.inference.glmm_refit import Refitter
    from jmix.estimate.inference.glmm_refit_search import Found
    from jmix.estimate.inference.glmm_refit_solutions import Rows

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]

CALM = {"logit": 6.0, "cauchit": 6.0, "probit": 3.0, "cloglog": 3.0}
"""Linear predictor below which the responses cannot be separated: where they are, the search ends far beyond."""

RANGE = 8.0
"""Range of the log of a mean, and size of a threshold, below which the same holds."""

CELLS = 1 << 22
"""Linear predictors that are held at once."""


def certified(shared: Refitter, y: FloatArray, found: Found, source: IntArray, place: IntArray, rows: Rows) -> None:
    """Fill in the rows ``place`` from the searches ``source``."""
    objective, inverse = shared.objective, np.linalg.inv(shared.scale)
    x = shared.x0 + found.z[source] @ shared.scale.T
    theta = objective.slices["theta"]
    x[np.abs(x) < 1e-300] = 0.0
    boundary = np.zeros(x.shape, dtype=np.bool_)
    phi = found.z[source][:, theta] + np.linalg.solve(shared.scale[theta, theta], shared.x0[theta])
    lost = _zeros(objective, phi)
    boundary[:, theta] = lost
    x[:, theta] = np.where(lost, 0.0, phi @ shared.scale[theta, theta].T)
    rows.x[place], rows.loglik[place] = x, -found.value[source]
    rows.gradient[place] = -(found.gradient[source] @ inverse)
    rows.hessian[place] = inverse.T @ found.hessian[source] @ inverse
    rows.boundary[place], rows.ended[place] = boundary, True
    rows.singular[place] = boundary.any(axis=1)
    rows.converged[place] = True
    for k in np.flatnonzero(suspects(objective, x, y[:, place])):
        _examine(shared, y[:, place[k]], found, int(source[k]), int(place[k]), rows)
    _covariances(shared.scale, found.hessian[source], place, rows)


def _zeros(objective: GlmmObjective, phi: FloatArray) -> BoolArray:
    """(L, k) which entries lie in columns of Lambda that are zero."""
    if not phi.shape[1]:
        return np.zeros(phi.shape, dtype=np.bool_)
    # the origin of z leaves rounding where a column was set to zero
    clean = np.where(np.abs(phi) < 1e-12, 0.0, phi)
    return np.array([zero_columns(objective.spec, p) for p in clean]).reshape(phi.shape)


def _covariances(scale: FloatArray, hessians: FloatArray, place: IntArray, rows: Rows) -> None:
    """Covariances of all parameters; a fit whose Hessian is not positive definite has none, and has not converged."""
    special = rows.boundary[place].any(axis=1) | rows.unbounded[place].any(axis=1)
    plain = np.flatnonzero(~special)
    values, vectors = np.linalg.eigh(hessians[plain])
    definite = np.all(values > 0, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = scale @ (vectors / np.sqrt(np.where(definite[:, None], values, np.nan))[:, None, :])
    rows.vcov[place[plain]] = root @ np.swapaxes(root, 1, 2)
    rows.converged[place[plain]] &= definite
    for k in np.flatnonzero(special):
        i = place[k]
        rows.vcov[i], own = covariance(hessians[k], scale, rows.boundary[i], rows.unbounded[i])
        rows.converged[i] &= bool(np.all(own > 0))


def _examine(shared: Refitter, y: FloatArray, found: Found, k: int, i: int, rows: Rows) -> None:
    """Look at one fit from every side, as at one by itself."""
    objective = shared.objective_of(y)
    begin = find_start(objective.design, objective.terms, objective.spec)
    point = Point(float(found.value[k]), found.gradient[k], None)
    ended = Search(_never, lambda z: found.hessian[k], found.z[k], point, found.hessian[k], exact=True, settled=True)
    findings = examine(objective, rows.x[i], ended, begin)
    rows.unbounded[i], rows.boundary[i] = findings.unbounded, findings.boundary
    rows.converged[i] = not findings.fatal
    rows.singular[i] = bool(findings.boundary.any()) or any(t.startswith("boundary") for t in findings.notes)
    if findings.notes or findings.fatal:
        rows.messages[i] = (*findings.notes, *findings.fatal)


def _never(z: FloatArray) -> Point:
    raise AssertionError("nothing is evaluated")


def suspects(objective: GlmmObjective, x: FloatArray, y: FloatArray) -> BoolArray:
    """(L,) estimates x (L, d) that could be running off to a limit, those of the responses y (n, L)."""
    family, place = objective.design.family, objective.slices
    out = np.zeros(x.shape[0], dtype=np.bool_)
    if family.has_dispersion:
        out |= _dispersion(objective, x[:, place["disp"]], y)
    if objective.design.zi is not None:
        zi = x[:, place["zi"]]
        only = objective.design.zi.intercept_only
        out |= (zi[:, 0] < -3.9) if only else _largest(np.asarray(objective.design.zi.X), zi)[0] > RANGE - 1.0
    if family.has_shape:
        out |= x[:, place["shape"]][:, 0] > 3.9
    if family.n_thresholds:
        tau = x[:, place["tau"]]
        tau = np.cumsum(np.concatenate([tau[:, :1], np.exp(tau[:, 1:])], axis=1), axis=1)
        out |= np.max(np.abs(tau), axis=1) > RANGE
    if bounded_link(family) or (family.name in COUNTS and family.link == "log"):
        largest, spread = _largest(np.asarray(objective.design.base.X), x[:, place["beta"]])
        out |= largest > CALM[family.link] if bounded_link(family) else spread > RANGE
    if bounded_link(family) and objective.terms:
        out |= _wide(objective, x[:, place["theta"]])
    return out


def _largest(X: FloatArray, beta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(L,) largest size, and range, of ``X beta`` over the rows."""
    largest, spread = np.zeros(len(beta)), np.zeros(len(beta))
    step = max(1, CELLS // max(1, X.shape[0]))
    for start in range(0, len(beta), step):
        eta = X @ beta[start : start + step].T
        largest[start : start + step] = np.max(np.abs(eta), axis=0)
        spread[start : start + step] = np.max(eta, axis=0) - np.min(eta, axis=0)
    return largest, spread


def _dispersion(objective: GlmmObjective, level: FloatArray, y: FloatArray) -> BoolArray:
    side, name = objective.design.disp, objective.design.family.name
    if side is None or not side.intercept_only:
        return np.zeros(len(level), dtype=np.bool_)
    if name in ("nbinom1", "nbinom2"):
        return np.asarray((level[:, 0] if name == "nbinom2" else -level[:, 0]) > 3.9)
    scale = np.log(np.std(y, axis=0) + 1e-300) if name in ("gaussian", "student") else 0.0
    return np.asarray((level[:, 0] if name == "beta" else scale - level[:, 0]) > 11.9)


def _wide(objective: GlmmObjective, theta: FloatArray) -> BoolArray:
    """Random effects so wide that they may have no limit."""
    out = np.zeros(len(theta), dtype=np.bool_)
    for i, term in enumerate(objective.terms):
        size = np.sqrt([float(np.mean(np.square(c))) for c in term.columns])
        begin, own = objective.spec.offsets[i], objective.spec.terms[i]
        lams = (
            np.array([objective.spec.split(t)[i] for t in theta])
            if own.q > 1
            else np.abs(theta[:, begin : begin + 1, None])
        )
        out |= np.max(np.einsum("a,lab->lb", size, np.abs(lams)), axis=1) >= 0.99 * WIDE
    return out
