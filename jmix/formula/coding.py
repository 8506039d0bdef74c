"""Terms and variables to matrix columns, by R's rules for contrasts and names."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from jmix.errors import DataError
from jmix.formula.contrasts import Contrast, base_level, contrast_matrix
from jmix.formula.terms import Terms
from jmix.formula.values import Categories, FloatArray, Matrix, Value

INTERCEPT = "(Intercept)"
MAX_COLUMNS = 100_000
Part = tuple[str, str, int]
Key = tuple[Part, ...]


@dataclass(frozen=True)
class Column:
    """One matrix column: its R name, and the parts (variable, coding, place) whose product it is."""

    name: str
    key: Key


@dataclass(frozen=True)
class Factor:
    """What the training data say of a factor: its levels and its nature."""

    levels: list[str]
    ordered: bool
    logical: bool
    contrast: Contrast | None

    def coding(self, chosen: Contrast | None) -> Contrast:
        """The contrast in force: set by ``C()``, else chosen by the user, else R's default."""
        return self.contrast or chosen or Contrast("poly" if self.ordered else "treatment")


class Coder:
    """Codes variables into columns.

    Args:
        values: the variables by text, all of one length. factors: the factors among them by text.
        contrasts: the user's contrasts by the factor's text.
    """

    def __init__(
        self, values: Mapping[str, Value], factors: Mapping[str, Factor], contrasts: Mapping[str, Contrast]
    ) -> None:
        self.values, self.factors, self.contrasts = values, factors, contrasts
        self._tables: dict[str, FloatArray] = {}

    def columns(self, terms: Terms) -> list[Column]:
        """The columns of a side of the formula, in R's order."""
        found = [Column(INTERCEPT, ())] if terms.intercept else []
        for term, full in _codings(terms, [label in self.factors for label in terms.labels]):
            lists = [list(self._parts(terms.labels[place], full[place])) for place in terms.members(term)]
            _check_count(len(found) + math.prod(map(len, lists)), terms.label(term))
            # the first variable runs fastest
            for combination in itertools.product(*reversed(lists)):
                parts = combination[::-1]
                found.append(Column(":".join(name for name, _ in parts), tuple(part for _, part in parts)))
        return found

    def fill(self, column: Column, out: FloatArray) -> None:
        """Write one column into ``out`` (n,)."""
        if not column.key:
            out[:] = 1.0
            return
        np.copyto(out, self._piece(column.key[0]))
        for part in column.key[1:]:
            np.multiply(out, self._piece(part), out=out)

    def _piece(self, part: Part) -> FloatArray:
        label, kind, place = part
        value = self.values[label]
        if isinstance(value, Matrix):
            return value.values[:, place]
        if not isinstance(value, Categories):
            return value
        if kind == "level":
            piece = (value.codes == place).astype(np.float64)
            if value.missing():
                piece[value.codes < 0] = np.nan
            return piece
        table: FloatArray = np.append(self._tables[label][:, place], np.nan)
        return table[value.codes]

    def _parts(self, label: str, full: bool) -> Iterator[tuple[str, Part]]:
        factor = self.factors.get(label)
        if factor is None:
            value = self.values[label]
            suffixes = value.suffixes if isinstance(value, Matrix) else ("",)
            yield from ((label + suffix, (label, "number", i)) for i, suffix in enumerate(suffixes))
            return
        coding = factor.coding(self.contrasts.get(label))
        if not full and len(factor.levels) < 2:
            raise DataError(
                f"the factor {label} has only the level {''.join(factor.levels)!r} in the rows used; leave it out"
            )
        if full or coding.kind in {"treatment", "sas"}:
            base = None if full else base_level(coding, factor.levels, label)
            numbered = coding.numbered and not full
            names = [str(i + 1) for i in range(len(factor.levels))] if numbered else factor.levels
            yield from ((label + name, (label, "level", i)) for i, name in enumerate(names) if i != base)
            return
        matrix, names = contrast_matrix(coding, len(factor.levels), label)
        self._tables[label] = matrix
        yield from ((label + name, (label, f"{coding}", i)) for i, name in enumerate(names))


def _check_count(columns: int, label: str) -> None:
    if columns > MAX_COLUMNS:
        raise DataError(
            f"the term {label} would bring the matrix to {columns:,} columns; a factor with many levels belongs in a "
            "random term such as (1 | g)"
        )


def _codings(terms: Terms, is_factor: list[bool]) -> Iterator[tuple[int, dict[int, bool]]]:
    """For each term, which of its factors get one column per level, as R's ``TermCode`` decides.

    A factor is coded by contrasts if the term without it is empty or contained in an earlier term. Without an intercept
    the first factor of the first term that has one gets all its levels.
    """
    promote = not terms.intercept
    for position, term in enumerate(terms.terms):
        full: dict[int, bool] = {}
        for place in terms.members(term):
            if is_factor[place]:
                margin = term & ~(1 << place)
                full[place] = bool(margin) and not any(margin & ~other == 0 for other in terms.terms[:position])
                if promote:
                    full[place], promote = True, False
            else:
                full[place] = False
        yield term, full
