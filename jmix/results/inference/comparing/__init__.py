"""Likelihood-ratio tests between models, on the boundary too."""
