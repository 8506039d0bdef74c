"""Regression tables of several fits side by side."""
