"""A summary as markdown, LaTeX and HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from jmix.results.sections import Section, SummaryContent
from jmix.results.text_table import Table

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$&])")
_NUMBER = re.compile(r"((?:< )?-?)(\d+(?:\.\d+)?)(?:e([+-]\d+))?")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "…": r"\ldots{}",
}
_STYLE = "border-collapse:collapse;margin:0.8em 0;font-variant-numeric:tabular-nums"


def _cells(table: Table, escape: Callable[[str], str]) -> tuple[list[str], list[list[str]]]:
    """Header and rows, escaped and without padding."""
    return [escape(h.strip()) for h in table.header], [[escape(c.strip()) for c in row] for row in table.rows]


# --- markdown -------------------------------------------------------------------------------------------------------
def markdown_document(content: SummaryContent) -> str:
    """Headings in bold, tables as pipe tables, messages as quotations."""
    blocks = [f"**{escape_markdown(content.title)}**"]
    blocks += [f"{name}: {_code_span(value)}" for name, value in content.call]
    for section in content.sections:
        blocks += _markdown_section(section)
    blocks += [f"> {escape_markdown(note)}" for note in content.notes]
    return "\n\n".join(blocks) + "\n"


def _markdown_section(section: Section) -> list[str]:
    blocks = [f"**{escape_markdown(section.title)}**"] if section.title else []
    if section.table is not None:
        blocks.append(markdown_table(section.table))
    return blocks + [escape_markdown(line) for line in section.lines]


def markdown_table(table: Table) -> str:
    """A pipe table."""
    header, rows = _cells(table, escape_markdown)
    rule = ["---:" if a == "r" else ":---" for a in _alignment(table)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def escape_markdown(text: str) -> str:
    """The text with backslashes before the characters that markdown would interpret."""
    return _MARKDOWN.sub(r"\\\1", text)


def _code_span(text: str) -> str:
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


# --- LaTeX ----------------------------------------------------------------------------------------------------------
def latex_document(content: SummaryContent) -> str:
    r"""One floating ``table``: the call as caption, then a ``tabular`` for each section."""
    call = "; ".join(f"{escape_latex(name)}: \\texttt{{{escape_latex(value)}}}" for name, value in content.call)
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        f"\\caption{{{escape_latex(content.title)}. {call}}}",
    ]
    for section in content.sections:
        lines += _latex_section(section)
    lines += [f"\\par {escape_latex(note)}" for note in content.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _latex_section(section: Section) -> list[str]:
    lines = [f"\\par\\medskip \\textbf{{{escape_latex(section.title)}}}\\par"] if section.title else [r"\par\medskip"]
    if section.table is not None:
        lines.append(latex_table(section.table))
    return lines + [f"\\par {escape_latex(line)}" for line in section.lines]


def latex_table(table: Table) -> str:
    r"""A ``tabular`` with the rules of booktabs."""
    header, _ = _cells(table, escape_latex)
    body = [
        [escape_latex(c) if i < table.labels else _latex_number(c.strip()) for i, c in enumerate(row)]
        for row in table.rows
    ]
    lines = [f"\\begin{{tabular}}{{{_alignment(table)}}}", r"\toprule", " & ".join(header) + r" \\", r"\midrule"]
    lines += [" & ".join(row) + r" \\" for row in body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _latex_number(text: str) -> str:
    """A number in mathematics mode, so that minus signs and powers of ten are typeset; other text escaped."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return escape_latex(text)
    sign, digits, exponent = match.groups()
    if exponent is not None:
        return f"${sign}{digits} \\times 10^{{{int(exponent)}}}$"
    return f"${sign}{digits}$" if sign else digits


def escape_latex(text: str) -> str:
    """The text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(c, c) for c in text)


# --- HTML -----------------------------------------------------------------------------------------------------------
def html_document(content: SummaryContent) -> str:
    """A ``div`` with one table for each section."""
    parts = ['<div class="jmix-summary">', f"<p><strong>{html.escape(content.title)}</strong></p>"]
    parts += [f"<p>{html.escape(name)}: <code>{html.escape(value)}</code></p>" for name, value in content.call]
    for section in content.sections:
        parts += _html_section(section)
    parts += [f'<p class="jmix-note"><em>{html.escape(note)}</em></p>' for note in content.notes]
    return "\n".join([*parts, "</div>"])


def _html_section(section: Section) -> list[str]:
    lines = [f"<p>{html.escape(line)}</p>" for line in section.lines]
    if section.table is None:
        return [f"<p><strong>{html.escape(section.title)}</strong></p>", *lines] if section.title else lines
    return [html_table(section.table, section.title), *lines]


def html_table(table: Table, caption: str = "") -> str:
    """A ``table`` with the row labels as headers."""
    header, rows = _cells(table, html.escape)
    align = ["text-align:right" if a == "r" else "text-align:left" for a in _alignment(table)]
    cells = [_html_cell(h, style, "col") for h, style in zip(header, align, strict=True)]
    lines = [f'<table style="{_STYLE}">']
    if caption:
        lines.append(f'<caption style="text-align:left;font-weight:bold">{html.escape(caption)}</caption>')
    lines += [f"<thead><tr>{''.join(cells)}</tr></thead>", "<tbody>"]
    for row in rows:
        scopes = ["row" if i < table.labels else "" for i in range(len(row))]
        texts = [_html_cell(c, style, scope) for c, style, scope in zip(row, align, scopes, strict=True)]
        lines.append(f"<tr>{''.join(texts)}</tr>")
    return "\n".join([*lines, "</tbody>", "</table>"])


def _html_cell(text: str, style: str, scope: str) -> str:
    style = f' style="{style};padding:0.15em 0.7em"'
    if scope:
        return f'<th scope="{scope}"{style}>{text}</th>'
    return f"<td{style}>{text}</td>"


def _alignment(table: Table) -> str:
    """Alignment by column: labels on the left, numbers on the right."""
    return "".join("l" if i < table.labels else "r" for i in range(len(table.header)))
