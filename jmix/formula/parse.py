"""Formula text to its parts: response, fixed terms, offsets and random terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from jmix.errors import FormulaError
from jmix.formula.bars import RandomBlock, random_blocks, refuse_inner_bars
from jmix.formula.functions import bind, check_expression, check_variable, plain_name
from jmix.formula.parser import parse_right, parse_sides
from jmix.formula.syntax import (
    Bar,
    Call,
    Chain,
    Node,
    Num,
    Unary,
    deparse,
    is_counts,
    names_in,
    strip_groups,
    walk,
)  # fmt: skip
from jmix.formula.terms import Terms, expand


@dataclass(frozen=True)
class RandomPart:
    """A random term as written: ``(expr bar group)`` with bar ``|`` or ``||``."""

    expr: str
    bar: str
    group: str

    def __str__(self) -> str:
        return f"({self.expr} {self.bar} {self.group})"


@dataclass(frozen=True)
class ParsedFormula:
    """A formula cut into its parts; every text is in R's spelling. Equality is by the parts' text.

    Attributes:
        text: the formula as given. response, fixed: text of the left side (empty if one-sided) and of the fixed terms
            (``"1"`` if none).
        random: the random terms as written. offsets: the arguments of ``offset()``.
        terms, response_node, offset_nodes, blocks: the same, ready for evaluation.
    """

    text: str
    response: str
    fixed: str
    random: tuple[RandomPart, ...]
    offsets: tuple[str, ...]
    response_node: Node = field(compare=False, repr=False)
    offset_nodes: tuple[Node, ...] = field(compare=False, repr=False)
    terms: Terms = field(compare=False, repr=False)
    blocks: tuple[RandomBlock, ...] = field(compare=False, repr=False)

    def __str__(self) -> str:
        parts = [self.fixed, *(f"offset({text})" for text in self.offsets), *map(str, self.random)]
        return f"{self.response} ~ {' + '.join(parts)}".lstrip()

    def columns(self, *, response: bool = True, random: bool = True) -> list[str]:
        """The names of the columns that the formula uses, each once."""
        nodes = [self.response_node] if response else []
        nodes += [*_used(self.terms), *self.offset_nodes]
        for block in self.blocks if random else ():
            nodes += [*_used(block.terms), *block.factors]
        return list(dict.fromkeys(name for node in nodes for name in names_in(node)))

    def random_columns(self) -> list[str]:
        """The names of the columns that vary by group in some random term: not those of the groups."""
        nodes = [node for block in self.blocks for node in _used(block.terms)]
        return list(dict.fromkeys(name for node in nodes for name in names_in(node)))


def _used(terms: Terms) -> list[Node]:
    every = 0
    for term in terms.terms:
        every |= term
    return [terms.variables[place] for place in terms.members(every)]


def parse_formula(text: str, *, general: bool = False) -> ParsedFormula:
    """Read an lme4-style formula. Nothing is evaluated.

    Args:
        text: e.g. ``"Reaction ~ Days + (Days | Subject)"``.
        general: the response is that of a generalized linear model: ``cbind(m, n - m)`` or a factor also serve.

    Raises:
        FormulaError: the text is not a formula, or holds something that a formula may not hold.
    """
    if not isinstance(text, str):
        raise FormulaError(f"a formula is a text such as 'y ~ x + (1 | g)', not {type(text).__name__}")
    if not text.strip():
        raise FormulaError("the formula is empty; write 'response ~ terms'")
    return _parse(text, general)


def parse_side(text: str, role: str) -> ParsedFormula:
    """Read a one-sided formula of fixed terms, such as ``"~ x"``.

    Args:
        role: the argument that it came with, for messages.

    Raises:
        FormulaError: the text is not such a formula, or has random terms or offsets.
    """
    if not isinstance(text, str) or not text.strip():
        raise FormulaError(f"{role}={text!r}: write a one-sided formula such as '~ 1' or '~ x'")
    try:
        parsed = _parse_side(text)
    except FormulaError as error:
        raise FormulaError(f"{role}: {error}") from None
    if parsed.random:
        raise FormulaError(
            f"{role}={text!r}: the random term {parsed.random[0]} cannot stand in {role}, which has no random effects. "
            "Leave it out, or move it to the main formula"
        )
    if parsed.offsets:
        raise FormulaError(f"{role}={text!r}: an offset cannot stand in {role}; leave offset({parsed.offsets[0]}) out")
    if not parsed.terms.intercept and not parsed.terms.terms:
        raise FormulaError(f"{role}={text!r} has no columns; write '~ 1' for a constant")
    return parsed


@lru_cache(maxsize=256)
def _parse(text: str, general: bool) -> ParsedFormula:
    left, right = parse_sides(text)
    if any(isinstance(node, Bar) for node in walk(left)):
        raise FormulaError("the response holds a random term; random terms belong to the right of the ~")
    if general:
        left = strip_groups(left)
        _check_response(left)
    else:
        check_expression(left)
    if not names_in(left):
        raise FormulaError(f"the response {deparse(left)} uses no column of the data")
    return _cut(text, left, right)


@lru_cache(maxsize=256)
def _parse_side(text: str) -> ParsedFormula:
    return _cut(text, None, parse_right(text))


def _check_response(node: Node) -> None:
    """Refuse a left side that is neither a variable nor ``cbind()`` of two expressions."""
    if not is_counts(node):
        check_variable(node)
        return
    assert isinstance(node, Call)
    if len(node.args) != 2:
        raise FormulaError(
            f"{deparse(node)}: cbind() takes the successes and the failures, two columns, as in cbind(m, n - m)"
        )
    for _, part in node.args:
        check_expression(part)


def _cut(text: str, left: Node | None, right: Node) -> ParsedFormula:
    fixed: list[tuple[str, Node]] = []
    bars: list[Bar] = []
    offsets: list[Node] = []
    for op, node in _summands(right):
        if isinstance(node, Bar):
            bars.append(node)
        elif isinstance(node, Call) and plain_name(node.func) == "offset":
            offsets.append(_offset(op, node))
        else:
            fixed.append((op, node))
    body = _rebuild(fixed)
    refuse_inner_bars(body)
    return ParsedFormula(
        text=text,
        response="" if left is None else deparse(left),
        fixed=deparse(body),
        random=tuple(RandomPart(deparse(bar.expr), bar.op, deparse(bar.group)) for bar in bars),
        offsets=tuple(map(deparse, offsets)),
        response_node=Num(1.0, "1") if left is None else left,
        offset_nodes=tuple(offsets),
        terms=expand(body, left),
        blocks=tuple(random_blocks(bars)),
    )


def _summands(node: Node, op: str = "+") -> Iterator[tuple[str, Node]]:
    """The signed terms of a sum; parentheses are opened where a random term or offset stands inside them."""
    opened = strip_groups(node)
    is_sum = isinstance(opened, Chain) and opened.rest[0][0] in {"+", "-"}
    if isinstance(opened, Chain) and is_sum and op == "+" and (opened is node or _holds_bar(opened)):
        yield from _summands(opened.first)
        for sign, item in opened.rest:
            yield from _summands(item, sign)
        return
    if isinstance(opened, Bar):
        if op == "-":
            raise FormulaError(f"the random term {deparse(opened)} cannot be subtracted; leave it out")
        node = opened
    yield op, node


def _holds_bar(node: Node) -> bool:
    return any(isinstance(n, Bar) or (isinstance(n, Call) and plain_name(n.func) == "offset") for n in walk(node))


def _offset(op: str, node: Call) -> Node:
    if op == "-":
        raise FormulaError(f"{deparse(node)} cannot be subtracted; leave it out, or negate its argument")
    return bind(node).args["x"]


def _rebuild(items: list[tuple[str, Node]]) -> Node:
    if not items:
        return Num(1.0, "1")
    (op, first), *rest = items
    head: Node = Unary("-", first) if op == "-" else first
    return Chain(head, tuple(rest)) if rest else head
