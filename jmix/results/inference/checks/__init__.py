"""Whether a model fits: simulated residuals, influence, covariance that survives misfit."""
