"""The tables and pictures that ``jmix irt`` writes."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmix.cli_tables import write_table
from jmix.errors import JmixError

if TYPE_CHECKING:
    import pandas as pd

MOST_ITEMS = 60
"""Items up to which statistics of all pairs of items are computed, and that are drawn."""

OF_ITEMS = ("items.csv", "coef.csv", "latent.csv", "glance.csv", "loadings.csv")
"""Tables for which the responses of all persons are not needed."""


def write_results(fit: Any, scores: str, folder: Path, options: Namespace) -> list[str]:
    """Write every table, the summary and the pictures, replacing files of the same names; returns the names."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    conditional = options.method is not None and options.method.lower() == "cml"
    tables = conditional_tables(fit, scores) if conditional else result_tables(fit, scores, options.rotate)
    if options.stream:
        print("jmix: of a file read by blocks only tables of the items are written", file=sys.stderr)
        tables = ((name, make) for name, make in tables if name in OF_ITEMS)
    for name, make in tables:
        frame = _tried(name, make)
        if frame is not None:
            write_table(frame, folder / name)
            written.append(name)
    summary = fit.summary()
    for name, text in (("summary.txt", f"{summary}\n"), ("summary.md", summary.to_markdown())):
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        written.append(name)
    fit.save(folder / "fit.npz")
    bare = options.no_plots or options.stream or conditional
    return [*written, "fit.npz", *([] if bare else write_plots(fit, folder))]


def result_tables(fit: Any, scores: str, rotate: str | None) -> Iterator[tuple[str, Callable[[], pd.DataFrame]]]:
    """File name and content of each table of a marginal fit."""
    few = len(fit.spec.items) <= MOST_ITEMS
    turned = {} if rotate is None else {"rotate": rotate}
    yield "items.csv", lambda: _flat(fit.items())
    yield "coef.csv", lambda: fit.tidy()
    yield "latent.csv", lambda: fit.latent().reset_index(drop=True)
    yield "scores.csv", lambda: _flat(fit.scores(scores, **turned), "person")
    yield "fit.csv", lambda: fit.fit_statistics() if few else fit.glance()
    if few and len(fit.spec.factors) == 1:
        yield "itemfit.csv", lambda: _flat(fit.itemfit(), "item")
        yield "personfit.csv", lambda: _flat(fit.personfit(), "person")
        yield "score_table.csv", lambda: _flat(fit.score_table(), "score")
    if len(fit.spec.factors) > 1:
        yield "loadings.csv", lambda: _flat(fit.loadings(**turned), "item")
    yield "glance.csv", lambda: fit.glance()


def conditional_tables(fit: Any, scores: str) -> Iterator[tuple[str, Callable[[], pd.DataFrame]]]:
    """File name and content of each table of a conditional fit."""
    yield "items.csv", lambda: _flat(fit.items())
    yield "coef.csv", lambda: fit.tidy()
    yield "thresholds.csv", lambda: _flat(fit.thresholds())
    yield "scores.csv", lambda: _flat(fit.scores(scores), "person")
    yield "score_table.csv", lambda: _flat(fit.score_table(), "score")
    yield "vcov.csv", lambda: fit.vcov().rename_axis("term").reset_index()
    yield "itemfit.csv", lambda: _flat(fit.itemfit())
    yield "personfit.csv", lambda: _flat(fit.personfit(), "person")
    yield "fit.csv", lambda: fit.glance()


def write_plots(fit: Any, folder: Path) -> list[str]:
    """Curves, information and the Wright map as png; a word on stderr where one cannot be drawn."""
    items = list(fit.spec.items)[:MOST_ITEMS]
    if len(items) < len(fit.spec.items):
        print(f"jmix: the plots show the first {MOST_ITEMS} items", file=sys.stderr)
    pictures: dict[str, Callable[[], Any]] = {
        "icc.png": lambda: fit.plot_icc(items),
        "information.png": lambda: fit.plot_information(),
        "wright.png": lambda: fit.plot_wright(items),
        "histogram.png": lambda: fit.plot_histogram(items),
    }
    if max(fit.responses.n_categories) > 2:
        pictures["categories.png"] = lambda: fit.plot_categories(items)
    written = []
    for name, draw in pictures.items():
        figure = _tried(name, draw)
        if figure is not None:
            figure.savefig(folder / name, dpi=150)
            written.append(name)
    return written


def _tried(name: str, make: Callable[[], Any]) -> Any:
    """What ``make`` gives; None, and a word on stderr, for what the model does not have."""
    try:
        return make()
    except JmixError as error:
        print(f"jmix: no {name}: {error}", file=sys.stderr)
        return None


def _flat(frame: pd.DataFrame, label: str = "item") -> pd.DataFrame:
    """The frame with its index as columns; persons without labels by their row, counted from 1."""
    if label == "person" and frame.index.names == [None] and frame.index.dtype.kind in "iu":
        out = frame.reset_index(drop=True)
        out.insert(0, "row", frame.index + 1)
        return out
    names = [name if name is not None else label for name in frame.index.names]
    return frame.rename_axis(names).reset_index()
