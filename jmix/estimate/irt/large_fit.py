"""Maximum likelihood or a posteriori with so many parameters that a matrix of them all is dear or impossible."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from jmix.errors import ConvergenceWarning, ModelError
from jmix.estimate.irt.canonical import signs
from jmix.estimate.irt.checkpoint import Checkpoint
from jmix.estimate.irt.large_errors import block_inverse, observed_blocks
from jmix.estimate.irt.large_objective import LargeObjective, LargeSpace
from jmix.estimate.irt.large_scale import scale_of
from jmix.estimate.irt.large_search import ACCEPTED, LargeSearch, minimise_large
from jmix.estimate.irt.notes import estimate_notes
from jmix.estimate.irt.sample import Sample
from jmix.estimate.irt.solution import IrtSolution
from jmix.estimate.irt.uncertainty import covariance
from jmix.estimate.irt.watch import Course
from jmix.estimate.status import Status
from jmix.likelihood.irt.marginal import Marginal

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FULL = 3000
"""Most parameters of which an exact Hessian is formed for standard errors; more have those by item."""

SINGLE = 1e-9
"""Rounding error of a log likelihood of float32 terms, relative."""

QUADRATURE = 1e-3
"""Largest change of the log likelihood with twice the nodes that is let pass."""

DOUBLINGS = 3
"""How often the nodes are doubled at most."""


@dataclass(frozen=True)
class LargeOptions:
    """How to fit.

    Attributes:
        se: type of the standard errors, see ``uncertainty``. refine: double the nodes where they are too few.
        progress: show the course, None where somebody is watching. checkpoint: where to keep the point, or None.
    """

    se: str = "hessian"
    max_iterations: int = 500
    refine: bool = True
    progress: bool | None = None
    checkpoint: Checkpoint | None = None


def fit_large(
    marginal: Marginal,
    sample: Sample,
    start: FloatArray,
    options: LargeOptions | None = None,
    *,
    notes: tuple[str, ...] = (),
) -> tuple[IrtSolution, Marginal]:
    """Maximise the likelihood, or with priors the posterior density, from ``start`` (P,).

    Returns:
        The solution, whose ``vcov`` is a sparse matrix of item blocks for se="item" or more than ``FULL`` parameters,
        and the marginal likelihood that it belongs to, which may have more nodes than the one given.

    Raises:
        ModelError: the likelihood is not finite at the start.

    Warns:
        ConvergenceWarning: the search did not arrive, or some parameters are not identified.
    """
    options = LargeOptions() if options is None else options
    begun, seconds, total = time.perf_counter(), 0.0, 0
    if options.checkpoint is not None:
        start = options.checkpoint.resume(start)
    for doubling in range(DOUBLINGS + 1):
        objective = LargeObjective(marginal)
        space, found = _maximise(objective, sample, start, options)
        seconds, total = seconds + objective.seconds, total + found.n_evaluations
        x = space.x(found.z)
        finer = marginal.finer()
        loglik = -found.at.value - objective.prior(x)[0]
        error = float(finer.value_and_grad(x)[0]) - loglik
        last = doubling == DOUBLINGS or found.interrupted or not options.refine
        if last or abs(error) <= QUADRATURE + _noise(marginal, found.at.value):
            break
        marginal, start = finer, x
    if abs(error) > 10.0 * QUADRATURE + 4.0 * _noise(marginal, found.at.value):
        notes += (
            f"the log likelihood changes by {error:.2g} with twice the nodes: integrate with "
            f"nodes={2 * marginal.integration.nodes} or method='adaptive'",
        )
    solution = _solution(objective, sample, x, found, options, loglik, error, notes)
    solution.seconds.update({"gradients": seconds, "all": time.perf_counter() - begun})
    if not solution.status.converged:
        warnings.warn("; ".join([*solution.status.messages, *solution.notes]), ConvergenceWarning, stacklevel=4)
    if options.checkpoint is not None and solution.status.converged:
        options.checkpoint.remove()
    return solution, marginal


def _maximise(
    objective: LargeObjective, sample: Sample, start: FloatArray, options: LargeOptions
) -> tuple[LargeSpace, LargeSearch]:
    prior, _, bend = objective.prior(start)
    if not np.isfinite(prior):
        start = objective.inside(start)
        prior, _, bend = objective.prior(start)
    scale = scale_of(objective.marginal.spec, start, sample, -bend if np.isfinite(prior) else None)
    with Course(options.progress) as course:
        space = LargeSpace(objective, start, scale.root, course)
        zero = np.zeros(start.size)
        at = space.first(zero)
        if not np.isfinite(at.value):
            raise ModelError(
                "the likelihood or a prior is not finite at the starting values: give start={...} inside the support "
                "of every prior, or leave start out"
            )
        soft = np.array([scale.root.solve(row) for row in scale.soft]).reshape(-1, start.size)
        noise = _noise(objective.marginal, at.value)
        keep = options.checkpoint

        def visit(search: LargeSearch) -> None:
            if keep is not None:
                keep.visit(space.x(search.z), -search.at.value)

        found = minimise_large(
            space.first,
            zero,
            at=at,
            soft=soft,
            noise=noise,
            max_iterations=options.max_iterations,
            visit=visit,
        )
    return space, found


def _noise(marginal: Marginal, value: float) -> float:
    return SINGLE * abs(value) if marginal.integration.precision == "float32" else 0.0


def _solution(
    objective: LargeObjective,
    sample: Sample,
    x: FloatArray,
    found: LargeSearch,
    options: LargeOptions,
    loglik: float,
    error: float,
    notes: tuple[str, ...],
) -> IrtSolution:
    marginal = objective.marginal
    spec = marginal.spec
    vcov, lost, least, kind, more = _uncertainty(objective, sample, x, options.se)
    flip = signs(spec, x)
    if sparse.issparse(vcov):
        vcov = sparse.csr_matrix(sparse.diags(flip) @ vcov @ sparse.diags(flip))
    elif vcov is not None:
        vcov = np.where(np.outer(flip, flip) < 0, -vcov, vcov)
    return IrtSolution(
        spec=spec,
        integration=marginal.integration,
        x=x * flip,
        loglik=loglik,
        log_prior=objective.prior(x)[0],
        vcov=vcov,
        se_type=kind,
        status=_status(found, least, lost, objective, x),
        quadrature_error=error,
        n_evaluations=found.n_evaluations,
        n_hessians=found.n_hessians,
        notes=(*notes, *more, *estimate_notes(spec, x * flip, lost)),
    )


def _uncertainty(
    objective: LargeObjective, sample: Sample, x: FloatArray, se: str
) -> tuple[Any, BoolArray, float, str, tuple[str, ...]]:
    """Covariance, what is not identified, least eigenvalue, type of the standard errors, notes."""
    none = np.zeros(x.size, dtype=np.bool_)
    notes: tuple[str, ...] = ()
    bend = objective.prior(x)[2]
    if se == "none":
        return None, none, 1.0, se, notes
    if se != "item" and x.size <= FULL:
        information = -np.asarray(objective.marginal.hessian(x)) - np.diag(bend)
        cross = None
        if se in ("crossprod", "sandwich"):
            cross = np.asarray(objective.marginal.cross_product(x)) - np.diag(bend)
        vcov, lost, least = covariance(se, information, cross)
        return vcov, lost, least, se, notes
    if se != "item":
        notes = (f"standard errors of {x.size:,} parameters are by item: se='item' asks for them, se='none' for none",)
    blocks = observed_blocks(objective.marginal, sample, x)
    vcov, lost, least = block_inverse(blocks, -bend, x.size)
    return vcov, lost, least, "item", notes


def _status(found: LargeSearch, least: float, lost: BoolArray, objective: LargeObjective, x: FloatArray) -> Status:
    decrement = found.decrement()
    fine = found.settled and not found.interrupted and bool(np.isfinite(found.at.value))
    messages: list[str] = []
    if found.interrupted:
        messages.append("interrupted: these are the best estimates so far; fit again with start=fit.x to go on")
    elif not fine:
        messages.append(
            f"not converged: decrement {decrement:.2g} (accepted: {ACCEPTED:g}) after {found.n_evaluations} "
            "evaluations; raise max_iterations, give start=fit.x to go on, simplify the model, or give priors"
        )
    elif lost.any():
        messages.append("the data do not identify all parameters: see the notes")
    return Status(
        converged=fine and not lost.any(),
        singular=False,
        max_gradient=float(np.max(np.abs(found.at.gradient), initial=0.0)),
        decrement=decrement,
        min_eigenvalue=least,
        n_evaluations=found.n_evaluations,
        n_hessians=found.n_hessians,
        messages=tuple(messages),
        interrupted=found.interrupted,
    )
