"""Stochastic estimation: Adam on the log likelihood of batches of persons, with averaging of the iterates.

Steps are taken in coordinates whitened by a sample's Hessian, in which all parameters are alike (Kingma & Ba 2015,
ICLR; Polyak & Juditsky 1992, SIAM J. Control Optim. 30, 838-855).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.irt.objective import IrtObjective
from jmix.runtime import float64

FloatArray = npt.NDArray[np.float64]
log = logging.getLogger("jmix")

WINDOW = 4
"""Blocks held to be shuffled."""


@dataclass(frozen=True)
class StochasticOptions:
    """How to walk.

    Attributes:
        epochs: passes over the data. rate: first step, in standard errors of a sample of one batch, falling to zero by
            a cosine. average: share of the steps at the end whose points are averaged. seed: of the batches' order.
    """

    epochs: int = 2
    rate: float = 0.3
    average: float = 0.5
    seed: int = 0


class Walked(NamedTuple):
    """The averaged point (P,), the last one, and the number of steps."""

    x: FloatArray
    last: FloatArray
    n_steps: int


def stochastic(
    objective: IrtObjective,
    start: FloatArray,
    hessian: FloatArray,
    n: float,
    options: StochasticOptions | None = None,
) -> Walked:
    """Adam from ``start`` (P,) over the blocks of a ``StreamMarginal``, shuffled within a window.

    Args:
        hessian: (P, P) negative definite, about that of the objective for all N persons. n: N.

    Raises:
        ModelError: the likelihood of a batch is not finite.
    """
    import optax

    options = StochasticOptions() if options is None else options
    marginal: Any = objective.marginal
    values, vectors = np.linalg.eigh(-hessian)
    values = np.maximum(values, 1e-9 * values[-1])
    scale = vectors / np.sqrt(values)
    n_batches = max(1, int(np.ceil(n / _batch_persons(marginal))))
    steps = options.epochs * n_batches
    # a unit of z is a standard error of all persons; one of a batch is sqrt(number of batches) as wide
    schedule = optax.cosine_decay_schedule(options.rate * np.sqrt(n_batches), max(steps, 1))
    rule = optax.adam(schedule, b1=0.9, b2=0.99)
    z, total, count, step = np.zeros(start.size), np.zeros(start.size), 0, 0
    with float64():
        state: Any = rule.init(z)
        for part, share in _batches(marginal, options, n):
            value, gradient = part.value_and_grad(start + scale @ z)
            if not np.isfinite(value):
                raise ModelError("the likelihood of a batch is not finite: start nearer, or use method='newton'")
            gradient = share * gradient
            if objective.prior is not None:
                gradient = gradient + objective.prior.evaluate(start + scale @ z)[1]
            update, state = rule.update(-(scale.T @ gradient), state)
            z, step = z + np.asarray(update), step + 1
            if step > (1.0 - options.average) * steps:
                total, count = total + z, count + 1
            log.info("batch %d: log likelihood of a person %.5f", step, value * share / n)
    mean = total / count if count else z
    return Walked(start + scale @ mean, start + scale @ z, step)


def _batch_persons(marginal: Any) -> int:
    from jmix.likelihood.irt.stream_source import block_rows

    return block_rows(len(marginal.spec.items))


def _batches(marginal: Any, options: StochasticOptions, n: float) -> Iterator[tuple[Any, float]]:
    """Likelihoods of blocks and the weight that makes each stand for all persons, in a window's random order."""
    rng = np.random.default_rng(options.seed)
    for _ in range(options.epochs):
        window: list[tuple[Any, float]] = []
        for part, persons in marginal.batches():
            window.append((part, n / persons))
            if len(window) > WINDOW:
                yield window.pop(int(rng.integers(len(window))))
        while window:
            yield window.pop(int(rng.integers(len(window))))
