"""Wald intervals of the fixed effects by any rule for degrees of freedom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jmix.results.frames import check_level
from jmix.results.inference.fixed.fixed_tests import fixed_tests

if TYPE_CHECKING:
    from jmix.results.base import FitBase, FloatArray
    from jmix.results.inference.fixed.fixed_tests import DfMethod


def wald(fit: FitBase, level: float = 0.95, df: DfMethod | None = None) -> pd.DataFrame:
    """Wald intervals: estimate plus and minus a quantile of Student's t times the standard error.

    Args:
        df: the rule, by default that of ``fixed_tests``; "none" for normal quantiles, as lme4's ``method = "Wald"``.

    Returns:
        (p, 2) frame with columns ``lower`` and ``upper``; by Kenward and Roger with their standard errors.

    Raises:
        ModelError: a level outside (0, 1), or a rule that the model does not have.
    """
    tests = fixed_tests(fit, df)
    table = tests.contrasts(np.eye(len(tests.names)))
    width = t_quantiles(check_level(level), table["df"].to_numpy()) * table["std_error"].to_numpy()
    estimate = table["estimate"].to_numpy()
    return pd.DataFrame({"lower": estimate - width, "upper": estimate + width}, index=list(tests.names))


def t_quantiles(level: float, df: FloatArray) -> FloatArray:
    """Two-sided quantiles of Student's t, normal where ``df`` is infinite; (m,) for (m,)."""
    from scipy.special import ndtri, stdtrit

    upper = 0.5 + 0.5 * level
    finite = np.isfinite(df)
    out = np.full(np.shape(df), float(ndtri(upper)))
    out[np.isnan(df)] = np.nan
    out[finite] = stdtrit(df[finite], upper)
    return out
