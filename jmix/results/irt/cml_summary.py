"""The printed summary of a conditional fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jmix.results.numbers import format_estimates, format_number, format_numbers
from jmix.results.sections import Section, SummaryContent
from jmix.results.summary import Report
from jmix.results.text_table import Table, one_line

if TYPE_CHECKING:
    from jmix.results.irt.cml_andersen import AndersenTest
    from jmix.results.irt.cml_result import CmlFit

MOST_ROWS = 60
"""Thresholds that are shown."""

TITLES = {
    "RM": "Rasch model",
    "PCM": "Partial credit model",
    "RSM": "Rating scale model",
    "LLTM": "Linear logistic test model",
    "LPCM": "Linear partial credit model",
}


@dataclass(frozen=True, eq=False, repr=False)
class CmlSummary(Report):
    """A summary of ``fit``."""

    fit: CmlFit

    @cached_property
    def content(self) -> SummaryContent:
        """The headings, tables and messages, each as formatted text."""
        fit = self.fit
        people, used = fit.data.n_persons, fit.nobs
        call = (
            ("Persons", f"{people:,}, of whom {used:,} have neither the lowest nor the highest score"),
            ("Items", f"{len(fit.data.items):,}"),
        )
        sections = [Section("", Table(*_criteria(fit), "rrrr"))]
        if fit.model in ("LLTM", "LPCM"):
            se = np.sqrt(np.diag(fit.vcov().to_numpy()))
            sections.append(_estimates("Effects on difficulty", fit.design.names, fit.solution.eta, se))
        table = fit.thresholds()
        what = "Difficulties" if fit.data.step.max() == 1 else "Thresholds"
        rest = max(0, len(table) - MOST_ROWS)
        shown = table.iloc[:MOST_ROWS]
        title = f"{what} (mean 0)"
        more = (f"… and {rest:,} more",) if rest else ()
        sections.append(_estimates(title, list(shown.index), shown["b"], shown["se_b"], more))
        notes = list(fit.notes)
        if not fit.converged:
            notes.insert(0, "the search has not converged: the estimates are not the maximum")
        how = f"{TITLES[fit.model]} fit by conditional maximum likelihood"
        return SummaryContent(how, call, tuple(sections), tuple(map(one_line, notes)))


@dataclass(frozen=True, eq=False, repr=False)
class AndersenSummary(Report):
    """A summary of Andersen's test."""

    test: AndersenTest

    @cached_property
    def content(self) -> SummaryContent:
        """The headings, tables and messages, each as formatted text."""
        test = self.test
        p = "<0.0001" if test.p_value < 1e-4 else format_number(test.p_value, 4)
        row = (format_number(round(test.statistic, 3), 9), f"{test.df}", p)
        sizes = ", ".join(f"{one_line(name)} ({n:,})" for name, n in test.sizes.items())
        return SummaryContent(
            "Andersen's likelihood ratio test",
            (("Parts", sizes),),
            (Section("", Table(("Chisq", "Df", "Pr(>Chisq)"), (row,), "rrr")),),
            tuple(map(one_line, test.notes)),
        )


def _criteria(fit: CmlFit) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    values = [round(v, 1) for v in (fit.aic, fit.bic, fit.loglik)]
    return ("AIC", "BIC", "logLik", "npar"), ((*format_numbers(values, 15), f"{fit.npar}"),)


def _estimates(title: str, names: Any, estimate: Any, se: Any, lines: tuple[str, ...] = ()) -> Section:
    estimate, se = np.asarray(estimate, dtype=np.float64), np.asarray(se, dtype=np.float64)
    value, error = format_estimates(estimate.tolist(), se.tolist())
    low, high = format_estimates((estimate - 1.959964 * se).tolist(), (estimate + 1.959964 * se).tolist())
    columns = [
        ("", "l", [one_line(str(name)) for name in names]),
        ("Estimate", "r", value),
        ("Std. Error", "r", error),
        ("2.5 %", "r", low),
        ("97.5 %", "r", high),
    ]
    return Section(title, Table.of_columns(columns, labels=1), lines)
