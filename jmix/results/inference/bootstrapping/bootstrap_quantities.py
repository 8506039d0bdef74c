"""Quantities that a bootstrap evaluates on every replicate: functions of a fit, by their names or by themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError

FloatArray = npt.NDArray[np.float64]
Quantity = Callable[[Any], Any]

BUILT_IN: dict[str, Quantity] = {
    "icc": lambda fit: _estimates(fit.icc()),
    "r2": lambda fit: _estimates(fit.r2()),
    "variance_decomposition": lambda fit: _estimates(fit.variance_decomposition()),
}
"""Names that stand for effect sizes of a fit."""


@dataclass
class Derived:
    """Quantities beside the parameters.

    Attributes:
        functions: each takes a fit and gives a number, a mapping, a Series or a 1-D array. names: of what they gave
            for the observed fit. observed: the numbers. failures: first words of what went wrong on a replicate, and
            how often.
    """

    functions: list[tuple[str, Quantity]]
    observed: pd.Series
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """What each number is called."""
        return [str(name) for name in self.observed.index]

    def of(self, fit: Any) -> FloatArray:
        """The numbers of a replicate; NaN for those of a function that fails on it, or gives others than before."""
        values = np.full(len(self.observed), np.nan)
        for name, function in self.functions:
            try:
                own = as_series(name, function(fit))
            except Exception as error:  # a replicate on which a function of the user's fails is told in the notes
                text = f"{name}: {type(error).__name__}: {error}"
                self.failures[text] = self.failures.get(text, 0) + 1
                continue
            place = self.observed.index.get_indexer(own.index)
            values[place[place >= 0]] = own.to_numpy(dtype=np.float64)[place >= 0]
        return values


def derived(fit: Any, fn: Any) -> Derived:
    """What ``fn`` asks for, evaluated on the observed fit.

    Raises:
        ModelError: something that is neither a function nor one of the names, or a function that gives no numbers.
    """
    if fn is None:
        return Derived([], pd.Series([], index=pd.Index([], dtype=object), dtype=np.float64))
    asked = list(fn) if isinstance(fn, Sequence) and not isinstance(fn, str) else [fn]
    functions = []
    for one in asked:
        if isinstance(one, str) and one in BUILT_IN:
            functions.append((one, BUILT_IN[one]))
        elif callable(one):
            name = getattr(one, "__name__", "fn")
            functions.append(("fn" if name == "<lambda>" else name, one))
        else:
            raise ModelError(
                f"fn={one!r}: give a function of a fit, or one of {', '.join(map(repr, BUILT_IN))}, or a list of these"
            )
    observed = [as_series(name, function(fit)) for name, function in functions]
    joined = pd.concat(observed) if observed else pd.Series([], dtype=np.float64)
    if joined.index.has_duplicates:
        twice = sorted(set(joined.index[joined.index.duplicated()]))
        raise ModelError(f"two quantities of the bootstrap have the same name: {', '.join(map(repr, twice))}")
    return Derived(functions, joined)


def as_series(name: str, value: Any) -> pd.Series:
    """A number, a mapping, a Series or a 1-D array as named numbers.

    Raises:
        ModelError: anything else.
    """
    if isinstance(value, Mapping):
        value = pd.Series(dict(value))
    if isinstance(value, pd.Series):
        labels = [str(" ".join(map(str, i))) if isinstance(i, tuple) else str(i) for i in value.index]
        named = pd.Series(value.to_numpy(), index=labels)
    else:
        array = np.asarray(value)
        if array.ndim > 1:
            raise ModelError(f"{name} gives an array of shape {array.shape}; the bootstrap takes one dimension")
        labels = [name] if array.ndim == 0 else [f"{name}[{i}]" for i in range(array.size)]
        named = pd.Series(np.atleast_1d(array), index=labels)
    try:
        return named.astype(np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"{name} must give numbers: one, a dict, a Series or a 1-D array of them") from None


def _estimates(report: Any) -> pd.Series:
    """The numbers of a printed table: named by row, and by column where there are several."""
    table = getattr(report, "table", report)
    if not isinstance(table, pd.DataFrame):
        return as_series("value", table)
    labels = [" ".join(map(str, i)) if isinstance(i, tuple) else str(i) for i in table.index]
    numeric = [c for c in table.columns if pd.api.types.is_numeric_dtype(table[c])]
    if "estimate" in numeric:
        return pd.Series(table["estimate"].to_numpy(dtype=np.float64), index=labels)
    wide = {f"{label} {c}": float(table[c].iloc[i]) for i, label in enumerate(labels) for c in numeric}
    return pd.Series(wide, dtype=np.float64)
