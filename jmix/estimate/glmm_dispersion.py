"""Starting values of what a response has beside its mean: dispersion, zeros, thresholds, degrees of freedom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from jmix.design_response import GlmmDesign, Side
from jmix.estimate.glmm_scoring import Rows, Scored, mean_and_slope, score_glm, weighted_least_squares

FloatArray = npt.NDArray[np.float64]

Extra = list[tuple[FloatArray, FloatArray | None, FloatArray]]
"""Start, model matrix or None, and information of a part of x."""

NU_START = 6.0
"""Degrees of freedom from which Student's are searched."""

EXACT, ROUGH = 1e-9, 1e-2
"""Relative changes of eta at which scoring stops without random effects, and with them."""

PRECISION_RANGE = (0.2, 100.0)
"""Range of a starting value of a negative binomial's or a beta's phi."""


def scored_with_extras(design: GlmmDesign, rows: Rows) -> tuple[Scored, Extra]:
    """The model without random effects, and the starts of the other parts of x, in their order."""
    family, tolerance = design.family, ROUGH if design.terms else EXACT
    if family.zero == "hurdle":
        used = replace(rows, weight=np.where(rows.y > 0, rows.weight, 0.0))
        scored, zeros = score_glm(family, used, tolerance), _share_of_zeros(rows)
    elif family.zero == "inflated":
        scored = score_glm(family, rows, tolerance)
        scored, zeros = _inflated(design, rows, scored)
    else:
        scored, zeros = score_glm(family, rows, tolerance), 0.0
    extra: Extra = []
    if family.has_dispersion:
        level, total = _log_phi(family.name, scored), rows.mass * rows.y.size
        extra.append(_side(design.disp, level, total * _phi_information(family.name, scored)))
    if family.zero:
        total = rows.mass * rows.y.size
        extra.append(_side(design.zi, float(np.log(zeros / (1.0 - zeros))), 0.7 * total * zeros * (1.0 - zeros)))
    if family.n_thresholds:
        assert scored.tau_information is not None
        extra.append(_thresholds(scored, rows.mass))
    if family.n_shape:
        extra.append((np.log([NU_START - 1.0]), None, np.array([[0.05 * rows.mass * rows.y.size]])))
    return scored, extra


def _share_of_zeros(rows: Rows) -> float:
    zeros = float(np.sum(rows.weight[rows.y == 0])) / max(float(np.sum(rows.weight)), 1e-300)
    return min(max(zeros, 1e-3), 1.0 - 1e-3)


def _inflated(design: GlmmDesign, rows: Rows, scored: Scored) -> tuple[Scored, float]:
    """Half of the zeros beyond those of a Poisson are taken for extra ones, and the mean is raised in turn."""
    mu, _ = mean_and_slope(design.family, scored.eta)
    plain = float(np.sum(rows.weight * np.exp(-np.clip(mu, 0.0, 700.0)))) / max(float(np.sum(rows.weight)), 1e-300)
    extra = (_share_of_zeros(rows) - plain) / max(1.0 - plain, 1e-3)
    zeros = min(max(0.7 * extra, 0.05), 0.9)
    beta = scored.beta
    if design.family.link == "log" and rows.X.shape[1]:
        ones = np.ones(rows.y.size)
        beta = beta - np.log(1.0 - zeros) * weighted_least_squares(rows.X, ones, ones)
    return replace(scored, beta=beta), zeros


def _side(side: Side | None, level: float, information: float) -> tuple[FloatArray, FloatArray | None, FloatArray]:
    """Coefficients that give every row about the same value; ``information`` in that value, all rows together."""
    if side is None or side.intercept_only:
        return np.array([level]), None, np.array([[information]])
    X = np.asarray(side.X)
    ones = np.ones(X.shape[0])
    return weighted_least_squares(X, level * ones, ones), X, information / X.shape[0] * X.T @ X


def _log_phi(name: str, scored: Scored) -> float:
    phi = scored.phi
    low, high = PRECISION_RANGE
    if name in ("gaussian", "student"):
        return 0.5 * float(np.log(phi)) - (0.2 if name == "student" else 0.0)
    if name == "beta":
        return float(np.log(np.clip(1.0 / phi - 1.0, low, high)))
    if name == "nbinom1":
        return float(np.log(np.clip(phi - 1.0, 0.1, high)))
    if name == "nbinom2":
        mu = np.maximum(scored.information * phi, 0.0)
        return float(np.log(np.clip(float(np.mean(mu)) / max(phi - 1.0, 1e-2), low, high)))
    return float(np.log(phi))


def _phi_information(name: str, scored: Scored) -> float:
    """Expected information a row in log phi, at least roughly."""
    if name in ("gaussian", "student"):
        return 2.0 if name == "gaussian" else 1.3
    if name == "gamma":
        from scipy.special import polygamma

        a = 1.0 / scored.phi
        return float(a * a * polygamma(1, a) - a)
    if name in ("inverse_gaussian", "beta"):
        return 0.5
    return 0.1


def _thresholds(scored: Scored, mass: float) -> tuple[FloatArray, None, FloatArray]:
    """``tau_1`` and the logs of the gaps, with the information in these."""
    assert scored.tau_information is not None
    tau = scored.tau
    gaps = np.maximum(np.diff(tau), 1e-3)
    jacobian = np.zeros((tau.size, tau.size))
    jacobian[:, 0] = 1.0
    for k, gap in enumerate(gaps, start=1):
        jacobian[k:, k] = gap
    return np.append(tau[:1], np.log(gaps)), None, mass * jacobian.T @ scored.tau_information @ jacobian
