"""Averages of predictions over the rows of the data, by group, and at values that every row is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.inference.means.engines import Engine
from jmix.results.inference.means.grid import checked_at
from jmix.results.inference.means.quantities import stack
from jmix.results.inference.means.variables import Variable, Variables

FloatArray = npt.NDArray[np.float64]
Change = tuple[dict[str, Any], dict[str, Any]]


def counterfactual(variables: Variables, at: Mapping[str, Any] | None) -> list[Change]:
    """For each combination of the values in ``at``: its labels, and the columns that every row is given."""
    given = {name: variables.settle(name, values) for name, values in checked_at(at).items()}
    found = []
    for values in product(*given.values()):
        labels = dict(zip(given, values, strict=True))
        found.append((labels, {n: constant(variables[n], v, variables.n) for n, v in labels.items()}))
    return found


def constant(variable: Variable, value: Any, n: int) -> Any:
    """One value as a column of n rows."""
    return variable.column([value])[np.zeros(n, dtype=np.int64)]


def groups_of(variables: Variables, by: tuple[str, ...]) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """The combinations of values in the data that occur, and the (n,) combination of each row."""
    if not by:
        return pd.DataFrame(index=range(1)), np.zeros(variables.n, dtype=np.int64)
    own = [variables.known(name) for name in by]
    codes = np.stack([v.codes(v.levels) for v in own])
    seen, inverse = np.unique(codes[::-1], axis=1, return_inverse=True)
    labels = {v.name: [v.levels[i] for i in place] for v, place in zip(own, seen[::-1], strict=True)}
    return pd.DataFrame(labels), np.asarray(inverse, dtype=np.int64).reshape(-1)


def by_rows(engine: Engine, by: tuple[str, ...], changes: list[Change]) -> tuple[pd.DataFrame, Any]:
    """Averages over the rows of each group, for each of the changes."""
    variables = engine.variables
    labels, codes = groups_of(variables, by)
    weights = np.ones(variables.n)
    parts, tables = [], []
    for named, columns in changes:
        parts.append(engine.average({**variables.table(), **columns}, codes, weights, len(labels)))
        tables += list(_labelled(labels, named, engine))
    return pd.concat(tables, ignore_index=True), stack(parts)


def _labelled(labels: pd.DataFrame, named: Mapping[str, Any], engine: Engine) -> Iterator[pd.DataFrame]:
    for category in engine.categories or (None,):
        own = labels.assign(**named)
        yield own if category is None else own.assign(category=category)
