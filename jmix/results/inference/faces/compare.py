"""Likelihood-ratio tests of the random terms."""

from __future__ import annotations

from jmix.results.base import FitBase


class CompareFace(FitBase):
    """Likelihood-ratio tests of the random terms."""
