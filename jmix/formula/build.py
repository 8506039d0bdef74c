"""Formula and training data to the parts of a design."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jmix.errors import DataError, FormulaError
from jmix.formula.coding import Coder, Column, Factor, Key
from jmix.formula.contrasts import Contrast, contrast_from_user
from jmix.formula.encoding import Encoding, sum_offsets
from jmix.formula.evaluate import Evaluator
from jmix.formula.frame import Frame
from jmix.formula.groups import Grouping, make_grouping
from jmix.formula.matrices import column_arrays, fixed_matrix, not_missing, used_variables
from jmix.formula.parse import ParsedFormula, parse_formula
from jmix.formula.rank import independent_columns
from jmix.formula.stateful import State
from jmix.formula.syntax import Name
from jmix.formula.tokens import brief
from jmix.formula.values import BoolArray, Categories, FloatArray, IntArray, Value, take_rows


@dataclass(frozen=True, eq=False)
class _Inputs:
    """Everything the model uses, on all rows of the data."""

    y: FloatArray
    values: dict[str, Value]
    groups: dict[str, list[Categories]]
    weights: FloatArray | None
    offset: FloatArray | None

    def every(self) -> list[Value]:
        factors = [factor for parts in self.groups.values() for factor in parts]
        extras = [array for array in (self.weights, self.offset) if array is not None]
        return [self.y, *self.values.values(), *factors, *extras]


@np.errstate(all="ignore")
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
    frame = Frame(data)
    _check_columns(parsed, frame)
    evaluator = Evaluator(frame, {})
    inputs = _evaluate(parsed, evaluator, weights, offset)
    keep = not_missing(inputs.every(), frame.n)
    n = _count(keep, frame.n)
    values, factors = _settle(inputs.values, keep)
    chosen = _contrasts(contrasts, parsed, factors)
    groups = {name: [factor.rows(keep) for factor in parts] for name, parts in inputs.groups.items()}
    groupings = {name: make_grouping(name, parts) for name, parts in groups.items()}
    tables = {name: grouping for name, (grouping, _) in groupings.items()}
    X, columns, kept = _fixed(Coder(values, factors, chosen), parsed, n)
    shared = {columns[place].key: X[:, j] for j, place in enumerate(kept) if columns[place].key}
    encoding = _encoding(parsed, columns, kept, chosen, tables, offset, evaluator.state, factors)
    return {
        "formula": formula,
        "y": _kept(inputs.y, keep),
        "y_name": parsed.response,
        "X": X,
        "x_names": list(encoding.x_names),
        "dropped": encoding.dropped,
        "random": _random(Coder(values, factors, {}), parsed, groupings, shared, n),
        "weights": None if inputs.weights is None else _kept(inputs.weights, keep),
        "offset": None if inputs.offset is None else _kept(inputs.offset, keep),
        "n_missing": frame.n - n,
        "index": frame.index if keep is None else frame.index[keep],
        "encoding": encoding,
    }


def _evaluate(parsed: ParsedFormula, evaluator: Evaluator, weights: Any, offset: Any) -> _Inputs:
    variables = used_variables([parsed.terms, *(block.terms for block in parsed.blocks)])
    return _Inputs(
        y=evaluator.numbers(parsed.response_node, "response"),
        values={label: evaluator.variable(node) for label, node in variables.items()},
        groups={block.group: [evaluator.group(node) for node in block.factors] for block in parsed.blocks},
        weights=_weights(weights, evaluator),
        offset=_offsets(offset, evaluator, parsed),
    )


def _encoding(
    parsed: ParsedFormula,
    columns: list[Column],
    kept: list[int],
    contrasts: dict[str, Contrast],
    groupings: dict[str, Grouping],
    offset: Any,
    states: dict[str, State],
    factors: dict[str, Factor],
) -> Encoding:
    inside = set(kept)
    return Encoding(
        formula=parsed.text,
        parsed=parsed,
        x_names=[columns[place].name for place in kept],
        kept=kept,
        dropped=tuple(column.name for place, column in enumerate(columns) if place not in inside),
        contrasts=contrasts,
        groupings=groupings,
        offset_column=offset if isinstance(offset, str) else None,
        offset_array=offset is not None and not isinstance(offset, str),
        states=states,
        coded=factors,
    )


def _check_columns(parsed: ParsedFormula, frame: Frame) -> None:
    if frame.n == 0:
        raise DataError("the data have no rows")
    for name in frame.missing(parsed.columns()):
        if name != "pi":
            raise FormulaError(f"the formula names {brief(name)}, which is not a column; {frame.suggestion(name)}")


def _kept(values: FloatArray, keep: BoolArray | None) -> FloatArray:
    """A copy of the complete rows, so that later changes to the user's data do not reach the design."""
    return np.array(values) if keep is None else values[keep]


def _count(keep: BoolArray | None, n: int) -> int:
    left = n if keep is None else int(keep.sum())
    if not left:
        raise DataError(f"no rows are left: all {n:,} have a missing value in some column used")
    return left


def _settle(values: dict[str, Value], keep: BoolArray | None) -> tuple[dict[str, Value], dict[str, Factor]]:
    """The variables on the complete rows, their unused levels dropped, and the factors among them."""
    settled: dict[str, Value] = {}
    factors: dict[str, Factor] = {}
    for label, value in values.items():
        value = take_rows(value, keep)
        if isinstance(value, Categories):
            value = value if value.logical else value.used()
            factors[label] = Factor(value.levels, value.ordered, value.logical, value.contrast)
        settled[label] = value
    return settled, factors


def _contrasts(
    given: Mapping[str, Any] | None, parsed: ParsedFormula, factors: Mapping[str, Factor]
) -> dict[str, Contrast]:
    if given is not None and not isinstance(given, Mapping):
        raise FormulaError('contrasts must be a dict such as {"f": "sum"}')
    fixed = used_variables([parsed.terms])
    labels = {node.name if isinstance(node, Name) else label: label for label, node in fixed.items()}
    found: dict[str, Contrast] = {}
    for key, value in (given or {}).items():
        label = labels.get(key, key)
        if label not in fixed or label not in factors:
            why = "is numeric; wrap it in factor()" if label in fixed else "is not a fixed factor of the formula"
            raise FormulaError(f"contrasts names {key!r}, which {why}")
        found[label] = contrast_from_user(value, key)
    return found


def _fixed(coder: Coder, parsed: ParsedFormula, n: int) -> tuple[FloatArray, list[Column], list[int]]:
    columns = coder.columns(parsed.terms)
    X = fixed_matrix(coder, columns, n)
    independent = independent_columns(X)
    if not independent.all():
        X = np.asfortranarray(X[:, independent])
    return X, columns, np.flatnonzero(independent).tolist()


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
    try:
        series = pd.Series(given)
        if series.dtype.kind in "cMm":
            raise DataError(f"{role}: give numbers, or the name of a column, not {series.dtype}")
        values = series.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{role}: give numbers, or the name of a column") from error
    if values.shape != (evaluator.frame.n,):
        raise DataError(f"{role}: {values.size:,} values given for {evaluator.frame.n:,} rows of data")
    if np.isinf(values).any():
        raise DataError(f"{role}: some values are infinite")
    return values
