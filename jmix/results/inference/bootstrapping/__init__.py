"""Parametric bootstrap: simulate, refit, read off."""
