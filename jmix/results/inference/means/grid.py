"""The reference grid: combinations of factor levels and typical values over which predictions are averaged.

Factors and numbers with two values are at all their values, other numbers at their mean, as emmeans's ``ref_grid``
(Searle, Speed & Milliken 1980, Am. Stat. 34(4), 216-221).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.means.variables import Variable, Variables

FloatArray = npt.NDArray[np.float64]
Reduce = Callable[[Any], Any] | Mapping[str, Callable[[Any], Any]] | None

WEIGHTS = ("equal", "proportional", "outer", "cells", "flat")
LARGEST = 1_000_000
"""Most rows of a reference grid."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A reference grid whose rows are ordered by cell, the averaged-over combinations within.

    Attributes:
        over: names of the variables of the cells. levels: values of every variable, those of ``over`` first.
        at: variables whose values were given. nested: factors and those that they are nested in.
    """

    variables: Variables
    over: tuple[str, ...]
    levels: Mapping[str, Sequence[Any]]
    at: frozenset[str]
    nested: Mapping[str, tuple[str, ...]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each variable."""
        return tuple(len(v) for v in self.levels.values())

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def cells(self) -> int:
        """Number of combinations of the values of ``over``."""
        return int(np.prod(self.shape[: len(self.over)], dtype=np.int64))

    @property
    def averaged(self) -> tuple[str, ...]:
        """Variables with several values that are averaged over."""
        return tuple(n for n, v in self.levels.items() if n not in self.over and len(v) > 1)

    @cached_property
    def places(self) -> npt.NDArray[np.int64]:
        """(variables, rows) place of each row's value; within cells the first variable of ``over`` runs fastest."""
        k = len(self.over)
        sizes = self.shape
        cells = np.indices(sizes[:k][::-1]).reshape(k, -1)[::-1] if k else np.zeros((0, 1), dtype=np.int64)
        rest = np.indices(sizes[k:]).reshape(len(sizes) - k, -1) if len(sizes) > k else np.zeros((0, 1), dtype=np.int64)
        return np.concatenate([np.repeat(cells, rest.shape[1], axis=1), np.tile(rest, (1, cells.shape[1]))])

    def table(self) -> dict[str, Any]:
        """The rows as raw columns."""
        out = {}
        for place, (name, values) in zip(self.places, self.levels.items(), strict=True):
            out[name] = self.variables[name].column([values[i] for i in place])
        return out

    def labels(self) -> pd.DataFrame:
        """One row a cell: the values of ``over``."""
        step = self.size // max(self.cells, 1)
        first = self.places[:, ::step] if self.size else self.places
        columns = {
            name: [self.levels[name][i] for i in place]
            for name, place in zip(self.levels, first, strict=True)
            if name in self.over
        }
        labels = pd.DataFrame({name: columns[name] for name in self.over}, index=range(self.cells))
        return labels.iloc[self.cells_kept].reset_index(drop=True)

    # --- frequencies ------------------------------------------------------------------------------------------------
    @property
    def counted(self) -> tuple[str, ...]:
        """Variables whose combinations are counted in the data: those at all their values."""
        return tuple(n for n in self.levels if self.variables[n].by_level and (n not in self.at or self._coded(n)))

    def _coded(self, name: str) -> bool:
        return self.variables[name].kind != "number"

    @cached_property
    def frequency(self) -> FloatArray:
        """(rows,) number of rows of the data that have a row's combination of factor levels."""
        if not self.counted:
            return np.ones(self.size)
        total = self._frequencies(self.counted)
        at = [list(self.levels).index(n) for n in self.counted]
        return np.asarray(total[tuple(self.places[at])])

    def _frequencies(self, names: Sequence[str]) -> FloatArray:
        """Rows of the data by combination of the values of some variables."""
        sizes = [len(self.levels[n]) for n in names]
        codes = np.stack([self.variables[n].codes(self.levels[n]) for n in names])
        inside = (codes >= 0).all(axis=0)
        flat = np.ravel_multi_index(tuple(codes[:, inside]), sizes)
        total = np.bincount(flat, minlength=int(np.prod(sizes)))
        return np.asarray(total.reshape(sizes), dtype=np.float64)

    @cached_property
    def exists(self) -> npt.NDArray[np.bool_]:
        """(rows,) whether a row has each nested factor within a combination that occurs in the data."""
        keep = np.ones(self.size, dtype=np.bool_)
        for inner, outer in self.nested.items():
            if {inner, *outer} <= set(self.levels):
                names = [inner, *outer]
                total = self._frequencies(names)
                keep &= total[tuple(self.places[[list(self.levels).index(n) for n in names]])] > 0
        return keep

    @cached_property
    def cells_kept(self) -> npt.NDArray[np.int64]:
        """The cells that hold a combination of nested factors that occurs."""
        return np.flatnonzero(self.exists.reshape(self.cells, -1).any(axis=1))

    # --- averaging --------------------------------------------------------------------------------------------------
    def weights(self, kind: Any) -> FloatArray:
        """(cells, rows / cells) weights that add up to one in each cell; NaN in a cell without any.

        Args:
            kind: a name in ``WEIGHTS``, or one number for each combination averaged over, the last variable fastest.

        Raises:
            ModelError: another name, or the wrong number of weights.
        """
        shape = (self.cells, self.size // max(self.cells, 1))
        frequency = self.frequency.reshape(shape)
        if not isinstance(kind, str):
            raw = np.broadcast_to(self._given(kind, shape[1]), shape)
        elif kind not in WEIGHTS:
            raise ModelError(f"weights={kind!r}: choose {', '.join(map(repr, WEIGHTS))}, or give numbers")
        elif kind == "equal":
            raw = np.ones(shape)
        elif kind == "proportional":
            raw = np.broadcast_to(frequency.sum(axis=0), shape)
        elif kind == "outer":
            raw = np.broadcast_to(self._outer(frequency.sum(axis=0)), shape)
        else:
            raw = frequency if kind == "cells" else (frequency > 0).astype(np.float64)
        raw = raw * self.exists.reshape(shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(raw / raw.sum(axis=1, keepdims=True))

    def _given(self, kind: Any, count: int) -> FloatArray:
        try:
            values = np.asarray(kind, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            values = np.zeros(0)
        if values.size != count or not np.isfinite(values).all() or (values < 0).any() or values.sum() <= 0:
            over = " x ".join(f"{n} ({len(self.levels[n])})" for n in self.averaged) or "one combination"
            raise ModelError(f"weights: give {count} positive numbers, for the combinations of {over}, or a name")
        return values

    def _outer(self, total: FloatArray) -> FloatArray:
        table = total.reshape(self.shape[len(self.over) :])
        out = np.ones(())
        for axis in range(table.ndim):
            out = np.multiply.outer(out, table.sum(axis=tuple(i for i in range(table.ndim) if i != axis)))
        return np.asarray(out).reshape(-1)


def make_grid(
    variables: Variables,
    over: Sequence[str],
    at: Mapping[str, Any] | None,
    cov_reduce: Reduce,
    *,
    nesting: bool = True,
) -> Grid:
    """The reference grid of a model.

    Args:
        over: variables of the cells. at: values by variable. cov_reduce: the typical value of a number, by default the
            mean; a function of the (n,) values, or one by name. It may give several values.
        nesting: find factors that are nested in others.

    Raises:
        ModelError: unknown variables or options. DataError: levels that do not exist.
    """
    at = checked_at(at)
    given = {name: variables.settle(name, values) for name, values in at.items()}
    for name in over:
        variables[name]
    levels = {n: given[n] if n in given else _levels(v, cov_reduce) for n, v in variables.own.items()}
    nested = find_nests(variables, levels, frozenset(given)) if nesting else {}
    order = list(dict.fromkeys(over))
    order += [o for name in order for o in nested.get(name, ()) if o not in order]
    order = list(dict.fromkeys(order))
    ordered = {n: levels[n] for n in [*order, *(n for n in levels if n not in order)]}
    grid = Grid(variables, tuple(order), ordered, frozenset(given), nested)
    if grid.size > LARGEST:
        wide = sorted(levels, key=lambda n: -len(levels[n]))[:3]
        raise ModelError(
            f"the reference grid would have {grid.size:,} rows: "
            f"{', '.join(f'{n} has {len(levels[n])} values' for n in wide)}; "
            "fix some of them with at={...}, or average over the data with predictions()"
        )
    return grid


def checked_at(at: Any) -> Mapping[str, Any]:
    """The values by variable, empty where none are given.

    Raises:
        ModelError: no dict.
    """
    if at is None:
        return {}
    if not isinstance(at, Mapping):
        raise ModelError("at= takes a dict of values by variable, such as {'Days': [0, 5, 9]}")
    return at


def _levels(variable: Variable, reduce: Reduce) -> Sequence[Any]:
    if variable.kind != "number":
        return variable.levels
    own = reduce.get(variable.name) if isinstance(reduce, Mapping) else reduce
    if own is None:
        return variable.levels if variable.by_level else (float(np.mean(np.asarray(variable.values))),)
    if not callable(own):
        raise ModelError(f"cov_reduce: give a function such as numpy.median, not {own!r}")
    if variable.by_level and not isinstance(reduce, Mapping):
        return variable.levels
    return [float(v) for v in np.atleast_1d(own(np.asarray(variable.values)))]


def find_nests(
    variables: Variables, levels: Mapping[str, Sequence[Any]], fixed: frozenset[str]
) -> dict[str, tuple[str, ...]]:
    """Factors each of whose levels occurs with only one level of another, by name, and those others."""
    names = [n for n, v in levels.items() if variables[n].by_level and len(v) > 1]
    names = [n for n in names if variables[n].kind != "number" or n not in fixed]
    found: dict[str, tuple[str, ...]] = {}
    codes = {n: variables[n].codes(levels[n]) for n in names}
    for inner, outer in product(names, names):
        if inner == outer or inner in found.get(outer, ()) or len(levels[inner]) <= len(levels[outer]):
            continue
        inside = (codes[inner] >= 0) & (codes[outer] >= 0)
        pairs = np.unique(np.stack([codes[inner][inside], codes[outer][inside]]), axis=1)
        if pairs.shape[1] == len(np.unique(pairs[0])):
            found[inner] = (*found.get(inner, ()), outer)
    return found
