"""The printed analysis of variance, laid out as R prints one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from jmix.results.inference.report import TableReport, blank_missing
from jmix.results.numbers import format_numbers, format_p_column, round_to, zap_small
from jmix.results.sections import Section, SummaryContent
from jmix.results.text_table import Table, one_line

HEADS = {
    "sum_sq": "Sum Sq",
    "mean_sq": "Mean Sq",
    "num_df": "NumDF",
    "den_df": "DenDF",
    "F": "F value",
    "chisq": "Chisq",
    "df": "Df",
}
"""Column heads as in R."""

DIGITS = 5


@dataclass(frozen=True, eq=False, repr=False)
class Anova(TableReport):
    """An analysis of variance: one row a term.

    Attributes:
        table: by term, after a linear model ``sum_sq mean_sq num_df den_df F p_value``, after a generalized one ``chisq
            df p_value``. type: "I", "II" or "III". df: the rule for the denominator's degrees of freedom.
    """

    type: str = "III"
    df: str = "none"

    @cached_property
    def content(self) -> SummaryContent:
        """The title, the formatted table and the notes."""
        return SummaryContent(self.title, self.call, (Section(table=_text(self.table)),), self.notes)


def _text(frame: pd.DataFrame) -> Table:
    columns: list[tuple[str, str, Sequence[str]]] = [("", "l", [one_line(str(v)) for v in frame.index])]
    for name in frame.columns:
        values = [float(v) for v in frame[name]]
        head = ("Pr(>F)" if "F" in frame.columns else "Pr(>Chisq)") if name == "p_value" else HEADS[str(name)]
        columns.append((head, "r", blank_missing(values, _format(str(name)))))
    return Table.of_columns(columns, labels=1)


def _format(name: str) -> Callable[[list[float]], list[str]]:
    if name == "p_value":
        return lambda values: format_p_column(values, DIGITS - 1)
    if name in ("F", "chisq"):
        return lambda values: format_numbers([round_to(v, DIGITS - 1) for v in values], DIGITS)
    return lambda values: format_numbers(zap_small(values, DIGITS), DIGITS)
