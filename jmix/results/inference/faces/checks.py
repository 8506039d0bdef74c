"""Model checks: simulated residuals, influence, robust covariance."""

from __future__ import annotations

from jmix.results.base import FitBase


class ChecksFace(FitBase):
    """Model checks: simulated residuals, influence, robust covariance."""
