"""A table of texts and its plain-text layout."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH = 80
"""Columns of the page; wider tables continue below."""

LONGEST_LABEL = 48
"""Longest row label in a plain-text table; longer ones lose their middle."""


@dataclass(frozen=True)
class Table:
    """A table whose cells are formatted already.

    Attributes:
        header: the column names. rows: the cells, one text a column.
        align: "l" or "r" for every column. labels: how many of the first columns name the row.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str
    labels: int = 0

    @classmethod
    def of_columns(cls, columns: Sequence[tuple[str, str, Sequence[str]]], labels: int = 0) -> Table:
        """A table from (header, alignment, cells) triples."""
        rows = zip(*(cells for _, _, cells in columns), strict=True)
        return cls(tuple(h for h, _, _ in columns), tuple(rows), "".join(a for _, a, _ in columns), labels)


def one_line(text: str) -> str:
    """The text with line breaks, tabs and other control characters made visible."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) == "Cc" else c for c in text)


def display_width(text: str) -> int:
    """Columns that a text takes in a monospaced font."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def render_text(table: Table, width: int = WIDTH, indent: str = "") -> str:
    """The table in aligned columns; columns that do not fit continue below with the row labels repeated."""
    columns = [_cells(table, i) for i in range(len(table.header))]
    stub, rest = columns[: table.labels], columns[table.labels :]
    stub_width = len(indent) + sum(display_width(c[0]) + 1 for c in stub)
    blocks = [_rows([*stub, *part], indent) for part in _parts(rest, width - stub_width + 1)]
    return "\n".join(line for block in blocks for line in block)


def _cells(table: Table, i: int) -> list[str]:
    """Header and cells of a column, padded to one width."""
    cells = [row[i] for row in table.rows]
    texts = [table.header[i], *(shorten(cells) if i < table.labels else cells)]
    width = max(map(display_width, texts))
    fill = [" " * (width - display_width(t)) for t in texts]
    right = table.align[i] == "r"
    return [f + t if right else t + f for t, f in zip(texts, fill, strict=True)]


def _parts(columns: list[list[str]], room: int) -> Iterable[list[list[str]]]:
    """Runs of columns that fit into the room; at least one column each."""
    part: list[list[str]] = []
    used = 0
    for column in columns:
        size = display_width(column[0]) + 1
        if part and used + size > room:
            yield part
            part, used = [], 0
        part.append(column)
        used += size
    yield part


def _rows(columns: list[list[str]], indent: str) -> list[str]:
    return [(indent + " ".join(cells)).rstrip() for cells in zip(*columns, strict=True)]


def shorten(names: Sequence[str], longest: int = LONGEST_LABEL) -> list[str]:
    """Names without the middle of what is too long; whole where two would become the same."""
    head = longest // 2
    short = [n if len(n) <= longest else f"{n[:head]}…{n[head + 1 - longest :]}" for n in names]
    return short if len(set(short)) == len(set(names)) else list(names)
