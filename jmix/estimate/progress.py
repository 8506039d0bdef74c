"""A progress bar for samplers, shown by rich where a person is watching."""

from __future__ import annotations

import sys
from typing import Any

from jmix.estimate.chains import Monitor


class ProgressBar(Monitor):
    """One line: iterations of every chain, divergences, leapfrog steps a draw, time left."""

    def __init__(self, chains: int, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar: Any = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[news]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._chains, self._total = chains, total
        self._task: Any = None

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        self._task = self._bar.add_task(f"compiling, {self._chains} chains", total=self._total, news="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, done: int, tuning: bool, diverging: int, steps: float) -> None:
        """Show how far all chains are."""
        stage = "tuning" if tuning else "sampling"
        news = f"{diverging} divergences, {steps:.0f} steps a draw"
        self._bar.update(self._task, completed=done, description=f"{stage}, {self._chains} chains", news=news)


def watched() -> bool:
    """Whether standard error is a terminal or a notebook."""
    return bool(sys.stderr.isatty()) or "ipykernel" in sys.modules


class Silent(Monitor):
    """No progress, in the shape of a context manager."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def progress_bar(progress: bool | None, chains: int, total: int) -> ProgressBar | Silent:
    """A bar if asked for, or if nothing was said and somebody is watching."""
    return ProgressBar(chains, total) if progress or (progress is None and watched()) else Silent()
