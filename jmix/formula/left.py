"""The left side of a generalized linear model's formula."""

from __future__ import annotations

from jmix.errors import DataError
from jmix.formula.evaluate import Evaluator
from jmix.formula.parse import ParsedFormula
from jmix.formula.syntax import Call, deparse, is_counts
from jmix.formula.values import Categories, FloatArray, Matrix


def read_left(parsed: ParsedFormula, evaluator: Evaluator) -> tuple[FloatArray | Categories, ...]:
    """The response before a family reads it: one column of numbers or categories, or the two of ``cbind()``.

    Raises:
        DataError: a column of the wrong type, or several columns where one is needed.
    """
    node = parsed.response_node
    if isinstance(node, Call) and is_counts(node):
        return tuple(evaluator.numbers(part, "response") for _, part in node.args)
    value = evaluator.variable(node)
    if isinstance(value, Matrix):
        raise DataError(f"the response {deparse(node)} has {value.values.shape[1]} columns; it must have one")
    return (value,)
