"""Parameters that run off to a limit: the likelihood is as high, or higher, far beyond where the search stopped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.glmm_scoring import bounded_link

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FAR = 4.0
"""How much farther a parameter on a log or logit scale is tried."""

LOSS = 1e-3
"""Loss of log likelihood there, below which the parameter is taken to be running off."""

WIDE = 10.0
"""Standard deviation of a random effect, in units of a logit, from which it is tried at twice its size."""

OPEN = 1.92
"""Loss of log likelihood at twice the size below which that size is not ruled out: half a chi-square's 95 % point."""


@dataclass
class Limits:
    """Sentences, and which entries of x they concern."""

    unbounded: BoolArray
    fatal: list[str]
    notes: list[str]


def at_limits(objective: GlmmObjective, x: FloatArray, loglik: float, known: BoolArray) -> Limits:
    """Parameters that run off, other than those already known to.

    Args:
        loglik: at x. known: (d,) separated parameters.
    """
    limits = Limits(np.zeros(x.size, dtype=np.bool_), [], [])
    if not np.isfinite(loglik):
        return limits
    _dispersion(objective, x, loglik, limits)
    _zeros(objective, x, loglik, known, limits)
    _shape(objective, x, loglik, limits)
    if bounded_link(objective.design.family) and not known.any():
        _variances(objective, x, loglik, limits)
    objective.at(x)
    return limits


def _flat(objective: GlmmObjective, x: FloatArray, loglik: float, place: int, change: float) -> bool:
    """Whether a parameter may be moved far at no loss."""
    trial = x.copy()
    trial[place] += change
    return bool(objective.loglik(trial) > loglik - LOSS)


def _dispersion(objective: GlmmObjective, x: FloatArray, loglik: float, limits: Limits) -> None:
    family, design = objective.design.family, objective.design
    if not family.has_dispersion or design.disp is None or not design.disp.intercept_only:
        return
    place = objective.slices["disp"].start
    level, name = float(x[place]), family.name
    if name in ("nbinom1", "nbinom2"):
        sign = 1.0 if name == "nbinom2" else -1.0
        if sign * level > 4.0 and _flat(objective, x, loglik, place, sign * FAR):
            limits.unbounded[place] = True
            limits.notes.append(
                "boundary (singular) fit: the counts are no more variable than Poisson counts, so that the dispersion "
                f"runs to its limit (phi -> {'infinity' if sign > 0 else '0'}); fit family='poisson'"
            )
    elif name in ("gaussian", "student", "gamma", "inverse_gaussian", "beta"):
        sign = 1.0 if name == "beta" else -1.0
        scale = float(np.log(np.std(design.response.y) + 1e-300)) if name in ("gaussian", "student") else 0.0
        if sign * (level - scale) > 12.0:
            limits.unbounded[place] = True
            limits.fatal.append(
                f"the model fits {design.base.y_name} (almost) exactly, so that its dispersion runs to "
                f"{'infinity' if sign > 0 else 'zero'}: drop the predictor or factor that it was computed from"
            )


def _zeros(objective: GlmmObjective, x: FloatArray, loglik: float, known: BoolArray, limits: Limits) -> None:
    design, place = objective.design, objective.slices["zi"].start
    if design.zi is None or design.family.zero != "inflated" or not design.zi.intercept_only or known[place]:
        return
    if x[place] < -4.0 and _flat(objective, x, loglik, place, -FAR):
        limits.unbounded[place] = True
        limits.notes.append(
            "boundary (singular) fit: there are no more zeros than the counts explain, so that the probability of an "
            "extra zero runs to 0; fit without zi"
        )


def _shape(objective: GlmmObjective, x: FloatArray, loglik: float, limits: Limits) -> None:
    if not objective.design.family.has_shape:
        return
    place = objective.slices["shape"].start
    if x[place] > 4.0 and _flat(objective, x, loglik, place, FAR):
        limits.unbounded[place] = True
        limits.notes.append(
            "boundary (singular) fit: the tails are no heavier than Gaussian ones, so that the degrees of freedom run "
            "to infinity; fit family='gaussian'"
        )


def _variances(objective: GlmmObjective, x: FloatArray, loglik: float, limits: Limits) -> None:
    """Standard deviations that grow with the coefficients: responses that hardly vary within levels."""
    theta, beta = objective.slices["theta"], objective.slices["beta"]
    lams = objective.spec.split(x[theta])
    for i, (term, lam) in enumerate(zip(objective.terms, lams, strict=True)):
        columns = np.stack([np.asarray(c) for c in term.columns])
        size = np.sqrt(np.mean(columns**2, axis=1)) @ np.abs(lam)
        if float(np.max(size, initial=0.0)) < WIDE:
            continue
        trial = x.copy()
        trial[theta], trial[beta] = 2.0 * x[theta], 2.0 * x[beta]
        tau = objective.slices["tau"]
        if tau.stop > tau.start:
            trial[tau.start] *= 2.0
            trial[tau.start + 1 : tau.stop] += np.log(2.0)
        if objective.loglik(trial) > loglik - OPEN:
            own = objective.spec.offsets[i]
            limits.unbounded[theta.start + own : theta.start + own + objective.spec.terms[i].n_theta] = True
            limits.unbounded[beta] = True
            limits.unbounded[tau] = True
            limits.fatal.append(
                f"the standard deviation of {' + '.join(term.names)} by {term.group} has no upper limit: the "
                f"responses hardly vary within the levels of {term.group}. Use a coarser grouping factor, drop the "
                'term, or give priors, e.g. priors={"sd": "half_normal(2.5)", "b": "normal(0, 2.5)"}'
            )
