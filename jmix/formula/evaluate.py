"""The interpreter: nodes of a formula to values, on training data or on new data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from jmix.errors import DataError
from jmix.formula.columns import as_factor, as_variable, from_numbers
from jmix.formula.contrasts import Contrast
from jmix.formula.frame import Frame
from jmix.formula.functions import ELEMENTWISE, STATEFUL, Bound, bind
from jmix.formula.stateful import State, apply_transform
from jmix.formula.syntax import Call, Chain, Group, Name, Node, Num, Str, Unary, deparse, names_in, strip_groups
from jmix.formula.values import Categories, FloatArray, Matrix, Value, labels_of

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "^": np.power, "%%": np.mod,
    "%/%": np.floor_divide, "==": np.equal, "!=": np.not_equal, "<": np.less, ">": np.greater, "<=": np.less_equal,
    ">=": np.greater_equal,
}  # fmt: skip
_TRUTH = {"==", "!=", "<", ">", "<=", ">=", "&"}


class Evaluator:
    """Evaluates variables on one table, each once.

    Args:
        frame: the table.
        state: the states of stateful transforms by their text; filled while training.
        training: False when ``state`` comes from training data.
    """

    def __init__(self, frame: Frame, state: dict[str, State], *, training: bool = True) -> None:
        self.frame, self.state, self.training = frame, state, training
        self._values: dict[str, Value] = {}
        self._columns: dict[str, FloatArray | Categories] = {}
        self._factors: dict[str, Categories] = {}

    def variable(self, node: Node) -> Value:
        """A variable of the fixed or random terms: numbers (n,), several columns, or a factor.

        Raises:
            DataError: a column has the wrong type, or a result is infinite or undefined.
        """
        node = strip_groups(node) if not isinstance(node, Name) else node
        text = deparse(node)
        if text not in self._values:
            self._values[text] = self._finished(self._evaluate(node), node)
        return self._values[text]

    def numbers(self, node: Node, role: str) -> FloatArray:
        """An expression that must be numeric, such as the response or an offset: (n,) float64."""
        value = self.variable(node)
        if isinstance(value, Categories) and not value.logical:
            raise DataError(
                f"the {role} {deparse(node)} holds text or categories; it must be numbers (pandas.to_numeric converts"
                + ("; jmix.glmm takes two levels or ordered categories)" if role == "response" else ")")
            )
        if isinstance(value, Matrix):
            raise DataError(f"the {role} {deparse(node)} has {value.values.shape[1]} columns; it must have one")
        return self._as_numbers(value, node)

    def column_numbers(self, name: str, role: str) -> FloatArray:
        """A column given by name for a role outside the formula, such as the weights: (n,) float64."""
        if name not in self.frame.names:
            raise DataError(f"{role}={name!r} is not a column of the data; {self.frame.suggestion(name)}")
        return self.numbers(Name(name), role)

    def group(self, node: Node) -> Categories:
        """A grouping factor: a column of any type, or an expression whose values become levels."""
        text = deparse(node)
        if text not in self._factors:
            self._factors[text] = self._group(node)
        return self._factors[text]

    def _group(self, node: Node) -> Categories:
        node = strip_groups(node)
        if isinstance(node, Name):
            return as_factor(self.frame.column(node.name), node.name)
        value = self.variable(node)
        if isinstance(value, Matrix):
            raise DataError(f"the grouping factor {deparse(node)} has several columns; it must have one")
        return value if isinstance(value, Categories) else from_numbers(value)

    def _column(self, name: str) -> FloatArray | Categories:
        if name not in self._columns:
            if name == "pi" and "pi" not in self.frame.names:
                return np.full(self.frame.n, np.pi)
            self._columns[name] = as_variable(self.frame.column(name), name)
        return self._columns[name]

    def _evaluate(self, node: Node) -> Value:
        match node:
            case Name(name=name):
                return self._column(name)
            case Num(value=number):
                return np.asarray(number)
            case Group(inner=inner):
                return self._evaluate(inner)
            case Call():
                return self._call(bind(node), node)
            case Unary(op="!", arg=arg):
                value = self._numbers(arg)
                return _logical(value == 0, np.isnan(value))
            case Unary(op=op, arg=arg):
                return -self._numbers(arg) if op == "-" else self._numbers(arg)
            case Chain(first=first, rest=rest):
                return self._chain(first, rest)
        raise DataError(f"{deparse(node)} cannot be evaluated")

    def _chain(self, first: Node, rest: tuple[tuple[str, Node], ...]) -> Value:
        if len(rest) == 1 and rest[0][0] in {"==", "!="}:
            compared = self._compare_labels(first, *rest[0])
            if compared is not None:
                return compared
        result: Any = self._numbers(first)
        missing: Any = False
        with np.errstate(all="ignore"):
            for op, node in rest:
                other = self._numbers(node)
                if op in _TRUTH:
                    missing = missing | np.isnan(result) | np.isnan(other)
                    result = (result != 0) & (other != 0) if op == "&" else _BINARY[op](result, other)
                else:
                    result = _BINARY[op](result, other)
        return _logical(result, missing) if rest[-1][0] in _TRUTH else np.asarray(result, dtype=np.float64)

    def _compare_labels(self, first: Node, op: str, second: Node) -> Categories | None:
        """``f == "a"`` on a factor; None where both sides are numbers."""
        sides = [strip_groups(first), strip_groups(second)]
        if not any(isinstance(side, Str) for side in sides):
            values = [self._evaluate(side) for side in sides]
            if not any(isinstance(v, Categories) and not v.logical for v in values):
                return None
            raise DataError(f"{deparse(first)} {op} {deparse(second)} compares text; quote the label")
        text = next(side for side in sides if isinstance(side, Str))
        factor = next((side for side in sides if not isinstance(side, Str)), None)
        if not isinstance(factor, Name):
            raise DataError(f"{deparse(first)} {op} {deparse(second)}: compare a column with a quoted label")
        value = as_factor(self.frame.column(factor.name), factor.name)
        equal = np.array([label == text.value for label in value.levels] + [False])[value.codes]
        return _logical(equal == (op == "=="), value.codes < 0)

    def _numbers(self, node: Node) -> FloatArray:
        return self._as_numbers(self._evaluate(node), node)

    def _as_numbers(self, value: Value, node: Node) -> FloatArray:
        if isinstance(value, Categories):
            if not value.logical:
                raise DataError(f"{deparse(node)} holds text or categories where numbers are needed")
            return np.where(value.codes < 0, np.nan, value.codes)
        if isinstance(value, Matrix):
            raise DataError(f"{deparse(node)} has several columns and cannot be used in arithmetic")
        return value

    def _call(self, bound: Bound, node: Call) -> Value:
        args, func = bound.args, bound.func
        if func in {"factor", "as.factor", "ordered", "as.ordered"}:
            return self._factor(args, "ordered" in func or bool(args.get("ordered")))
        if func == "relevel":
            return self._relevel(args, node)
        if func == "C":
            return replace(self._factor(args, False, keep=True), contrast=_chosen(args))
        value = self._evaluate(args["x"])
        if func == "I" and isinstance(value, Categories):
            return value
        x = self._as_numbers(value, args["x"])
        if func in STATEFUL:
            return self._transform(func, x, args, node)
        with np.errstate(all="ignore"):
            if func == "log":
                base = args.get("base")
                return np.log(x) if base is None else np.log(x) / np.log(base)
            if func == "round":
                return np.round(x, args.get("digits") or 0)
            return np.asarray(ELEMENTWISE[func](x), dtype=np.float64)

    def _transform(self, func: str, x: FloatArray, args: dict[str, Any], node: Call) -> Value:
        text = deparse(node)
        if x.ndim == 0:
            raise DataError(f"{text} needs a column")
        value, state = apply_transform(func, x, args, self.state.get(text))
        if self.training:
            self.state[text] = state
        return value

    def _factor(self, args: dict[str, Any], ordered: bool, *, keep: bool = False) -> Categories:
        value = self.group(args["x"])
        levels = args.get("levels")
        if levels is not None:
            codes, _ = value.recoded(labels_of(levels))
            value = replace(value, codes=codes, levels=labels_of(levels))
        return replace(value, ordered=ordered or value.ordered, logical=value.logical and keep)

    def _relevel(self, args: dict[str, Any], node: Call) -> Categories:
        value = self.group(args["x"])
        ref = labels_of([args.get("ref")])[0]
        if ref not in value.levels:
            if self.training:
                raise DataError(f"{deparse(node)}: {ref!r} is not a level of {deparse(args['x'])}")
            return replace(value, ordered=False, logical=False)
        levels = [ref, *(label for label in value.levels if label != ref)]
        return replace(value, codes=value.recoded(levels)[0], levels=levels, ordered=False, logical=False)

    def _finished(self, value: Value, node: Node) -> Value:
        """Full length, and neither infinite nor undefined where its columns are present."""
        if isinstance(node, Name):
            return value
        if isinstance(value, Categories):
            same = value.codes.size == self.frame.n
            return value if same else replace(value, codes=np.repeat(value.codes, self.frame.n))
        if isinstance(value, Matrix):
            numbers, value_out = value.values[:, 0], value
        else:
            numbers = value_out = np.broadcast_to(value, (self.frame.n,)) if value.ndim == 0 else value  # type: ignore[assignment]
        if not np.isfinite(numbers.sum()):
            self._refuse_undefined(numbers, node)
        return value_out

    def _refuse_undefined(self, numbers: FloatArray, node: Node) -> None:
        if np.isinf(numbers).any():
            raise DataError(f"{deparse(node)} is infinite in {int(np.isinf(numbers).sum())} rows; check its argument")
        present = np.ones(numbers.shape, dtype=bool)
        for name in names_in(node):
            if name in self.frame.names:
                present &= ~np.asarray(pd.isna(self.frame.column(name)))
        undefined = int((np.isnan(numbers) & present).sum())
        if undefined:
            raise DataError(f"{deparse(node)} is undefined (NaN) in {undefined} rows where its column has a value")


def _chosen(args: dict[str, Any]) -> Contrast | None:
    contrast, base = args.get("contr"), args.get("base")
    if base is None:
        return contrast
    place = isinstance(base, float)
    return Contrast("treatment", int(base) if place else base, numbered=place)


def _logical(truth: Any, missing: Any) -> Categories:
    codes = np.where(missing, -1, truth).astype(np.int32)
    return Categories(np.atleast_1d(codes), ["FALSE", "TRUE"], logical=True)
