"""The printed summary of a posterior of an item response model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from jmix.results.document import Document
from jmix.results.posterior_summary import READING, decimal_rows, special
from jmix.results.posterior_table import Interval, summary_table
from jmix.results.sections import Section, SummaryContent
from jmix.results.summary import section_text, wrap
from jmix.results.text_table import Table, one_line

if TYPE_CHECKING:
    from jmix.results.irt.posterior import IrtPosterior

MOST_ROWS = 200
"""Parameters that are printed; ``table`` has all."""

LATENT = ("mean[", "sd[", "corr[", "beta[", "cluster_sd[")


@dataclass(frozen=True, eq=False, repr=False)
class IrtPosteriorSummary(Document):
    """A summary of ``posterior``: ``table`` in numbers; ``print`` it, or turn it into markdown, LaTeX or HTML.

    Attributes:
        prob: probability of the intervals. interval: "eti", equal tails, or "hdi", highest density.
        lag: of the autocorrelation, in kept draws.
    """

    posterior: IrtPosterior
    prob: float = 0.95
    interval: Interval = "eti"
    lag: int = 10

    def __post_init__(self) -> None:
        _ = self.table  # refuses impossible arguments where they are given

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a parameter, the columns as in :meth:`jmix.results.posterior.Posterior.summary`."""
        return summary_table(self.posterior, self.prob, self.interval, self.lag)  # type: ignore[arg-type]

    @cached_property
    def content(self) -> SummaryContent:
        """The headings, tables and messages, each as formatted text."""
        post = self.posterior
        notes = (READING, *map(one_line, post.status.messages))
        return SummaryContent("Posterior of an item response model", tuple(_call(post)), tuple(self._sections()), notes)

    def _sections(self) -> Iterator[Section]:
        latent = [name for name in self.table.index if name.startswith(LATENT)]
        items = [name for name in self.table.index if name not in latent]
        for title, names in (("Latent distribution", latent), ("Items", items)):
            if names:
                more = (f"and {len(names) - MOST_ROWS} more; see .table",) if len(names) > MOST_ROWS else ()
                yield Section(title, self._rows(names[:MOST_ROWS]), more)

    def _rows(self, names: list[str]) -> Table:
        table = self.table.loc[names]
        level, kind = f"{100 * self.prob:g}%", "CI" if self.interval == "eti" else "HDI"
        cells = decimal_rows(table[["mean", "sd", "lower", "upper"]].to_numpy().tolist())
        columns = [("", "l", [one_line(name) for name in names])]
        heads = ("Estimate", "Est.Error", f"l-{level} {kind}", f"u-{level} {kind}")
        columns += [(h, "r", list(c)) for h, c in zip(heads, zip(*cells, strict=True), strict=True)]
        columns.append(("Rhat", "r", [f"{v:.2f}" if v == v else special(v) for v in table["rhat"]]))
        for head, name in (("Bulk_ESS", "ess_bulk"), ("Tail_ESS", "ess_tail")):
            columns.append((head, "r", [f"{v:.0f}" if v == v else special(v) for v in table[name]]))
        return Table.of_columns(columns, labels=1)

    def __str__(self) -> str:
        content = self.content
        width = max(len(name) for name, _ in content.call)
        blocks = ["\n".join(wrap(f"{name:>{width}}: {value}", width + 2) for name, value in content.call)]
        blocks += [section_text(section) for section in content.sections]
        blocks += [wrap(note, 0) for note in content.notes[:1]]
        if content.notes[1:]:
            blocks.append("\n".join(wrap(note, 2) for note in content.notes[1:]))
        return "\n\n".join(blocks)


def _call(post: IrtPosterior) -> list[tuple[str, str]]:
    chains, draws = post.draws.shape
    tune, thin = post.settings.tune, post.settings.thin
    made = (
        f"{chains} chain{'s, each' if chains > 1 else ''} with iter = {tune + thin * draws}; warmup = {tune}; "
        f"thin = {thin}; total post-warmup draws = {post.n_draws}"
    )
    kinds = ", ".join(dict.fromkeys(post.spec.itemtypes))
    data = f"{post.responses.n_persons:,} persons, {post.responses.n_items:,} items, {post.spec.n_factors} factor"
    return [
        ("Items", kinds),
        ("Data", data + ("s" if post.spec.n_factors > 1 else "")),
        ("Theta", "integrated out; see .scores()"),
        ("Draws", made),
    ]
