"""Arithmetic on the draws of named parameters: a small language of its own, in which nothing can be run.

Numbers, parameters, ``+ - * / ** ^``, parentheses, and the functions exp, log, sqrt and abs; two sides compared by
``<``, ``>`` or ``=``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError

FloatArray = npt.NDArray[np.float64]
Values = Mapping[str, FloatArray]

FUNCTIONS: dict[str, Callable[[Any], Any]] = {"exp": np.exp, "log": np.log, "sqrt": np.sqrt, "abs": np.abs}
SIGNS = {"<": "<", "<=": "<", ">": ">", ">=": ">", "=": "=", "==": "="}
DEEPEST = 100
"""Most operators and parentheses that may be nested."""

_CALL = re.compile(rf"({'|'.join(FUNCTIONS)})\s*\(")
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(?![\w.])")
_OPERATOR = re.compile(r"\*\*|<=|>=|==|[-+*/^()<>=]")
_WORD = re.compile(r"[^\s+\-*/^()<>=`]+")
_INSIDE_WORD = re.compile(r"[\w.:\[]")


@dataclass(frozen=True)
class Token:
    """A number, a parameter's name, the call of a function, an operator, or the end of the text."""

    kind: str
    text: str


def spellings(parameters: Sequence[str], fixed: Sequence[str]) -> dict[str, str]:
    """Every way to write a parameter, and its name: also ``b_Days`` for a fixed effect, and ``Intercept``."""
    known = {name: name for name in parameters}
    for name in fixed:
        known.setdefault(f"b_{name}", name)
    if "(Intercept)" in known:
        for alias in ("Intercept", "b_Intercept"):
            known.setdefault(alias, "(Intercept)")
    return known


def compare(text: str, names: Mapping[str, str], values: Values) -> tuple[str, FloatArray]:
    """Evaluate a comparison of two expressions.

    At every place the longest known name counts, so that ``ses:himinty``, ``(Intercept)`` and ``I(x^2)`` are names;
    backquotes hold any name.

    Args:
        names: every spelling of a parameter, and its name. values: draws by name, in one shape.

    Returns:
        "<", ">" or "=", and the draws of the left side less the right side; errors of arithmetic give NaN or infinity.

    Raises:
        ModelError: an unknown parameter, text that is no comparison, or a comparison without parameters.
    """
    with np.errstate(all="ignore"):
        sign, difference = _Parser(text, _tokens(text, names), values).comparison()
    if np.ndim(difference) == 0:
        raise ModelError(f"hypothesis {text!r} names no parameter; there are: {', '.join(values)}")
    return sign, np.asarray(difference, dtype=np.float64)


# --- tokens ---------------------------------------------------------------------------------------------------------
def _tokens(text: str, names: Mapping[str, str]) -> list[Token]:
    longest_first = sorted(names, key=len, reverse=True)
    out, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        token, at = _token(text, at, names, longest_first)
        out.append(token)
    return [*out, Token("end", "")]


def _token(text: str, at: int, names: Mapping[str, str], longest_first: Sequence[str]) -> tuple[Token, int]:
    if text[at] == "`":
        end = text.find("`", at + 1)
        if end < 0:
            raise ModelError(f"hypothesis {text!r}: a backquote is not closed")
        return Token("name", _known(text[at + 1 : end], text, names)), end + 1
    name = next((n for n in longest_first if text.startswith(n, at) and _ends(text, at + len(n), n)), None)
    call = _CALL.match(text, at)
    if name is not None and (call is None or len(name) > len(call.group(1))):
        return Token("name", names[name]), at + len(name)
    for kind, pattern in (("call", _CALL), ("number", _NUMBER), ("operator", _OPERATOR)):
        match = pattern.match(text, at)
        if match:
            return Token(kind, match.group(1) if kind == "call" else match.group()), match.end()
    word = _WORD.match(text, at)
    found = word.group() if word else text[at]
    return Token("name", _known(found, text, names)), at + len(found)


def _ends(text: str, end: int, name: str) -> bool:
    """Whether a name ends here, rather than being the beginning of a longer word."""
    return not (end < len(text) and _INSIDE_WORD.match(text[end]) and _INSIDE_WORD.match(name[-1]))


def _known(name: str, text: str, names: Mapping[str, str]) -> str:
    if name in names:
        return names[name]
    near = get_close_matches(name, names, 3, 0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    listed = list(dict.fromkeys(names.values()))
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    raise ModelError(
        f"hypothesis {text!r}: there is no parameter {name!r}. {hint}There are: {', '.join(listed[:20])}{more}"
    )


# --- grammar --------------------------------------------------------------------------------------------------------
class _Parser:
    """Recursive descent: sums of products of powers of atoms, evaluated on the way."""

    def __init__(self, text: str, tokens: list[Token], values: Values) -> None:
        self.text, self.tokens, self.values = text, tokens, values
        self.at = self.depth = 0

    def comparison(self) -> tuple[str, Any]:
        left = self._sum()
        sign = self._next()
        if sign.kind != "operator" or sign.text not in SIGNS:
            raise self._error("expected '<', '>' or '='", sign)
        right = self._sum()
        end = self._next()
        if end.kind != "end":
            raise self._error("more than one comparison" if end.text in SIGNS else "expected the end", end)
        return SIGNS[sign.text], left - right

    def _sum(self) -> Any:
        value = self._product()
        while self._peek("+", "-"):
            value = value + self._product() if self._next().text == "+" else value - self._product()
        return value

    def _product(self) -> Any:
        value = self._signed()
        while self._peek("*", "/"):
            value = value * self._signed() if self._next().text == "*" else value / self._signed()
        return value

    def _signed(self) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ModelError(f"hypothesis {self.text[:40]!r}...: nested more than {DEEPEST} deep")
        if self._peek("+", "-"):
            value = -self._signed() if self._next().text == "-" else self._signed()
        else:
            value = self._power()
        self.depth -= 1
        return value

    def _power(self) -> Any:
        base = self._atom()
        if not self._peek("**", "^"):
            return base
        self._next()
        return np.power(base, self._signed())

    def _atom(self) -> Any:
        token = self._next()
        if token.kind == "number":
            return np.float64(token.text)
        if token.kind == "name":
            return self.values[token.text]
        if token.kind != "call" and (token.kind, token.text) != ("operator", "("):
            raise self._error("expected a number or a parameter", token)
        inner = self._sum()
        close = self._next()
        if (close.kind, close.text) != ("operator", ")"):
            raise self._error("expected ')'", close)
        return FUNCTIONS[token.text](inner) if token.kind == "call" else inner

    def _peek(self, *operators: str) -> bool:
        token = self.tokens[self.at]
        return token.kind == "operator" and token.text in operators

    def _next(self) -> Token:
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def _error(self, expected: str, token: Token) -> ModelError:
        found = f"'{token.text}'" if token.kind != "end" else "the end"
        return ModelError(f"hypothesis {self.text!r}: {expected}, found {found}; write for example 'Days > 0'")
