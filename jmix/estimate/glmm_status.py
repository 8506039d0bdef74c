"""What a fitted generalized linear mixed model can vouch for: boundaries, unbounded estimates, modes not found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.estimate.boundary import zero_columns
from jmix.estimate.glmm_limits import at_limits
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.glmm_search import Search
from jmix.estimate.glmm_separation import separated
from jmix.estimate.glmm_start import Start
from jmix.estimate.status import Status, vanished_directions

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Findings:
    """What is not an ordinary estimate.

    Attributes:
        boundary: (d,) parameters of variances at zero. unbounded: (d,) parameters without a finite estimate. fatal:
            sentences that make the fit unusable as it is. notes: others.
    """

    boundary: BoolArray
    unbounded: BoolArray
    fatal: tuple[str, ...]
    notes: tuple[str, ...]


def examine(objective: GlmmObjective, x: FloatArray, search: Search, begin: Start) -> Findings:
    """Look at the end of a search from every side."""
    parts, place = objective.split(x), objective.slices["theta"]
    boundary = np.zeros(x.size, dtype=np.bool_)
    boundary[place] = zero_columns(objective.spec, parts.theta)
    fatal, unbounded = separated(objective, x, begin)
    limits = at_limits(objective, x, -search.at.value, unbounded)
    fatal += limits.fatal
    unbounded |= limits.unbounded
    fatal += _stuck(objective, x)
    vanished = vanished_directions(objective.spec, objective.spec.split(parts.theta))
    notes = [f"boundary (singular) fit: {text}" for text in vanished]
    return Findings(boundary, unbounded, tuple(fatal), tuple(notes + limits.notes + _few_levels(objective)))


def _stuck(objective: GlmmObjective, x: FloatArray) -> list[str]:
    """Modes that were not found, with the levels where they are known."""
    out = []
    for group, levels in objective.stuck_levels(x).items():
        if levels:
            shown = ", ".join(levels[:5]) + (f" and {len(levels) - 5} others" if len(levels) > 5 else "")
            out.append(
                f"the conditional modes of {group} were not found at the estimates for {shown}: look at the responses "
                "of these levels, or simplify the random effects"
            )
        else:
            out.append(
                f"the conditional modes of {group} were not found at the estimates: rescale the predictors or simplify "
                "the random effects"
            )
    return out


def _few_levels(objective: GlmmObjective) -> list[str]:
    out = []
    for term in objective.terms:
        q, j = len(term.names), len(term.levels)
        if j < q * (q + 1) // 2:
            out.append(
                f"({' + '.join(term.names)} | {term.group}): {j} levels are few for {q * (q + 1) // 2} covariance "
                "parameters; the likelihood tells little of them"
            )
    return out


def status_of(search: Search, findings: Findings, eigenvalues: FloatArray) -> Status:
    """The certificate, in numbers and in words."""
    decrement = search.decrement()
    size = float(np.max(np.abs(eigenvalues), initial=1e-300))
    least = float(np.min(eigenvalues, initial=size)) / size
    fine = search.settled and not search.interrupted and bool(np.isfinite(search.at.value))
    definite = bool(np.all(eigenvalues > 0))
    messages = [*findings.notes, *findings.fatal]
    if search.interrupted:
        messages.append(
            "interrupted: these are the best estimates so far; fit again with start=fit.solution.x to go on"
        )
    elif not fine:
        messages.append(_not_arrived(search, decrement))
    elif not definite:
        messages.append(
            "the Hessian at the estimates is not positive definite: the data do not identify all parameters; simplify "
            "the model or give priors"
        )
    return Status(
        converged=fine and definite and not findings.fatal,
        singular=bool(findings.boundary.any()) or _degenerate(findings.notes),
        max_gradient=_scaled_gradient(search),
        decrement=decrement,
        min_eigenvalue=least,
        n_evaluations=search.n_evaluations,
        n_hessians=search.n_hessians,
        messages=tuple(messages),
        interrupted=search.interrupted,
    )


def _not_arrived(search: Search, decrement: float) -> str:
    return (
        f"not converged: Newton decrement {decrement:.2g} after {search.n_evaluations} evaluations; raise "
        "control={'max_iterations': ...}, rescale the predictors, simplify the random effects, or give priors"
    )


def _degenerate(notes: Sequence[str]) -> bool:
    return any(note.startswith("boundary") for note in notes)


def _scaled_gradient(search: Search) -> float:
    """Largest component of the deviance's gradient along an eigenvector, over the root of its eigenvalue."""
    if not search.z.size:
        return 0.0
    values, vectors = np.linalg.eigh(2.0 * search.hessian)
    floor = np.maximum(np.abs(values), 1e-9 * float(np.max(np.abs(values), initial=1e-300)))
    return float(np.max(np.abs(vectors.T @ (2.0 * search.at.gradient)) / np.sqrt(floor)))
