"""The printed summary of a fit, in the layout of lme4's ``summary``."""

from __future__ import annotations

import textwrap
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from jmix.results.document import Document
from jmix.results.inference.fixed.coefficient_tests import CoefficientTests, coefficient_tests
from jmix.results.least_squares import goodness_lines, is_perfect
from jmix.results.numbers import format_number, round_to
from jmix.results.sections import Section, SummaryContent
from jmix.results.tables import correlation_table, information_table, quantile_table, random_table, tests_table
from jmix.results.text_table import WIDTH, one_line, render_text

if TYPE_CHECKING:
    import pandas as pd

    from jmix.design import Design
    from jmix.results.base import FitBase
    from jmix.results.fit import Fit
    from jmix.results.inference.fixed.fixed_tests import DfMethod
    from jmix.results.text_table import Table

LARGEST_CORRELATION = 20
"""Most fixed effects for which their correlations are shown."""

MOST_NAMES = 20
"""Most names that a message lists."""


class Report(Document):
    """Formatted text: ``print`` it, or turn its tables into markdown, LaTeX or HTML."""

    @cached_property
    @abstractmethod
    def content(self) -> SummaryContent:
        """The headings, tables and messages, each as formatted text."""

    def __str__(self) -> str:
        content = self.content
        head = [content.title, *(wrap(f"{name}: {value}", 4) for name, value in content.call)]
        blocks = ["\n".join(head), *map(section_text, content.sections)]
        if content.notes:
            blocks.append("\n".join(wrap(note, 2) for note in content.notes))
        return "\n\n".join(blocks)


@dataclass(frozen=True, eq=False, repr=False)
class Summary(Report):
    """A summary of ``fit``; its tests are computed when they are first looked at.

    Attributes:
        df: the rule for degrees of freedom, None for the default of the model.
    """

    fit: Fit
    df: DfMethod | None = None

    @cached_property
    def tests(self) -> CoefficientTests:
        """The tests of the fixed effects, and what is to be said about them."""
        return coefficient_tests(self.fit, self.df)

    @property
    def coefficients(self) -> pd.DataFrame:
        """(p, 5) one row a fixed effect: ``estimate std_error df statistic p_value``."""
        return self.tests.table

    @cached_property
    def content(self) -> SummaryContent:
        """The headings, tables and messages, each as formatted text."""
        fit, tests = self.fit, self.tests
        call = (*call_lines(fit), *((("t-tests", tests.rule),) if fit.terms and tests.shown else ()))
        notes = (*_notes(fit), *tests.notes)
        return SummaryContent(_title(fit), call, tuple(_sections(fit, tests)), notes)


def wrap(text: str, indent: int) -> str:
    """Lines of the width of the page, all but the first indented."""
    margin = " " * indent
    return textwrap.fill(text, WIDTH, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False)


def section_text(section: Section) -> str:
    """A section as plain text."""
    lines = [f"{section.title}:"] if section.title else []
    if section.table is not None:
        lines.append(render_text(section.table, indent=section.indent))
    return "\n".join([*lines, *(wrap(line, 2) for line in section.lines)])


def _title(fit: Fit) -> str:
    methods = {"REML": "REML", "ML": "maximum likelihood", "MAP": "maximum a posteriori (MAP)"}
    if fit.terms:
        return f"Linear mixed model fit by {methods[fit.method]}"
    return f"Linear model fit by {methods[fit.method] if fit.method in ('ML', 'MAP') else 'least squares'}"


def call_lines(fit: FitBase) -> list[tuple[str, str]]:
    """The formula, and the weights and offset that were given beside it."""
    lines = [("Formula", one_line(" ".join(fit.formula.split())))]
    weights = fit.design.weights
    if weights is not None:
        lines.append(("Weights", f"from {format_number(weights.min(), 4)} to {format_number(weights.max(), 4)}"))
    offset = getattr(fit.base.encoding, "offset_column", None)
    if offset is not None:
        lines.append(("Offset", one_line(str(offset))))
    return lines


def _sections(fit: Fit, tests: CoefficientTests) -> list[Section]:
    if not fit.terms and fit.method not in ("ML", "MAP"):
        return _least_squares_sections(fit, tests)
    if fit.method in ("ML", "MAP"):
        sections = [Section(table=information_table(fit))]
    else:
        criterion = format_number(round_to(fit.criterion, 1), 15)
        sections = [Section(lines=(f"REML criterion at convergence: {criterion}",))]
    sections.append(Section("Scaled residuals", quantile_table(fit.residuals("scaled").to_numpy())))
    if fit.terms:
        sections.append(Section("Random effects", random_table(fit), (observations(fit),), indent=" "))
    else:
        sections.append(
            Section(lines=(f"Residual standard deviation: {format_number(fit.sigma, 4)}", observations(fit)))
        )
    return [*sections, *fixed_sections(fit, tests_table(tests.table, df=tests.shown, p_values=tests.shown))]


def observations(fit: FitBase) -> str:
    """How many rows there are, and how many levels of each grouping factor."""
    groups = "; ".join(f"{one_line(group)}, {count}" for group, count in fit.ngrps().items())
    return f"Number of obs: {fit.nobs}" + (f", groups:  {groups}" if groups else "")


def fixed_sections(fit: FitBase, table: Table) -> list[Section]:
    """The table of fixed effects and their correlations."""
    p = len(fit.x_names)
    if p == 0:
        return [Section(lines=("No fixed effects",))]
    sections = [Section("Fixed effects", table)]
    if 1 < p <= LARGEST_CORRELATION:
        sections.append(Section("Correlation of Fixed Effects", correlation_table(fit)))
    elif p > LARGEST_CORRELATION:
        sections.append(Section(lines=(f"Correlations of the {p} fixed effects not shown; see fit.vcov().",)))
    return sections


def _least_squares_sections(fit: Fit, tests: CoefficientTests) -> list[Section]:
    name = "Residuals" if fit.design.weights is None else "Weighted residuals"
    quantiles = Section(name, quantile_table(fit.residuals("pearson").to_numpy()))
    if fit.design.x_names:
        coefficients = Section("Coefficients", tests_table(tests.table, df=False, p_values=tests.shown))
    else:
        coefficients = Section(lines=("No coefficients",))
    return [quantiles, coefficients, Section(lines=tuple(goodness_lines(fit)))]


def _notes(fit: Fit) -> list[str]:
    notes = [one_line(message) for message in fit.status.messages]
    if not fit.terms and is_perfect(fit):
        notes.append("essentially perfect fit: standard errors and tests reflect rounding only")
    return notes + design_notes(fit.design)


def design_notes(design: Design) -> list[str]:
    """What was left out of the data: rows with missing values, columns that others determine."""
    notes = []
    missing, dropped = design.n_missing, design.dropped
    if missing:
        notes.append(f"{missing} row{'s' if missing > 1 else ''} dropped for missing values")
    if dropped:
        names = ", ".join(map(one_line, dropped[:MOST_NAMES]))
        more = f" and {len(dropped) - MOST_NAMES} more" if len(dropped) > MOST_NAMES else ""
        columns = "1 column" if len(dropped) == 1 else f"{len(dropped)} columns"
        notes.append(f"fixed effects are rank deficient: dropped {columns} that others determine: {names}{more}")
    return notes
