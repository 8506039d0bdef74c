"""New responses in the items and categories of a fit."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.responses.data import MISSING, Long, Responses

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]

MOST_NAMES = 5


def new_responses(fit: IrtFit, responses: Any, options: dict[str, Any]) -> tuple[Responses | None, FloatArray | None]:
    """New responses in the codes of a fit, with the (N, p) model matrix of their latent regression.

    Raises:
        ModelError: options without responses. DataError: see ``align``; or covariates that are missing.
    """
    if responses is None:
        if options:
            raise ModelError(f"{', '.join(options)}: these options are of new responses; give responses=")
        return None, None
    found = align(fit.responses, responses, **options)
    return found, _covariates(fit, found)


def _covariates(fit: IrtFit, found: Responses) -> FloatArray | None:
    if fit.spec.regression is None:
        return None
    if found.data is None or not fit.encodings:
        raise DataError(
            f"the model has a latent regression on {', '.join(fit.spec.covariates)}: give the new persons' covariates "
            "with data=, a table with a row for each"
        )
    columns: dict[str, FloatArray] = {}
    for encoding in fit.encodings:
        part = encoding.encode(found.data, response=False, random=False)
        columns |= dict(zip(encoding.x_names, np.asarray(part.X, dtype=np.float64).T, strict=True))
    out = np.stack([columns[name] for name in fit.spec.covariates], axis=1)
    bad = np.flatnonzero(~np.isfinite(out).all(axis=1))
    if bad.size:
        raise DataError(f"a covariate is missing for {bad.size} new persons, the first {found.persons[int(bad[0])]!r}")
    return out


def align(known: Responses, new: Any, **options: Any) -> Responses:
    """New responses with the items, categories and groups of those that a model was fitted to.

    Args:
        known: the responses of the fit. new: what ``read_responses`` takes, of all items or of some, in any order; an
            array has all items in the order of the fit, coded by the categories' labels.
        options: ``person``, ``item``, ``response``, ``group``, ``data`` and so on, as of ``read_responses``.

    Raises:
        DataError: an item, category or group that the fit has not seen.
    """
    from jmix.responses.read import read_responses

    if isinstance(new, pd.Series):
        new = new.to_frame().T
    if isinstance(new, np.ndarray):
        new = _named(known, new)
    elif isinstance(new, pd.DataFrame) and options.get("item") is None:
        options = _known_columns(known, new, options)
    read = read_responses(new, **options)
    columns = _columns(known, read)
    maps = [_codes(known.categories[j], read.categories[i], known.items[j]) for i, j in enumerate(columns)]
    groups = _groups(known, read)
    if read.long is not None:
        table, long = None, _long(read.long, columns, maps)
    else:
        table, long = _table(read, columns, maps, known.n_items), None
    return replace(
        read, items=known.items, categories=known.categories, table=table, long=long, groups=known.groups, group=groups,
        item_data=known.item_data,
    )  # fmt: skip


def _named(known: Responses, new: npt.NDArray[Any]) -> pd.DataFrame:
    table = np.atleast_2d(new)
    if table.ndim != 2 or table.shape[1] != known.n_items:
        raise DataError(f"responses of shape {new.shape}: give one column for each of the {known.n_items} items")
    return pd.DataFrame(table, columns=list(known.items))


def _known_columns(known: Responses, new: pd.DataFrame, options: dict[str, Any]) -> dict[str, Any]:
    """Of a frame, the columns that are items; the rest may be person data."""
    if options.get("items") is None:
        found = [column for column in new.columns if str(column) in set(known.items)]
        named = {value for value in options.values() if isinstance(value, str)}
        other = [column for column in new.columns if str(column) not in set(known.items) and column not in named]
        if other and found and len(found) < known.n_items:
            raise DataError(
                f"column {other[0]!r} is not an item of this fit, and some of its items are absent; correct the name, "
                "or say with items=[...] which columns are items"
            )
        if found:
            return options | {"items": found}
    return options


def _columns(known: Responses, read: Responses) -> list[int]:
    place = {name: j for j, name in enumerate(known.items)}
    unknown = [name for name in read.items if name not in place]
    if unknown:
        names = ", ".join(map(repr, unknown[:MOST_NAMES])) + (" and more" if len(unknown) > MOST_NAMES else "")
        raise DataError(f"{names}: not items of this fit; leave these columns out, or name the items with items=")
    return [place[name] for name in read.items]


def _codes(known: tuple[Hashable, ...], found: tuple[Hashable, ...], item: str) -> npt.NDArray[np.int8]:
    """The fit's code of each category found; last the code of a missing response."""
    place = {_plain(label): k for k, label in enumerate(known)}
    out = []
    for label in found:
        if _plain(label) not in place:
            raise DataError(f"item {item!r}: category {label!r} did not occur in the fit; it has {list(known)}")
        out.append(place[_plain(label)])
    return np.array([*out, MISSING], dtype=np.int8)


def _plain(label: Any) -> Any:
    """Numbers equal across types: 1, 1.0, True and NumPy's."""
    if isinstance(label, bool | np.bool_ | int | float | np.integer | np.floating):
        return float(label)
    return label


def _table(read: Responses, columns: list[int], maps: list[Any], n_items: int) -> npt.NDArray[np.int8]:
    assert read.table is not None
    out = np.full((read.n_persons, n_items), MISSING, dtype=np.int8)
    for i, (j, codes) in enumerate(zip(columns, maps, strict=True)):
        out[:, j] = codes[read.table[:, i]]
    return out


def _long(long: Long, columns: list[int], maps: list[Any]) -> Long:
    value = long.value.copy()
    for i, codes in enumerate(maps):
        at = long.item == i
        value[at] = codes[long.value[at]]
    item = np.asarray(columns, dtype=np.int32)[long.item]
    person = long.person()
    order = np.lexsort((item, person))
    return Long(item[order], value[order], long.start)


def _groups(known: Responses, read: Responses) -> npt.NDArray[np.int32] | None:
    if known.n_groups == 1:
        return None
    if read.group is None:
        names = ", ".join(map(repr, known.groups))
        raise DataError(f"the fit has groups {names}: say with group= which one each new person belongs to")
    place = {name: g for g, name in enumerate(known.groups)}
    for name in read.groups:
        if name not in place:
            raise DataError(f"group {name!r} is not one of the fit's: {', '.join(map(repr, known.groups))}")
    return np.array([place[name] for name in read.groups], dtype=np.int32)[read.group]
