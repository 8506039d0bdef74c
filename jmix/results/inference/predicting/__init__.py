"""Prediction intervals with the variance of every part."""
