"""Formula text to tokens."""

from __future__ import annotations

import re
from typing import NamedTuple

from jmix.errors import FormulaError
from jmix.formula.syntax import BARE_NAME

MAX_LENGTH = 200_000

_TOKEN = re.compile(
    rf"""
    (?P<space>\s+)
  | (?P<num>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?L?)
  | (?P<quoted>`[^`]+`)
  | (?P<str>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
  | (?P<name>(?:(?:splines|stats|base)::)?{BARE_NAME.pattern})
  | (?P<op>\*\*|\|\||%in%|%%|%/%|==|!=|<=|>=|[-+*/:^|~()\[\],=<>!&])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")


class Token(NamedTuple):
    """kind: ``num``, ``str``, ``name``, ``quoted``, ``op`` or ``end``; text; position in the formula."""

    kind: str
    text: str
    at: int


def tokenize(text: str) -> list[Token]:
    """The tokens of a formula, ended by an ``end`` token.

    Raises:
        FormulaError: a character that the language does not have, or a text that is far too long.
    """
    if len(text) > MAX_LENGTH:
        raise FormulaError(f"the formula has {len(text):,} characters; the limit is {MAX_LENGTH:,}")
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise FormulaError(_unexpected(text, at))
        kind = str(found.lastgroup)
        if kind != "space":
            tokens.append(_token(kind, found.group(), at))
        at = found.end()
    tokens.append(Token("end", "", len(text)))
    return tokens


def _token(kind: str, word: str, at: int) -> Token:
    if kind == "quoted":
        return Token("quoted", word[1:-1], at)
    if kind == "str":
        return Token("str", _ESCAPE.sub(r"\1", word[1:-1]), at)
    if word == "**":
        return Token("op", "^", at)
    return Token(kind, word, at)


def _unexpected(text: str, at: int) -> str:
    char = text[at]
    if char in "\"'`":
        return f"the formula has a quote {char} that is never closed: {snippet(text, at)}"
    return f"the formula has the character {char!r}, which has no meaning there: {snippet(text, at)}"


def snippet(text: str, at: int) -> str:
    """A short quotation of the formula around a position."""
    start, stop = max(0, at - 20), min(len(text), at + 20)
    return repr(("…" if start else "") + text[start:stop] + ("…" if stop < len(text) else ""))


def brief(text: str) -> str:
    """The formula in quotes, shortened for a message."""
    return repr(text if len(text) <= 200 else text[:199] + "…")
