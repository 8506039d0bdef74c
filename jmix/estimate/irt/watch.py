"""The course of a long fit: one line on a terminal. The searches themselves write to the logger ``jmix``."""

from __future__ import annotations

import time
from typing import Any

from jmix.estimate.progress import watched

PATIENCE = 2.0
"""Seconds after which a fit counts as long."""


class Course:
    """Shows evaluation, log likelihood and gradient once a fit has taken ``PATIENCE`` seconds.

    Args:
        progress: True shows it at once, False never, None where somebody is watching.
    """

    def __init__(self, progress: bool | None = None) -> None:
        self.show = watched() if progress is None else progress
        self.begun = time.monotonic() - (PATIENCE if progress else 0.0)
        self._status: Any = None

    def __call__(self, evaluation: int, value: float, gradient: float) -> None:
        """Called after every evaluation."""
        self.tell(f"evaluation {evaluation}: log likelihood {value:.4f}, largest gradient {gradient:.2e}")

    def tell(self, text: str) -> None:
        """Show a line in place of the last."""
        if not self.show or time.monotonic() - self.begun < PATIENCE:
            return
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True).status(text)
            self._status.start()
        self._status.update(text)

    def __enter__(self) -> Course:
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
