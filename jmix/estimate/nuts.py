"""Tuning and drawing, segment by segment, with progress and interruption."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from jmix.estimate.nuts_program import ADVANCE, BUFFER, EVALUATE, Kernel, Points, no_state

FloatArray = npt.NDArray[np.float64]

PATIENCE = 0.5
"""Seconds that one call should take, so that progress shows and Ctrl-C is heard."""


@dataclass(frozen=True)
class Run:
    """Kept draws of a sampler, chains first.

    Attributes:
        output: pytree of (C, D, ...) arrays. z: (C, D, d) coordinates. statistics: (C, D) each. step_size: (C,).
        seconds: by stage. interrupted: whether fewer draws than asked for are here.
    """

    output: Any
    z: FloatArray
    log_density: FloatArray
    diverging: npt.NDArray[np.bool_]
    n_steps: npt.NDArray[np.int64]
    accept_prob: FloatArray
    energy: FloatArray
    saturated: npt.NDArray[np.bool_]
    step_size: FloatArray
    seconds: dict[str, float]
    interrupted: bool


class Monitor:
    """What a sampler tells of its course; this one keeps silent."""

    def update(self, done: int, tuning: bool, diverging: int, steps: float) -> None:
        """Called after every segment."""


@dataclass(frozen=True)
class Shifted(Monitor):
    """A monitor told of a part of the work: ``before`` iterations were done earlier."""

    monitor: Monitor
    before: int

    def update(self, done: int, tuning: bool, diverging: int, steps: float) -> None:
        """Pass on, counted from the beginning of the whole."""
        self.monitor.update(self.before + done, tuning, diverging, steps)


def evaluate(kernel: Kernel, data: Any, place: dict[str, FloatArray], u: FloatArray) -> Points:
    """Points with their potential energies and gradients."""
    energy, gradient = EVALUATE(u, data, place, kernel=kernel)
    return Points(u, np.asarray(energy), np.asarray(gradient))


def sample(
    kernel: Kernel,
    data: Any,
    place: dict[str, FloatArray],
    points: Points,
    keys: npt.NDArray[np.uint32],
    *,
    draws: int,
    thin: int,
    monitor: Monitor,
) -> Run:
    """Tune and draw.

    Args:
        place: ``mode`` (d,) and ``half`` (d, d) of the whitening, of the first d coordinates.
        points: where the chains begin, e.g. from ``evaluate``.
        keys: (C, 2) of all randomness. draws: kept draws a chain, ``thin`` iterations apart.

    Raises:
        KeyboardInterrupt: the user stopped the sampler before there was a draw to keep.
    """
    seconds = {}
    begun = time.perf_counter()
    driver = _Driver(kernel, data, place, points, keys, monitor)
    seconds["compile"] = time.perf_counter() - begun
    begun = time.perf_counter()
    driver.go(kernel.tune, 1, keep=False)
    seconds["tune"] = time.perf_counter() - begun
    begun = time.perf_counter()
    interrupted = False
    try:
        driver.go(draws, thin, keep=True)
    except KeyboardInterrupt:
        if not driver.parts:
            raise
        interrupted = True
    seconds["sample"] = time.perf_counter() - begun
    return _gather(driver, seconds, interrupted, kernel)


def _first(part: Any, size: int) -> Any:
    """The filled rows of a segment, as NumPy arrays."""
    return jax.tree.map(lambda a: np.asarray(a)[:size], part)


class _Driver:
    """Calls the program segment by segment; what a segment gave is kept before the next begins."""

    def __init__(self, kernel: Kernel, data: Any, place: Any, points: Points, keys: Any, monitor: Monitor) -> None:
        self.kernel, self.monitor = kernel, monitor
        self._begin, self._where = (points, keys), (data, place)
        self.parts: list[Any] = []
        self.done = self.diverging = 0
        self.pace = 0.0
        self.state = self._advance(no_state(kernel, data, place, points, keys), True, 0, 1)[0]
        np.asarray(self.state.i)

    def _advance(self, state: Any, fresh: bool, size: int, thin: int) -> Any:
        return ADVANCE(state, *self._begin, fresh, size, thin, *self._where, kernel=self.kernel)

    def go(self, count: int, thin: int, keep: bool) -> None:
        left = count
        while left:
            size = min(left, BUFFER, self._affordable(thin))
            begun = time.perf_counter()
            state, part = self._advance(self.state, False, size, thin)
            part = _first(part, size)
            self.state = state
            if keep:
                self.parts.append(part)
                self.diverging += int(part[3].sum())
            left -= size
            self.done += size * thin
            self.pace = (time.perf_counter() - begun) / (size * thin)
            self.monitor.update(self.done, not keep, self.diverging, float(part[4].mean()) / thin)

    def _affordable(self, thin: int) -> int:
        """Draws that fit into PATIENCE at the pace of the segment before; few at first."""
        return 10 if self.pace == 0.0 else max(1, int(PATIENCE / (self.pace * thin)))


def _gather(driver: _Driver, seconds: dict[str, float], interrupted: bool, kernel: Kernel) -> Run:
    joined = jax.tree.map(lambda *parts: np.swapaxes(np.concatenate(parts), 0, 1), *driver.parts)
    output, z, log_density, diverging, n_steps, accept, energy, last_steps = joined
    return Run(
        output=output,
        z=z,
        log_density=log_density,
        diverging=diverging,
        n_steps=n_steps,
        accept_prob=accept,
        energy=energy,
        saturated=last_steps >= 2**kernel.max_tree_depth - 1,
        step_size=np.asarray(driver.state.adapt_state.step_size),
        seconds=seconds,
        interrupted=interrupted,
    )


def joined(runs: list[Run]) -> Run:
    """Chains run one after another as one run; one that the user stopped is left out, unless it is the only one."""
    if len(runs) == 1:
        return runs[0]
    whole = [r for r in runs if not r.interrupted] or runs[:1]
    length = min(r.log_density.shape[1] for r in whole)

    def stack(*parts: Any) -> Any:
        return np.concatenate([part[:, :length] for part in parts])

    output = jax.tree.map(stack, *(r.output for r in whole))
    names = ("z", "log_density", "diverging", "n_steps", "accept_prob", "energy", "saturated")
    arrays = {name: stack(*(getattr(r, name) for r in whole)) for name in names}
    seconds = {stage: sum(r.seconds[stage] for r in runs) for stage in runs[0].seconds}
    return Run(
        output=output,
        **arrays,
        step_size=np.concatenate([r.step_size for r in whole]),
        seconds=seconds,
        interrupted=any(r.interrupted for r in runs),
    )
