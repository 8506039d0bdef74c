"""Slopes: derivatives of predictions in a numeric variable, on a reference grid or averaged over the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.results.frames import check_level
from jmix.results.inference.means.choose import Question, choose
from jmix.results.inference.means.engines import Engine
from jmix.results.inference.means.marginal import (
    GridOptions,
    averaged_rows,
    call_of,
    cells_of,
    facts_of,
    grid_of,
    labels_of,
    named,
)
from jmix.results.inference.means.means import Infer, Means, View
from jmix.results.inference.means.quantities import stack
from jmix.results.inference.means.rows import by_rows, counterfactual
from jmix.results.inference.means.show import make
from jmix.results.inference.means.variables import Variables

FloatArray = npt.NDArray[np.float64]

STENCIL = ((1, 3.0 / 4.0), (2, -3.0 / 20.0), (3, 1.0 / 60.0))
"""Central differences of order six, exact for polynomials to degree six and for cubic splines on their knots."""

STEPS = (1e-4, 1e-6, 1e-8)
"""Steps as shares of the range of the variable; shorter ones where the formula is undefined at the longer."""

RELATIVE = 1e-2
"""Longest step, as a share of its value, for a variable that is positive throughout, such as one in ``log(x)``."""


class SlopeEngine(Engine):
    """Derivatives of another engine's rows in a variable."""

    def __init__(self, inner: Engine, name: str) -> None:
        self.inner, self.name, self.categories, self.part = inner, name, inner.categories, inner.part
        self.width = 6 * inner.width
        values = np.asarray(_numeric(inner.variables, name), dtype=np.float64)
        self.range, self.positive = float(np.ptp(values)), bool(values.min() > 0)
        if self.range == 0.0:
            raise ModelError(f"{name} has one value only, so that it has no slope")

    def reference_offset(self, moved: frozenset[str]) -> float | None:
        """As of the other engine, with the variable of the slope among those moved."""
        return self.inner.reference_offset(moved | {self.name})

    def rows(self, table: Mapping[str, Any], n: int, offset: FloatArray | None = None) -> Any:
        """Slopes of n rows."""
        x = np.broadcast_to(np.asarray(table[self.name], dtype=np.float64), (n,))
        trouble: DataError | None = None
        for share in STEPS:
            step = np.full(n, share * self.range)
            if self.positive:
                step = np.minimum(step, RELATIVE * np.abs(x))
            try:
                return self._difference(table, n, offset, x, step)
            except DataError as error:
                trouble = error
        raise ModelError(f"the slope in {self.name} does not exist at these values: {trouble}")

    def _difference(
        self, table: Mapping[str, Any], n: int, offset: FloatArray | None, x: FloatArray, step: FloatArray
    ) -> Any:
        copies = max(len(self.categories), 1)
        total: Any = None
        for k, weight in STENCIL:
            high, low = x + k * step, x - k * step
            parts = [self.inner.rows({**table, self.name: at}, n, offset) for at in (high, low)]
            share = np.tile(weight * 2.0 * k / (high - low), copies)
            found = difference(parts[0], parts[1], share)
            total = found if total is None else plus(total, found)
        return total


def difference(high: Any, low: Any, share: FloatArray) -> Any:
    """``share (high - low)``, quantity by quantity."""
    if hasattr(high, "draws"):
        return replace(high, gap=(high.gap - low.gap) * share[:, None], draws=(high.draws - low.draws) * share)
    return replace(
        high,
        gap=(high.gap - low.gap) * share[:, None],
        raw=(high.raw - low.raw) * share,
        jacobian=(high.jacobian - low.jacobian) * share[:, None],
    )


def plus(one: Any, other: Any) -> Any:
    """Sums, quantity by quantity."""
    ones = np.ones(len(one))
    return difference(one, replace_sign(other), ones)


def replace_sign(q: Any) -> Any:
    """The negatives."""
    if hasattr(q, "draws"):
        return replace(q, gap=-q.gap, draws=-q.draws)
    return replace(q, gap=-q.gap, raw=-q.raw, jacobian=-q.jacobian)


def _numeric(variables: Variables, name: str) -> Any:
    variable = variables[name]
    if variable.kind == "factor":
        raise ModelError(
            f"{name} is a factor, which has no slope; compare its levels with means({name!r}).pairs() or "
            f"comparisons({name!r})"
        )
    if variable.kind == "coded":
        raise ModelError(f"the formula makes a factor of {name}, so that it has no slope; use means({name!r})")
    return variable.values


def slopes(
    model: Any,
    variable: Any,
    by: Any,
    options: GridOptions,
    question: Question,
    *,
    average: bool,
    level: float,
    infer: Infer,
    adjust: str,
) -> Means:
    """The work behind ``MeansFace.slopes``; arguments are described there."""
    check_level(level)
    names = named(variable, "variable")
    if not names:
        raise ModelError("slopes need the name of a numeric variable")
    over = cells_of(named(by, "by"), options)
    engine = choose(model, question).direct()
    parts, labels, facts = [], [], []
    for name in names:
        own = SlopeEngine(engine, name)
        q, label, facts = (_averaged if average else _on_grid)(model, own, over, options)
        parts.append(q)
        labels.append(label if len(names) == 1 else label.assign(term=name)[["term", *label.columns]])
    table = pd.concat(labels, ignore_index=True)
    by_columns = tuple(n for n in ("term", "category") if n in table)
    view = View(level=level, adjust=adjust, means=len(parts[0]), infer=infer, noun="slope")
    view = replace(view, facts=tuple(facts), interval=question.interval)
    title = f"{'Average s' if average else 'S'}lopes of {', '.join(names)}" + _scale(question)
    return make(table, by_columns, stack(parts), view, title, call_of(model))


def _scale(question: Question) -> str:
    return "" if question.type == "link" else f" ({question.type})"


def _on_grid(model: Any, engine: SlopeEngine, over: tuple[str, ...], options: GridOptions) -> Any:
    grid = grid_of(engine, over, options)
    q = averaged_rows(engine, grid, options.weights)
    return q, labels_of(grid, engine, ())[0], list(facts_of(model, grid))


def _averaged(model: Any, engine: SlopeEngine, over: tuple[str, ...], options: GridOptions) -> Any:
    by = tuple(n for n in over if n not in (options.at or {}))
    labels, quantities = by_rows(engine, by, counterfactual(engine.variables, options.at))
    return quantities, labels, ["Averaged over the rows of the data."]
