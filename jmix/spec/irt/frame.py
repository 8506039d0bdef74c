"""All parameters of a model as a frame, as mirt's ``pars = "values"``, and an edited frame read back."""

from __future__ import annotations

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
    groups = frame["group"] if "group" in frame.columns else pd.Series(cells.groups[0], index=frame.index)
    for group, item, name, value, est in zip(
        groups, frame["item"], frame["name"], frame["value"], frame["est"], strict=True
    ):
        place, asymptote = _find(cells, str(group), item, str(name))
        if place in cells.explained:
            continue
        number = float(value)
        if np.isnan(number):
            raise ModelError(f"parameters: the value of '{name}' of {item} is missing")
        if asymptote:
            with np.errstate(divide="ignore"):
                number = float(np.log(number) - np.log1p(-number))
        if bool(est) and not np.isfinite(number):
            raise ModelError(f"parameters: '{name}' of {item} is to be estimated and needs a start inside (0, 1)")
        changed = not np.isclose(cells.value[place], number, rtol=1e-12, atol=0)
        if est:
            cells.release([place])
            if changed:
                cells.start([place], number)
        else:
            cells.fix([place], number)


def _find(cells: Cells, group: str, item: Any, name: str) -> tuple[int, bool]:
    """The cell of a row, and whether it is an asymptote."""
    if group not in cells.groups:
        raise ModelError(f"parameters: '{group}' is not a group; there are {', '.join(cells.groups)}")
    g = cells.groups.index(group)
    if item == GROUP:
        if name not in cells.place or name not in cells.latent:
            raise ModelError(f"parameters: there is no latent parameter '{name}'")
        return int(cells.place[name][g, 0]), False
    if item not in cells.items:
        raise ModelError(f"parameters: '{item}' is not an item")
    j = cells.items.index(item)
    for param in (f"logit({name})", name):
        if param in cells.place and cells.place[param][g, j] >= 0:
            return int(cells.place[param][g, j]), param != name
    raise ModelError(f"parameters: item '{item}' has no parameter '{name}'")
