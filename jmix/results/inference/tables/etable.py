"""Regression tables: several fits side by side, as pyfixest's ``etable``, modelsummary or ``sjPlot::tab_model``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from jmix.errors import ModelError
from jmix.results.document import Document
from jmix.results.frames import check_level
from jmix.results.inference.tables.etable_cells import check_layout, check_stars
from jmix.results.inference.tables.etable_columns import Coefficient, Column, column_of
from jmix.results.inference.tables.etable_grid import Style, chosen, coefficient_blocks, random_block, statistics_block
from jmix.results.inference.tables.etable_layout import Grid
from jmix.results.inference.tables.etable_statistics import statistics
from jmix.results.sections import Section, SummaryContent
from jmix.results.text_table import Table

if TYPE_CHECKING:
    from jmix.results.inference.fixed.fixed_tests import DfMethod

MOST_DIGITS = 8
_LABEL = re.compile(r"[A-Za-z0-9:._\-/]+")


@dataclass(frozen=True, eq=False, repr=False)
class RegressionTable(Document):
    """Fits side by side: ``print`` it, or ``to_markdown``, ``to_latex``, ``to_html``, ``to_frame``.

    Attributes:
        columns: the numbers of each fit. grid: the cells as text.
    """

    columns: tuple[Column, ...]
    grid: Grid

    @cached_property
    def table(self) -> pd.DataFrame:
        """The numbers, one row a fit and coefficient or parameter of the random part.

        Columns ``model part group term estimate std_error statistic df p_value lower upper``; ``part`` is "cond", "zi",
        "hurdle", "disp", "thresholds", or "random", where ``estimate`` is a standard deviation or correlation.
        """
        rows: list[dict[str, Any]] = []
        for name, column in zip(self.grid.names, self.columns, strict=True):
            for (part, term), row in column.coefficients.items():
                numbers = {field.name: getattr(row, field.name) for field in fields(Coefficient)}
                rows.append({"model": name, "part": part, "group": "", "term": term, **numbers})
            for key, value in column.spreads.items():
                term = "__".join((key.kind, *key.names))
                rows.append({"model": name, "part": "random", "group": key.group, "term": term, "estimate": value})
        heads = ["model", "part", "group", "term", *(field.name for field in fields(Coefficient))]
        return pd.DataFrame(rows, columns=heads)

    def to_frame(self) -> pd.DataFrame:
        """The cells as text: one row a line of the table, one column a fit."""
        rows = [row for block in self.grid.blocks for row in block.rows]
        cells = [[" ".join(token.text for token in cell) for cell in row.cells] for row in rows]
        return pd.DataFrame(cells, index=[row.label for row in rows], columns=list(self.grid.names))

    @cached_property
    def content(self) -> SummaryContent:
        """The parts of the table as formatted text."""
        sections = []
        for block in self.grid.blocks:
            rows = tuple((row.label, *(" ".join(t.text for t in cell) for cell in row.cells)) for row in block.rows)
            table = Table(("", *self.grid.names), rows, "l" + "r" * len(self.columns), 1)
            sections.append(Section(block.title, table))
        return SummaryContent(self.grid.title, (), tuple(sections), self.grid.notes)

    def __str__(self) -> str:
        return self.grid.text()

    def to_markdown(self) -> str:
        """A pipe table (GitHub, pandoc, Quarto); cells are escaped."""
        return self.grid.markdown()

    def to_latex(self) -> str:
        r"""A LaTeX ``table``; it needs ``\usepackage{booktabs}``. Numbers line up at the decimal point."""
        return self.grid.latex()

    def to_html(self) -> str:
        """An HTML ``table`` in a ``div``; cells are escaped."""
        return self.grid.html()


def table(
    *fits: Any,
    names: Sequence[str] | None = None,
    cells: str = "b\n(se)",
    stars: bool | Mapping[str, float] = True,
    df: DfMethod | None = None,
    level: float = 0.95,
    random: Literal["sd", "variance"] | None = "sd",
    stats: Sequence[str] | None = None,
    digits: int = 3,
    labels: Mapping[str, str] | None = None,
    keep: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    order: Sequence[str] | None = None,
    exponentiate: bool = False,
    caption: str | None = None,
    label: str | None = None,
) -> RegressionTable:
    r"""Fits side by side: coefficients, the random part, and statistics of size and fit.

    Args:
        fits: of ``lmm``, ``lm`` and ``glmm``, or posteriors, whose means, standard deviations and intervals with equal
            tails take the place of estimates, standard errors and confidence intervals.
        names: of the columns; "(1)", "(2)", ... by default.
        cells: what a cell holds: ``b`` estimate, ``se``, ``ci``, ``p``, ``t`` (the statistic) and ``df``, as they are
            to stand, a new line for what comes below: ``"b (se)"``, ``"b\n[ci]"``, ``"b (se) p"``.
        stars: whether small p values have stars, or marks with their thresholds; the table's note has the thresholds.
        df: degrees of freedom of the tests and intervals of linear mixed models, as in ``summary``.
        level: coverage of the intervals.
        random: standard deviations and correlations, variances and covariances, or nothing of the random part.
        stats: rows below: "nobs", "groups", "npar", "df_residual", "r2" (of least squares), "r2_marginal",
            "r2_conditional", "icc", "loglik", "criterion", "deviance", "aic", "bic", "method", "family", "formula".
        digits: decimals; more in a row where a standard error would be shown as zero.
        labels: names to show for coefficients, parts of interactions, grouping factors and statistics.
        keep, drop: names of coefficients to show, or not to. order: names that come first.
        exponentiate: odds ratios or ratios of models with a logit, log or cloglog link, with standard errors by the
            delta method; tests remain those of the coefficients.
        caption: above the table. label: of LaTeX's references.

    Raises:
        ModelError: no fits, something that is no fit, or an argument that names nothing.
    """
    columns = tuple(column_of(fit, df, level, exponentiate) for fit in fits)
    heads = _names(names, len(columns))
    _check(columns, digits, random, label, exponentiate)
    thresholds = check_stars(stars)
    style = Style(tuple(check_layout(cells)), int(digits), thresholds, random == "variance", dict(labels or {}))
    blocks = coefficient_blocks(columns, chosen(columns, keep, drop, order), style)
    blocks += random_block(columns, style) if random is not None else []
    blocks += statistics_block(statistics(columns, stats), style)
    notes = tuple(_notes(columns, heads, style, check_level(level)))
    title = caption if caption is not None else _title(columns)
    return RegressionTable(columns, Grid(heads, tuple(blocks), title, notes, label))


def _names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if names is None:
        return tuple(f"({i + 1})" for i in range(count))
    given = tuple(str(name) for name in ([names] if isinstance(names, str) else names))
    if len(given) != count:
        raise ModelError(f"names: {len(given)} names for {count} fits")
    return given


def _check(columns: Sequence[Column], digits: Any, random: Any, label: Any, exponentiate: bool) -> None:
    if not columns:
        raise ModelError("jmix.table wants one fit or more: jmix.table(fit1, fit2)")
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= MOST_DIGITS:
        raise ModelError(f"digits={digits!r}: choose a number of decimals from 0 to {MOST_DIGITS}")
    if random not in ("sd", "variance", None):
        raise ModelError(f"random={random!r}: choose 'sd', 'variance' or None")
    if label is not None and not _LABEL.fullmatch(str(label)):
        raise ModelError(f"label={label!r}: a LaTeX label has letters, digits and : . _ - / only")
    if exponentiate and not any(column.ratios for column in columns):
        raise ModelError("exponentiate=True is for models with a logit, log or cloglog link; none of the fits has one")


def _title(columns: Sequence[Column]) -> str:
    responses = list(dict.fromkeys(column.response for column in columns))
    return f"Response: {', '.join(responses)}"


# --- notes ----------------------------------------------------------------------------------------------------------
def _notes(columns: Sequence[Column], heads: Sequence[str], style: Style, level: float) -> list[str]:
    meaning = {
        "b": "estimate", "se": "standard error", "ci": f"{100 * level:g}% interval", "p": "p value", "t": "statistic",
        "df": "degrees of freedom",
    }  # fmt: skip
    used = [text for piece, text in meaning.items() if re.search(rf"\b{piece}\b", " ".join(style.layouts))]
    notes = [f"Cells: {', '.join(used)}." + (_bayes(columns, heads))]
    tested = [(h, c) for h, c in zip(heads, columns, strict=True) if c.df_method is not None]
    if style.stars and tested:
        marks = sorted(style.stars.items(), key=lambda item: -item[1])
        notes.append(", ".join(f"{mark} p < {limit:g}" for mark, limit in marks) + ".")
    notes += _methods(tested) + _ratios(columns, heads) + _comparable(columns)
    return notes + [f"{h} {problem}." for h, c in zip(heads, columns, strict=True) for problem in c.notes]


def _bayes(columns: Sequence[Column], heads: Sequence[str]) -> str:
    names = [h for h, c in zip(heads, columns, strict=True) if c.bayesian]
    return f" Posterior mean, standard deviation and interval in {', '.join(names)}." if names else ""


METHOD_NAMES = {
    "satterthwaite": "Satterthwaite", "kenward-roger": "Kenward-Roger", "containment": "containment",
    "residual": "residual", "none": "infinite (normal distribution)",
}  # fmt: skip


def _methods(tested: Sequence[tuple[str, Column]]) -> list[str]:
    """How the degrees of freedom of the tests were found, by fit where it differs."""
    methods: dict[str, list[str]] = {}
    for head, column in tested:
        methods.setdefault(METHOD_NAMES[str(column.df_method)], []).append(head)
    if len(methods) <= 1:
        return [f"Degrees of freedom: {method}." for method in methods]
    return ["Degrees of freedom: " + "; ".join(f"{m} in {', '.join(h)}" for m, h in methods.items()) + "."]


def _ratios(columns: Sequence[Column], heads: Sequence[str]) -> list[str]:
    found: dict[str, list[str]] = {}
    for head, column in zip(heads, columns, strict=True):
        if column.ratios:
            found.setdefault(column.ratios, []).append(head)
    return [f"Exponentiated coefficients, {kind}, in {', '.join(where)}." for kind, where in found.items()]


def _comparable(columns: Sequence[Column]) -> list[str]:
    """Why likelihoods side by side may not be compared."""
    fits = [column.model for column in columns if not column.bayesian]
    notes = []
    if len({fit.nobs for fit in fits}) > 1:
        notes.append("The fits have different numbers of rows: their likelihoods cannot be compared.")
    reml = [fit for fit in fits if getattr(fit, "reml", False)]
    if len(reml) > 1 and len({tuple(fit.x_names) for fit in reml}) > 1:
        notes.append("REML likelihoods of fits with different fixed effects cannot be compared; jmix.compare refits.")
    elif reml and len(reml) < len(fits):
        notes.append("Likelihoods by REML and by other methods cannot be compared.")
    return notes
