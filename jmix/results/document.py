"""What every printed result can be turned into: text, markdown, LaTeX, HTML."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jmix.results.markup import html_document, latex_document, markdown_document
from jmix.results.sections import SummaryContent


class Document(ABC):
    """A result that prints, and shows itself in a notebook."""

    @property
    @abstractmethod
    def content(self) -> SummaryContent:
        """The headings, tables and messages, each as formatted text."""

    @abstractmethod
    def __str__(self) -> str: ...

    def __repr__(self) -> str:
        return str(self)

    def to_markdown(self) -> str:
        """Tables as pipe tables (GitHub, pandoc, Quarto)."""
        return markdown_document(self.content)

    def to_latex(self) -> str:
        r"""A LaTeX ``table``; it needs ``\usepackage{booktabs}``."""
        return latex_document(self.content)

    def to_html(self) -> str:
        """An HTML ``div``; all text is escaped."""
        return html_document(self.content)

    def _repr_html_(self) -> str:
        return self.to_html()
