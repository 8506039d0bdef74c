"""Maximum marginal likelihood and maximum a posteriori for item response models (Bock & Aitkin 1981), directly."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ConvergenceWarning
from jmix.estimate.irt.canonical import orientation, signs
from jmix.estimate.irt.checkpoint import Checkpoint
from jmix.estimate.irt.covariance import estimate_covariance
from jmix.estimate.irt.information import complete_information
from jmix.estimate.irt.maximum import Maximum
from jmix.estimate.irt.notes import degenerate, estimate_notes, steepest, weak_notes
from jmix.estimate.irt.objective import IrtObjective
from jmix.estimate.irt.sample import Sample
from jmix.estimate.irt.search import MOST, maximise
from jmix.estimate.irt.solution import IrtSolution
from jmix.estimate.irt.status import status_of
from jmix.estimate.irt.watch import Course
from jmix.likelihood.irt.marginal import Marginal

FloatArray = npt.NDArray[np.float64]

QUADRATURE = 1e-3
"""Largest change of the log likelihood with twice the nodes that is let pass."""

QUADRATURE_CHEAP, CHEAP = 5e-6, 2e6
"""The same where a pass takes little time: persons times nodes."""

QUADRATURE_DEAR, DEAR = 0.05, 2e7
"""The same where a pass with twice the nodes takes long."""

NOTED = 10.0
"""Multiple of ``QUADRATURE`` from which an error that stayed is pointed out."""

WRONG = 0.5
"""Quadrature error, in units of the log likelihood, from which the maximum is one of the grid, not of the model."""

UNRESOLVED = 20.0
"""Slope, per standard deviation of theta, from which more nodes are no remedy: the item has become a step."""

DOUBLINGS = 3
"""How often the nodes are doubled at most."""


@dataclass(frozen=True)
class FitOptions:
    """How to fit.

    Attributes:
        se: type of the standard errors, see ``uncertainty``. refine: double the nodes where they are too few; not
            those of quasi-Monte Carlo, whose error falls too slowly.
        progress: show the course, None where somebody is watching. checkpoint: where the best point is kept.
    """

    se: str = "hessian"
    max_iterations: int = 200
    refine: bool = True
    progress: bool | None = None
    checkpoint: Checkpoint | None = None


def fit_irt(
    marginal: Marginal,
    sample: Sample,
    start: FloatArray,
    options: FitOptions | None = None,
    *,
    covariates: FloatArray | None = None,
    guess: FloatArray | None = None,
    notes: tuple[str, ...] = (),
) -> tuple[IrtSolution, Marginal]:
    """Maximise the likelihood, or with priors the posterior density, from ``start`` (P,).

    Args:
        covariates: (p, p) mean cross-product of the person model matrix. guess: (P, P) about the negative Hessian at
            the start; by default the information of complete data. notes: of the data.

    Returns:
        The solution and the marginal likelihood that it belongs to, which may have more nodes than the one given.

    Raises:
        ModelError: the likelihood is not finite at the start.

    Warns:
        ConvergenceWarning: the search did not arrive, or some parameters are not identified.
    """
    options = FitOptions() if options is None else options
    if start.size > MOST:
        return _large(marginal, sample, start, options, notes)
    if options.checkpoint is not None:
        start = options.checkpoint.resume(start)
    begun, evaluations = time.perf_counter(), 0
    seconds: dict[str, float] = {}
    for doubling in range(DOUBLINGS + 1):
        objective = IrtObjective(marginal, persons=float(sample.sizes.sum()))
        with Course(options.progress) as course:
            found = _maximise(objective, sample, start, covariates, guess, options, course)
        evaluations += found.n_evaluations
        error, finer = _quadrature_error(objective, found)
        good = abs(error) <= _allowed(objective, found) or steepest(marginal.spec, found.x) > UNRESOLVED
        random = "qmc" in marginal.integration.method
        if good or random or not options.refine or doubling == DOUBLINGS or found.interrupted:
            break
        _add(seconds, objective.seconds)
        marginal, start, guess = finer, found.x, found.information
    solution = _solution(objective, found, options, error, notes)
    _add(seconds, objective.seconds)
    seconds["all"] = time.perf_counter() - begun
    solution = replace(solution, n_evaluations=evaluations, seconds=seconds)
    if options.checkpoint is not None and solution.status.converged:
        options.checkpoint.remove()
    if not solution.status.converged:
        warnings.warn("; ".join([*solution.status.messages, *solution.notes]), ConvergenceWarning, stacklevel=4)
    return solution, marginal


def _add(total: dict[str, float], more: dict[str, float]) -> None:
    for name, spent in more.items():
        total[name] = total.get(name, 0.0) + spent


def _large(
    marginal: Marginal, sample: Sample, start: FloatArray, options: FitOptions, notes: tuple[str, ...]
) -> tuple[IrtSolution, Marginal]:
    """The fit of more parameters than a Hessian is kept for during the search."""
    from jmix.estimate.irt.large_fit import LargeOptions, fit_large

    own = LargeOptions(
        options.se, max(options.max_iterations, 500), options.refine, options.progress, options.checkpoint
    )
    return fit_large(marginal, sample, start, own, notes=notes)


def _maximise(
    objective: IrtObjective,
    sample: Sample,
    start: FloatArray,
    covariates: FloatArray | None,
    guess: FloatArray | None,
    options: FitOptions,
    course: Course,
) -> Maximum:
    information = guess if guess is not None and definite(guess) else None
    if information is None:
        information = complete_information(objective.marginal.spec, start, sample, covariates)
    visit = None if options.checkpoint is None else options.checkpoint.visit
    return maximise(objective, start, information, max_iterations=options.max_iterations, watch=course, visit=visit)


def definite(matrix: FloatArray) -> bool:
    """Whether a symmetric matrix is positive definite, its units aside."""
    diagonal = np.diag(matrix)
    if not (np.all(np.isfinite(matrix)) and np.all(diagonal > 0)):
        return False
    size = np.sqrt(diagonal)
    return not matrix.size or bool(np.linalg.eigvalsh(matrix / np.outer(size, size))[0] > 1e-6)


def _quadrature_error(objective: IrtObjective, found: Maximum) -> tuple[float, Marginal]:
    """The log likelihood at twice the nodes less the one maximised, and the likelihood with these nodes."""
    finer: Any = objective.marginal.finer()
    value = finer.value(found.x) if hasattr(finer, "value") else finer.value_and_grad(found.x)[0]
    return float(value) - (found.value - objective.log_prior(found.x)), finer


def _allowed(objective: IrtObjective, found: Maximum) -> float:
    """Quadrature error that is let pass."""
    marginal = objective.marginal
    integration = marginal.integration
    grid = integration.method == "grid" and marginal.spec.specific is None
    d = marginal.spec.n_factors if grid else 1
    size = objective.persons * integration.nodes**d
    if grid and size <= CHEAP and integration.precision == "float64":
        return QUADRATURE_CHEAP
    return (QUADRATURE_DEAR if d > 1 and size * 2.0**d > DEAR else QUADRATURE) + objective.noise(found.value)


def _solution(
    objective: IrtObjective, found: Maximum, options: FitOptions, error: float, notes: tuple[str, ...]
) -> IrtSolution:
    marginal, log_prior = objective.marginal, objective.log_prior(found.x)
    spec = marginal.spec
    flip = signs(spec, found.x)
    if marginal.integration.method in ("grid", "adaptive"):
        flip = flip * orientation(spec, found.x * flip)
    known = estimate_covariance(objective, found, options.se)
    x = found.x * flip
    own = estimate_notes(spec, x, known.lost)
    if abs(error) > NOTED * QUADRATURE + objective.noise(found.value):
        own += (_coarse(marginal, error),)
    own += weak_notes(spec, x, known.vcov)
    return IrtSolution(
        spec=spec,
        integration=marginal.integration,
        x=x,
        loglik=found.value - log_prior,
        log_prior=log_prior,
        vcov=known.turned(flip),
        se_type=known.kind,
        status=status_of(found, known.least, known.lost, degenerate(spec, x), unresolved=abs(error) > WRONG),
        quadrature_error=error,
        n_evaluations=found.n_evaluations,
        n_hessians=found.n_hessians,
        notes=(*notes, *own),
    )


def _coarse(marginal: Marginal, error: float) -> str:
    nodes = marginal.integration.nodes
    return (
        f"the log likelihood changes by {error:.2g} with twice the nodes: integrate with nodes={2 * nodes} or "
        "integration='adaptive'"
    )
