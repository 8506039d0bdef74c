"""Degrees of freedom, tests of the fixed effects, analysis of variance."""

from __future__ import annotations

from jmix.results.base import FitBase


class TestsFace(FitBase):
    """Degrees of freedom, tests of the fixed effects, analysis of variance."""
