"""Cells of a regression table: numbers as text in parts that line up at the decimal point."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jmix.errors import ModelError
from jmix.results.inference.tables.etable_columns import Coefficient

STARS: dict[str, float] = {"*": 0.05, "**": 0.01, "***": 0.001}
"""Stars and the p values below which they stand."""

MOST_DECIMALS = 8
LARGEST = 1e9
PIECES = ("b", "se", "ci", "p", "t", "df")
_PIECE = re.compile(r"\b(b|se|ci|p|t|df)\b")


@dataclass(frozen=True)
class Token:
    """A number in a cell: what stands before its decimal point, and behind.

    Attributes:
        left: sign, opening parenthesis and digits. right: point, decimals and closing parenthesis. stars: after it.
        whole: text that has no decimal point to line up.
    """

    left: str
    right: str = ""
    stars: str = ""
    whole: bool = False

    @property
    def text(self) -> str:
        """As one text."""
        return self.left + self.right + self.stars

    @property
    def word(self) -> bool:
        """Whether it is a word, to be centred, rather than numbers."""
        return self.whole and any(c.isalpha() for c in self.left) and not any(c.isdigit() for c in self.left)


Cell = tuple[Token, ...]


def token(text: str, stars: str = "") -> Token:
    """A number, split at its decimal point."""
    if "e" in text or "," in text or not any(c.isdigit() for c in text):
        return Token(text, stars=stars, whole=True)
    left, point, right = text.partition(".")
    if not point and text.endswith((")", "]")):
        left, right = text[:-1], text[-1]
    return Token(left, point + right, stars)


def decimals_for(values: Sequence[float], digits: int) -> int:
    """Decimals that show every value that is not zero with a digit at least."""
    sizes = [abs(v) for v in values if math.isfinite(v) and v != 0]
    return min(MOST_DECIMALS, max(digits, -math.floor(math.log10(min(sizes))))) if sizes else digits


def number(value: float, decimals: int) -> str:
    """A number with so many decimals; in scientific notation where the most of them show nothing, or it is huge."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    rounded = float(f"{value:.{decimals}f}") + 0.0
    if abs(value) >= LARGEST or (value != 0 and rounded == 0 and decimals >= MOST_DECIMALS):
        return f"{value:.2e}"
    return f"{rounded:.{decimals}f}"


def p_text(p: float) -> str:
    """A p value with three decimals, or an upper bound."""
    return "" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def stars_of(p: float, thresholds: Mapping[str, float]) -> str:
    """The stars of the smallest threshold that p is below."""
    reached = [(limit, mark) for mark, limit in thresholds.items() if p < limit]
    return min(reached)[1] if reached else ""


def check_stars(stars: bool | Mapping[str, float]) -> dict[str, float]:
    """Stars by threshold; none where they are switched off.

    Raises:
        ModelError: neither a truth value nor a dict of marks and numbers between 0 and 1.
    """
    if isinstance(stars, bool):
        return dict(STARS) if stars else {}
    good = isinstance(stars, Mapping) and all(
        isinstance(mark, str) and isinstance(limit, int | float) and 0 < limit <= 1 for mark, limit in stars.items()
    )
    if not good:
        raise ModelError(f"stars={stars!r}: choose True, False, or marks with their thresholds, as {STARS!r}")
    return dict(stars)


def check_layout(layout: str) -> list[str]:
    r"""The lines of a cell's layout, such as ``"b (se)"`` or ``"b\n[ci]"``.

    Raises:
        ModelError: nothing of ``b se ci p t df`` is in it, or something else.
    """
    lines = [line.strip() for line in layout.split("\n")] if isinstance(layout, str) else []
    rest = [word for line in lines for word in re.findall(r"[^\W\d_]+", _PIECE.sub("", line))]
    if not lines or rest or not all(_PIECE.search(line) for line in lines):
        raise ModelError(
            f"cells={layout!r}: write b (estimate), se, ci, p, t and df as they are to stand in a cell, such as "
            "'b (se)', 'b [ci]' or 'b\\n(se)' with the standard error below"
        )
    return lines


def coefficient_cell(row: Coefficient, layout: str, decimals: int, thresholds: Mapping[str, float]) -> Cell:
    """One line of a cell; pieces without a value are left out."""
    texts = {
        "b": number(row.estimate, decimals),
        "se": number(row.std_error, decimals),
        "ci": _interval(row, decimals),
        "p": p_text(row.p_value),
        "t": number(row.statistic, 2),
        "df": "inf" if row.df == math.inf else number(row.df, 1),
    }
    out = []
    for word in layout.split():
        names = _PIECE.findall(word)
        if any(not texts[name] for name in names):
            continue
        text = _PIECE.sub(lambda match: texts[match[1]], word)
        mark = stars_of(row.p_value, thresholds) if names == ["b"] else ""
        out.append(token(text, mark))
    return tuple(out)


def _interval(row: Coefficient, decimals: int) -> str:
    if math.isnan(row.lower) or math.isnan(row.upper):
        return ""
    return f"{number(row.lower, decimals)}, {number(row.upper, decimals)}"
