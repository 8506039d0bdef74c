"""The printed summary of a posterior, in the layout of brms's ``summary``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from jmix.results.document import Document
from jmix.results.posterior_table import Interval, summary_table
from jmix.results.sections import Section, SummaryContent
from jmix.results.summary import design_notes, section_text, wrap
from jmix.results.text_table import Table, one_line
from jmix.spec.names import cor_names, plain, sd_names

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior

READING = (
    "Draws were sampled by NUTS. Bulk_ESS and Tail_ESS are effective sample sizes, and Rhat is the potential scale "
    "reduction factor on split chains (at convergence, Rhat = 1)."
)


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorSummary(Document):
    """A summary of ``posterior``: ``table`` in numbers; ``print`` it, or turn it into markdown, LaTeX or HTML.

    Attributes:
        prob: probability of the intervals. interval: "eti", equal tails, or "hdi", highest density.
        lag: of the autocorrelation, in kept draws.
    """

    posterior: Posterior
    prob: float = 0.95
    interval: Interval = "eti"
    lag: int = 10

    def __post_init__(self) -> None:
        _ = self.table  # refuses impossible arguments where they are given

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a parameter, the columns as in :meth:`jmix.results.posterior.Posterior.summary`."""
        return summary_table(self.posterior, self.prob, self.interval, self.lag)

    @cached_property
    def content(self) -> SummaryContent:
        """The headings, tables and messages, each as formatted text."""
        post = self.posterior
        return SummaryContent(
            f"Posterior of {post.law.title}", tuple(_call(post)), tuple(_sections(self)), tuple(_notes(post))
        )

    def __str__(self) -> str:
        content = self.content
        width = max(len(name) for name, _ in content.call)
        head = [wrap(f"{name:>{width}}: {value}", width + 2) for name, value in content.call]
        blocks = ["\n".join(head)]
        heading = ""
        for section in content.sections:
            text = section_text(section)
            if section.title.startswith("~"):
                text = text.replace(f"{section.title}:", section.title, 1)
            if section.table is None and not section.lines:
                heading = text + "\n"
                continue
            blocks.append(heading + text)
            heading = ""
        blocks += [wrap(note, 0) for note in content.notes[:1]]
        if content.notes[1:]:
            blocks.append("\n".join(wrap(note, 2) for note in content.notes[1:]))
        return "\n\n".join(blocks)


def _call(post: Posterior) -> list[tuple[str, str]]:
    chains, draws = post.draws.shape
    tune, thin = post.settings.tune, post.settings.thin
    made = (
        f"{chains} chain{'s, each' if chains > 1 else ''} with iter = {tune + thin * draws}; warmup = {tune}; "
        f"thin = {thin}; total post-warmup draws = {post.n_draws}"
    )
    return [
        ("Family", post.law.name),
        ("Links", post.law.links),
        ("Formula", one_line(" ".join(post.formula.split()))),
        ("Data", f"Number of observations: {post.nobs}"),
        ("Draws", made),
    ]


# --- sections -------------------------------------------------------------------------------------------------------
def _sections(summary: PosteriorSummary) -> Iterator[Section]:
    post = summary.posterior
    groups = list(_hyperparameters(post))
    if groups:
        yield Section("Multilevel Hyperparameters")
    for title, rows in groups:
        yield Section(title, _table(summary, rows))
    fixed = [(plain(name), key) for name, key in zip(post.design.x_names, post.parameters, strict=False)]
    linear = post.law.coefficients
    fixed = [(n, n) for n in linear if n.startswith("Intercept[")] + fixed
    fixed += [(n, n) for n in linear if not n.startswith("Intercept[")]
    yield Section("Regression Coefficients", _table(summary, fixed)) if fixed else Section(lines=("No fixed effects",))
    others = [(name, name) for name in post.law.parameters() if name not in linear]
    if others:
        yield Section("Further Distributional Parameters", _table(summary, others))


Rows = list[tuple[str, str]]


def _hyperparameters(post: Posterior) -> Iterator[tuple[str, Rows]]:
    """Title of each grouping factor, and (label, parameter) of its rows: standard deviations, then correlations."""
    spec, levels = post.spec, post.ngrps()
    sections: dict[tuple[str, str], tuple[Rows, Rows]] = {}
    for term, sds, cors in zip(spec.terms, sd_names(spec), cor_names(spec), strict=True):
        names = [plain(name) for name in term.names]
        label = sds[0].removeprefix("sd_").removesuffix(f"__{names[0]}")
        sd_rows, cor_rows = sections.setdefault((label, term.group), ([], []))
        sd_rows += [(f"sd({name})", key) for name, key in zip(names, sds, strict=True)]
        pairs = [f"cor({a},{b})" for i, a in enumerate(names) for b in names[i + 1 :]]
        cor_rows += list(zip(pairs, cors, strict=True))
    for (label, group), (sd_rows, cor_rows) in sections.items():
        yield f"~{one_line(label)} (Number of levels: {levels[group]})", sd_rows + cor_rows


def _table(summary: PosteriorSummary, rows: Rows) -> Table:
    """Estimate, error, interval and diagnostics of some parameters as text."""
    table = summary.table.loc[[key for _, key in rows]]
    level, kind = f"{100 * summary.prob:g}%", "CI" if summary.interval == "eti" else "HDI"
    cells = decimal_rows(table[["mean", "sd", "lower", "upper"]].to_numpy().tolist())
    columns = [("", "l", [one_line(label) for label, _ in rows])]
    heads = ("Estimate", "Est.Error", f"l-{level} {kind}", f"u-{level} {kind}")
    columns += [(h, "r", list(c)) for h, c in zip(heads, zip(*cells, strict=True), strict=True)]
    columns.append(("Rhat", "r", [f"{v:.2f}" if math.isfinite(v) else special(v) for v in table["rhat"]]))
    for head, name in (("Bulk_ESS", "ess_bulk"), ("Tail_ESS", "ess_tail")):
        columns.append((head, "r", [f"{v:.0f}" if math.isfinite(v) else special(v) for v in table[name]]))
    return Table.of_columns(columns, labels=1)


def decimal_rows(rows: Sequence[Sequence[float]], most: int = 5) -> list[list[str]]:
    """Cells of rows (estimate, error, ...) with two decimals as brms has, more for small errors.

    The number of decimals is that which shows the smallest error to two digits, at most ``most``. A row that is too
    small or too large for that comes in scientific notation.
    """
    orders = [math.floor(math.log10(row[1])) if row[1] > 0 and math.isfinite(row[1]) else 0 for row in rows]
    needed = [max(2, 1 - order) for order in orders]
    decimals = max((n for n in needed if n <= most), default=2)
    out = []
    for row, need in zip(rows, needed, strict=True):
        plain_notation = need <= most and all(abs(v) < 1e7 for v in row if math.isfinite(v))
        form = f".{decimals}f" if plain_notation else ".3e"
        out.append([f"{v + 0.0:{form}}" if math.isfinite(v) else special(v) for v in row])
    return out


def special(value: float) -> str:
    """NaN and the infinities as R writes them."""
    return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"


def _notes(post: Posterior) -> list[str]:
    return [READING, *map(one_line, [*post.law.notes, *post.status.messages]), *design_notes(post.design)]
