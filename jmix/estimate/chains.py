"""Chains side by side: threads, one account of their progress, and one interruption for all."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Protocol


class Monitor:
    """What a sampler tells of its course; this one keeps silent."""

    def update(self, done: int, tuning: bool, diverging: int, steps: float) -> None:
        """Called after every segment: iterations a chain, divergences of all chains, leapfrog steps a draw."""


class Driver(Protocol):
    """One or more chains that advance on their own until they are done or stopped."""

    stopped: bool

    def go(self, count: int, thin: int, keep: bool) -> None:
        """Advance by ``count`` draws."""


class Tally:
    """What several drivers report, told to one monitor as if they were one."""

    def __init__(self, monitor: Monitor, drivers: int) -> None:
        self._monitor, self._lock = monitor, threading.Lock()
        self._done, self._diverging, self._steps = [0] * drivers, [0] * drivers, [0.0] * drivers

    def update(self, number: int, done: int, tuning: bool, diverging: int, steps: float) -> None:
        """A report of one driver."""
        with self._lock:
            self._done[number], self._diverging[number], self._steps[number] = done, diverging, steps
            running = [s for s in self._steps if s > 0]
            mean = sum(running) / max(len(running), 1)
            self._monitor.update(sum(self._done) // len(self._done), tuning, sum(self._diverging), mean)


def together(drivers: Sequence[Driver], workers: int, count: int, thin: int, *, keep: bool) -> None:
    """Advance all drivers, some at a time; an exception in one, or in the caller, stops them after their segment."""
    if workers == 1 or len(drivers) == 1:
        for driver in drivers:
            driver.go(count, thin, keep)
        return
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(driver.go, count, thin, keep) for driver in drivers]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            if not all(future.done() for future in futures):
                for driver in drivers:
                    driver.stopped = True
    for future in futures:
        future.result()
