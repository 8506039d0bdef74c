"""The functions a formula may call, and the check that every call is one of them.

A formula is data: it is interpreted node by node against this table and never handed to Python's ``eval``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import FormulaError
from jmix.formula.contrasts import contrast_from_node
from jmix.formula.syntax import Bar, Call, Chain, Const, Group, Name, Node, Num, Str, Unary, deparse, strip_groups

ARITHMETIC = {"+", "-", "*", "/", "^", "%%", "%/%"}
COMPARISONS = {"==", "!=", "<", ">", "<=", ">="}

_Real = npt.NDArray[np.float64]


def _logit(p: _Real) -> _Real:
    return np.log(p) - np.log1p(-p)


def _expit(x: _Real) -> _Real:
    return np.exp(-np.logaddexp(0.0, -x))


ELEMENTWISE: dict[str, Callable[[Any], Any]] = {
    "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1,
    "sqrt": np.sqrt, "cbrt": np.cbrt, "abs": np.abs, "sign": np.sign, "square": np.square,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "arcsin": np.arcsin, "arccos": np.arccos, "arctan": np.arctan, "sinh": np.sinh, "cosh": np.cosh,
    "tanh": np.tanh, "arcsinh": np.arcsinh, "asinh": np.arcsinh, "floor": np.floor, "ceiling": np.ceil,
    "ceil": np.ceil, "trunc": np.trunc, "logit": _logit, "qlogis": _logit, "expit": _expit, "plogis": _expit,
    "as.numeric": np.asarray, "as.double": np.asarray, "as.integer": np.trunc, "I": np.asarray,
}  # fmt: skip

_SPLINE = (("x", "expr"), ("df", "int"), ("knots", "vec"))
_BOUNDED = (("intercept", "bool"), ("Boundary.knots", "vec"))
# name: parameters as (name, kind), in positional order
SIGNATURES: dict[str, tuple[tuple[str, str], ...]] = {
    **dict.fromkeys(ELEMENTWISE, (("x", "expr"),)),
    "log": (("x", "expr"), ("base", "num")),
    "round": (("x", "expr"), ("digits", "int")),
    "scale": (("x", "expr"), ("center", "bool"), ("scale", "bool")),
    "standardize": (("x", "expr"),),
    "center": (("x", "expr"),),
    "poly": (("x", "expr"), ("degree", "int"), ("raw", "bool")),
    "bs": (*_SPLINE, ("degree", "int"), *_BOUNDED),
    "ns": (*_SPLINE, *_BOUNDED),
    "cr": _SPLINE,
    "cc": _SPLINE,
    "factor": (("x", "factor"), ("levels", "vec"), ("ordered", "bool")),
    "as.factor": (("x", "factor"),),
    "ordered": (("x", "factor"), ("levels", "vec")),
    "as.ordered": (("x", "factor"),),
    "relevel": (("x", "factor"), ("ref", "label")),
    "C": (("x", "factor"), ("contr", "contrast"), ("base", "label")),
    "offset": (("x", "expr"),),
}
FACTOR_CALLS = {"factor", "as.factor", "ordered", "as.ordered", "relevel", "C"}
STATEFUL = {"scale", "standardize", "center", "poly", "bs", "ns", "cr", "cc"}
_MATRIX_CALLS = {"poly", "bs", "ns", "cr", "cc"}
_ALIASES = {"degree": "degree", "include_intercept": "intercept", "boundary": "Boundary.knots", "reference": "ref"}


@dataclass(frozen=True)
class Bound:
    """A call with its arguments matched to parameters; literals are plain values."""

    func: str
    args: dict[str, Any]


def plain_name(func: str) -> str:
    """The function's name without a package prefix (``np.log``, ``splines::bs``)."""
    func = func.rpartition("::")[2]
    head, dot, tail = func.partition(".")
    return tail if dot and head in {"np", "numpy"} else func


def bind(call: Call) -> Bound:
    """Match the arguments of a call to the function's parameters.

    Raises:
        FormulaError: the function is not in the table, or an argument does not fit.
    """
    func = plain_name(call.func)
    signature = SIGNATURES.get(func)
    if signature is None:
        raise FormulaError(_unknown(call.func))
    kinds = dict(signature)
    free = [name for name, _ in signature]
    args: dict[str, Any] = {}
    for key, node in call.args:
        key = _ALIASES.get(key, key) if key else (free[0] if free else "")
        if key not in kinds or key in args:
            raise FormulaError(f"{deparse(call)}: {func}() takes only {', '.join(kinds)}, each once")
        free.remove(key)
        args[key] = _argument(node, kinds[key], call)
    if "x" not in args:
        raise FormulaError(f"{deparse(call)}: {func}() needs a column")
    return Bound(func, args)


def _unknown(func: str) -> str:
    if func == "cbind":
        return "cbind(...) is the response of a binomial model; a linear mixed model has one numeric response"
    near = difflib.get_close_matches(plain_name(func), SIGNATURES, n=1, cutoff=0.7)
    hint = f"did you mean {near[0]}()?" if near else "compute the column in the data first"
    return f"{func}() is not a function that a formula may call; {hint} (log, exp, sqrt, I, poly, bs, ns, scale, C, …)"


def _argument(node: Node, kind: str, call: Call) -> Any:
    if kind in {"expr", "factor"}:
        check_expression(node, factor=kind == "factor")
        return node
    if kind == "contrast":
        return contrast_from_node(node)
    value = literal(node, call)
    wanted = {"num": (float,), "int": (float,), "bool": (bool,), "vec": (tuple, float, str), "label": (str, float)}
    fits = value is None or (isinstance(value, wanted[kind]) and (kind == "bool" or not isinstance(value, bool)))
    if kind == "int" and isinstance(value, float):
        fits = value.is_integer() and abs(value) <= 1000
        value = int(value) if fits else value
    if not fits:
        raise FormulaError(f"{deparse(call)}: {deparse(node)} is not a usable value there")
    return (value,) if kind == "vec" and value is not None and not isinstance(value, tuple) else value


def literal(node: Node, call: Call) -> Any:
    """The value of a number, text, TRUE/FALSE/NULL or ``c(...)`` of these."""
    match strip_groups(node):
        case Num(value=value) | Str(value=value) | Const(value=value):
            return value
        case Unary(op="-", arg=Num(value=value)):
            return -value
        case Call(func="c", args=args):
            return tuple(literal(arg, call) for _, arg in args)
    raise FormulaError(f"{deparse(call)}: {deparse(node)} must be a number, a text, TRUE/FALSE or c(...)")


def check_expression(node: Node, *, factor: bool = False) -> None:
    """Refuse everything but columns, numbers, arithmetic and calls of the table.

    Raises:
        FormulaError: names the part that is not allowed.
    """
    match node:
        case Name() | Num():
            return
        case Group(inner=inner):
            check_expression(inner, factor=factor)
        case Call():
            bound = bind(node)
            if bound.func in FACTOR_CALLS and not factor:
                raise FormulaError(f"{deparse(node)} is a factor and cannot be used in arithmetic")
            if bound.func == "offset":
                raise FormulaError("offset() must stand as a term of its own")
        case Unary(arg=arg):
            check_expression(arg)
        case Chain(first=first, rest=rest):
            _check_chain(first, rest, node)
        case Bar():
            raise FormulaError(f"the random term {deparse(node)} must be added to the formula as a term of its own")
        case _:
            raise FormulaError(f"{deparse(node)} cannot be used there in a formula")


def _check_chain(first: Node, rest: tuple[tuple[str, Node], ...], whole: Node) -> None:
    operators = {op for op, _ in rest}
    strange = operators - ARITHMETIC - COMPARISONS - {"&"}
    if strange:
        raise FormulaError(f"the operator {min(strange)!r} has no arithmetic meaning in {deparse(whole)}")
    equality = operators <= {"==", "!="} and len(rest) == 1
    for part in (first, *(node for _, node in rest)):
        if equality and isinstance(strip_groups(part), Str | Name):
            continue
        check_expression(part)


def check_variable(node: Node) -> None:
    """Check one variable of the formula: an expression, or a call that makes a factor or several columns."""
    if isinstance(node, Call) and plain_name(node.func) in FACTOR_CALLS | _MATRIX_CALLS:
        bind(node)
    else:
        check_expression(node)
