"""Profile likelihood."""

from __future__ import annotations

from jmix.results.base import FitBase


class ProfileFace(FitBase):
    """Profile likelihood."""
