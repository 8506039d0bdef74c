"""Few passes over very many persons: Newton steps with a Hessian that a sample gave.

The maximum for a sample of n persons lies within a few standard errors of that for all N, and the sample's Hessian,
times N / n, is within a share of ``1 / sqrt(n)`` of the whole one. Newton steps with it, each with an exact gradient
from one pass that also corrects the Hessian (BFGS), therefore gain two digits a pass or more; a last pass gives the
exact Hessian for the standard errors. What is found is the maximum for all persons, not an average over batches.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.irt.checkpoint import Checkpoint
from jmix.estimate.irt.objective import IrtObjective
from jmix.estimate.newton import PATIENCE, bfgs_update
from jmix.estimate.status import Status

FloatArray = npt.NDArray[np.float64]
log = logging.getLogger("jmix")

ARRIVED = 1e-9
"""Decrement, in units of the log likelihood, at which the optimum is reached: 4e-5 of a standard error."""

ACCEPTED, LOST = 1e-7, 1e-4
"""Decrement with which the search counts as arrived, in float64 and in float32."""

PASSES = 30
"""Most passes of Newton steps."""

SLOW = 0.3
"""Ratio of successive gradients, in units of the Hessian, above which the Hessian is computed anew."""


class Polished(NamedTuple):
    """The end of ``polish``: point, value, gradient, exact Hessian there, decrement, passes, how it ended."""

    x: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray
    decrement: float
    n_gradients: int
    n_hessians: int
    settled: bool
    interrupted: bool


def polish(
    objective: IrtObjective,
    start: FloatArray,
    hessian: FloatArray,
    *,
    noise: float = 0.0,
    max_passes: int = PASSES,
    exact: bool = True,
    checkpoint: Checkpoint | None = None,
) -> Polished:
    """Newton steps from ``start`` (P,) with one Hessian, computed anew only where that does not converge.

    Args:
        hessian: (P, P) negative definite, about that of the objective. noise: rounding error of the value, relative.
        exact: whether the exact Hessian is computed at the end.

    A KeyboardInterrupt after some seconds keeps the best point so far.
    """
    state = _Newton(objective, np.array(start, dtype=np.float64), _definite(-hessian), noise, checkpoint)
    begun = time.monotonic()
    try:
        state.run(max_passes)
        if exact and not state.fresh:
            state.refresh()
    except KeyboardInterrupt:
        if time.monotonic() - begun < PATIENCE or not np.isfinite(state.value):
            raise
        state.interrupted = True
    settled = state.decrement() <= (LOST if noise > 0.0 else ACCEPTED) and not state.interrupted
    return Polished(
        state.x,
        state.value,
        state.gradient,
        -state.information,
        state.decrement(),
        state.n_gradients,
        state.n_hessians,
        settled and (state.descends or not exact),
        state.interrupted,
    )


@dataclass
class _Newton:
    """Damped Newton steps, the information matrix improved by what the gradients tell (BFGS)."""

    objective: IrtObjective
    x: FloatArray
    information: FloatArray
    noise: float
    checkpoint: Checkpoint | None
    value: float = -np.inf
    n_gradients: int = 0
    n_hessians: int = 0
    fresh: bool = False
    descends: bool = True
    interrupted: bool = False

    def __post_init__(self) -> None:
        self.gradient = np.zeros(self.x.size)

    def decrement(self, gradient: FloatArray | None = None) -> float:
        own = self.gradient if gradient is None else gradient
        return 0.5 * float(own @ np.linalg.solve(_definite(self.information), own))

    def run(self, limit: int) -> None:
        self.value, self.gradient = self._evaluate(self.x)
        if not np.isfinite(self.value):
            raise ModelError("the likelihood or a prior is not finite at the starting values: give start={...}")
        last = np.inf
        for _ in range(limit):
            size = self.decrement()
            log.info("pass %d: log likelihood %.4f, decrement %.2e", self.n_gradients, self.value, size)
            slow = size > SLOW**2 * last
            if size <= ARRIVED or (self.noise > 0.0 and size <= LOST and slow):
                return
            if slow and not self.fresh:
                self.refresh()
            if not self._step():
                if self.fresh:
                    return
                self.refresh()
            last = size

    def refresh(self) -> None:
        """The exact Hessian at the present point."""
        exact = -np.asarray(self.objective.hessian(self.x))
        self.n_hessians += 1
        self.information, self.fresh = 0.5 * (exact + exact.T), True
        self.descends = bool(np.all(np.linalg.eigvalsh(_scaled(self.information)) > 0.0))

    def _step(self) -> bool:
        direction = np.linalg.solve(_definite(self.information), self.gradient)
        slope, t = float(self.gradient @ direction), 1.0
        for _ in range(12):
            x = self.x + t * direction
            value, gradient = self._evaluate(x)
            if np.isfinite(value) and value >= self.value + 1e-4 * t * slope - (self.noise + 1e-13) * abs(self.value):
                self.information = bfgs_update(self.information, x - self.x, self.gradient - gradient)
                self.x, self.value, self.gradient, self.fresh = x, value, gradient, False
                if self.checkpoint is not None:
                    self.checkpoint.visit(x, value)
                return True
            t *= 0.25
        return False

    def _evaluate(self, x: FloatArray) -> tuple[float, FloatArray]:
        self.n_gradients += 1
        return self.objective.evaluate(x)


def _scaled(matrix: FloatArray) -> FloatArray:
    size = np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-300))
    return np.asarray(matrix / np.outer(size, size))


def _definite(matrix: FloatArray) -> FloatArray:
    """The matrix with the eigenvalues of its scaled form kept off zero."""
    if not matrix.size:
        return matrix
    size = np.sqrt(np.maximum(np.abs(np.diag(matrix)), 1e-300))
    values, vectors = np.linalg.eigh(matrix / np.outer(size, size))
    if values[0] > 1e-10:
        return matrix
    return np.asarray((vectors * np.maximum(np.abs(values), 1e-6)) @ vectors.T * np.outer(size, size))


def status_of_polish(found: Polished, least: float, lost: Any) -> Status:
    """The certificate of a fit in passes."""
    messages: list[str] = []
    if found.interrupted:
        messages.append("interrupted: these are the best estimates so far; fit again with start=fit.x to go on")
    elif not found.settled:
        messages.append(
            f"not converged: Newton decrement {found.decrement:.2g} after {found.n_gradients} passes; raise "
            "max_passes, simplify the model, or give priors"
        )
    elif np.any(lost):
        messages.append("the data do not identify all parameters: see the notes")
    diagonal = np.maximum(np.abs(np.diag(found.hessian)), 1e-300)
    return Status(
        converged=found.settled and not np.any(lost),
        singular=False,
        max_gradient=float(np.max(2.0 * np.abs(found.gradient) / np.sqrt(2.0 * diagonal), initial=0.0)),
        decrement=found.decrement,
        min_eigenvalue=least,
        n_evaluations=found.n_gradients,
        n_hessians=found.n_hessians,
        messages=tuple(messages),
        interrupted=found.interrupted,
    )
