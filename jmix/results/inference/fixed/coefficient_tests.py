"""The tests of the fixed effects in a summary, with a way out where they cannot be computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jmix.errors import JmixError
from jmix.results.inference.fixed.fixed_tests import default_method, fixed_tests

if TYPE_CHECKING:
    from jmix.results.fit import Fit
    from jmix.results.inference.fixed.fixed_tests import DfMethod

RULES = {
    "satterthwaite": "Satterthwaite's degrees of freedom",
    "kenward-roger": "Kenward-Roger's degrees of freedom and standard errors",
    "containment": "containment degrees of freedom, as in nlme",
    "residual": "residual degrees of freedom",
    "none": "none",
}
"""What each rule is called."""


@dataclass(frozen=True, eq=False)
class CoefficientTests:
    """Tests of the fixed effects one by one.

    Attributes:
        table: (p, 5) ``estimate std_error df statistic p_value``. method: the rule. shown: whether degrees of freedom
            and p-values belong in the printed table. notes: why they do not, where they were asked for.
    """

    table: pd.DataFrame
    method: DfMethod
    shown: bool
    notes: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """The rule in words."""
        return RULES[self.method]


def coefficient_tests(fit: Fit, df: DfMethod | None = None) -> CoefficientTests:
    """The tests by a rule, or the plain table with a note where the rule fails on this fit."""
    method = default_method(fit) if df is None else df
    try:
        table = _table(fit, method)
    except (JmixError, np.linalg.LinAlgError, MemoryError, RuntimeError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        return CoefficientTests(_table(fit, "none"), "none", False, (f"no degrees of freedom: {reason}",))
    if method != "none" and bool(table["df"].isna().any()):
        note = "no degrees of freedom: the likelihood does not determine the variance parameters"
        return CoefficientTests(_table(fit, "none"), "none", False, (note,))
    remark = getattr(fixed_tests(fit, method), "note", None)
    return CoefficientTests(table, method, method != "none" and len(table) > 0, (remark,) if remark else ())


def _table(fit: Fit, method: DfMethod) -> pd.DataFrame:
    tests = fixed_tests(fit, method)
    table = tests.contrasts(np.eye(len(tests.names)))
    table.index = pd.Index(tests.names)
    return table
