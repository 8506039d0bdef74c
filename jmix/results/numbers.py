"""Numbers and names as R prints them: a common number of digits for a column, short names for narrow headers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Number = float | int

DOUBLE_PRECISION = 2.220446e-16


def format_numbers(values: Iterable[Number], digits: int = 7, min_decimals: int = 0) -> list[str]:
    """Numbers in one notation and one width.

    The number of decimals is the smallest that shows every value to ``digits`` significant digits, trailing zeros not
    counted; scientific notation takes over where it is narrower.
    """
    numbers = [float(v) + 0.0 for v in values]  # no negative zeros
    finite = [v for v in numbers if math.isfinite(v)]
    decimals, mantissa, fixed = _notation(finite, digits) if finite else (0, 0, True)
    if fixed:
        decimals = max(decimals, min_decimals)
        texts = [f"{v:.{decimals}f}" if math.isfinite(v) else _special(v) for v in numbers]
    else:
        texts = [f"{v:.{mantissa}e}" if math.isfinite(v) else _special(v) for v in numbers]
    width = max((len(t) for t in texts), default=0)
    return [t.rjust(width) for t in texts]


def format_number(value: Number, digits: int = 7) -> str:
    """One number to at most ``digits`` significant digits."""
    return format_numbers([value], digits)[0]


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"


def _notation(finite: list[float], digits: int) -> tuple[int, int, bool]:
    """Decimals of the fixed notation, decimals of the scientific mantissa, and whether the fixed one is not wider."""
    signs, significant, powers = [], [], []
    for value in finite:
        text, power = f"{abs(value):.{digits - 1}e}".split("e")
        signs.append(value < 0)
        significant.append(max(1, len(text.replace(".", "").rstrip("0"))))
        powers.append(int(power))
    decimals = max(max(0, s - p - 1) for s, p in zip(significant, powers, strict=True))
    mantissa = max(significant) - 1
    whole = max(neg + max(1, p + 1) for neg, p in zip(signs, powers, strict=True))
    width = whole + decimals + (decimals > 0)
    exponent = 5 if max(map(abs, powers)) >= 100 else 4
    return decimals, mantissa, width <= any(signs) + 1 + mantissa + (mantissa > 0) + exponent


def round_to(value: float, decimals: int) -> float:
    """``value`` rounded to a number of decimals, however large."""
    return float(f"{value:.{decimals}f}") if math.isfinite(value) else value


def zap_small(values: Sequence[float], digits: int) -> list[float]:
    """Values rounded so that the largest keeps ``digits`` significant digits."""
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    decimals = digits if largest == 0 else max(0, math.floor(digits - math.log10(largest) + 0.5))
    return [round_to(v, decimals) for v in values]


def format_estimates(estimate: Sequence[float], se: Sequence[float], digits: int = 4) -> tuple[list[str], list[str]]:
    """Estimates and standard errors in one notation, as in R's tables of coefficients.

    The smallest magnitude decides how many decimals are kept; what would print as zero without being zero is shown
    in its own notation.
    """
    both = [float(v) for v in (*estimate, *se)]
    sizes = [abs(v) for v in both if math.isfinite(v) and v != 0]
    orders = [1 + math.floor(math.log10(size)) for size in (min(sizes), max(sizes))] if sizes else [1]
    decimals = max(1, *(digits - order for order in orders))
    texts = format_numbers([round_to(v, decimals) for v in both], digits)
    lost = [i for i, v in enumerate(both) if v != 0 and math.isfinite(v) and float(texts[i]) == 0]
    for i, text in zip(lost, format_numbers([both[i] for i in lost], digits - 1), strict=True):
        texts[i] = text
    return texts[: len(estimate)], texts[len(estimate) :]


def format_statistics(values: Sequence[float], digits: int = 4) -> list[str]:
    """Test statistics: one decimal place less than the digits, in one notation."""
    return format_numbers([round_to(float(v), digits - 1) for v in values], digits)


def format_p_values(values: Iterable[float], digits: int = 3) -> list[str]:
    """p-values to ``digits`` significant digits; below the precision of a double, an upper bound."""
    bound = f"< {format_number(DOUBLE_PRECISION, digits - 2)}"
    return [
        "NaN" if math.isnan(p) else bound if p < DOUBLE_PRECISION else format_number(p, digits)
        for p in values
    ]  # fmt: skip


def format_p_column(values: Sequence[float], digits: int = 3) -> list[str]:
    """A column of p-values as R prints it: those from 0.0001 on in one notation, the smaller ones in another."""
    texts = ["NaN"] * len(values)
    shown = [i for i, p in enumerate(values) if p >= DOUBLE_PRECISION]
    for part in ([i for i in shown if values[i] >= 1e-4], [i for i in shown if values[i] < 1e-4]):
        for i, text in zip(part, format_numbers([values[i] for i in part], digits), strict=True):
            texts[i] = text
    bound = _bound(max(1, digits - 2), max((len(texts[i]) for i in shown), default=0))
    return [bound if p < DOUBLE_PRECISION else text for p, text in zip(values, texts, strict=True)]


def _bound(digits: int, width: int) -> str:
    """What stands for p-values below the precision of a double, beside others of so many characters (0: none)."""
    if width and digits > 1 and digits + 6 > width:
        digits = max(1, width - 7)
    space = "" if digits == 1 and width <= 6 else " "
    return f"<{space}{format_number(DOUBLE_PRECISION, digits)}"


def abbreviate(names: Sequence[str], length: int) -> list[str]:
    """Distinct names of about ``length`` characters: vowels go first, then small letters, each from the right.

    Equal names stay equal; different names that would become equal get more characters.
    """
    distinct = list(dict.fromkeys(names))
    short = {name: _abbreviated(name, length) for name in distinct}
    longest = max((len(name) for name in distinct), default=0)
    while length < longest:
        seen: dict[str, list[str]] = {}
        for name, text in short.items():
            seen.setdefault(text, []).append(name)
        clash = [name for group in seen.values() if len(group) > 1 for name in group]
        if not clash:
            break
        length += 1
        short.update({name: _abbreviated(name, length) for name in clash})
    return [short[name] for name in names]


def _abbreviated(name: str, length: int) -> str:
    if len(name) <= length:
        return name
    text = " ".join(name.split())
    for letters, word_end in (("aeiou", True), ("aeiou", False), ("lower", True), ("lower", False), ("any", False)):
        for i in range(len(text) - 1, 0, -1):
            if len(text) - text.count(" ") <= length:
                return text.replace(" ", "")
            if _removable(text, i, letters, word_end):
                text = text[:i] + text[i + 1 :]
    return text.replace(" ", "")


def _removable(text: str, i: int, letters: str, word_end: bool) -> bool:
    """Whether the character is of the kind and stands inside a word, or at its end where that is asked for."""
    char = text[i]
    if char == " " or text[i - 1] == " ":
        return False
    if word_end and i + 1 < len(text) and text[i + 1] != " ":
        return False
    if letters == "lower":
        return char.islower()
    return letters == "any" or char in letters
