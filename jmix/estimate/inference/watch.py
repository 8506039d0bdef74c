"""A progress bar that counts what is done of many equal jobs: refits, simulated responses, designs."""

from __future__ import annotations

from typing import Any

from jmix.estimate.progress import watched


class Watch:
    """Told how many more jobs are done; this one shows nothing."""

    def advance(self, count: int) -> None:
        """So many more."""

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        return None


UNWATCHED = Watch()


class CountBar(Watch):
    """One line: what is counted, how many of how many, time left."""

    def __init__(self, label: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar: Any = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(label, total=total)

    def advance(self, count: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, advance=count)

    def __enter__(self) -> CountBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def counting(progress: bool | None, label: str, total: int) -> Watch:
    """A bar if asked for, or if nothing was said and somebody is watching."""
    return CountBar(label, total) if progress or (progress is None and watched()) else UNWATCHED
