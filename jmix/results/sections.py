"""The parts of a summary before they are laid out as text, markdown, LaTeX or HTML."""

from __future__ import annotations

from dataclasses import dataclass

from jmix.results.text_table import Table


@dataclass(frozen=True)
class Section:
    """A table with its title above and lines below; any of the three may be absent.

    Attributes:
        indent: what precedes each line of the table in plain text.
    """

    title: str = ""
    table: Table | None = None
    lines: tuple[str, ...] = ()
    indent: str = ""


@dataclass(frozen=True)
class SummaryContent:
    """A summary as formatted text.

    Attributes:
        title: the kind of model. call: names and values such as the formula. sections: in the order of printing.
        notes: messages, one sentence each.
    """

    title: str
    call: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...]
