"""What a fitted item response model can vouch for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.estimate.glmm_search import Search
from jmix.estimate.status import Status

FloatArray = npt.NDArray[np.float64]


def status_of(search: Search, least: float, lost: npt.NDArray[np.bool_], singular: bool) -> Status:
    """The certificate.

    Args:
        least: smallest eigenvalue of the scaled information. lost: (P,) parameters that are not identified.
        singular: a standard deviation at zero or a correlation at one.
    """
    decrement = search.decrement() if search.z.size else 0.0
    fine = search.settled and not search.interrupted and bool(np.isfinite(search.at.value))
    messages: list[str] = []
    if search.interrupted:
        messages.append("interrupted: these are the best estimates so far; fit again with start=fit.x to go on")
    elif not fine:
        messages.append(
            f"not converged: Newton decrement {decrement:.2g} after {search.n_evaluations} evaluations; raise "
            "max_iterations, give start=fit.x to go on, simplify the model, or give priors"
        )
    elif lost.any():
        messages.append("the data do not identify all parameters: see the notes")
    return Status(
        converged=fine and not lost.any(),
        singular=singular,
        max_gradient=_scaled_gradient(search),
        decrement=decrement,
        min_eigenvalue=least,
        n_evaluations=search.n_evaluations,
        n_hessians=search.n_hessians,
        messages=tuple(messages),
        interrupted=search.interrupted,
    )


def _scaled_gradient(search: Search) -> float:
    """Largest component of the deviance's gradient in units of its own standard error."""
    if not search.z.size:
        return 0.0
    diagonal = np.maximum(2.0 * np.abs(np.diag(search.hessian)), 1e-300)
    return float(np.max(np.abs(2.0 * search.at.gradient) / np.sqrt(diagonal)))
