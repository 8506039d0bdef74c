"""Tokens to a syntax tree, by precedence climbing with R's precedences."""

from __future__ import annotations

from typing import NoReturn

from jmix.errors import FormulaError
from jmix.formula.syntax import Bar, Call, Chain, Const, Group, Name, Node, Num, Str, Unary, number_text
from jmix.formula.tokens import Token, brief, snippet, tokenize

MAX_DEPTH = 40
_PRECEDENCE = {"&": 1, "==": 3, "!=": 3, "<": 3, ">": 3, "<=": 3, ">=": 3, "+": 4, "-": 4, "*": 5, "/": 5}
_PRECEDENCE |= {"%in%": 6, "%%": 6, "%/%": 6, ":": 7}
_CONSTANTS = {"TRUE": True, "FALSE": False, "True": True, "False": False, "NULL": None, "None": None}


def parse_sides(text: str) -> tuple[Node, Node]:
    """The response and the right-hand side of ``response ~ terms``.

    Raises:
        FormulaError: the text is not a formula of the language.
    """
    parser = _Parser(text)
    if parser.peek().text == "~" and parser.peek().kind == "op":
        raise FormulaError(f"the formula {brief(text)} has no response: write it before the ~")
    left = parser.expression(0)
    if parser.peek().kind == "end":
        raise FormulaError(f"the formula {brief(text)} has no ~; write 'response ~ terms'")
    if parser.at_bar():
        raise FormulaError(f"the response of {brief(text)} holds a '|'; random terms belong to the right of the ~")
    return left, _after_tilde(parser)


def parse_right(text: str) -> Node:
    """The right-hand side of a one-sided formula ``~ terms``.

    Raises:
        FormulaError: the text is not a formula of the language, or has a response.
    """
    parser = _Parser(text)
    if not parser.at_op("~"):
        shown = "has a response" if any(token.text == "~" for token in parser.tokens) else "has no ~"
        raise FormulaError(f"the formula {brief(text)} {shown}; write '~ terms', or '~ 1' for a constant")
    return _after_tilde(parser)


def _after_tilde(parser: _Parser) -> Node:
    text = parser.text
    parser.expect("~")
    if parser.peek().kind == "end":
        raise FormulaError(f"the formula {brief(text)} has nothing after the ~; write '1' for an intercept only")
    right = parser.expression(0)
    if parser.at_bar():
        raise FormulaError(
            f"the formula {brief(text)} has a '{parser.peek().text}' outside parentheses; write random terms as (x | g)"
        )
    if parser.peek().kind != "end":
        parser.fail("an operator or the end")
    return right


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.place = 0
        self.depth = 0
        self.open = 0

    def peek(self) -> Token:
        return self.tokens[self.place]

    def take(self) -> Token:
        token = self.tokens[self.place]
        self.place += token.kind != "end"
        return token

    def at_op(self, *ops: str) -> bool:
        token = self.peek()
        return token.kind == "op" and token.text in ops

    def at_bar(self) -> bool:
        return self.at_op("|", "||")

    def expect(self, op: str) -> None:
        if not self.at_op(op):
            self.fail(f"'{op}'")
        self.take()

    def fail(self, wanted: str) -> NoReturn:
        token = self.peek()
        if token.kind == "end":
            hint = "; a parenthesis is not closed" if self.open else ""
            raise FormulaError(f"the formula {brief(self.text)} ends where {wanted} was expected{hint}")
        hint = "; there is a ')' too many" if token.text == ")" and not self.open else ""
        raise FormulaError(
            f"unexpected {token.text!r} in the formula at {snippet(self.text, token.at)}: expected {wanted}{hint}"
        )

    def descend(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FormulaError(f"the formula is nested more than {MAX_DEPTH} deep; simplify it")

    def expression(self, least: int) -> Node:
        left = self.unary()
        while True:
            level = _PRECEDENCE.get(self.peek().text, -1) if self.peek().kind == "op" else -1
            if level < max(least, 0):
                return left
            rest: list[tuple[str, Node]] = []
            while self.peek().kind == "op" and _PRECEDENCE.get(self.peek().text, -1) == level:
                rest.append((self.take().text, self.expression(level + 1)))
            left = Chain(left, tuple(rest))

    def unary(self) -> Node:
        if not self.at_op("-", "+", "!"):
            return self.power()
        op = self.take().text
        self.descend()
        arg = self.expression(3) if op == "!" else self.unary()
        self.depth -= 1
        return Unary(op, arg)

    def power(self) -> Node:
        base = self.primary()
        if not self.at_op("^"):
            return base
        self.take()
        self.descend()
        exponent = self.unary()
        self.depth -= 1
        return Chain(base, (("^", exponent),))

    def primary(self) -> Node:
        token = self.peek()
        if self.at_op("("):
            return self.parenthesis()
        if token.kind not in {"num", "str", "name", "quoted"}:
            self.fail("a column, a number or a function")
        self.take()
        if token.text == "." and token.kind == "name":
            raise FormulaError("the formula has a lone '.'; write out the columns, joined by +")
        if token.kind == "num":
            return _number(token.text)
        if token.kind == "str":
            return Str(token.text)
        if token.kind == "quoted":
            return Name(token.text)
        if self.at_op("("):
            return Call(token.text, self.arguments(")"))
        return Const(_CONSTANTS[token.text]) if token.text in _CONSTANTS else Name(token.text)

    def parenthesis(self) -> Node:
        self.take()
        self.descend()
        self.open += 1
        if self.at_bar():
            raise FormulaError(
                f"a random term has nothing before its '|' ({snippet(self.text, self.peek().at)}); write (1 | g)"
            )
        inner = self.expression(0)
        if self.at_bar():
            inner = self.bar(inner)
        else:
            inner = Group(inner)
        self.expect(")")
        self.depth, self.open = self.depth - 1, self.open - 1
        return inner

    def bar(self, expr: Node) -> Node:
        token = self.take()
        if self.at_op(")"):
            raise FormulaError(
                f"a random term has no grouping factor after its '|' ({snippet(self.text, token.at)}); write (1 | g)"
            )
        return Bar(expr, token.text, self.expression(0))

    def arguments(self, close: str) -> tuple[tuple[str, Node], ...]:
        self.take()
        self.descend()
        self.open += 1
        args: list[tuple[str, Node]] = []
        while not self.at_op(close):
            args.append(self.argument())
            if not self.at_op(close):
                self.expect(",")
        self.expect(close)
        self.depth, self.open = self.depth - 1, self.open - 1
        return tuple(args)

    def argument(self) -> tuple[str, Node]:
        if self.at_op("["):
            return "", Call("c", self.arguments("]"))
        following = self.tokens[min(self.place + 1, len(self.tokens) - 1)]
        if self.peek().kind == "name" and following.kind == "op" and following.text == "=":
            key = self.take().text
            self.take()
            return key, self.argument()[1] if self.at_op("[") else self.expression(0)
        return "", self.expression(0)


def _number(text: str) -> Num:
    value = float(text.rstrip("L"))
    if value == float("inf"):
        raise FormulaError(f"the number {text} in the formula is too large")
    return Num(value, text if text.endswith("L") else number_text(value))
