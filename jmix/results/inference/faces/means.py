"""Marginal means, contrasts, slopes, comparisons, hypotheses."""

from __future__ import annotations

from jmix.results.base import FitBase


class MeansFace(FitBase):
    """Marginal means, contrasts, slopes, comparisons, hypotheses."""
