"""Tuning and drawing, segment by segment, with progress and interruption."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from jmix.estimate.chains import Monitor, Tally, together
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
    workers: int = 1,
) -> Run:
    """Tune and draw.

    Args:
        place: ``mode`` (d,) and ``half`` (d, d) of the whitening, of the first d coordinates.
        points: where the chains begin, e.g. from ``evaluate``.
        keys: (C, 2) of all randomness. draws: kept draws a chain, ``thin`` iterations apart.
        workers: threads that run chains at the same time, where the kernel is not batched.

    Raises:
        KeyboardInterrupt: the user stopped the sampler before there was a draw to keep.
    """
    begun = time.perf_counter()
    whole = Points(*(np.asarray(part) for part in points))
    starts = [(whole, keys)] if kernel.batched else [(Points(*(p[c] for p in whole)), k) for c, k in enumerate(keys)]
    tally = Tally(monitor, len(starts))
    drivers = [_Driver(kernel, data, place, *start, tally, i) for i, start in enumerate(starts)]
    seconds = {"compile": time.perf_counter() - begun}
    begun = time.perf_counter()
    together(drivers, workers, kernel.tune, 1, keep=False)
    seconds["tune"] = time.perf_counter() - begun
    begun, interrupted = time.perf_counter(), False
    try:
        together(drivers, workers, draws, thin, keep=True)
    except KeyboardInterrupt:
        drivers = [driver for driver in drivers if driver.parts]
        if not drivers:
            raise
        interrupted = True
    seconds["sample"] = time.perf_counter() - begun
    return _gather(drivers, seconds, interrupted, kernel)


class _Driver:
    """Calls the program segment by segment; what a segment gave is kept before the next begins."""

    def __init__(
        self, kernel: Kernel, data: Any, place: Any, points: Points, keys: Any, tally: Tally, number: int
    ) -> None:
        self.kernel, self.tally, self.number = kernel, tally, number
        self._begin, self._where = (points, keys), (data, place)
        self.parts: list[Any] = []
        self.done = self.diverging = 0
        self.pace = 0.0
        self.stopped = False
        self.state = self._advance(no_state(kernel, data, place, points, keys), True, 0, 1)[0]
        np.asarray(self.state.i)

    def _advance(self, state: Any, fresh: bool, size: int, thin: int) -> Any:
        return ADVANCE(state, *self._begin, fresh, size, thin, *self._where, kernel=self.kernel)

    def go(self, count: int, thin: int, keep: bool) -> None:
        left = count
        while left and not self.stopped:
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
            self.tally.update(self.number, self.done, not keep, self.diverging, float(part[4].mean()) / thin)

    def _affordable(self, thin: int) -> int:
        """Draws that fit into PATIENCE at the pace of the segment before; few at first."""
        return 10 if self.pace == 0.0 else max(1, int(PATIENCE / (self.pace * thin)))

    def draws(self) -> Any:
        """(C, D, ...) everything kept."""
        joined = jax.tree.map(lambda *parts: np.concatenate(parts), *self.parts)
        return jax.tree.map(lambda a: np.swapaxes(a, 0, 1) if self.kernel.batched else a[None], joined)


def _first(part: Any, size: int) -> Any:
    """The filled rows of a segment, as NumPy arrays."""
    return jax.tree.map(lambda a: np.asarray(a)[:size], part)


def _gather(drivers: list[_Driver], seconds: dict[str, float], interrupted: bool, kernel: Kernel) -> Run:
    """All chains, cut to the shortest, which matters after an interruption."""
    each = [driver.draws() for driver in drivers]
    length = min(part[2].shape[1] for part in each)
    joined = jax.tree.map(lambda *parts: np.concatenate([p[:, :length] for p in parts]), *each)
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
        step_size=np.concatenate([np.atleast_1d(np.asarray(d.state.adapt_state.step_size)) for d in drivers]),
        seconds=seconds,
        interrupted=interrupted,
    )
