"""The predictors of a model: which are factors, which values they take, and the data as a table of raw columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.formula.functions import FACTOR_CALLS, plain_name
from jmix.formula.raw import as_column
from jmix.formula.syntax import Call, names_in, walk
from jmix.formula.values import Categories, labels_of

if TYPE_CHECKING:
    from jmix.design import Design

FloatArray = npt.NDArray[np.float64]

FEW = 2
"""Most values of a numeric variable that are all kept in the reference grid, as emmeans's ``cov.keep``."""


@dataclass(frozen=True, eq=False)
class Variable:
    """A column of the data that the model uses.

    Attributes:
        kind: "factor", "number", or "coded", numbers that the formula turns into a factor.
        values: the raw column, (n,) numbers or categories.
    """

    name: str
    kind: str
    values: FloatArray | Categories

    @cached_property
    def levels(self) -> tuple[Any, ...]:
        """The distinct values in the data: labels in the order of the factor, numbers sorted."""
        if isinstance(self.values, Categories):
            return tuple(self.values.used().levels)
        return tuple(np.unique(self.values).tolist())

    @property
    def logical(self) -> bool:
        """Whether it holds truth values."""
        return isinstance(self.values, Categories) and self.values.logical

    @property
    def by_level(self) -> bool:
        """Whether the reference grid has all its values: factors, and numbers with at most two of them."""
        return self.kind != "number" or len(self.levels) <= FEW

    def codes(self, levels: Sequence[Any]) -> npt.NDArray[np.int64]:
        """(n,) place of each row's value among ``levels``, -1 where it is none of them."""
        if isinstance(self.values, Categories):
            place = {label: i for i, label in enumerate(levels)}
            lookup = np.array([*(place.get(label, -1) for label in self.values.levels), -1])
            return np.asarray(lookup[self.values.codes], dtype=np.int64)
        own = np.asarray(levels, dtype=np.float64)
        order = np.argsort(own)
        found = np.clip(np.searchsorted(own[order], self.values), 0, len(own) - 1)
        return np.where(own[order][found] == self.values, order[found], -1).astype(np.int64)

    def column(self, values: Sequence[Any]) -> Any:
        """Values as a column that the encoding reads."""
        if self.kind == "factor":
            assert isinstance(self.values, Categories)
            if self.values.logical:
                return np.array([label == "TRUE" for label in values])
            known = self.values.levels
            return pd.Categorical(list(values), categories=pd.Index(known), ordered=self.values.ordered)
        return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Variables:
    """The variables of a model by name.

    Attributes:
        own: those of the formulas. groups: grouping factors, by which rows can be averaged.
        n: number of rows.
    """

    own: Mapping[str, Variable]
    groups: Mapping[str, Variable]
    n: int

    def __getitem__(self, name: str) -> Variable:
        """A variable of the formulas.

        Raises:
            ModelError: there is none, with the names there are.
        """
        if name in self.own:
            return self.own[name]
        if name in self.groups:
            raise ModelError(
                f"{name!r} is a grouping factor, whose effects are random; ranef() and coef() have them. "
                f"Choose among {self._listed()}"
            )
        raise ModelError(f"the fixed effects have no variable {name!r}. {self._near(name)}There are: {self._listed()}")

    def known(self, name: str) -> Variable:
        """A variable of the formulas, or a grouping factor.

        Raises:
            ModelError: there is none.
        """
        return self.groups[name] if name in self.groups and name not in self.own else self[name]

    def _listed(self) -> str:
        return ", ".join(map(repr, self.own)) or "none, the model has the intercept alone"

    def _near(self, name: str) -> str:
        near = [own for own in self.own if own.lower() == str(name).lower()]
        near = near or get_close_matches(str(name), list(self.own), 1, 0.6)
        return f"Did you mean {near[0]!r}? " if near else ""

    def table(self) -> dict[str, Any]:
        """The data as raw columns."""
        return {name: as_column(variable.values) for name, variable in self.own.items()}

    def settle(self, name: str, values: Any) -> list[Any]:
        """Values that the user gave for a variable, as labels or numbers.

        Raises:
            DataError: a level that the factor does not have, or no number for a numeric variable.
        """
        variable = self[name]
        given = [values] if isinstance(values, str) or np.ndim(values) == 0 else list(values)
        if not given:
            raise ModelError(f"{name}=[]: give at least one value")
        if variable.kind == "factor":
            return _labels(variable, given)
        try:
            numbers = [float(v) for v in given]
        except (TypeError, ValueError):
            raise DataError(
                f"{name} is numeric, and {given!r} are no numbers; factor({name}) makes it a factor"
            ) from None
        if not np.isfinite(numbers).all():
            raise DataError(f"{name}={given!r}: give finite numbers")
        unknown = [v for v in numbers if variable.kind == "coded" and v not in variable.levels]
        if unknown:
            raise DataError(
                f"the formula makes a factor of {name}, which has no level {unknown[0]:g}; "
                f"it has {_shown(variable.levels)}"
            )
        return numbers


def _labels(variable: Variable, given: Sequence[Any]) -> list[str]:
    labels = labels_of(given)
    known = set(variable.levels)
    unknown = [label for label in labels if label not in known]
    if unknown:
        near = get_close_matches(unknown[0], list(known), 1, 0.6)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(
            f"the factor {variable.name} has no level {unknown[0]!r}; {hint}it has {_shown(variable.levels)}"
        )
    return labels


def _shown(levels: Sequence[Any]) -> str:
    shown = ", ".join(f"{v:g}" if isinstance(v, float) else repr(v) for v in levels[:8])
    return shown + (", …" if len(levels) > 8 else "")


def variables_of(design: Design, sides: Sequence[Any] = ()) -> Variables:
    """The variables of a design, and of the one-sided formulas of a generalized model.

    Raises:
        DataError: the fit was saved by a version of jmix that did not keep them.
    """
    if design.columns is None:
        raise DataError(
            "this fit does not hold the columns of its data, which means and effects need: it was saved by an earlier "
            "version of jmix. Fit the model again"
        )
    encodings = [design.encoding, *(side.encoding for side in sides if side is not None)]
    coded = {name for encoding in encodings for name in _coded(encoding)}
    used = _used(design, encodings)
    own = {}
    for name in used:
        values = design.columns.get(name)
        if values is not None:
            kind = "factor" if isinstance(values, Categories) else "coded" if name in coded else "number"
            own[name] = Variable(name, kind, values)
    groups = {t.group: Variable(t.group, "factor", Categories(t.codes, list(t.levels))) for t in design.terms}
    return Variables(own, groups, design.y.size)


def _used(design: Design, encodings: Sequence[Any]) -> list[str]:
    names = [name for e in encodings for name in e.parsed.columns(response=False, random=False)]
    if design.encoding.offset_column is not None:
        names.append(design.encoding.offset_column)
    return list(dict.fromkeys([*names, *(design.columns or {})]))


def _coded(encoding: Any) -> list[str]:
    """Numeric columns that occur inside ``factor()`` and its like, and nowhere else."""
    parsed = encoding.parsed
    inside: dict[str, bool] = {}
    for node in parsed.terms.variables:
        for part in walk(node):
            if isinstance(part, Call) and plain_name(part.func) in FACTOR_CALLS:
                inside |= dict.fromkeys(names_in(part), True)
    return list(inside)
