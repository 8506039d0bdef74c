"""Maximum marginal likelihood and maximum a posteriori for item response models (Bock & Aitkin 1981), directly."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from jmix.errors import ConvergenceWarning
from jmix.estimate.glmm_search import Search
from jmix.estimate.irt.canonical import signs
from jmix.estimate.irt.information import complete_information
from jmix.estimate.irt.notes import degenerate, estimate_notes, runaway
from jmix.estimate.irt.objective import IrtObjective
from jmix.estimate.irt.sample import Sample
from jmix.estimate.irt.search import MOST, Space, search
from jmix.estimate.irt.solution import IrtSolution
from jmix.estimate.irt.status import status_of
from jmix.estimate.irt.uncertainty import by_item, covariance
from jmix.estimate.irt.watch import Course
from jmix.likelihood.irt.marginal import Marginal
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

QUADRATURE = 1e-3
"""Largest change of the log likelihood with twice the nodes that is let pass."""

ROUNDING = 4e-9
"""The same relative to the log likelihood, where persons are computed in float32."""

DOUBLINGS = 3
"""How often the nodes are doubled at most."""


@dataclass(frozen=True)
class FitOptions:
    """How to fit.

    Attributes:
        se: type of the standard errors, see ``uncertainty``. refine: double the nodes where they are too few.
        progress: show the course, None where somebody is watching.
    """

    se: str = "hessian"
    max_iterations: int = 200
    refine: bool = True
    progress: bool | None = None


def fit_irt(
    marginal: Marginal,
    sample: Sample,
    start: FloatArray,
    options: FitOptions | None = None,
    *,
    covariates: FloatArray | None = None,
    notes: tuple[str, ...] = (),
) -> tuple[IrtSolution, Marginal]:
    """Maximise the likelihood, or with priors the posterior density, from ``start`` (P,).

    Args:
        covariates: (p, p) mean cross-product of the person model matrix. notes: of the data.

    Returns:
        The solution and the marginal likelihood that it belongs to, which may have more nodes than the one given.

    Raises:
        ModelError: the likelihood is not finite at the start.

    Warns:
        ConvergenceWarning: the search did not arrive, or some parameters are not identified.
    """
    options = FitOptions() if options is None else options
    begun, total = time.perf_counter(), 0
    seconds: dict[str, float] = {}
    for doubling in range(DOUBLINGS + 1):
        objective = IrtObjective(marginal)
        space, found = _maximise(objective, sample, start, covariates, options)
        total += found.n_evaluations
        for name, spent in objective.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + spent
        x = space.x(found.z)
        finer = marginal.finer()
        error = float(finer.value_and_grad(x)[0]) - float(-found.at.value - objective.log_prior(x))
        if not options.refine or doubling == DOUBLINGS or found.interrupted or abs(error) <= _allowed(found, marginal):
            break
        marginal, start = finer, x
    solution = _solution(objective, space, found, options, error, notes)
    seconds["all"] = time.perf_counter() - begun
    solution = replace(solution, n_evaluations=total, seconds=seconds)
    if not solution.status.converged:
        warnings.warn("; ".join([*solution.status.messages, *solution.notes]), ConvergenceWarning, stacklevel=4)
    return solution, marginal


def _allowed(found: Search, marginal: Marginal) -> float:
    rounding = ROUNDING * abs(found.at.value) if marginal.integration.precision == "float32" else 0.0
    return QUADRATURE + rounding


def _maximise(
    objective: IrtObjective, sample: Sample, start: FloatArray, covariates: FloatArray | None, options: FitOptions
) -> tuple[Space, Search]:
    information = complete_information(objective.marginal.spec, start, sample, covariates)
    with Course(options.progress) as course:
        return search(
            objective,
            start,
            information,
            max(float(sample.sizes.sum()), 1.0),
            max_iterations=options.max_iterations,
            watch=course,
        )


def _solution(
    objective: IrtObjective, space: Space, found: Search, options: FitOptions, error: float, notes: tuple[str, ...]
) -> IrtSolution:
    marginal = objective.marginal
    spec, x = marginal.spec, space.x(found.z)
    log_prior = objective.log_prior(x)
    flip = signs(spec, x)
    vcov, lost, least = _covariance(objective, space, found, x, options)
    x = x * flip
    if vcov is not None:
        vcov = np.where(np.outer(flip, flip) < 0, -vcov, vcov)
    own = estimate_notes(spec, x, lost)
    if abs(error) > _allowed(found, marginal):
        own += (_coarse(marginal, error),)
    return IrtSolution(
        spec=spec,
        integration=marginal.integration,
        x=x,
        loglik=-found.at.value - log_prior,
        log_prior=log_prior,
        vcov=vcov,
        se_type=options.se,
        status=status_of(found, least, lost, degenerate(spec, x)),
        quadrature_error=error,
        n_evaluations=found.n_evaluations,
        n_hessians=found.n_hessians,
        notes=(*notes, *own),
    )


def _coarse(marginal: Marginal, error: float) -> str:
    nodes = marginal.integration.nodes
    return (
        f"the log likelihood changes by {error:.2g} with twice the nodes: integrate with nodes={2 * nodes} or "
        "method='adaptive'"
    )


def _covariance(
    objective: IrtObjective, space: Space, found: Search, x: FloatArray, options: FitOptions
) -> tuple[FloatArray | None, BoolArray, float]:
    """Covariance of x by type, the parameters that are not identified, and the least scaled eigenvalue."""
    p = x.size
    none = np.zeros(p, dtype=np.bool_)
    if options.se == "none" and (p > MOST or not found.exact):
        return None, none, 1.0
    if not found.exact:
        found.refresh()
    inverse = np.linalg.inv(space.scale) if p else space.scale
    information = inverse.T @ found.hessian @ inverse
    cross = None
    if options.se in ("crossprod", "sandwich"):
        cross = np.asarray(objective.marginal.cross_product(x))
        if objective.prior is not None:
            cross = cross - objective.prior.evaluate(x)[2]
    inside = np.flatnonzero(~runaway(objective.marginal.spec, x))
    at = np.ix_(inside, inside)
    vcov, lost = np.diag(np.full(p, np.inf)), none.copy()
    vcov[at], lost[inside], least = covariance(options.se, information[at], None if cross is None else cross[at])
    if options.se == "item":
        vcov = by_item(information, item_blocks(objective.marginal.spec))
    return (None if options.se == "none" else vcov), lost, least


def item_blocks(spec: IrtSpec) -> list[npt.NDArray[np.int64]]:
    """Free parameters of each item, those of the latent distribution one by one; a shared one with its first item."""
    place = np.full(len(spec.table.names), -1)
    place[spec.table.free] = np.arange(spec.n_free)
    taken = np.zeros(spec.n_free, dtype=np.bool_)
    out: list[npt.NDArray[np.int64]] = []
    for block in spec.blocks:
        for row in range(len(block.columns)):
            own = place[np.unique(np.concatenate([block.slopes[:, row].ravel(), block.own[:, row].ravel()]))]
            own = own[own >= 0]
            own = own[~taken[own]]
            taken[own] = True
            if own.size:
                out.append(own)
    return out + [np.array([i]) for i in np.flatnonzero(~taken)]
