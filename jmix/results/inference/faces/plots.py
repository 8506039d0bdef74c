"""Pictures of a fit."""

from __future__ import annotations

from jmix.results.base import FitBase


class PlotsFace(FitBase):
    """Pictures of a fit."""
