"""The cells of the items: slopes and own parameters, block by block, with the identification that each type needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.items.kinds import kind_of
from jmix.spec.irt.cells import Cells, IntArray
from jmix.spec.irt.itemtypes import ItemType
from jmix.spec.irt.loadings import Loadings

BoolArray = npt.NDArray[np.bool_]

ASYMPTOTES = {"c": (-np.inf, -1.7346), "u": (np.inf, 1.7346)}
"""Of the logits of the lower and upper asymptote: where there is none, and the start, 0.15 and 0.85."""


class DraftBlock(NamedTuple):
    """A block of items before the numbers have their final places: slopes (G, Jb, D) and own (G, Jb, m) cells."""

    kind: str
    columns: IntArray
    n_categories: int
    slopes: IntArray
    own: IntArray


def add_items(
    cells: Cells, types: Sequence[ItemType], categories: Sequence[int], loadings: Loadings, separate: BoolArray
) -> list[DraftBlock]:
    """Cells of all items.

    Args:
        types, categories: (J,). separate: (J,) whether each group has its own numbers for the item.

    Raises:
        ModelError: a rating scale item on several factors.
    """
    order: dict[tuple[str, int], list[int]] = {}
    for j, (item_type, k) in enumerate(zip(types, categories, strict=True)):
        k = max(k, 2)
        order.setdefault((item_type.two if k == 2 else item_type.many, k), []).append(j)
    blocks = [
        _block(cells, kind, k, np.array(columns), types, loadings, separate) for (kind, k), columns in order.items()
    ]
    _common_slopes(cells, types, loadings)
    return blocks


def _block(
    cells: Cells,
    kind: str,
    n_categories: int,
    columns: IntArray,
    types: Sequence[ItemType],
    loadings: Loadings,
    separate: BoolArray,
) -> DraftBlock:
    own_group = separate[columns]
    one = np.array([types[j].slope == "one" for j in columns])
    slopes = []
    for k in range(len(loadings.factors)):
        loads = loadings.pattern[columns, k]
        start = np.where(loads, _slope_start(k, one, columns, loadings), 0.0)
        slopes.append(cells.add(f"a{k + 1}", columns, start, loads & ~one, own_group))
    if loadings.testlet:
        _equal_testlet_slopes(slopes, columns, loadings, cells)
    stacked = np.stack(slopes, axis=2)
    if kind in ("rsm", "grsm"):
        own = _rating_scale(cells, kind, n_categories, columns, loadings, own_group, stacked)
    else:
        own = _own(cells, kind, n_categories, columns, types, own_group)
    return DraftBlock(kind, columns, n_categories, stacked, own)


def _slope_start(k: int, one: BoolArray, columns: IntArray, loadings: Loadings) -> Any:
    """One; of further factors of an exploratory model signs that alternate, for equal slopes are a saddle point."""
    if k == 0 or not loadings.exploratory:
        return np.ones(one.size)
    return np.where(one, 1.0, 0.5 * np.where((columns // k) % 2 == 0, 1.0, -1.0))


def _equal_testlet_slopes(slopes: list[IntArray], columns: IntArray, loadings: Loadings, cells: Cells) -> None:
    assert loadings.specific is not None
    for at, j in enumerate(columns):
        k = int(loadings.specific[j])
        if k > 0:
            for g in range(slopes[0].shape[0]):
                cells.merge([slopes[0][g, at], slopes[k][g, at]])


def _own(
    cells: Cells, kind: str, n_categories: int, columns: IntArray, types: Sequence[ItemType], separate: BoolArray
) -> IntArray:
    found = []
    ordered = kind == "graded"
    names = kind_of(kind).names(n_categories)
    for name in names:
        value: Any = 0.0
        free: Any = True
        param = name
        if kind == "logistic4" and name in ASYMPTOTES:
            free = np.array([types[j].lower if name == "c" else types[j].upper for j in columns])
            none, start = ASYMPTOTES[name]
            value, param = np.where(free, start, none), f"logit({name})"
        elif name.startswith("ak"):
            value, free = float(name[2:]), int(name[2:]) < n_categories - 1
        elif ordered:
            value = (n_categories / 2 - int(name[1:])) * (3.0 / n_categories)
        found.append(cells.add(param, columns, value, free, separate))
    return np.stack(found, axis=2)


def _rating_scale(
    cells: Cells,
    kind: str,
    n_categories: int,
    columns: IntArray,
    loadings: Loadings,
    separate: BoolArray,
    slopes: IntArray,
) -> IntArray:
    """Thresholds tied over the items, the location of the first item of each set of thresholds at zero, the slope."""
    wide = np.flatnonzero(loadings.pattern[columns].sum(axis=1) != 1)
    if wide.size:
        raise ModelError(
            f"item '{cells.items[columns[wide[0]]]}' is of type {kind} and loads on several factors; rating scale "
            "items have one. Use 'gpcm' or 'graded'"
        )
    sign = 1.0 if kind == "rsm" else -1.0
    found = []
    for k in range(1, n_categories):
        b = cells.add(f"b{k}", columns, sign * (k - n_categories / 2) * (2.0 / n_categories), True, separate)
        for row in b:
            cells.merge(row)
        found.append(b)
    locations = cells.add("c", columns, 0.0, True, separate)
    _, first = np.unique(cells.tie[found[0][:, 0]], return_index=True)
    cells.fix(locations[first, 0])
    found.append(locations)
    factor = loadings.pattern[columns].argmax(axis=1)
    found.append(slopes[:, np.arange(columns.size), factor])
    return np.stack(found, axis=2)


def _common_slopes(cells: Cells, types: Sequence[ItemType], loadings: Loadings) -> None:
    common = np.array([item_type.slope == "common" for item_type in types])
    if not common.any():
        return
    for k in range(len(loadings.factors)):
        columns = np.flatnonzero(common & loadings.pattern[:, k])
        for row in cells.place[f"a{k + 1}"][:, columns]:
            cells.merge(row)
