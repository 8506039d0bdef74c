"""All parameters of a model as a frame, as mirt's ``pars = "values"``, and an edited frame read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.items.kinds import kind_of
from jmix.spec.irt.cells import Cells
from jmix.spec.irt.names import Selector
from jmix.spec.irt.spec import Block, FloatArray, IrtSpec, full_vector

GROUP = "GROUP"
"""What the column ``item`` holds for parameters of the latent distribution, as in mirt."""
COLUMNS = ("group", "item", "name", "value", "est", "parameter", "prior")


def parameter_frame(spec: IrtSpec, x: FloatArray | None = None) -> pd.DataFrame:
    """One row for each parameter of each item and of the latent distribution, by group.

    Columns: group; item, "GROUP" for the latent distribution; name ("a1", "d", "c", "sd[F1]"); value, of asymptotes the
    probability; est, whether it is estimated; parameter, its name in ``spec.table``, the same for equal ones; prior.

    Args:
        x: (P,) free parameters; None for the starting values.
    """
    v = full_vector(np, spec, spec.table.values[spec.table.free] if x is None else x)
    places, rows = [], []
    for g, group in enumerate(spec.groups):
        by_item: dict[int, list[tuple[str, int]]] = {}
        for block in spec.blocks:
            for at, j in enumerate(block.columns):
                by_item[j] = _item_rows(spec, block, g, at)
        for j in range(len(spec.items)):
            for name, place in by_item[j]:
                rows.append((group, spec.items[j], name))
                places.append(place)
        for name, place in _latent_rows(spec, g):
            rows.append((group, GROUP, name))
            places.append(place)
    index = np.array(places)
    frame = pd.DataFrame(rows, columns=["group", "item", "name"])
    frame["value"] = v[index]
    names = [spec.table.names[place] for place in index]
    asymptote = np.array([name.startswith("logit(") for name in names])
    frame.loc[asymptote, "value"] = _logistic(v[index[asymptote]])
    frame["est"] = np.isin(index, spec.table.free)
    frame["parameter"] = names
    priors = spec.table.priors or (None,) * len(spec.table.names)
    frame["prior"] = ["" if priors[place] is None else repr(priors[place]) for place in index]
    return frame


def _logistic(x: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-x))


def _item_rows(spec: IrtSpec, block: Block, g: int, at: int) -> list[tuple[str, int]]:
    rows = [(f"a{k + 1}", int(place)) for k, place in enumerate(block.slopes[g, at])]
    for name, place in zip(kind_of(block.kind).names(block.n_categories), block.own[g, at], strict=True):
        if name != "a":
            rows.append((name, int(place)))
    return rows


def _latent_rows(spec: IrtSpec, g: int) -> list[tuple[str, int]]:
    names = spec.factors
    rows = [(f"mean[{name}]", int(spec.mean[g, k])) for k, name in enumerate(names)]
    rows += [(f"sd[{name}]", int(spec.sd[g, k])) for k, name in enumerate(names)]
    pairs = [(names[j], names[i]) for i in range(len(names)) for j in range(i)]
    rows += [(f"corr[{a},{b}]", int(place)) for (a, b), place in zip(pairs, spec.corr[g], strict=True)]
    if spec.cluster_sd is not None:
        rows += [(f"cluster_sd[{name}]", int(place)) for name, place in zip(names, spec.cluster_sd, strict=True)]
    if spec.regression is not None:
        for covariate, places in zip(spec.covariates, spec.regression, strict=True):
            rows += [(f"beta[{f}:{covariate}]", int(place)) for f, place in zip(names, places, strict=True)]
    rows += [(spec.table.names[p], int(p)) for part in spec.linear for p in part.source]
    return rows


def apply_frame(selector: Selector, frame: Any) -> None:
    """Take values and ``est`` from an edited ``parameter_frame``; what an item formula explains is left to it.

    Raises:
        ModelError: a column is missing, or a row names no parameter of the model.
    """
    if not isinstance(frame, pd.DataFrame) or not {"item", "name", "value", "est"} <= set(frame.columns):
        raise ModelError("parameters is a frame with the columns item, name, value and est, as parameter_frame gives")
    cells = selector.cells
    groups = frame["group"].astype(str) if "group" in frame.columns else [cells.groups[0]] * len(frame)
    rows = list(zip(groups, frame["item"].tolist(), frame["name"].astype(str), strict=True))
    item_of: dict[Any, int] = {item: j for j, item in enumerate(cells.items)}
    found = [_find(cells, item_of, *row) for row in rows]
    place = np.array([cell for cell, _ in found], dtype=np.int64)
    value = frame["value"].to_numpy(dtype=np.float64).copy()
    est = frame["est"].to_numpy(dtype=np.bool_)
    asymptote = np.array([flag for _, flag in found], dtype=np.bool_)
    _check_rows(rows, value, est, asymptote)
    with np.errstate(divide="ignore"):
        value[asymptote] = np.log(value[asymptote]) - np.log1p(-value[asymptote])
    mine = ~np.isin(place, list(cells.explained))
    changed = mine & ~np.isclose(cells.value[place], value, rtol=1e-12, atol=0)
    cells.release(place[mine & est])
    cells.start(place[changed & est], value[changed & est])
    cells.fix(place[mine & ~est], value[mine & ~est])


def _check_rows(rows: list[tuple[str, Any, str]], value: FloatArray, est: Any, asymptote: Any) -> None:
    missing = np.flatnonzero(np.isnan(value))
    if missing.size:
        _, item, name = rows[missing[0]]
        raise ModelError(f"parameters: the value of '{name}' of {item} is missing")
    wrong = np.flatnonzero(asymptote & ((value < 0) | (value > 1) | (est & ((value == 0) | (value == 1)))))
    if wrong.size:
        _, item, name = rows[wrong[0]]
        raise ModelError(
            f"parameters: '{name}' of {item} is a probability; its value {value[wrong[0]]:g} must lie between 0 and 1, "
            "and inside where it is estimated"
        )


def _find(cells: Cells, item_of: Mapping[Any, int], group: str, item: Any, name: str) -> tuple[int, bool]:
    """The cell of a row, and whether it is an asymptote."""
    if group not in cells.groups:
        raise ModelError(f"parameters: '{group}' is not a group; there are {', '.join(cells.groups)}")
    g = cells.groups.index(group)
    if item == GROUP:
        if name not in cells.place or name not in cells.latent:
            raise ModelError(f"parameters: there is no latent parameter '{name}'")
        return int(cells.place[name][g, 0]), False
    if item not in item_of:
        raise ModelError(f"parameters: '{item}' is not an item")
    j = item_of[item]
    for param in (f"logit({name})", name):
        if param in cells.place and cells.place[param][g, j] >= 0:
            return int(cells.place[param][g, j]), param != name
    raise ModelError(f"parameters: item '{item}' has no parameter '{name}'")
