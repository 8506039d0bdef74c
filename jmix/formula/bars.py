"""Random terms of a formula to blocks: what ``|``, ``||`` and ``a/b`` mean, as in lme4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jmix.errors import FormulaError
from jmix.formula.functions import bind, plain_name
from jmix.formula.parser import MAX_DEPTH
from jmix.formula.syntax import Bar, Call, Chain, Const, Group, Name, Node, Num, Str, deparse, strip_groups, walk
from jmix.formula.terms import Terms, expand


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


def refuse_inner_bars(node: Node) -> None:
    """Raise FormulaError for a random term inside another term."""
    for inner in walk(node):
        if isinstance(inner, Bar):
            raise FormulaError(f"the random term {deparse(inner)} must be added with +, outside of other terms")


def random_blocks(bars: list[Bar]) -> Iterator[RandomBlock]:
    """The blocks of random terms, ``||`` and ``a/b`` expanded, in the order of the formula."""
    seen: set[tuple[str, str]] = set()
    for bar in bars:
        refuse_inner_bars(bar.expr)
        refuse_inner_bars(bar.group)
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
