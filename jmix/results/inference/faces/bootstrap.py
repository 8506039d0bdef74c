"""Parametric bootstrap, and prediction intervals."""

from __future__ import annotations

from jmix.results.base import FitBase


class BootstrapFace(FitBase):
    """Parametric bootstrap, and prediction intervals."""
