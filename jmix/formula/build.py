"""Formula and training data to the parts of a design."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jmix.errors import DataError, FormulaError
from jmix.formula.coding import Coder, Key
from jmix.formula.columns import number_vector
from jmix.formula.encoding import Encoding, sum_offsets
from jmix.formula.evaluate import Evaluator
from jmix.formula.fixed import FixedPart, Settled, check_columns, choose_contrasts, fixed_part, settle
from jmix.formula.frame import Frame
from jmix.formula.groups import Grouping, make_grouping
from jmix.formula.left import read_left
from jmix.formula.matrices import column_arrays, not_missing, used_variables
from jmix.formula.parse import ParsedFormula, parse_formula, parse_side
from jmix.formula.raw import raw_columns
from jmix.formula.stateful import State
from jmix.formula.tokens import brief
from jmix.formula.values import BoolArray, Categories, FloatArray, IntArray, Value

Left = tuple[FloatArray | Categories, ...]


@dataclass(frozen=True, eq=False)
class SidePart:
    """A one-sided formula on the complete rows: its (n, p) matrix, and the encoding of new data."""

    X: FloatArray
    formula: str
    encoding: Encoding


@dataclass(frozen=True, eq=False)
class GeneralParts:
    """What a generalized linear model takes from formulas and data.

    Attributes:
        fields: of :class:`jmix.design.Design`, but for ``y``. left: the left side, numbers or categories; two columns
            for ``cbind()``. sides: the one-sided formulas by name.
    """

    fields: dict[str, Any]
    left: Left
    sides: dict[str, SidePart]


@dataclass(frozen=True, eq=False)
class _Inputs:
    """Everything a formula uses, on all rows of the data."""

    left: Left
    values: dict[str, Value]
    groups: dict[str, list[Categories]]
    weights: FloatArray | None
    offset: FloatArray | None

    def every(self) -> list[Value]:
        factors = [factor for parts in self.groups.values() for factor in parts]
        extras = [array for array in (self.weights, self.offset) if array is not None]
        return [*self.left, *self.values.values(), *factors, *extras]


@dataclass(frozen=True, eq=False)
class _Side:
    """A one-sided formula with its values on all rows of the data."""

    parsed: ParsedFormula
    evaluator: Evaluator
    values: dict[str, Value]


def build_parts(
    formula: str,
    data: Any,
    weights: Any,
    offset: Any,
    contrasts: Mapping[str, Any] | None,
    *,
    require_random: bool,
) -> dict[str, Any]:
    """The fields of :class:`jmix.design.Design`; see :func:`jmix.design.build_design`."""
    parsed = parse_formula(formula)
    if require_random and not parsed.blocks:
        raise FormulaError(f"the formula {brief(formula)} has no random term; add one such as (1 | group)")
    built = _build(parsed, data, _read_numbers, (weights, offset, contrasts), {}, thresholds=False)
    return {**built.fields, "y": built.left[0]}


def build_general(
    formula: str,
    data: Any,
    weights: Any,
    offset: Any,
    contrasts: Mapping[str, Any] | None,
    *,
    sides: Mapping[str, str],
    thresholds: bool,
) -> GeneralParts:
    """The parts of a generalized linear model; rows with a missing value in any of them are dropped from all.

    Args:
        sides: one-sided formulas by name, e.g. ``{"disp": "~ x"}``.
        thresholds: they take the place of the intercept.
    """
    parsed = parse_formula(formula, general=True)
    if thresholds and not parsed.terms.intercept:
        raise FormulaError(
            f"the formula {brief(formula)} removes the intercept, but the thresholds between the categories take its "
            "place; leave out the '0 +' or '- 1'"
        )
    read = {name: parse_side(text, name) for name, text in sides.items()}
    return _build(parsed, data, read_left, (weights, offset, contrasts), read, thresholds=thresholds)


def _read_numbers(parsed: ParsedFormula, evaluator: Evaluator) -> Left:
    return (evaluator.numbers(parsed.response_node, "response"),)


@np.errstate(all="ignore")
def _build(
    parsed: ParsedFormula,
    data: Any,
    reader: Callable[[ParsedFormula, Evaluator], Left],
    given: tuple[Any, Any, Mapping[str, Any] | None],
    sides: Mapping[str, ParsedFormula],
    *,
    thresholds: bool,
) -> GeneralParts:
    weights, offset, contrasts = given
    frame = Frame(data)
    check_columns(parsed, frame)
    evaluator = Evaluator(frame, {})
    inputs = _evaluate(parsed, evaluator, reader, weights, offset)
    others = {name: _side(name, side, frame) for name, side in sides.items()}
    keep = not_missing([*inputs.every(), *(v for side in others.values() for v in side.values.values())], frame.n)
    n = _count(keep, frame.n)
    main = settle(parsed, inputs.values, keep)
    settled = {name: settle(side.parsed, side.values, keep) for name, side in others.items()}
    chosen, *by_side = choose_contrasts(contrasts, [main, *settled.values()])
    part = fixed_part(main, chosen, n, thresholds=thresholds)
    fields = _main_fields(main, part, inputs, evaluator.state, offset, keep)
    fields["columns"] = raw_columns(frame, [parsed, *sides.values()], offset, keep, part)
    rows = {"n_missing": frame.n - n, "index": frame.index if keep is None else frame.index[keep]}
    built = {}
    for (name, side), contrast in zip(settled.items(), by_side, strict=True):
        matrix = fixed_part(side, contrast, n)
        built[name] = SidePart(matrix.X, str(side.parsed), matrix.encoding(side, others[name].evaluator.state))
    left = tuple(_kept(v, keep) if isinstance(v, np.ndarray) else v.rows(keep) for v in inputs.left)
    return GeneralParts(fields | rows, left, built)


def _main_fields(
    main: Settled,
    part: FixedPart,
    inputs: _Inputs,
    states: dict[str, State],
    offset: Any,
    keep: BoolArray | None,
) -> dict[str, Any]:
    """The fields of a design that come from the main formula, its weights and its offset."""
    parsed, n = main.parsed, part.X.shape[0]
    groups = {name: [factor.rows(keep) for factor in parts] for name, parts in inputs.groups.items()}
    groupings = {name: make_grouping(name, parts) for name, parts in groups.items()}
    encoding = part.encoding(main, states, {name: grouping for name, (grouping, _) in groupings.items()}, offset)
    shared = {part.columns[place].key: part.X[:, j] for j, place in enumerate(part.kept) if part.columns[place].key}
    return {
        "formula": parsed.text,
        "y_name": parsed.response,
        "X": part.X,
        "x_names": list(encoding.x_names),
        "dropped": encoding.dropped,
        "random": _random(Coder(main.values, main.factors, {}), parsed, groupings, shared, n),
        "weights": None if inputs.weights is None else _kept(inputs.weights, keep),
        "offset": None if inputs.offset is None else _kept(inputs.offset, keep),
        "encoding": encoding,
    }


def _side(name: str, parsed: ParsedFormula, frame: Frame) -> _Side:
    check_columns(parsed, frame, f"the formula of {name}")
    evaluator = Evaluator(frame, {})
    variables = used_variables([parsed.terms])
    return _Side(parsed, evaluator, {label: evaluator.variable(node) for label, node in variables.items()})


def _evaluate(
    parsed: ParsedFormula,
    evaluator: Evaluator,
    reader: Callable[[ParsedFormula, Evaluator], Left],
    weights: Any,
    offset: Any,
) -> _Inputs:
    variables = used_variables([parsed.terms, *(block.terms for block in parsed.blocks)])
    return _Inputs(
        left=reader(parsed, evaluator),
        values={label: evaluator.variable(node) for label, node in variables.items()},
        groups={block.group: [evaluator.group(node) for node in block.factors] for block in parsed.blocks},
        weights=_weights(weights, evaluator),
        offset=_offsets(offset, evaluator, parsed),
    )


def _kept(values: FloatArray, keep: BoolArray | None) -> FloatArray:
    """A copy of the complete rows, so that later changes to the user's data do not reach the design."""
    return np.array(values) if keep is None else values[keep]


def _count(keep: BoolArray | None, n: int) -> int:
    left = n if keep is None else int(keep.sum())
    if not left:
        raise DataError(f"no rows are left: all {n:,} have a missing value in some column used")
    return left


def _random(
    coder: Coder,
    parsed: ParsedFormula,
    groupings: Mapping[str, tuple[Grouping, IntArray]],
    shared: dict[Key, FloatArray],
    n: int,
) -> list[dict[str, Any]]:
    terms = []
    for block in parsed.blocks:
        grouping, codes = groupings[block.group]
        columns = coder.columns(block.terms)
        names = [column.name for column in columns]
        arrays = column_arrays(coder, columns, n, shared)
        terms.append(
            {"group": block.group, "levels": grouping.levels, "codes": codes, "names": names, "columns": arrays}
        )
    return terms


def _weights(weights: Any, evaluator: Evaluator) -> FloatArray | None:
    if weights is None:
        return None
    values = _vector(weights, "weights", evaluator)
    if (values <= 0).any():
        raise DataError(f"the weights must be positive, but {int((values <= 0).sum())} are not; drop those rows")
    return values


def _offsets(offset: Any, evaluator: Evaluator, parsed: ParsedFormula) -> FloatArray | None:
    total = sum_offsets(evaluator, parsed, None)
    if offset is not None:
        more = _vector(offset, "offset", evaluator)
        total = more if total is None else total + more
    return total


def _vector(given: Any, role: str, evaluator: Evaluator) -> FloatArray:
    if isinstance(given, str):
        return evaluator.column_numbers(given, role)
    return number_vector(given, role, evaluator.frame.n)
