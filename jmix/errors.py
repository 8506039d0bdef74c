"""The exceptions and warnings that jmix raises."""

from __future__ import annotations


class JmixError(Exception):
    """Base class of every error that jmix raises on purpose."""


class FormulaError(JmixError, ValueError):
    """The formula cannot be read, is unsafe, or names something that does not exist."""


class DataError(JmixError, ValueError):
    """The data cannot be used: a missing column, a wrong type, no rows left."""


class ModelError(JmixError, ValueError):
    """The model cannot be fitted to these data, or an option contradicts it."""


class JmixWarning(UserWarning):
    """Base class of the warnings that jmix issues."""


class ConvergenceWarning(JmixWarning):
    """The optimiser stopped before the convergence certificate held."""
