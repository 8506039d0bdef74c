"""Counterfactual comparisons and average predictions: what changes when a variable changes (G-computation)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.frames import check_level
from jmix.results.inference.means.choose import Question, choose
from jmix.results.inference.means.engines import Engine
from jmix.results.inference.means.grid import Grid
from jmix.results.inference.means.marginal import (
    GridOptions,
    averaged_rows,
    call_of,
    cells_of,
    facts_of,
    grid_of,
    labels_of,
    named,
    noun_of,
)
from jmix.results.inference.means.means import Infer, Means, View
from jmix.results.inference.means.quantities import stack
from jmix.results.inference.means.rows import by_rows, constant, counterfactual
from jmix.results.inference.means.scales import IDENTITY, Scale
from jmix.results.inference.means.show import make
from jmix.results.inference.means.variables import Variable

FloatArray = npt.NDArray[np.float64]

FACTOR = ("reference", "pairwise", "sequential")
NUMBER = ("sd", "iqr", "minmax")
RATIO = Scale("ratio", np.exp, np.exp, "ratio")


@dataclass(frozen=True, eq=False)
class Change:
    """Two values of a variable: the label of their comparison, and functions of its column to new columns."""

    label: str
    low: Any
    high: Any
    shift: bool = False

    def column(self, variable: Variable, own: Any, *, high: bool) -> Any:
        """The variable's column with one of the two values."""
        value = self.high if high else self.low
        return np.asarray(own, dtype=np.float64) + value if self.shift else constant(variable, value, len(own))


def changes_of(variable: Variable, how: Any) -> list[Change]:
    """The comparisons that a user asks for.

    Raises:
        ModelError: a comparison that the variable does not have.
    """
    if variable.kind != "number":
        return _levels(variable, how)
    values = np.asarray(variable.values, dtype=np.float64)
    if isinstance(how, str):
        if how not in NUMBER:
            raise ModelError(
                f"{variable.name} is numeric: compare a number to add, {', '.join(map(repr, NUMBER))}, "
                f"or a pair (a, b), not {how!r}"
            )
        return [_spread(values, how)]
    if isinstance(how, tuple | list):
        if len(how) != 2:
            raise ModelError(f"{variable.name}: compare two values, (a, b), not {len(how)}")
        low, high = _number(variable, how[0]), _number(variable, how[1])
        return [Change(f"{high:g} - {low:g}", low, high)]
    step = _number(variable, 1.0 if how is None else how)
    if step == 0.0:
        raise ModelError(f"{variable.name}: 0 changes nothing; give another number to add")
    return [Change(f"{step:+g}", 0.0, step, shift=True)]


def _number(variable: Variable, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise ModelError(f"{variable.name} is numeric, and {value!r} is no number")
    return number


def _spread(values: FloatArray, how: str) -> Change:
    if how == "sd":
        half = 0.5 * float(values.std(ddof=1))
        return Change("sd", float(values.mean()) - half, float(values.mean()) + half)
    low, high = np.quantile(values, [0.25, 0.75]) if how == "iqr" else (values.min(), values.max())
    return Change("Q3 - Q1" if how == "iqr" else "max - min", float(low), float(high))


def _levels(variable: Variable, how: Any) -> list[Change]:
    levels = list(variable.levels)
    how = "reference" if how is None else how
    if isinstance(how, tuple | list):
        if len(how) != 2:
            raise ModelError(f"{variable.name}: compare two levels, (a, b), not {len(how)}")
        low, high = _pair(variable, how)
        return [Change(f"{_text(high)} - {_text(low)}", low, high)]
    if how not in FACTOR:
        raise ModelError(
            f"{variable.name} is a factor: compare {', '.join(map(repr, FACTOR))}, or a pair of levels, not {how!r}"
        )
    pairs = {
        "reference": [(levels[0], b) for b in levels[1:]],
        "sequential": list(pairwise(levels)),
        "pairwise": list(combinations(levels, 2)),
    }[how]
    if not pairs:
        raise ModelError(f"{variable.name} has one level only, so that there is nothing to compare")
    return [Change(f"{_text(b)} - {_text(a)}", a, b) for a, b in pairs]


def _pair(variable: Variable, how: Any) -> list[Any]:
    from jmix.results.inference.means.variables import Variables

    return Variables({variable.name: variable}, {}, 0).settle(variable.name, list(how))


def _text(level: Any) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


def _asked(variables: Any) -> dict[str, Any]:
    if isinstance(variables, Mapping):
        found = {str(name): how for name, how in variables.items()}
    else:
        found = dict.fromkeys(named(variables, "variables"))
    if not found:
        raise ModelError("comparisons need a variable: comparisons('treatment'), or a dict such as {'ses': 'sd'}")
    return found


def comparisons(
    model: Any,
    variables: Any,
    by: Any,
    options: GridOptions,
    question: Question,
    *,
    average: bool,
    ratio: bool,
    level: float,
    infer: Infer,
    adjust: str,
) -> Means:
    """The work behind ``MeansFace.comparisons``; arguments are described there."""
    check_level(level)
    asked, over = _asked(variables), named(by, "by")
    engine = choose(model, question).direct()
    parts, tables, facts = [], [], ["Averaged over the rows of the data."]
    for name, how in asked.items():
        variable = engine.variables[name]
        for change in changes_of(variable, how):
            if average:
                labels, low, high = _averaged(model, engine, variable, change, over, options)
            else:
                labels, low, high, facts = _on_grid(model, engine, variable, change, over, options)
            text = change.label.replace(" - ", " / ") if ratio and not change.shift else change.label
            tables.append(pd.concat([pd.DataFrame({"term": name, "contrast": text}, labels.index), labels], axis=1))
            parts.append(_compare(low, high, ratio=ratio))
    view = View(RATIO if ratio else IDENTITY, ratio, level, adjust, False, 2, infer, "comparison")
    view = replace(view, facts=tuple(facts), interval=question.interval)
    what = "ratios" if ratio else "differences"
    title = f"{'Average c' if average else 'C'}omparisons: {what} of the {question.type}"
    return make(pd.concat(tables, ignore_index=True), (), stack(parts), view, title, call_of(model))


def _compare(low: Any, high: Any, *, ratio: bool) -> Any:
    m = len(low)
    if ratio:
        low, high = (q.transform(np.log, lambda v: 1.0 / v) for q in (low, high))
    return stack([low, high]).combine(np.hstack([-np.eye(m), np.eye(m)]))


def _averaged(
    model: Any, engine: Engine, variable: Variable, change: Change, over: tuple[str, ...], options: GridOptions
) -> tuple[pd.DataFrame, Any, Any]:
    own = engine.variables.table()[variable.name]
    found = []
    for high in (False, True):
        column = change.column(variable, own, high=high)
        given = counterfactual(engine.variables, options.at)
        given = [
            (labels, {**columns, variable.name: _moved(change, column, columns, variable, high)})
            for labels, columns in given
        ]
        found.append(by_rows(engine, over, given))
    return found[0][0], found[0][1], found[1][1]


def _moved(change: Change, column: Any, columns: Mapping[str, Any], variable: Variable, high: bool) -> Any:
    """The column of the variable; where ``at`` gives it values too, a shift starts from these."""
    if change.shift and variable.name in columns:
        return change.column(variable, columns[variable.name], high=high)
    return column


def _on_grid(
    model: Any, engine: Engine, variable: Variable, change: Change, over: tuple[str, ...], options: GridOptions
) -> tuple[pd.DataFrame, Any, Any, list[str]]:
    if change.shift:
        base = np.asarray((options.at or {}).get(variable.name, np.mean(np.asarray(variable.values))), dtype=np.float64)
        if base.size != 1:
            raise ModelError(f"at: give one value of {variable.name} to start from, or a pair (a, b) to compare")
        change = replace(change, low=float(base), high=float(base) + change.high, shift=False)
    ends, grid = [], None
    for value in (change.low, change.high):
        at = {**(options.at or {}), variable.name: [value]}
        grid = grid_of(engine, cells_of(over, options), replace(options, at=at))
        ends.append(averaged_rows(engine, grid, options.weights))
    assert isinstance(grid, Grid)
    facts = [f for f in facts_of(model, grid) if not f.startswith(f"Held at: {variable.name} =")]
    return labels_of(grid, engine, ())[0], ends[0], ends[1], facts


def predictions(
    model: Any,
    by: Any,
    options: GridOptions,
    question: Question,
    *,
    average: bool,
    level: float,
    infer: Infer,
    adjust: str,
) -> Means:
    """The work behind ``MeansFace.predictions``; arguments are described there."""
    check_level(level)
    over = named(by, "by")
    engine = choose(model, question).direct()
    if average:
        labels, q = by_rows(engine, over, counterfactual(engine.variables, options.at))
        facts: tuple[str, ...] = ("Averaged over the rows of the data.",)
    else:
        grid = grid_of(engine, cells_of(over, options), options)
        q, labels, facts = (
            averaged_rows(engine, grid, options.weights),
            labels_of(grid, engine, ())[0],
            facts_of(model, grid),
        )
    families = ("category",) if engine.categories else ()
    size = len(labels) // max(len(engine.categories), 1)
    view = View(IDENTITY, False, level, adjust, False, size, infer, noun_of(model, question))
    view = replace(view, facts=facts, interval=question.interval)
    title = f"{'Average p' if average else 'P'}redictions ({question.type})"
    return make(labels, families, q, view, title, call_of(model))
