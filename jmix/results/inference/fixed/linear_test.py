"""The joint test of linear hypotheses about the fixed effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.fixed.coefficient_tests import RULES
from jmix.results.inference.fixed.fixed_tests import Joint, fixed_tests
from jmix.results.inference.fixed.linear_hypotheses import linear_hypotheses
from jmix.results.inference.report import TableReport
from jmix.results.numbers import format_number, format_p_values

if TYPE_CHECKING:
    from jmix.results.base import FitBase
    from jmix.results.inference.fixed.fixed_tests import DfMethod


UNTESTED = Joint(float("nan"), 0, float("nan"), float("nan"))


@dataclass(frozen=True, eq=False, repr=False)
class LinearTest(TableReport):
    """A joint test; ``table`` has each hypothesis by itself: ``estimate rhs std_error df statistic p_value``.

    Attributes:
        joint: the F test of all together. method: the rule for degrees of freedom.
    """

    joint: Joint = UNTESTED
    method: DfMethod = "none"

    @property
    def statistic(self) -> float:
        """F; chi-squared over ``df1`` where ``df2`` is infinite."""
        return self.joint.statistic

    @property
    def df1(self) -> int:
        """Number of independent hypotheses."""
        return self.joint.df1

    @property
    def df2(self) -> float:
        """Degrees of freedom of the denominator."""
        return self.joint.df2

    @property
    def p_value(self) -> float:
        """p-value of the joint test."""
        return self.joint.p_value


def linear_test(fit: FitBase, hypothesis: Any, rhs: Any = None, df: DfMethod | None = None) -> LinearTest:
    """The test of hypotheses that ``linear_hypotheses`` can read.

    Raises:
        ModelError: hypotheses that cannot be read, with a direction, or that contradict each other.
    """
    wanted = linear_hypotheses(hypothesis, fit.x_names, rhs)
    if any(sign != "=" for sign in wanted.signs):
        raise ModelError("test() is for equations such as 'Days = 0'; fit.hypothesis('Days > 0') tests a direction")
    tests = fixed_tests(fit, df)
    joint = tests.joint(wanted.L, wanted.rhs)
    table = tests.contrasts(wanted.L, wanted.rhs)
    table.insert(1, "rhs", wanted.rhs)
    if np.isinf(table["df"]).all():
        table = table.drop(columns="df")
    table.index = pd.Index(wanted.labels, name="hypothesis")
    title = "Test of a linear hypothesis" if len(wanted.labels) == 1 else "Joint test of linear hypotheses"
    call = (
        ("Model", " ".join(fit.formula.split())),
        ("Tests", RULES[tests.method] if tests.method != "none" else "Wald"),
    )
    notes = (_sentence(joint), *filter(None, [tests.remark]))
    return LinearTest(table, title, call, notes, joint=joint, method=tests.method)


def _sentence(joint: Joint) -> str:
    p = format_p_values([joint.p_value], 4)[0]
    if np.isinf(joint.df2):
        return f"Chi-squared = {format_number(joint.statistic * joint.df1, 5)} on {joint.df1} DF, p-value: {p}"
    return f"F = {format_number(joint.statistic, 5)} on {joint.df1} and {format_number(joint.df2, 5)} DF, p-value: {p}"
