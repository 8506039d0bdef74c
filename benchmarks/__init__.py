"""Benchmarks of jmix against lme4, glmm, mixedlm and statsmodels: ``python -m benchmarks``."""
