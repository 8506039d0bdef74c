"""A table of results that prints: the numbers in ``table``, their layout by the names of the columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from jmix.results.numbers import format_numbers, format_p_column, round_to
from jmix.results.sections import Section, SummaryContent
from jmix.results.summary import Report
from jmix.results.text_table import Table, one_line

Format = Callable[[Sequence[float]], list[str]]

LONGEST = 40
"""Rows of the longest table that is printed whole."""


def significant(digits: int) -> Format:
    """At most so many significant digits, one number of decimals for the column."""
    return lambda values: blank_missing(values, lambda known: format_numbers(known, digits))


def decimals(count: int) -> Format:
    """So many decimals."""
    return lambda values: blank_missing(
        values, lambda known: format_numbers([round_to(float(v), count) for v in known], 15, count)
    )


def p_values(values: Sequence[float]) -> list[str]:
    """p-values as R prints a column of them; blank where there is none."""
    return blank_missing(values, lambda known: format_p_column(known))


def blank_missing(values: Sequence[float], write: Callable[[list[float]], list[str]]) -> list[str]:
    """Texts of the numbers, blank for NaN."""
    known = [float(v) for v in values if not np.isnan(v)]
    texts = iter(write(known) if known else [])
    return ["" if np.isnan(v) else next(texts) for v in values]


STATISTICS = ("statistic", "t", "z", "F", "chisq", "lrt", "t_ratio", "z_ratio")
P_VALUES = ("p_value", "p_adjusted", "p_naive", "p_boundary", "p_simulated")
DF = ("df", "df1", "df2", "num_df", "den_df", "npar")


def default_format(name: str) -> Format:
    """The layout of a column by its name."""
    if name in P_VALUES or name.startswith("p_value"):
        return p_values
    if name in STATISTICS:
        return decimals(3)
    return significant(5 if name in DF else 4)


@dataclass(frozen=True, eq=False, repr=False)
class TableReport(Report):
    """A table with a title above and notes below; ``print`` it, or take the numbers from ``table``.

    Attributes:
        table: one row a result; its index holds the names of the rows. title: what it is.
        call: names and values below the title, such as the formula. notes: sentences below the table.
        formats: of columns that are not laid out by their name.
    """

    table: pd.DataFrame
    title: str
    call: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    formats: Mapping[str, Format] | None = None

    @cached_property
    def content(self) -> SummaryContent:
        """The title, the formatted table and the notes; of a long table the rows ``shown``."""
        shown = self.table if len(self.table) <= LONGEST else self.shown()
        left = len(self.table) - len(shown)
        more = (f"{left:,} more rows are in .table",) if left else ()
        section = Section(table=text_of(shown, self.formats or {}))
        return SummaryContent(self.title, self.call, (section,), (*more, *self.notes))

    def shown(self) -> pd.DataFrame:
        """The rows of a long table that are printed: the first."""
        return self.table.head(LONGEST)


def text_of(frame: pd.DataFrame, formats: Mapping[str, Format]) -> Table:
    """The cells of a frame as text: its index as labels, text to the left, numbers to the right."""
    index = frame.index
    labelled = index.nlevels > 1 or not isinstance(index, pd.RangeIndex)
    levels = [index.get_level_values(i) for i in range(index.nlevels)] if labelled else []
    columns: list[tuple[str, str, Sequence[str]]] = [
        (str(level.name or ""), "l", [one_line(str(v)) for v in level]) for level in levels
    ]
    for name in frame.columns:
        values = frame[name]
        if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
            columns.append((str(name), "l", ["" if v is None or v is pd.NA else one_line(str(v)) for v in values]))
        else:
            write = formats.get(str(name)) or default_format(str(name))
            columns.append((str(name), "r", write([float(v) for v in values])))
    return Table.of_columns(columns, labels=len(levels))
