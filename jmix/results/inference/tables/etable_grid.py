"""Rows of a regression table: which there are, in what order, under which names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jmix.errors import ModelError
from jmix.results.inference.tables.etable_cells import Cell, Token, coefficient_cell, decimals_for, number, token
from jmix.results.inference.tables.etable_columns import COMPONENTS, Column, Spread
from jmix.results.inference.tables.etable_statistics import CRITERIA, Statistic

Key = tuple[str, str]


@dataclass(frozen=True)
class Row:
    """A line of the table: its label and a cell for each fit."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """Rows between two rules, below a title that may be empty."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Style:
    """How cells are written.

    Attributes:
        layouts: the lines of a cell. digits: decimals. stars: marks by threshold. variance: variances and covariances
            rather than standard deviations. labels: other names of coefficients, groups and statistics.
    """

    layouts: tuple[str, ...]
    digits: int
    stars: Mapping[str, float]
    variance: bool
    labels: Mapping[str, str]

    def name(self, text: str) -> str:
        """The label of a name; of an interaction also part by part."""
        if text in self.labels:
            return self.labels[text]
        parts = text.split(":")
        known = [self.labels.get(part, part) for part in parts]
        return text if known == parts else " × ".join(known)


# --- coefficients ---------------------------------------------------------------------------------------------------
def chosen(
    columns: Sequence[Column], keep: Sequence[str] | None, drop: Sequence[str] | None, order: Sequence[str] | None
) -> list[Key]:
    """Coefficients of all fits in order of first appearance, those in ``order`` first.

    Raises:
        ModelError: a name that no fit has, or none left.
    """
    keys = list(dict.fromkeys(key for column in columns for key in column.coefficients))
    keys.sort(key=lambda key: _components(columns).index(key[0]))
    names = list(dict.fromkeys(name for _, name in keys))
    kept = set(_known("keep", keep, names)) if keep is not None else set(names)
    kept -= set(_known("drop", drop, names)) if drop is not None else set()
    if names and not kept:
        raise ModelError("keep and drop leave no coefficient")
    first = _known("order", order, names) if order is not None else []
    rank = {name: i for i, name in enumerate(first)}
    keys = [key for key in keys if key[1] in kept]
    return sorted(
        keys, key=lambda key: (_components(columns).index(key[0]), rank.get(key[1], len(rank)))
    )  # a stable sort


def _components(columns: Sequence[Column]) -> list[str]:
    found = dict.fromkeys(component for column in columns for component, _ in column.coefficients)
    return [name for name in ("cond", "more", *COMPONENTS) if name in found]


def _known(argument: str, asked: Sequence[str], names: Sequence[str]) -> list[str]:
    asked = [asked] if isinstance(asked, str) else list(asked)
    for name in asked:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names[:20])}"
            raise ModelError(f"{argument}: no fit has a coefficient {name!r}; {hint}")
    return asked


def coefficient_blocks(columns: Sequence[Column], keys: Sequence[Key], style: Style) -> list[Block]:
    """A block for each component: the linear predictor first, without a title."""
    blocks: dict[str, list[Row]] = {}
    for key in keys:
        rows = blocks.setdefault(key[0], [])
        rows += _coefficient_rows(columns, key, style)
    return [Block(COMPONENTS.get(name, ""), tuple(rows)) for name, rows in blocks.items()]


def _coefficient_rows(columns: Sequence[Column], key: Key, style: Style) -> Iterable[Row]:
    found = [column.coefficients.get(key) for column in columns]
    decimals = decimals_for([row.std_error for row in found if row is not None], style.digits)
    lines = [
        tuple(() if row is None else coefficient_cell(row, layout, decimals, style.stars) for row in found)
        for layout in style.layouts
    ]
    return [Row(style.name(key[1]) if i == 0 else "", cells) for i, cells in enumerate(lines) if i == 0 or any(cells)]


# --- random part ----------------------------------------------------------------------------------------------------
def random_block(columns: Sequence[Column], style: Style) -> list[Block]:
    """Standard deviations and correlations by grouping factor, then the residual; no block where there is nothing."""
    keys = list(dict.fromkeys(key for column in columns for key in column.spreads))
    groups = list(dict.fromkeys(key.group for key in keys if key.group))
    kinds = ("sd", "cor")

    def place(key: Spread) -> tuple[int, int]:
        group = groups.index(key.group) if key.group else len(groups)
        return group, kinds.index(key.kind) if key.kind in kinds else len(kinds)

    rows = [_spread_row(columns, key, style) for key in sorted(keys, key=place)]
    return [Block("Random effects" if groups else "", tuple(rows))] if rows else []


def _spread_row(columns: Sequence[Column], key: Spread, style: Style) -> Row:
    cells: list[Cell] = []
    for column in columns:
        value = column.spreads.get(key)
        if value is not None and style.variance:
            value = _as_variance(column, key, value)
        cells.append(() if value is None else _spread_cell(value, style.digits))
    return Row(_spread_label(key, style), tuple(cells))


def _as_variance(column: Column, key: Spread, value: float) -> float:
    if key.kind == "sd":
        return value**2
    if key.kind == "cor":
        a, b = (column.spreads[Spread(key.group, "sd", (name,))] for name in key.names)
        return value * a * b if a * b > 0 else 0.0
    return value


def _spread_cell(value: float, digits: int) -> Cell:
    if value != value:
        return (Token("NaN", whole=True),)
    return (token(number(value, decimals_for([value], digits))),)


def _spread_label(key: Spread, style: Style) -> str:
    names = {"sd": "variance", "cor": "covariance"} if style.variance else {}
    kind = names.get(key.kind, key.kind)
    if not key.group:
        return style.name(f"Residual {kind}" if key.kind == "sd" else key.kind)
    terms = ", ".join(style.name(name) for name in key.names)
    return f"{style.name(key.group)}: {kind} {terms}"


# --- statistics -----------------------------------------------------------------------------------------------------
def statistics_block(rows: Sequence[Statistic], style: Style) -> list[Block]:
    """The rows below the last rule."""
    made = [Row(_label(row, style), tuple(_statistic_cell(row, v, style) for v in row.values)) for row in rows]
    return [Block("", tuple(made))] if made else []


def _label(row: Statistic, style: Style) -> str:
    if row.name == "groups":
        return f"{style.labels.get('groups', 'N')} {style.name(row.label)}"
    return style.labels.get(row.name, row.label)


def _statistic_cell(row: Statistic, value: float | int | str | None, style: Style) -> Cell:
    if value is None:
        return ()
    if isinstance(value, str):
        return (Token(value, whole=True),)
    if isinstance(value, int):
        return (token(f"{value}"),)
    return (token(number(value, 1 if row.name in CRITERIA else style.digits)),)
