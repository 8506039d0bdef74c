"""Nodes of the formula language and their text in R's spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

BARE_NAME = re.compile(r"(?:[^\W\d]|\.(?![\d.]))[\w.]*")
_TIGHT = {"/", ":", "^", "%%", "%/%"}


@dataclass(frozen=True, slots=True)
class Num:
    """A number; ``text`` is its spelling in R, ``integer`` marks ``1L``."""

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Str:
    """A quoted text."""

    value: str


@dataclass(frozen=True, slots=True)
class Const:
    """``TRUE``, ``FALSE`` or ``NULL``."""

    value: bool | None


@dataclass(frozen=True, slots=True)
class Name:
    """A column of the data."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function applied to arguments; each argument is (keyword or "", node)."""

    func: str
    args: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """``-x``, ``+x`` or ``!x``."""

    op: str
    arg: Node


@dataclass(frozen=True, slots=True)
class Chain:
    """Operators of one precedence level, left to right: ``first op node op node ...``."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """An expression in parentheses."""

    inner: Node


@dataclass(frozen=True, slots=True)
class Bar:
    """A random term ``(expr | group)`` or ``(expr || group)``."""

    expr: Node
    op: str
    group: Node


Node = Num | Str | Const | Name | Call | Unary | Chain | Group | Bar


def children(node: Node) -> tuple[Node, ...]:
    """The direct sub-expressions of a node."""
    match node:
        case Call(args=args):
            return tuple(arg for _, arg in args)
        case Unary(arg=arg):
            return (arg,)
        case Chain(first=first, rest=rest):
            return (first, *(n for _, n in rest))
        case Group(inner=inner):
            return (inner,)
        case Bar(expr=expr, group=group):
            return (expr, group)
    return ()


def walk(node: Node) -> Iterator[Node]:
    """Every node of the tree, parents first."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(children(current)))


def number_text(value: float) -> str:
    """A double as R prints it with 15 digits: the shorter of fixed and scientific."""
    fixed = f"{value:.15g}"
    if "e" in fixed:
        mantissa, _, exponent = fixed.partition("e")
        return f"{mantissa}e{exponent[0]}{exponent[1:].zfill(2)}"
    digits = fixed.lstrip("-").replace(".", "").strip("0")
    if not digits:
        return "0"
    exponent = f"{value:.14e}".partition("e")[2]
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    scientific = ("-" if value < 0 else "") + f"{mantissa}e{exponent}"
    return scientific if len(scientific) < len(fixed) else fixed


def name_text(name: str) -> str:
    """A column name as R deparses it: in backquotes unless it is a syntactic name."""
    return name if BARE_NAME.fullmatch(name) else f"`{name}`"


def deparse(node: Node) -> str:
    """The text of a node as R's ``deparse`` writes it."""
    match node:
        case Num(text=text):
            return text
        case Str(value=value):
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case Const(value=value):
            return "NULL" if value is None else str(value).upper()
        case Name(name=name):
            return name_text(name)
        case Call(func=func, args=args):
            inner = ", ".join(f"{key} = {deparse(arg)}" if key else deparse(arg) for key, arg in args)
            return f"{func}({inner})"
        case Unary(op=op, arg=arg):
            return op + deparse(arg)
        case Group(inner=inner):
            return f"({deparse(inner)})"
        case Bar(expr=expr, op=op, group=group):
            return f"({deparse(expr)} {op} {deparse(group)})"
        case Chain(first=first, rest=rest):
            parts = [deparse(first)]
            parts += [f"{op}{deparse(n)}" if op in _TIGHT else f" {op} {deparse(n)}" for op, n in rest]
            return "".join(parts)


def names_in(node: Node) -> list[str]:
    """The column names a node uses, each once, in order of appearance.

    Only the argument ``x`` of a call is an expression of columns; the others are literals or names of contrasts.
    """
    found: dict[str, None] = {}
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, Name):
            found[current.name] = None
        elif is_counts(current):
            stack += reversed(children(current))
        elif isinstance(current, Call):
            stack += [arg for key, arg in current.args if key == "x"] or [arg for key, arg in current.args if not key][
                :1
            ]
        else:
            stack += reversed(children(current))
    return list(found)


def is_counts(node: Node) -> bool:
    """Whether a node is ``cbind(...)``, the successes and failures of a binomial response."""
    return isinstance(node, Call) and node.func.rpartition("::")[2] == "cbind"


def strip_groups(node: Node) -> Node:
    """The node without surrounding parentheses."""
    while isinstance(node, Group):
        node = node.inner
    return node
