"""Marginal means, contrasts, slopes, comparisons and hypotheses of a fit or a posterior."""
