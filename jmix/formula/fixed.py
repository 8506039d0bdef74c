"""The fixed effects of a formula on the complete rows: their variables, contrasts and matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jmix.errors import DataError, FormulaError
from jmix.formula.coding import Coder, Column, Factor
from jmix.formula.contrasts import Contrast, contrast_from_user
from jmix.formula.encoding import Encoding
from jmix.formula.frame import Frame
from jmix.formula.groups import Grouping
from jmix.formula.matrices import fixed_matrix, used_variables
from jmix.formula.parse import ParsedFormula
from jmix.formula.rank import dependencies, independent_columns
from jmix.formula.stateful import State
from jmix.formula.syntax import Name
from jmix.formula.tokens import brief
from jmix.formula.values import BoolArray, Categories, FloatArray, Value, take_rows


@dataclass(frozen=True, eq=False)
class Settled:
    """A formula's variables on the complete rows, and the factors among them, without levels that no row has."""

    parsed: ParsedFormula
    values: dict[str, Value]
    factors: dict[str, Factor]


@dataclass(frozen=True, eq=False)
class FixedPart:
    """The (n, p) matrix of the columns ``kept`` among all ``columns``; ``left_out`` says which are not missed, and
    ``aliases`` how those that are follow from the others (p, dropped), a left-out intercept first.
    """

    X: FloatArray
    columns: list[Column]
    kept: list[int]
    left_out: frozenset[int]
    contrasts: dict[str, Contrast]
    aliases: FloatArray | None = None

    def encoding(
        self,
        settled: Settled,
        states: dict[str, State],
        groupings: dict[str, Grouping] | None = None,
        offset: Any = None,
    ) -> Encoding:
        """What turns new data into the same columns."""
        gone = set(range(len(self.columns))) - set(self.kept) - self.left_out
        return Encoding(
            formula=settled.parsed.text,
            parsed=settled.parsed,
            x_names=[self.columns[place].name for place in self.kept],
            kept=self.kept,
            dropped=tuple(self.columns[place].name for place in sorted(gone)),
            contrasts=self.contrasts,
            groupings=groupings or {},
            offset_column=offset if isinstance(offset, str) else None,
            offset_array=offset is not None and not isinstance(offset, str),
            states=states,
            coded=settled.factors,
            aliases=self.aliases,
        )


def check_columns(parsed: ParsedFormula, frame: Frame, what: str = "the formula") -> None:
    """Raise DataError for no rows, FormulaError for a name in ``what`` that is not a column."""
    if frame.n == 0:
        raise DataError("the data have no rows")
    for name in frame.missing(parsed.columns()):
        if name != "pi":
            raise FormulaError(f"{what} names {brief(name)}, which is not a column; {frame.suggestion(name)}")


def settle(parsed: ParsedFormula, values: dict[str, Value], keep: BoolArray | None) -> Settled:
    """The variables on the rows to ``keep`` (None: all)."""
    settled: dict[str, Value] = {}
    factors: dict[str, Factor] = {}
    for label, value in values.items():
        value = take_rows(value, keep)
        if isinstance(value, Categories):
            value = value if value.logical else value.used()
            factors[label] = Factor(value.levels, value.ordered, value.logical, value.contrast)
        settled[label] = value
    return Settled(parsed, settled, factors)


def choose_contrasts(given: Mapping[str, Any] | None, sides: Sequence[Settled]) -> list[dict[str, Contrast]]:
    """The user's contrasts for each of the sides; each must name a fixed factor of one of them.

    Raises:
        FormulaError: a name that is no fixed factor, or a coding that jmix does not know.
    """
    if given is not None and not isinstance(given, Mapping):
        raise FormulaError('contrasts must be a dict such as {"f": "sum"}')
    used = [used_variables([side.parsed.terms]) for side in sides]
    fixed = {label: node for nodes in used for label, node in nodes.items()}
    factors = {label for side in sides for label in side.factors}
    labels = {node.name if isinstance(node, Name) else label: label for label, node in fixed.items()}
    found: list[dict[str, Contrast]] = [{} for _ in sides]
    for key, value in (given or {}).items():
        label = labels.get(key, key)
        if label not in fixed or label not in factors:
            why = "is numeric; wrap it in factor()" if label in fixed else "is not a fixed factor of the formula"
            raise FormulaError(f"contrasts names {key!r}, which {why}")
        contrast = contrast_from_user(value, key)
        for chosen, nodes in zip(found, used, strict=True):
            if label in nodes:
                chosen[label] = contrast
    return found


def fixed_part(settled: Settled, contrasts: dict[str, Contrast], n: int, *, thresholds: bool = False) -> FixedPart:
    """The matrix, less the columns that are linear combinations of others.

    Args:
        thresholds: they take the place of the intercept, which is left out after the check of the rank.
    """
    coder = Coder(settled.values, settled.factors, contrasts)
    columns = coder.columns(settled.parsed.terms)
    X = fixed_matrix(coder, columns, n)
    independent = independent_columns(X)
    left_out = frozenset({0}) if thresholds else frozenset[int]()
    aliases = None if independent.all() else dependencies(X, independent)
    independent[list(left_out)] = False
    if not independent.all():
        X = np.asfortranarray(X[:, independent])
    kept = np.flatnonzero(independent).tolist()
    return FixedPart(X, columns, kept, left_out, contrasts, aliases)
