"""Parameters with bounds: where a posterior mode may be on the boundary, and how to say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.estimate.coordinates import TermPlan
from jmix.estimate.density import Plan
from jmix.estimate.prior_plans import CoefficientPlan
from jmix.spec.covariance import CovarianceSpec
from jmix.spec.names import parameter_names
from jmix.spec.prior_sets import Priors, PriorSet
from jmix.spec.supports import ScalarPrior

FloatArray = npt.NDArray[np.float64]

FAR = 40.0
"""Coordinate at which a parameter is on its bound to all digits."""

DEGENERATE = 1e-8
"""Least eigenvalue of a correlation matrix that is not on its boundary."""


@dataclass(frozen=True)
class Bounded:
    """A coordinate whose parameter has bounds.

    Attributes:
        at: its position in z. name: of the parameter. ends: coordinates of the finite bounds.
        vanishing: term and row of a standard deviation that may be zero. gone: correlations that mean nothing then.
    """

    at: int
    name: str
    ends: tuple[float, ...]
    vanishing: tuple[int, int] | None = None
    gone: tuple[int, ...] = ()


def bounded_coordinates(plan: Plan, priors: PriorSet, spec: CovarianceSpec, x_names: Sequence[str]) -> list[Bounded]:
    """Every coordinate that has a bound."""
    names = parameter_names(x_names, spec)
    out, at = bounded_model(plan.fixed, plan.terms, priors, names)
    return [*out, Bounded(at, "sigma", _ends(priors.sigma))]


def bounded_scalar(at: int, name: str, own: ScalarPrior) -> Bounded:
    """A coordinate of a scalar parameter."""
    return Bounded(at, name, _ends(own))


def bounded_model(
    fixed: CoefficientPlan, terms: Sequence[TermPlan], priors: Priors, names: Sequence[str]
) -> tuple[list[Bounded], int]:
    """Those of the fixed effects and the random terms, and how many coordinates these have.

    Args:
        names: of the fixed effects, then of the standard deviations term by term.
    """
    out = [Bounded(i, names[i], _ends(own)) for i, own in enumerate(priors.coefficients) if fixed.direct]
    at, name = fixed.p, fixed.p
    for i, (own, prior) in enumerate(zip(terms, priors.terms, strict=True)):
        for a, sd in enumerate(prior.sds):
            zero = sd.low == 0.0 and sd.on != "precision"
            gone = tuple(at + own.q + k for k in _correlations_of(own.q, a)) if zero else ()
            out.append(Bounded(at + a, names[name], _ends(sd), (i, a) if zero else None, gone))
            name += 1
        at += own.size
    return out, at


def _ends(own: ScalarPrior) -> tuple[float, ...]:
    return {"real": (), "above": (-FAR,), "below": (FAR,), "between": (-FAR, FAR)}[own.kind]


def _correlations_of(q: int, row: int) -> list[int]:
    """Positions, among a term's partial correlations, of those of one column, as rows of a lower triangle."""
    pairs = [(i, j) for i in range(1, q) for j in range(i)]
    return [k for k, pair in enumerate(pairs) if row in pair]


def at_bound(own: Bounded, chols: Sequence[FloatArray]) -> str:
    """What it means that a parameter is on a bound."""
    if own.vanishing is not None and not np.any(chols[own.vanishing[0]][own.vanishing[1]]):
        return (
            f"the posterior mode is on the boundary: {own.name} is zero; sample the posterior, or give it a prior that "
            "avoids zero such as 'gamma(2, 0.1)'"
        )
    return (
        f"the posterior mode is on the boundary: {own.name} is at a bound of its prior and has no standard error; "
        "sample the posterior, or widen the prior"
    )


def degenerate(spec: CovarianceSpec, chols: Sequence[FloatArray]) -> list[str]:
    """One sentence for every term whose correlations are at their limit."""
    out = []
    for term, chol in zip(spec.terms, chols, strict=True):
        sd = np.sqrt(np.sum(np.square(chol), axis=1))
        kept = chol[sd > 0] / sd[sd > 0, None]
        if len(kept) > 1 and np.linalg.eigvalsh(kept @ kept.T)[0] < DEGENERATE:
            out.append(
                f"the posterior mode is on the boundary: ({' + '.join(term.names)} | {term.group}): the correlations "
                "are at their limit; sample the posterior, or give them a prior that avoids it such as 'lkj(2)'"
            )
    return out
