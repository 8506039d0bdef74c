"""Effect sizes: ICC, R-squared, variance decomposition, collinearity."""

from __future__ import annotations

from jmix.results.base import FitBase


class EffectsFace(FitBase):
    """Effect sizes: ICC, R-squared, variance decomposition, collinearity."""
