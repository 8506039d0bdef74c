"""Generalized linear models by Fisher scoring in NumPy: where the search for a mixed model begins.

The row score in eta and its expected square are all that anything here needs of a family, so that every family is
scored alike (McCullagh & Nelder 1989, section 2.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from jmix.families import Family, inverse_link, link_derivative, link_function

FloatArray = npt.NDArray[np.float64]

MAX_STEPS = 25
LARGEST_ETA = 30.0
"""Where a linear predictor of a link with bounded mean is cut."""

TINY = 1e-10


@dataclass(frozen=True)
class Rows:
    """Rows to score: what a design holds of them.

    Attributes:
        X: (n, p). y: (n,) responses; proportions for binomial. weight: (n,) multipliers, times the trials for binomial.
        offset: (n,). mass: rows of the whole data that one of these stands for.
    """

    X: FloatArray
    y: FloatArray
    weight: FloatArray
    offset: FloatArray
    mass: float = 1.0


@dataclass(frozen=True)
class Scored:
    """A fitted generalized linear model.

    Attributes:
        beta: (p,). tau: (K-1,) thresholds, or empty. eta: (n,) linear predictor. phi: Pearson dispersion. score:
            (n,) derivative of the row log likelihoods in eta. information: (n,) its expected square. step: (p,) the
            last change of beta. converged: the steps came to rest at moderate eta. tau_information: (K-1, K-1).
    """

    beta: FloatArray
    tau: FloatArray
    eta: FloatArray
    phi: float
    score: FloatArray
    information: FloatArray
    step: FloatArray
    converged: bool
    tau_information: FloatArray | None = None


def score_glm(family: Family, rows: Rows, tolerance: float = 1e-8) -> Scored:
    """Maximum quasi-likelihood, by at most ``MAX_STEPS`` steps that are halved where they overshoot.

    Args:
        tolerance: change of eta, relative to its size, at which to stop.
    """
    if family.name == "cumulative":
        return _score_ordinal(family, rows, tolerance)
    eta = np.asarray(link_function(family, _starting_mean(family, rows)))
    s, w = row_scores(family, rows, eta)
    beta = _goal(rows, eta, s, w)
    eta = _inside(family, rows, rows.X @ beta + rows.offset, eta)
    s, w = row_scores(family, rows, eta)
    step, converged = np.zeros(beta.size), False
    for _ in range(MAX_STEPS):
        step = _goal(rows, eta, s, w) - beta
        scale, new, s, w = _moved(family, rows, beta, step, eta, s, w)
        beta = beta + scale * step
        change, eta = float(np.max(np.abs(new - eta), initial=0.0)), new
        if change < tolerance * (1.0 + float(np.max(np.abs(eta), initial=0.0))):
            converged = scale > 0.0
            break
    phi = pearson(rows, s, w)
    return Scored(beta, np.zeros(0), eta, phi, s / phi, w / phi, step, converged and _calm(family, eta))


def _calm(family: Family, eta: FloatArray) -> bool:
    """Whether no mean is near a bound of its range."""
    return not bounded_link(family) or float(np.max(np.abs(eta), initial=0.0)) < 8.0


def _goal(rows: Rows, eta: FloatArray, s: FloatArray, w: FloatArray) -> FloatArray:
    """(p,) where the next step would lead: least squares of the working response."""
    working = eta - rows.offset + np.divide(s, w, out=np.zeros_like(s), where=w > 0)
    return weighted_least_squares(rows.X, working, w)


def _moved(
    family: Family, rows: Rows, beta: FloatArray, step: FloatArray, eta: FloatArray, s: FloatArray, w: FloatArray
) -> tuple[float, FloatArray, FloatArray, FloatArray]:
    """The largest of the steps 1, 1/2, 1/4, ... that stays where means exist and does not turn the score back.

    Returns the share of the step, and eta, score and information there.
    """
    direction = rows.X @ step
    before = abs(float(s @ direction))
    for k in range(8):
        scale = 0.5**k
        new = rows.X @ (beta + scale * step) + rows.offset
        if _valid(family, new):
            s_new, w_new = row_scores(family, rows, new)
            if float(s_new @ direction) > -0.7 * before:
                return scale, new, s_new, w_new
    return 0.0, eta, s, w


def _inside(family: Family, rows: Rows, eta: FloatArray, fallback: FloatArray) -> FloatArray:
    """The linear predictor cut where means exist."""
    if bounded_link(family) or family.link == "log":
        return np.clip(eta, -LARGEST_ETA, LARGEST_ETA) if family.link != "log" else eta
    return eta if _valid(family, eta) else np.where(_defined(family, eta), eta, fallback)


def bounded_link(family: Family) -> bool:
    """Whether every eta gives a mean."""
    return family.link in ("logit", "probit", "cloglog", "cauchit")


def _defined(family: Family, eta: FloatArray) -> npt.NDArray[np.bool_]:
    if bounded_link(family):
        return np.isfinite(eta)
    positive = family.name not in ("gaussian", "student")
    with np.errstate(all="ignore"):
        mu = np.asarray(inverse_link(family, eta))
    fine = np.isfinite(mu)
    if positive:
        fine &= (mu > 0) & (eta > 0 if family.link in ("inverse", "1/mu^2", "sqrt") else True)
    if family.name in ("bernoulli", "binomial"):
        fine &= mu < 1
    return np.asarray(fine)


def _valid(family: Family, eta: FloatArray) -> bool:
    return bool(np.all(_defined(family, eta)))


def _starting_mean(family: Family, rows: Rows) -> FloatArray:
    """Means near the responses, inside the range of the family."""
    y, total = rows.y, float(np.sum(rows.weight))
    centre = float(np.sum(rows.weight * y)) / max(total, TINY)
    if family.name in ("gaussian", "student"):
        if family.link == "identity":
            return y
        return np.where(y > 0, y, max(abs(centre), TINY)) if family.link == "log" else np.where(y != 0, y, centre)
    if family.name in ("bernoulli", "binomial"):
        return (rows.weight * y + 0.5) / (rows.weight + 1.0) if bounded_link(family) else 0.2 * y + 0.4 * centre + 0.05
    if family.name == "beta":
        return 0.9 * y + 0.1 * centre
    return np.maximum(0.7 * y + 0.3 * centre, 1e-3 * max(centre, TINY))


def row_scores(family: Family, rows: Rows, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n,) derivative of the quasi-likelihood in eta at dispersion one, and its expected square."""
    mu, slope = mean_and_slope(family, eta)
    variance = unit_variance(family, mu)
    with np.errstate(all="ignore"):
        s = rows.weight * (rows.y - mu) * slope / variance
        w = rows.weight * slope * slope / variance
    good = np.isfinite(s) & np.isfinite(w)
    return np.where(good, s, 0.0), np.where(good, w, 0.0)


def mean_and_slope(family: Family, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The mean and its derivative in eta."""
    with np.errstate(all="ignore"):
        return np.asarray(inverse_link(family, eta)), np.asarray(link_derivative(family, eta))


def unit_variance(family: Family, mu: FloatArray) -> FloatArray:
    """The variance function at dispersion one; counts as Poisson."""
    name = family.name
    if name in ("gaussian", "student"):
        return np.ones_like(mu)
    if name in ("bernoulli", "binomial", "beta"):
        return np.maximum(mu * (1.0 - mu), TINY)
    power = {"gamma": 2, "inverse_gaussian": 3}.get(name, 1)
    return np.asarray(np.maximum(mu, TINY) ** power)


def pearson(rows: Rows, s: FloatArray, w: FloatArray) -> float:
    """Pearson's chi-square over its degrees of freedom."""
    used = w > 0
    ratio = np.divide(s * s, w, out=np.zeros_like(s), where=used)
    freedom = max(float(np.sum(used)) - rows.X.shape[1], 1.0)
    return max(float(np.sum(ratio)) / freedom, TINY)


def weighted_least_squares(X: FloatArray, y: FloatArray, w: FloatArray) -> FloatArray:
    """(p,) coefficients by normal equations on scaled columns, with a ridge far below rounding of the data."""
    root = np.sqrt(w)
    scaled = X * root[:, None]
    size = np.sqrt(np.sum(scaled * scaled, axis=0))
    size = np.where(size > 0, size, 1.0)
    scaled = scaled / size
    solution = np.linalg.lstsq(scaled, root * y, rcond=1e-11)[0] if X.shape[0] < 5000 else _normal(scaled, root * y)
    return np.asarray(solution / size)


def _normal(X: FloatArray, y: FloatArray) -> FloatArray:
    cross = X.T @ X
    first = np.linalg.solve(cross + 1e-12 * np.eye(cross.shape[0]), X.T @ y) if cross.size else np.zeros(0)
    again = np.linalg.solve(cross + 1e-12 * np.eye(cross.shape[0]), X.T @ (y - X @ first)) if cross.size else first
    return np.asarray(first + again)


def _score_ordinal(family: Family, rows: Rows, tolerance: float) -> Scored:
    """Fisher scoring of thresholds and coefficients together, from the frequencies of the categories."""
    k, p, n = family.n_categories, rows.X.shape[1], rows.y.size
    codes = rows.y.astype(np.int64)
    counts = np.bincount(codes, weights=rows.weight, minlength=k) + 0.5
    binary = replace(family, name="bernoulli", n_categories=0)
    tau: FloatArray = np.asarray(link_function(binary, np.cumsum(counts)[:-1] / counts.sum()), dtype=np.float64)
    beta: FloatArray = np.zeros(p)
    step: FloatArray = beta
    converged = False
    X = np.hstack([rows.X, np.zeros((n, k - 1))])
    for _ in range(MAX_STEPS):
        eta = rows.X @ beta + rows.offset
        gradient, information, s, w = _ordinal_scores(binary, rows, codes, X, eta, tau)
        move: FloatArray = np.asarray(np.linalg.lstsq(information, gradient, rcond=1e-11)[0], dtype=np.float64)
        scale = 1.0
        while np.any(np.diff(tau + scale * move[p:]) <= 0) and scale > 1e-3:
            scale *= 0.5
        step, beta, tau = scale * move[:p], beta + scale * move[:p], tau + scale * move[p:]
        size = float(np.max(np.abs(rows.X @ step), initial=0.0)) + float(np.max(np.abs(move[p:]), initial=0.0))
        if size < max(tolerance, 1e-6):
            converged = True
            break
    eta = rows.X @ beta + rows.offset
    _, information, s, w = _ordinal_scores(binary, rows, codes, X, eta, tau)
    calm = float(np.max(np.abs(eta), initial=0.0)) < 8.0 and float(np.max(np.abs(tau))) < 12.0
    return Scored(beta, tau, eta, 1.0, s, w, step, converged and calm, information[p:, p:])


def _ordinal_scores(
    binary: Family, rows: Rows, codes: npt.NDArray[np.int64], X: FloatArray, eta: FloatArray, tau: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Gradient and expected information of ``[beta, tau]``, and the score and information of eta by row."""
    p, k = rows.X.shape[1], tau.size + 1
    cuts = [mean_and_slope(binary, np.clip(t - eta, -LARGEST_ETA, LARGEST_ETA)) for t in tau]
    upper = [c[0] for c in cuts] + [np.ones_like(eta)]
    density = [np.zeros_like(eta), *(c[1] for c in cuts), np.zeros_like(eta)]
    gradient, information = np.zeros(p + k - 1), np.zeros((p + k - 1, p + k - 1))
    s, w = np.zeros_like(eta), np.zeros_like(eta)
    for c in range(k):
        chance = np.maximum(upper[c] - (upper[c - 1] if c else 0.0), TINY)
        along = density[c] - density[c + 1]
        J = X * along[:, None]
        if c < k - 1:
            J[:, p + c] = density[c + 1]
        if c > 0:
            J[:, p + c - 1] = -density[c]
        own = rows.weight * (codes == c) / chance
        gradient += J.T @ own
        information += (J * (rows.weight / chance)[:, None]).T @ J
        s += own * along
        w += rows.weight * along * along / chance
    return gradient, information, s, w
