"""The terms of the fixed effects: which columns of X, which variables, and which of them are factors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.formula.coding import INTERCEPT, Coder, Column
from jmix.formula.contrasts import Contrast
from jmix.formula.values import Matrix, Value

if TYPE_CHECKING:
    from jmix.formula.encoding import Encoding
    from jmix.formula.terms import Terms
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]


def term_columns(fit: FitBase) -> dict[str, list[int]]:
    """The columns of X that belong to each term of the fixed effects.

    Returns:
        Places in ``fit.x_names`` by term, as ``{"(Intercept)": [0], "a": [1, 2], "a:b": [3, 4]}``: the intercept first
        where there is one, the others in R's order. A term all of whose columns were dropped has an empty list.
    """
    return TermTable.of(fit.base.encoding).columns


@dataclass(frozen=True, eq=False)
class TermTable:
    """The terms of one linear predictor.

    Attributes:
        encoding: of the formula. terms: its right-hand side. coded: all columns that the formula stands for, those
            dropped included, in order.
    """

    encoding: Encoding
    terms: Terms
    coded: list[Column]

    @classmethod
    def of(cls, encoding: Encoding) -> TermTable:
        """The terms of a fitted encoding; no data are needed.

        Raises:
            ModelError: the encoding does not say which columns its terms have.
        """
        terms = encoding.parsed.terms
        coded = Coder(_shapes(encoding), encoding.coded, encoding.contrasts).columns(terms)
        names = [coded[place].name for place in encoding.kept if place < len(coded)]
        if names != list(encoding.x_names):
            raise ModelError("the terms of this fit's formula do not match its coefficients; fit the model again")
        return cls(encoding, terms, coded)

    @cached_property
    def labels(self) -> list[str]:
        """The terms without the intercept, in R's order."""
        return [self.terms.label(term) for term in self.terms.terms]

    @cached_property
    def variables(self) -> dict[str, frozenset[str]]:
        """The variables of each term."""
        return {
            self.terms.label(t): frozenset(self.terms.labels[i] for i in self.terms.members(t))
            for t in self.terms.terms
        }

    @cached_property
    def positions(self) -> dict[str, list[int]]:
        """Places of each term's columns among ``coded``, the intercept's first where there is one."""
        by_variables = {names: label for label, names in self.variables.items()}
        found: dict[str, list[int]] = {
            label: [] for label in ([INTERCEPT] if self.terms.intercept else []) + self.labels
        }
        for place, column in enumerate(self.coded):
            names = frozenset(label for label, _, _ in column.key)
            found[by_variables[names] if names else INTERCEPT].append(place)
        return found

    @cached_property
    def columns(self) -> dict[str, list[int]]:
        """Places of each term's columns in X."""
        place = {position: i for i, position in enumerate(self.encoding.kept)}
        return {label: [place[i] for i in positions if i in place] for label, positions in self.positions.items()}

    def numeric(self, label: str) -> frozenset[str]:
        """The variables of a term that are not factors."""
        return frozenset(name for name in self.variables[label] if name not in self.encoding.coded)

    def containing(self, label: str, *, same_numbers: bool = True) -> list[str]:
        """The terms that contain a term: all its variables, and more factors.

        Args:
            same_numbers: their numeric variables must be the same, as in SAS and lmerTest; else any further variable
                counts, as in R's ``car::Anova``.
        """
        own = self.variables[label]
        return [
            other
            for other in self.labels
            if own < self.variables[other] and (not same_numbers or self.numeric(other) == self.numeric(label))
        ]

    def contrast(self, factor: str) -> Contrast:
        """The coding in force for a factor."""
        return self.encoding.coded[factor].coding(self.encoding.contrasts.get(factor))


def _shapes(encoding: Encoding) -> dict[str, Value]:
    """Stand-ins without rows for the variables that are no factors: one column, or those of a spline or polynomial."""
    names = [*encoding.x_names, *encoding.dropped]
    found: dict[str, Value] = {}
    for label in encoding.parsed.terms.labels:
        if label in encoding.coded:
            continue
        width = _width(label, names)
        suffixes = tuple(str(i + 1) for i in range(width))
        found[label] = Matrix(np.zeros((0, width)), suffixes) if width else np.zeros(0)
    return found


def _width(label: str, names: list[str]) -> int:
    """How many numbered columns a call such as ``poly(x, 2)`` has; 0 for a plain number."""
    if not label.endswith(")"):
        return 0
    numbered = re.compile(rf"(?:^|:){re.escape(label)}(\d+)(?=:|$)")
    return max((int(match) for name in names for match in numbered.findall(name)), default=0)
