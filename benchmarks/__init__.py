"""Benchmarks of jmix against lme4, glmm, mixedlm, statsmodels, JAGS and NumPyro: ``python -m benchmarks``."""
