"""Formula text to its parts: response, fixed terms, offsets and random terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from jmix.errors import FormulaError
from jmix.formula.functions import bind, check_expression, plain_name
from jmix.formula.parser import MAX_DEPTH, parse_sides
from jmix.formula.syntax import (
    Bar,
    Call,
    Chain,
    Const,
    Group,
    Name,
    Node,
    Num,
    Str,
    Unary,
    deparse,
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
class RandomBlock:
    """One correlated block after ``||`` and ``a/b`` are expanded.

    Attributes:
        group: lme4's name of the grouping factor; factors: the nodes whose interaction it is.
        terms: the model terms of the block.
    """

    group: str
    factors: tuple[Node, ...]
    terms: Terms


@dataclass(frozen=True)
class ParsedFormula:
    """A formula cut into its parts; every text is in R's spelling. Equality is by the parts' text.

    Attributes:
        text: the formula as given. response, fixed: text of the left side and of the fixed terms (``"1"`` if none).
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
        return f"{self.response} ~ {' + '.join(parts)}"

    def columns(self, *, response: bool = True, random: bool = True) -> list[str]:
        """The names of the columns that the formula uses, each once."""
        nodes = [self.response_node] if response else []
        nodes += [*_used(self.terms), *self.offset_nodes]
        for block in self.blocks if random else ():
            nodes += [*_used(block.terms), *block.factors]
        return list(dict.fromkeys(name for node in nodes for name in names_in(node)))


def _used(terms: Terms) -> list[Node]:
    every = 0
    for term in terms.terms:
        every |= term
    return [terms.variables[place] for place in terms.members(every)]


def parse_formula(text: str) -> ParsedFormula:
    """Read an lme4-style formula. Nothing is evaluated.

    Args:
        text: e.g. ``"Reaction ~ Days + (Days | Subject)"``.

    Raises:
        FormulaError: the text is not a formula, or holds something that a formula may not hold.
    """
    if not isinstance(text, str):
        raise FormulaError(f"a formula is a text such as 'y ~ x + (1 | g)', not {type(text).__name__}")
    if not text.strip():
        raise FormulaError("the formula is empty; write 'response ~ terms'")
    return _parse(text)


@lru_cache(maxsize=256)
def _parse(text: str) -> ParsedFormula:
    left, right = parse_sides(text)
    if any(isinstance(node, Bar) for node in walk(left)):
        raise FormulaError("the response holds a random term; random terms belong to the right of the ~")
    check_expression(left)
    if not names_in(left):
        raise FormulaError(f"the response {deparse(left)} uses no column of the data")
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
    _refuse_inner_bars(body)
    return ParsedFormula(
        text=text,
        response=deparse(left),
        fixed=deparse(body),
        random=tuple(RandomPart(deparse(bar.expr), bar.op, deparse(bar.group)) for bar in bars),
        offsets=tuple(map(deparse, offsets)),
        response_node=left,
        offset_nodes=tuple(offsets),
        terms=expand(body, left),
        blocks=tuple(_blocks(bars)),
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


def _refuse_inner_bars(node: Node) -> None:
    for inner in walk(node):
        if isinstance(inner, Bar):
            raise FormulaError(f"the random term {deparse(inner)} must be added with +, outside of other terms")


def _blocks(bars: list[Bar]) -> Iterator[RandomBlock]:
    seen: set[tuple[str, str]] = set()
    for bar in bars:
        _refuse_inner_bars(bar.expr)
        _refuse_inner_bars(bar.group)
        terms = expand(bar.expr)
        if not terms.terms and not terms.intercept:
            raise FormulaError(f"the random term {deparse(bar)} has no columns; write (1 | g) for an intercept")
        parts = [terms] if bar.op == "|" else list(_uncorrelated(terms))
        groups = _groups(bar.group, bar)
        for part in parts:
            for group in groups:
                labels = " + ".join([str(int(part.intercept)), *map(part.label, part.terms)])
                name = group.name if isinstance(group, Name) else deparse(group)
                if (labels, name) in seen:
                    raise FormulaError(f"the random term {deparse(bar)} repeats an earlier one; leave one out")
                seen.add((labels, name))
                yield RandomBlock(name, tuple(_factors(group, bar)), part)


def _uncorrelated(terms: Terms) -> Iterator[Terms]:
    """One block per term, as lme4 expands ``||``."""
    if terms.intercept:
        yield Terms(terms.variables, terms.labels, (), True)
    for term in terms.terms:
        yield Terms(terms.variables, terms.labels, (term,), False)


def _groups(node: Node, bar: Bar) -> list[Node]:
    """``a/b`` as lme4 expands it: ``b:a`` first, then ``a``."""
    node = strip_groups(node)
    if not (isinstance(node, Chain) and any(op == "/" for op, _ in node.rest)):
        return [node]
    if any(op != "/" for op, _ in node.rest):
        raise FormulaError(f"the grouping factor of {deparse(bar)} is not a/b, a:b or a column")
    if len(node.rest) > MAX_DEPTH:
        raise FormulaError(f"a random term nests {len(node.rest) + 1:,} factors with '/'; {MAX_DEPTH} is the limit")
    groups = _groups(node.first, bar)
    for _, item in node.rest:
        outer = groups[0]
        inner = Group(outer) if isinstance(outer, Chain) else outer
        groups.insert(0, Chain(strip_groups(item), ((":", inner),)))
    return groups


def _factors(node: Node, bar: Bar) -> Iterator[Node]:
    node = strip_groups(node)
    match node:
        case Name():
            yield node
        case Call(func=func) if plain_name(func) in {"factor", "as.factor"}:
            yield bind(node).args["x"]
        case Chain(first=first, rest=rest) if all(op == ":" for op, _ in rest):
            for part in (first, *(item for _, item in rest)):
                yield from _factors(part, bar)
        case Chain(rest=((("+" | "*") as op, _), *_)):
            raise FormulaError(f"the grouping factor of {deparse(bar)} has a '{op}'; write one term per factor, or a:b")
        case Num() | Str() | Const():
            raise FormulaError(f"the random term {deparse(bar)} needs a column to group by, not {deparse(node)}")
        case _:
            raise FormulaError(f"{deparse(node)} in {deparse(bar)} cannot group rows; write a column, a:b or a/b")
