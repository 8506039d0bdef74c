"""The user's constraints, fixed values, starts and priors, put on the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.spec.irt.cells import SHARED, Cells, IntArray
from jmix.spec.irt.frame import apply_frame
from jmix.spec.irt.instructions import apply_instructions
from jmix.spec.irt.loadings import Loadings
from jmix.spec.irt.names import PROBABILITIES, Selector
from jmix.spec.irt.prior_options import add_priors


def apply_options(
    selector: Selector,
    loadings: Loadings,
    *,
    equal: Sequence[Any] | None,
    fixed: Any,
    start: Mapping[Any, Any] | None,
    free: Sequence[Any],
    parameters: Any,
    priors: Any,
) -> None:
    """Commands of the model text first, then constraints, values and priors; see ``build_spec``."""
    apply_instructions(selector, loadings)
    for entry in _entries(equal):
        tie(selector, entry, loadings)
    if isinstance(fixed, pd.DataFrame):
        fix_frame(selector, fixed)
    else:
        _fix(selector, fixed)
    for key, value in (start or {}).items():
        found = selector(key, "start")
        _checked_start(selector.cells, found.cells, key, value)
        selector.cells.start(found.cells, found.value(_sized(value, found.cells, key, "start")))
    for key in free:
        found = selector(key, "free")
        _release(selector.cells, found.cells)
    if parameters is not None:
        apply_frame(selector, parameters)
    add_priors(selector, priors)


def _entries(equal: Any) -> list[Any]:
    if equal is None:
        return []
    return [equal] if isinstance(equal, str) else list(equal)


def tie(selector: Selector, entry: Any, loadings: Loadings, what: str = "equal") -> None:
    """Make parameters equal: those of one name, or those of a list of names."""
    several = isinstance(entry, list | set | frozenset) or (isinstance(entry, tuple) and not _is_pair(entry))
    keys = list(entry) if several else [entry]
    cells = np.unique(np.concatenate([selector(key, what).cells for key in keys]))
    if not several or len(keys) == 1:
        cells = cells[~_structural(selector.cells, cells, loadings)]
    if cells.size < 2:
        raise ModelError(f"{what}: {entry!r} means a single parameter; name at least two to make them equal")
    model = selector.cells
    latent = any(model.params[p] in model.latent for p in model.param[cells])
    if latent or any(isinstance(key, str) and "|" in key for key in keys):
        model.merge(cells)
        return
    for g in range(len(model.groups)):
        model.merge(cells[np.isin(model.group[cells], (g, SHARED))])


def _is_pair(entry: tuple[Any, ...]) -> bool:
    """Whether ("a1", items) is meant and not two names of parameters."""
    if len(entry) != 2:
        return False
    second = entry[1]
    return not isinstance(second, str) or "[" not in second


def _structural(model: Cells, cells: IntArray, loadings: Loadings) -> Any:
    """Slopes of items that do not load on the factor."""
    slopes = {f"a{k + 1}": k for k in range(len(loadings.factors))}
    out = np.zeros(cells.size, dtype=np.bool_)
    for i, cell in enumerate(cells):
        k = slopes.get(model.params[model.param[cell]])
        out[i] = k is not None and not loadings.pattern[model.item[cell], k]
    return out


def _fix(selector: Selector, fixed: Any) -> None:
    if fixed is None:
        return
    if not isinstance(fixed, Mapping):
        raise ModelError("fixed is a dict such as {'a1[Item.1]': 1.0}, or a frame of items by parameters")
    for key, value in fixed.items():
        found = selector(key, "fixed")
        selector.cells.fix(found.cells, found.value(_sized(value, found.cells, key, "fixed")))


def fix_frame(selector: Selector, frame: pd.DataFrame) -> None:
    """Fix parameters of the items in the index of a frame with columns such as a1, d, c; missing values are skipped."""
    names = [str(c) for c in frame.columns]
    known = {*selector.cells.place, "a", "c", "u", "g"} - selector.cells.latent
    columns = [c for c in names if c in known and not (c == "a" and "a1" in names)]
    if not columns:
        raise ModelError(f"fixed: the frame has none of the columns {', '.join(sorted(known))}")
    places = {item: j for j, item in enumerate(selector.cells.items)}

    def has(column: str, item: Any) -> bool:
        """Whether the item has that asymptote; 0 and 1 are none."""
        where = selector.cells.place.get(PROBABILITIES[column])
        return where is not None and item in places and bool(where[0, places[item]] >= 0)

    for item, row in zip(frame.index, frame[columns].to_numpy(dtype=np.float64), strict=True):
        for column, value in zip(columns, row, strict=True):
            if np.isnan(value) or (column in PROBABILITIES and value in (0.0, 1.0) and not has(column, item)):
                continue
            found = selector((column, [item]), "fixed")
            selector.cells.fix(found.cells, found.value(value))


def _release(model: Cells, cells: IntArray) -> None:
    """Estimate cells; an asymptote that was none, and so infinite, starts at 0.15 or 0.85."""
    inside = np.where(model.value[cells] > 0, 1.7346, -1.7346)
    model.value[cells] = np.where(np.isfinite(model.value[cells]), model.value[cells], inside)
    model.release(cells)


def _sized(value: Any, cells: IntArray, key: Any, what: str) -> Any:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim and array.shape != (cells.size,):
        raise ModelError(f"{what}: '{key}' means {cells.size} parameters, but has {array.size} values; give one or all")
    if np.isnan(array).any():
        raise ModelError(f"{what}: the value of '{key}' is missing")
    return array


def _checked_start(model: Cells, cells: IntArray, key: Any, value: Any) -> None:
    if not model.free[cells].any():
        raise ModelError(
            f"start: '{key}' is fixed, not estimated; use fixed= to change its value, or free= to release it"
        )
    if not np.isfinite(np.asarray(value, dtype=np.float64)).all():
        raise ModelError(f"start: '{key}' must be finite")
