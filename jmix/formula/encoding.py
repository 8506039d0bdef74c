"""The fitted encoding: what turns new data into the same matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jmix.errors import DataError
from jmix.formula.bars import RandomBlock
from jmix.formula.coding import INTERCEPT, Coder, Factor, Key
from jmix.formula.columns import from_numbers
from jmix.formula.contrasts import Contrast
from jmix.formula.evaluate import Evaluator
from jmix.formula.frame import Frame
from jmix.formula.groups import Grouping
from jmix.formula.matrices import column_arrays, fixed_matrix, not_missing, used_variables
from jmix.formula.parse import ParsedFormula, parse_formula, parse_side
from jmix.formula.stateful import State
from jmix.formula.values import BoolArray, Categories, FloatArray, IntArray, Value

_VERSION = 1


@dataclass(frozen=True)
class NewTerm:
    """One random term on new data.

    Attributes:
        group: name of the grouping factor. codes: (n,) int32, -1 for a level not seen in training or missing.
        names, columns: as in :class:`jmix.design.RandomTerm`. unseen: up to ten labels of levels not seen.
        fresh: (n,) int32, numbers from 0 of the distinct levels not seen, -1 for known levels and missing ones.
    """

    group: str
    codes: IntArray
    names: list[str]
    columns: tuple[FloatArray, ...]
    unseen: tuple[str, ...]
    fresh: IntArray


@dataclass(frozen=True)
class NewDesign:
    """The matrices of new data; no row is dropped.

    Attributes:
        X: (n, p), NaN where a column is missing. random: the random terms, empty if they were not asked for.
        offset: (n,) or None. y: (n,) or None. complete: (n,) bool, rows without NaN in these.
        index: pandas Index of the rows.
    """

    X: FloatArray
    random: tuple[NewTerm, ...]
    offset: FloatArray | None
    y: FloatArray | None
    complete: BoolArray
    index: Any


@dataclass(frozen=True, eq=False)
class Encoding:
    """Rebuilds the matrices of a design for new data.

    Attributes:
        formula: the user's text. parsed: its parts.
        x_names: the fixed-effects columns kept; kept: their places among all columns; dropped: the others' names.
        contrasts: the user's contrasts by factor. groupings: the grouping factors by name.
        offset_column: the column named by ``offset=``, or None. offset_array: whether ``offset=`` was an array instead,
            which new data cannot supply.
        states, coded: states of transforms and the factors' codings, by the variable's text.
        aliases: (kept, dropped) coefficients that give each dropped column from those kept, with a first row more where
            thresholds stand for the intercept; None where none was dropped, and in files of older versions.
    """

    formula: str
    parsed: ParsedFormula
    x_names: list[str]
    kept: list[int]
    dropped: tuple[str, ...]
    contrasts: dict[str, Contrast]
    groupings: dict[str, Grouping]
    offset_column: str | None
    offset_array: bool
    states: dict[str, State] = field(repr=False)
    coded: dict[str, Factor] = field(repr=False)
    aliases: FloatArray | None = field(repr=False, default=None)

    @property
    def factors(self) -> dict[str, list[str]]:
        """The levels of each factor among the fixed and random variables, by its text."""
        return {label: list(factor.levels) for label, factor in self.coded.items()}

    @property
    def columns(self) -> list[str]:
        """The names of the columns that the formula and ``offset=`` use, the response's first."""
        return list(dict.fromkeys([*self.parsed.columns(), *([self.offset_column] if self.offset_column else [])]))

    @np.errstate(all="ignore")
    def encode(self, new_data: Any, *, response: bool = False, random: bool = True) -> NewDesign:
        """The matrices of new data, with the levels, knots and scales of the training data.

        Args:
            new_data: a table with the columns of the formula.
            response: also evaluate the response.
            random: also code the random terms; without them their columns may be absent.

        Raises:
            DataError: missing columns, a level of a fixed factor that training did not have, or a wrong type.
        """
        evaluator = self.evaluator(new_data, response=response, random=random)
        frame = evaluator.frame
        blocks = self.parsed.blocks if random else ()
        values = self._values(evaluator, blocks)
        coder = Coder(values, self.coded, self.contrasts)
        columns = coder.columns(self.parsed.terms)
        X = fixed_matrix(coder, [columns[place] for place in self.kept], frame.n)
        shared = {columns[place].key: X[:, j] for j, place in enumerate(self.kept) if columns[place].key}
        terms = self._terms(evaluator, values, blocks, shared)
        y = evaluator.numbers(self.parsed.response_node, "response") if response else None
        offset = sum_offsets(evaluator, self.parsed, self.offset_column)
        arrays = [*X.T, *(array for term in terms for array in term.columns), *([offset] if offset is not None else [])]
        complete = not_missing([*arrays, *([y] if y is not None else [])], frame.n)
        keep = np.ones(frame.n, dtype=np.bool_) if complete is None else complete
        return NewDesign(X, terms, offset, y, keep, frame.index)

    def evaluator(self, new_data: Any, *, response: bool = False, random: bool = False) -> Evaluator:
        """An evaluator of the formula's expressions on new data, with the states of the training data.

        Raises:
            DataError: missing columns.
        """
        frame = Frame(new_data)
        self._require(frame, response=response, random=random)
        return Evaluator(frame, self.states, training=False)

    def _require(self, frame: Frame, *, response: bool, random: bool) -> None:
        needed = self.parsed.columns(response=response, random=random)
        missing = frame.missing([*needed, *([self.offset_column] if self.offset_column else [])])
        missing = [name for name in missing if name != "pi"]
        if missing:
            raise DataError(f"the new data lack the column{'s'[: len(missing) > 1]} {', '.join(map(repr, missing))}")

    def _values(self, evaluator: Evaluator, blocks: Sequence[RandomBlock]) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for label, node in used_variables([self.parsed.terms, *(block.terms for block in blocks)]).items():
            value = evaluator.variable(node)
            factor = self.coded.get(label)
            if factor is not None:
                value = _recode(value, factor, label)
            elif isinstance(value, Categories):
                raise DataError(f"{label} holds text or categories in the new data, but was numeric in training")
            values[label] = value
        return values

    def _terms(
        self,
        evaluator: Evaluator,
        values: dict[str, Value],
        blocks: Sequence[RandomBlock],
        shared: dict[Key, FloatArray],
    ) -> tuple[NewTerm, ...]:
        coder = Coder(values, self.coded, {})
        n = evaluator.frame.n
        found = []
        for block in blocks:
            grouping = self.groupings[block.group]
            factors = [evaluator.group(node) for node in block.factors]
            codes, unseen = grouping.encode(factors)
            columns = coder.columns(block.terms)
            arrays = column_arrays(coder, columns, n, shared)
            fresh = grouping.fresh(factors, codes)
            found.append(NewTerm(block.group, codes, [c.name for c in columns], arrays, unseen, fresh))
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """The encoding as plain JSON types."""
        return {
            "version": _VERSION,
            "formula": self.formula,
            "x_names": list(self.x_names),
            "kept": list(self.kept),
            "dropped": list(self.dropped),
            "contrasts": {label: contrast.to_dict() for label, contrast in self.contrasts.items()},
            "groupings": [grouping.to_dict() for grouping in self.groupings.values()],
            "offset_column": self.offset_column,
            "offset_array": self.offset_array,
            "states": self.states,
            "factors": {label: _factor_to_dict(factor) for label, factor in self.coded.items()},
            "aliases": None if self.aliases is None else self.aliases.tolist(),
        }

    @classmethod
    def constant(cls, formula: str = "~ 1") -> Encoding:
        """The encoding of a one-sided formula that has the intercept alone."""
        return cls(formula, parse_side(formula, "the formula"), [INTERCEPT], [0], (), {}, {}, None, False, {}, {})

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Encoding:
        """The inverse of :meth:`to_dict`; the formula is read again, nothing is executed.

        Raises:
            DataError: the dict is not an encoding of this version.
        """
        if not isinstance(state, dict) or state.get("version") != _VERSION:
            raise DataError("this is not a saved encoding that this version of jmix can read")
        groupings = [Grouping.from_dict(entry) for entry in state["groupings"]]
        return cls(
            formula=state["formula"],
            parsed=_read_again(state["formula"]),
            x_names=list(state["x_names"]),
            kept=list(state["kept"]),
            dropped=tuple(state["dropped"]),
            contrasts={label: Contrast.from_dict(entry) for label, entry in state["contrasts"].items()},
            groupings={grouping.name: grouping for grouping in groupings},
            offset_column=state["offset_column"],
            offset_array=state["offset_array"],
            states=state["states"],
            coded={label: _factor_from_dict(entry) for label, entry in state["factors"].items()},
            aliases=_aliases_from(state.get("aliases"), len(state["dropped"])),
        )


def _aliases_from(entry: Any, dropped: int) -> FloatArray | None:
    """The coefficients of the dropped columns; ValueError for another number of them."""
    return None if entry is None else np.asarray(entry, dtype=np.float64).reshape(-1, dropped)


def _read_again(formula: str) -> ParsedFormula:
    one_sided = formula.lstrip().startswith("~")
    return parse_side(formula, "the formula") if one_sided else parse_formula(formula, general=True)


def sum_offsets(evaluator: Evaluator, parsed: ParsedFormula, column: str | None) -> FloatArray | None:
    """The sum of the formula's offsets and of the offset column, (n,), or None."""
    parts = [evaluator.numbers(node, "offset") for node in parsed.offset_nodes]
    if column is not None:
        parts.append(evaluator.column_numbers(column, "offset"))
    return sum(parts[1:], start=parts[0]) if parts else None


def _recode(value: Value, factor: Factor, label: str) -> Categories:
    if isinstance(value, Categories):
        current = value
    elif isinstance(value, np.ndarray):
        current = from_numbers(value)
        if factor.logical and set(current.levels) <= {"0", "1"}:
            names = {"0": "FALSE", "1": "TRUE"}
            current = Categories(current.codes, [names[level] for level in current.levels])
    else:
        raise DataError(f"{label} has several columns in the new data, but was a factor in training")
    codes, strange = current.recoded(factor.levels)
    if strange:
        shown = ", ".join(map(repr, strange[:5])) + (", …" if len(strange) > 5 else "")
        known = ", ".join(map(repr, factor.levels[:8])) + (", …" if len(factor.levels) > 8 else "")
        raise DataError(f"the factor {label} has levels that the fit has not seen: {shown}; it knows {known}")
    return Categories(codes, factor.levels, ordered=factor.ordered, logical=factor.logical)


def _factor_to_dict(factor: Factor) -> dict[str, Any]:
    contrast = factor.contrast.to_dict() if factor.contrast else None
    return {"levels": list(factor.levels), "ordered": factor.ordered, "logical": factor.logical, "contrast": contrast}


def _factor_from_dict(entry: dict[str, Any]) -> Factor:
    contrast = Contrast.from_dict(entry["contrast"]) if entry["contrast"] else None
    return Factor(list(entry["levels"]), entry["ordered"], entry["logical"], contrast)
