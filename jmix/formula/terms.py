"""The algebra of model terms: what ``+ - * : / ^ %in%`` mean, as in R's ``terms.formula``.

A term is a bit mask over the variables of the formula in their order of appearance; 0 is the intercept.
"""

from __future__ import annotations

from dataclasses import dataclass

from jmix.errors import FormulaError
from jmix.formula.functions import check_variable
from jmix.formula.syntax import Chain, Group, Node, Num, Unary, deparse

MAX_TERMS = 20_000
_MAX_WORK = 2_000_000


@dataclass(frozen=True)
class Terms:
    """An expanded side of a formula.

    Attributes:
        variables: the variables' nodes; labels: their text in R's spelling.
        terms: bit masks sorted by degree, then by appearance; intercept: whether there is one.
    """

    variables: tuple[Node, ...]
    labels: tuple[str, ...]
    terms: tuple[int, ...]
    intercept: bool

    def members(self, term: int) -> list[int]:
        """The places of the variables of one term."""
        return [place for place in range(term.bit_length()) if term >> place & 1]

    def label(self, term: int) -> str:
        """The text of one term, e.g. ``a:b``."""
        return ":".join(self.labels[place] for place in self.members(term))


def expand(node: Node, response: Node | None = None) -> Terms:
    """Expand a right-hand side into its terms.

    Args:
        node: the expression without random terms and offsets.
        response: the left-hand side, which R counts as the first variable and drops on the right.

    Raises:
        FormulaError: an operator or number that has no meaning among terms, or too many terms.
    """
    expander = _Expander()
    own = expander.place(response) if response is not None else []
    found = dict.fromkeys(term for term in expander.sum_of(node) if term and term not in own)
    ordered = sorted(found, key=int.bit_count)
    return Terms(tuple(expander.nodes.values()), tuple(expander.nodes), tuple(ordered), expander.intercept)


class _Expander:
    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.places: dict[str, int] = {}
        self.intercept = True
        self.work = 0

    def sum_of(self, node: Node) -> list[int]:
        match node:
            case Group(inner=inner):
                return self.sum_of(inner)
            case Num():
                return self.constant(node, keep=True)
            case Unary(op=op, arg=arg):
                return self.signed(op, arg, [])
            case Chain(first=first, rest=rest):
                return self.chain(first, rest, node)
        return self.variable(node)

    def chain(self, first: Node, rest: tuple[tuple[str, Node], ...], node: Node) -> list[int]:
        operator = rest[0][0]
        if operator in {"+", "-"}:
            terms = dict.fromkeys(self.sum_of(first))
            for op, item in rest:
                if op == "-":
                    for gone in self.removed(item):
                        terms.pop(gone, None)
                else:
                    terms.update(dict.fromkeys(self.sum_of(item)))
                self.limit(terms)
            return list(terms)
        if operator not in {"*", ":", "/", "^", "%in%"}:
            return self.variable(node)
        if isinstance(first, Num):
            raise FormulaError(f"the number {first.text} cannot be part of an interaction; use I() for arithmetic")
        terms_so_far = self.sum_of(first)
        for op, item in rest:
            terms_so_far = self.power(terms_so_far, item) if op == "^" else self.product(terms_so_far, op, item)
        return terms_so_far

    def product(self, left: list[int], op: str, item: Node) -> list[int]:
        if isinstance(item, Num):
            raise FormulaError(f"the number {item.text} cannot be part of an interaction; use I() for arithmetic")
        right = self.sum_of(item)
        if op == "*":
            return self.limit(dict.fromkeys([*left, *right, *self.cross(left, right)]))
        if op == "/":
            every = 0
            for term in left:
                every |= term
            return self.limit(dict.fromkeys([*left, *self.cross([every], right)]))
        return self.cross(left, right)

    def power(self, base: list[int], exponent: Node) -> list[int]:
        if not isinstance(exponent, Num) or not exponent.value.is_integer() or exponent.value < 1:
            raise FormulaError(f"the power {deparse(exponent)} of terms must be a whole number; use I() for arithmetic")
        result = base
        for _ in range(min(int(exponent.value), 64) - 1):
            larger = list(dict.fromkeys([*result, *self.cross(result, base)]))
            if len(larger) == len(result):
                break
            result = larger
        return result

    def cross(self, left: list[int], right: list[int]) -> list[int]:
        self.work += len(left) * len(right)
        if self.work > _MAX_WORK:
            raise FormulaError(f"the formula expands to more than {MAX_TERMS:,} terms")
        return self.limit(dict.fromkeys(a | b for a in left for b in right))

    def limit(self, terms: dict[int, None]) -> list[int]:
        if len(terms) > MAX_TERMS:
            raise FormulaError(f"the formula expands to more than {MAX_TERMS:,} terms")
        return list(terms)

    def signed(self, op: str, arg: Node, terms: list[int]) -> list[int]:
        if op == "+":
            return self.sum_of(arg)
        if op == "!":
            return self.variable(Unary(op, arg))
        self.removed(arg)
        return terms

    def removed(self, node: Node) -> list[int]:
        return self.constant(node, keep=False) if isinstance(node, Num) else self.sum_of(node)

    def constant(self, node: Num, *, keep: bool) -> list[int]:
        if node.value not in (0.0, 1.0):
            raise FormulaError(f"the number {node.text} is not a term; 0 or -1 removes the intercept, 1 keeps it")
        self.intercept = (node.value == 1.0) == keep
        return []

    def variable(self, node: Node) -> list[int]:
        check_variable(node)
        return self.place(node)

    def place(self, node: Node) -> list[int]:
        text = deparse(node)
        self.nodes.setdefault(text, node)
        return [1 << self.places.setdefault(text, len(self.places))]
