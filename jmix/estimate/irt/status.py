"""What a fitted item response model can vouch for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.estimate.irt.maximum import Maximum
from jmix.estimate.status import Status


def status_of(
    found: Maximum, least: float, lost: npt.NDArray[np.bool_], singular: bool, *, unresolved: bool = False
) -> Status:
    """The certificate.

    Args:
        least: smallest eigenvalue of the scaled information. lost: (P,) parameters that are not identified.
        singular: an asymptote, a standard deviation or a correlation at its bound. unresolved: the nodes are too few
            for the likelihood that was maximised.
    """
    fine = found.settled and not found.interrupted and bool(np.isfinite(found.value))
    messages: list[str] = []
    if found.interrupted:
        messages.append(
            "interrupted: these are the best estimates so far; fit again with start=fit.solution.x to go on"
        )
    elif not fine:
        messages.append(
            f"not converged: Newton decrement {found.decrement:.2g} after {found.n_evaluations} evaluations; raise "
            "max_iterations, give start=fit.solution.x to go on, simplify the model, or give priors"
        )
    elif lost.any():
        messages.append("the data do not identify all parameters: see the notes")
    if unresolved and fine:
        messages.append(
            "the nodes cannot resolve the likelihood, so that its maximum is not that of the model: see the notes for "
            "slopes without bound, or raise nodes="
        )
    return Status(
        converged=fine and not lost.any() and not unresolved,
        singular=singular,
        max_gradient=found.max_gradient,
        decrement=found.decrement,
        min_eigenvalue=least,
        n_evaluations=found.n_evaluations,
        n_hessians=found.n_hessians,
        messages=tuple(messages),
        interrupted=found.interrupted,
    )
