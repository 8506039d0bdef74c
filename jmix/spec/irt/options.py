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
        _checked_start(selector.cells, found.cells, key)
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
    """Fix slopes, intercepts, scoring factors and asymptotes of the items in the index of a frame as ``items()`` gives.

    Missing values are skipped, and asymptotes 0 and 1 of items that have none.
    """
    model = selector.cells
    places = {item: j for j, item in enumerate(model.items)}
    unknown = [item for item in frame.index if item not in places]
    if unknown:
        raise ModelError(f"fixed: the frame's index holds '{unknown[0]}', which is not an item")
    columns = np.array([places[item] for item in frame.index], dtype=np.int64)
    if "b1" in model.place and (model.place["b1"][0, columns] >= 0).any():
        raise ModelError("fixed: rating scale items share their thresholds; fix those by name, as {'b1': -1.2, 'a': 1}")
    names = [str(name) for name in frame.columns]
    known = [p for p in ("a", "c", "u", "g", *model.place) if p not in model.latent and p in names]
    known = [p for p in known if not (p == "a" and "a1" in names)]
    if not known:
        raise ModelError(f"fixed: the frame has no column of parameters, such as {', '.join(model.params[:3])}")
    for name in known:
        values = np.full(len(model.items), np.nan)
        values[columns] = frame[name].to_numpy(dtype=np.float64)
        if name in PROBABILITIES:
            where = model.place.get(PROBABILITIES[name])
            without = np.ones(len(values), dtype=np.bool_) if where is None else where[0] < 0
            values[without & np.isin(values, (0.0, 1.0))] = np.nan
        wanted = np.flatnonzero(~np.isnan(values))
        if wanted.size:
            found = selector((name, [model.items[j] for j in wanted]), "fixed")
            model.fix(found.cells, found.value(values[model.item[found.cells]]))


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


def _checked_start(model: Cells, cells: IntArray, key: Any) -> None:
    if not model.free[cells].any():
        raise ModelError(
            f"start: '{key}' is fixed, not estimated; use fixed= to change its value, or free= to release it"
        )
