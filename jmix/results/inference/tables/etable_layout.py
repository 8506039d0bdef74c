"""A grid of cells as text, markdown, LaTeX and HTML, numbers below each other at the decimal point."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from jmix.results.inference.tables.etable_cells import Cell, Token
from jmix.results.inference.tables.etable_grid import Block
from jmix.results.markup import escape_latex, escape_markdown
from jmix.results.text_table import display_width, one_line

GAP = "  "


@dataclass(frozen=True)
class Pads:
    """What a token lacks to the widest of its place: characters on the left, and texts on the right.

    Attributes:
        left: missing characters before the number. decimals, stars: missing behind it.
    """

    left: int
    decimals: str
    stars: str


@dataclass(frozen=True)
class Grid:
    """The table before it is marked up.

    Attributes:
        names: of the fits. blocks: of rows. title, notes: sentences above and below. label: of LaTeX's references.
    """

    names: tuple[str, ...]
    blocks: tuple[Block, ...]
    title: str
    notes: tuple[str, ...]
    label: str | None = None

    # --- alignment --------------------------------------------------------------------------------------------------
    @cached_property
    def _widest(self) -> list[list[tuple[str, str, str]]]:
        """Of each fit and place in a cell the widest left part, right part and stars."""
        out: list[list[tuple[str, str, str]]] = []
        for k in range(len(self.names)):
            cells = [row.cells[k] for block in self.blocks for row in block.rows]
            out.append([_widest(cells, place) for place in range(max((len(c) for c in cells), default=0))])
        return out

    def pads(self, k: int, place: int, token: Token) -> Pads:
        """What a token lacks."""
        left, right, stars = self._widest[k][place]
        return Pads(len(left) - len(token.left), right[len(token.right) :], stars[len(token.stars) :])

    def tail(self, k: int, cell: Cell) -> Iterator[tuple[str, str, str]]:
        """Places behind the last token of a cell: their widths."""
        return iter(self._widest[k][len(cell) :])

    # --- text -------------------------------------------------------------------------------------------------------
    def text(self) -> str:
        """Aligned columns between rules."""
        bodies = [[self._column_text(k, row.cells[k]) for b in self.blocks for row in b.rows] for k in range(self.size)]
        widths = [max(display_width(t) for t in (n, *body)) for n, body in zip(self._heads, bodies, strict=True)]
        labels = [one_line(row.label) for block in self.blocks for row in block.rows]
        stub = max(map(display_width, [*labels, *(f"{b.title}:" for b in self.blocks)]))
        rule = "-" * (stub + sum(len(GAP) + width for width in widths))
        lines = [*([one_line(self.title)] if self.title else []), rule.replace("-", "=")]
        lines.append(_line("", stub, [_centre(n, w) for n, w in zip(self._heads, widths, strict=True)]))
        i = 0
        for block in self.blocks:
            lines += [rule, *([f"{block.title}:"] if block.title else [])]
            for row in block.rows:
                cells = [
                    _centre(b[i], w) if _words(cell) else " " * (w - display_width(b[i])) + b[i]
                    for cell, b, w in zip(row.cells, bodies, widths, strict=True)
                ]
                lines.append(_line(one_line(row.label), stub, cells))
                i += 1
        return "\n".join([*lines, rule.replace("-", "="), *map(one_line, self.notes)])

    @property
    def size(self) -> int:
        """Number of fits."""
        return len(self.names)

    @cached_property
    def _heads(self) -> list[str]:
        return [one_line(name) for name in self.names]

    def _column_text(self, k: int, cell: Cell) -> str:
        """A cell padded on the right, and within; what is missing on the left is left to the column."""
        if not cell:
            return ""
        if all(token.whole for token in cell):
            return " ".join(one_line(token.text) for token in cell)
        parts = []
        for place, token in enumerate(cell):
            pad = self.pads(k, place, token)
            parts.append(" " * pad.left + token.text + " " * (len(pad.decimals) + len(pad.stars)))
        parts += [" " * len(left + right + stars) for left, right, stars in self.tail(k, cell)]
        return " ".join(parts)

    # --- markdown ---------------------------------------------------------------------------------------------------
    def markdown(self) -> str:
        """A pipe table; titles of blocks as rows in bold."""
        head = ["", *(escape_markdown(name) for name in self._heads)]
        lines = [_pipe(head), _pipe([":---", *["---:"] * self.size])]
        for block in self.blocks:
            if block.title:
                lines.append(_pipe([f"**{escape_markdown(block.title)}**", *[""] * self.size]))
            for row in block.rows:
                cells = [" ".join(token.text for token in cell) for cell in row.cells]
                lines.append(_pipe([escape_markdown(one_line(text)) for text in (row.label, *cells)]))
        title = [f"**{escape_markdown(one_line(self.title))}**", ""] if self.title else []
        return "\n".join([*title, *lines, "", *(f"{escape_markdown(one_line(note))}  " for note in self.notes)]) + "\n"

    # --- LaTeX ------------------------------------------------------------------------------------------------------
    def latex(self) -> str:
        r"""A floating ``table`` with the rules of booktabs."""
        heads = " & ".join(["", *(f"\\multicolumn{{1}}{{c}}{{{_tex(name)}}}" for name in self._heads)])
        lines = ["% needs \\usepackage{booktabs}", r"\begin{table}", r"\centering"]
        lines += [f"\\caption{{{_tex(one_line(self.title))}}}"] if self.title else []
        lines += [f"\\label{{{self.label}}}"] if self.label else []
        lines += [f"\\begin{{tabular}}{{l{'r' * self.size}}}", r"\toprule", heads + r" \\"]
        for block in self.blocks:
            lines.append(r"\midrule")
            if block.title:
                lines.append(f"\\multicolumn{{{self.size + 1}}}{{l}}{{\\textit{{{_tex(block.title)}}}}} \\\\")
            for row in block.rows:
                cells = [self._latex_cell(k, cell) for k, cell in enumerate(row.cells)]
                lines.append(" & ".join([_tex(one_line(row.label)), *cells]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [f"\\par\\smallskip {{\\footnotesize {_tex(one_line(note))}\\par}}" for note in self.notes]
        return "\n".join([*lines, r"\end{table}"]) + "\n"

    def _latex_cell(self, k: int, cell: Cell) -> str:
        if all(token.whole for token in cell):
            text = " ".join(_latex_whole(token) for token in cell)
            return f"\\multicolumn{{1}}{{c}}{{{text}}}" if _words(cell) else text
        parts = []
        for place, token in enumerate(cell):
            pad = self.pads(k, place, token)
            before = _phantom("0" * pad.left) if place else ""
            parts.append(before + token.left + token.right + _raised(token.stars))
            parts[-1] += _phantom(pad.decimals + _raised(pad.stars))
        parts += [_phantom(left + right + _raised(stars)) for left, right, stars in self.tail(k, cell)]
        return "$" + r"\ ".join(parts) + "$" if cell else ""

    # --- HTML -------------------------------------------------------------------------------------------------------
    def html(self) -> str:
        """A ``table`` in a ``div``; all text is escaped."""
        style = "border-collapse:collapse;font-variant-numeric:tabular-nums"
        lines = ['<div class="jmix-table">', f'<table style="{style}">']
        if self.title:
            lines.append(f'<caption style="text-align:left">{_esc(self.title)}</caption>')
        heads = "".join(
            f'<th scope="col" style="text-align:center;padding:0.1em 0.8em">{_esc(n)}</th>' for n in self.names
        )
        lines += [f"<thead><tr><th></th>{heads}</tr></thead>"]
        for block in self.blocks:
            lines.append('<tbody style="border-top:1px solid">')
            if block.title:
                title = (
                    f'<th colspan="{self.size + 1}" scope="rowgroup" style="text-align:left">{_esc(block.title)}</th>'
                )
                lines.append(f"<tr>{title}</tr>")
            lines += [self._html_row(row.label, row.cells) for row in block.rows]
            lines.append("</tbody>")
        notes = "<br>".join(map(_esc, self.notes))
        cell = f'<td colspan="{self.size + 1}"><small>{notes}</small></td>'
        foot = f'<tfoot style="border-top:1px solid"><tr>{cell}</tr></tfoot>'
        return "\n".join([*lines, *([foot] if notes else []), "</table>", "</div>"])

    def _html_row(self, label: str, cells: Sequence[Cell]) -> str:
        texts = []
        for k, cell in enumerate(cells):
            side = "center" if _words(cell) else "right"
            texts.append(f'<td style="text-align:{side};padding:0.1em 0.8em">{self._html_cell(k, cell)}</td>')
        return f'<tr><th scope="row" style="text-align:left;font-weight:normal">{_esc(label)}</th>{"".join(texts)}</tr>'

    def _html_cell(self, k: int, cell: Cell) -> str:
        if all(token.whole for token in cell):
            return " ".join(_esc(token.text) for token in cell)
        parts = []
        for place, token in enumerate(cell):
            pad = self.pads(k, place, token)
            before = _hidden("0" * pad.left) if place else ""
            parts.append(before + _esc(token.text) + _hidden(pad.decimals + pad.stars))
        parts += [_hidden(left + right + stars) for left, right, stars in self.tail(k, cell) if cell]
        return " ".join(parts)


def _widest(cells: Sequence[Cell], place: int) -> tuple[str, str, str]:
    tokens = [cell[place] for cell in cells if len(cell) > place and not all(t.whole for t in cell)]
    right = max((t.right for t in tokens), key=len, default="")
    stars = max((t.stars for t in tokens), key=len, default="")
    return max((t.left for t in tokens), key=len, default=""), right, stars


def _words(cell: Cell) -> bool:
    return bool(cell) and all(token.word for token in cell)


def _line(label: str, stub: int, cells: Sequence[str]) -> str:
    return (label + " " * (stub - display_width(label)) + "".join(GAP + cell for cell in cells)).rstrip()


def _centre(text: str, width: int) -> str:
    room = width - display_width(text)
    return " " * ((room + 1) // 2) + text + " " * (room // 2)


def _pipe(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _tex(text: str) -> str:
    for char, code in (("×", r"$\times$"), ("²", r"$^2$")):
        text = text.replace(char, "\0" + code + "\0")
    return "".join(
        part if part.startswith("$") and i % 2 else escape_latex(part) for i, part in enumerate(text.split("\0"))
    )


def _latex_whole(token: Token) -> str:
    numeric = any(c.isdigit() for c in token.left) and not any(c.isalpha() for c in token.left.replace("e", ""))
    text = token.left if numeric else _tex(one_line(token.text))
    return f"${text}$" if numeric else text


def _raised(stars: str) -> str:
    return f"^{{{stars}}}" if stars else ""


def _phantom(text: str) -> str:
    return f"\\phantom{{{text}}}" if text else ""


def _hidden(text: str) -> str:
    return f'<span style="visibility:hidden">{_esc(text)}</span>' if text else ""


def _esc(text: str) -> str:
    return html.escape(one_line(text))
