"""``fit_stream``: an item response model of responses in a Parquet file, or any stream larger than memory."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ConvergenceWarning, ModelError
from jmix.estimate.irt.canonical import signs
from jmix.estimate.irt.checkpoint import Checkpoint, checkpoint_for
from jmix.estimate.irt.notes import estimate_notes
from jmix.estimate.irt.objective import IrtObjective
from jmix.estimate.irt.solution import IrtSolution
from jmix.estimate.irt.stochastic import StochasticOptions, stochastic
from jmix.estimate.irt.stream_newton import PASSES, Polished, polish, status_of_polish
from jmix.estimate.irt.stream_stages import SUBSAMPLE, fit_sample
from jmix.estimate.irt.stream_stages import two_stage_start as two_stage_start
from jmix.estimate.irt.uncertainty import covariance, standard_error_type
from jmix.likelihood.irt.marginal import Integration, Marginal
from jmix.likelihood.irt.stream import MEMORY, StreamMarginal
from jmix.likelihood.irt.stream_coding import find_coding
from jmix.likelihood.irt.stream_source import open_source
from jmix.responses.data import Responses
from jmix.spec.irt.build import build_spec
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]

LARGEST = 3000
"""Most parameters: every block of persons has a Hessian."""

SINGLE = 5_000_000
"""Persons times nodes from which what is computed per person is float32."""

NOISE = 1e-9
"""Rounding error of a log likelihood of float32 terms, relative."""


@dataclass(frozen=True, eq=False)
class StreamFit:
    """A fit of streamed responses.

    Attributes:
        solution: estimates for all persons. marginal: whose methods are passes over the data. sample: the responses of
            the first stage, sample_marginal: their likelihood. n_persons: N. n_passes: how often the data were read.
    """

    solution: IrtSolution
    marginal: StreamMarginal
    sample: Responses
    n_persons: int
    n_passes: int
    sample_marginal: Marginal
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def spec(self) -> IrtSpec:
        """The model."""
        return self.solution.spec


def fit_stream(
    source: Any,
    itemtype: Any = None,
    *,
    items: Sequence[str] | None = None,
    weights: str | None = None,
    group: str | None = None,
    integration: Integration | None = None,
    method: str = "newton",
    use_priors: bool | None = None,
    se: str = "hessian",
    subsample: int = SUBSAMPLE,
    memory: int = MEMORY,
    max_passes: int = PASSES,
    check_nodes: bool = False,
    checkpoint: str | Path | None = None,
    watch: Callable[[int], None] | None = None,
    stochastic_options: StochasticOptions | None = None,
    **options: Any,
) -> StreamFit:
    """Maximum likelihood, or with ``priors`` a posteriori, of persons that need not fit in memory.

    A sample is fitted in memory; then each pass over the data, block by block, gives the exact log likelihood and
    gradient of all persons for one Newton step. Three to five passes arrive at the answer of a fit in memory.

    Args:
        source: path of a Parquet file with one row a person and one column an item, a folder or list of such files, an
            array or memory map (N, J), or a function that returns an iterator of arrays or frames.
        itemtype, options: of the model, see ``build_spec``. items: columns that are items; by default all but
            ``weights`` and ``group``, which name columns.
        method: "newton", or "stochastic": Adam on blocks of persons in random order before the passes.
        use_priors: True demands priors, False leaves those of the model out, None takes what there is.
        se: "hessian", "crossprod", "sandwich" or "none". subsample: persons of the first stage.
        memory: bytes of blocks kept between passes. check_nodes: another pass with twice the nodes, for the quadrature
            error; without it the error of the sample is scaled up.
        checkpoint: file in which the best point is kept, and from which the fit goes on.

    Raises:
        DataError: the source or its values. ModelError: the model, or more parameters than ``LARGEST``.

    Warns:
        ConvergenceWarning: the passes did not arrive, or the data do not identify all parameters.
    """
    if method not in ("newton", "stochastic"):
        raise ModelError(f"method={method!r}: choose 'newton' or 'stochastic'")
    kind, begun = standard_error_type(se), time.perf_counter()
    if kind == "item":
        raise ModelError("se='item' is for thousands of items in memory; choose 'hessian', 'crossprod' or 'sandwich'")
    for name in ("formula", "clusters"):
        if options.get(name):
            raise ModelError(f"{name}= is not available for streamed responses: fit a sample in memory")
    opened = open_source(source, items=items, other=[name for name in (weights, group) if name is not None])
    coding, sample = find_coding(opened, subsample, weights, group)
    spec = _with_priors(build_spec(sample, itemtype, **options)[0], use_priors)
    if spec.n_free > LARGEST:
        raise ModelError(f"{spec.n_free:,} parameters are too many for streamed responses: {LARGEST:,} at most")
    seconds = {"reading": time.perf_counter() - begun}
    keep = None if checkpoint is None else checkpoint_for(checkpoint, spec, opened.fingerprint())
    first, small = fit_sample(spec, sample, integration)
    seconds["sample"] = time.perf_counter() - begun - seconds["reading"]
    marginal = StreamMarginal(spec, _whole(first.integration, coding.n), opened, coding, memory=memory, watch=watch)
    share = coding.n / sample.n_persons
    objective = IrtObjective(marginal)
    x, hessian = first.x, np.asarray(small.hessian(first.x)) * share
    if objective.prior is not None:
        hessian = hessian + objective.prior.evaluate(x)[2]
    if keep is not None:
        x = keep.resume(x)
    if method == "stochastic":
        x = stochastic(objective, x, hessian, coding.n, stochastic_options).x
    found = _polish(objective, x, hessian, kind, max_passes, keep)
    error = first.quadrature_error * share
    if check_nodes:
        error = marginal.finer().value_and_grad(found.x)[0] - (found.value - objective.log_prior(found.x))
    solution = _solution(objective, found, kind, error)
    seconds["all"] = time.perf_counter() - begun
    solution.seconds.update(seconds)
    if not solution.status.converged:
        warnings.warn("; ".join([*solution.status.messages, *solution.notes]), ConvergenceWarning, stacklevel=2)
    elif keep is not None:
        keep.remove()
    return StreamFit(solution, marginal, sample, coding.n, marginal.n_passes, small, seconds)


def _with_priors(spec: IrtSpec, wanted: bool | None) -> IrtSpec:
    """The specification with or without its priors."""
    if wanted and not spec.has_priors:
        raise ModelError("method='map' needs priors: give priors={'a': 'lognormal(0, 0.5)'} or priors='default'")
    return spec.without_priors() if wanted is False else spec


def _whole(integration: Integration, n: int) -> Integration:
    """The integration that served the sample; per-person values in float32 where there are very many."""
    single = n * integration.nodes > SINGLE and integration.method == "grid"
    return replace(integration, precision="float32") if single else integration


def _polish(
    objective: IrtObjective, x: FloatArray, hessian: FloatArray, kind: str, passes: int, keep: Checkpoint | None
) -> Polished:
    single = objective.marginal.integration.precision == "float32"
    exact = kind != "none"
    return polish(
        objective, x, hessian, max_passes=passes, exact=exact, checkpoint=keep, noise=NOISE if single else 0.0
    )


def _solution(objective: IrtObjective, found: Polished, kind: str, error: float) -> IrtSolution:
    spec, prior = objective.marginal.spec, objective.log_prior(found.x)
    flip = signs(spec, found.x)
    vcov, lost, least = None, np.zeros(found.x.size, dtype=np.bool_), 1.0
    if kind != "none":
        cross = None
        if kind in ("crossprod", "sandwich"):
            cross = np.asarray(objective.marginal.cross_product(found.x))
            if objective.prior is not None:
                cross = cross - objective.prior.evaluate(found.x)[2]
        vcov, lost, least = covariance(kind, -found.hessian, cross)
        vcov = np.where(np.outer(flip, flip) < 0, -vcov, vcov)
    return IrtSolution(
        spec=spec,
        integration=objective.marginal.integration,
        x=found.x * flip,
        loglik=found.value - prior,
        log_prior=prior,
        vcov=vcov,
        se_type=kind,
        status=status_of_polish(found, least, lost),
        quadrature_error=error,
        n_evaluations=found.n_gradients,
        n_hessians=found.n_hessians,
        notes=estimate_notes(spec, found.x * flip, lost),
    )
