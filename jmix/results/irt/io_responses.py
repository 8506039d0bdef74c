"""Responses as arrays and JSON types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from jmix.responses.data import Long, Responses
from jmix.results.archive import Arrays, floats, require
from jmix.results.index import decode_index, encode_index

_FRAMES = ("data", "item_data")


def pack_responses(responses: Responses, arrays: Arrays) -> dict[str, Any]:
    """Put the arrays of the responses into ``arrays``; returns the rest as plain JSON types."""
    if responses.long is not None:
        arrays |= {f"long.{name}": getattr(responses.long, name) for name in ("item", "value", "start")}
    else:
        assert responses.table is not None
        arrays["responses"] = responses.table
    for name in ("weights", "group", "cluster"):
        if (values := getattr(responses, name)) is not None:
            arrays[f"responses.{name}"] = values
    labels: list[tuple[Any, ...]] = list(dict.fromkeys(responses.categories))
    place = {entry: i for i, entry in enumerate(labels)}
    return {
        "items": list(responses.items),
        "labels": [[_plain(label) for label in entry] for entry in labels],
        "categories": [place[entry] for entry in responses.categories],
        "persons": encode_index(responses.persons, "persons", arrays),
        "groups": list(responses.groups),
        "clusters": None if responses.clusters is None else encode_index(responses.clusters, "clusters", arrays),
        "frames": {name: _pack_frame(getattr(responses, name), name, arrays) for name in _FRAMES},
    }


def unpack_responses(meta: dict[str, Any], arrays: Arrays) -> Responses:
    """The inverse of ``pack_responses``; any of ``archive.UNREADABLE`` where the parts do not fit together."""
    persons = decode_index(meta["persons"], arrays)
    n, items = len(persons), tuple(map(str, meta["items"]))
    categories = tuple(tuple(meta["labels"][int(i)]) for i in meta["categories"])
    require(len(categories) == len(items))
    table, long = None, None
    if "responses" in arrays:
        table = arrays["responses"]
        require(table.dtype == np.int8 and table.shape == (n, len(items)))
    else:
        long = Long(*(arrays[f"long.{name}"] for name in ("item", "value", "start")))
        require(long.start.shape == (n + 1,) and long.item.shape == long.value.shape == (int(long.start[-1]),))
    given = {name: arrays.get(f"responses.{name}") for name in ("group", "cluster")}
    require(all(v is None or (v.dtype.kind == "i" and v.shape == (n,)) for v in given.values()))
    weights = floats(arrays["responses.weights"], (n,)) if "responses.weights" in arrays else None
    clusters = None if meta["clusters"] is None else decode_index(meta["clusters"], arrays)
    data, item_data = (_unpack_frame(meta["frames"][name], name, arrays) for name in _FRAMES)
    groups = tuple(map(str, meta["groups"]))
    return Responses(
        items, categories, table, long, persons, weights, given["group"], groups, given["cluster"], clusters, data,
        item_data,
    )  # fmt: skip


def _pack_frame(frame: pd.DataFrame | None, key: str, arrays: Arrays) -> dict[str, Any] | None:
    """A frame column by column; categoricals come back as ordered or plain categoricals."""
    if frame is None:
        return None
    columns = []
    for i, name in enumerate(frame.columns):
        column = frame[name]
        at = f"{key}.{i}"
        if isinstance(column.dtype, pd.CategoricalDtype):
            arrays[f"{at}.codes"] = column.cat.codes.to_numpy()
            entry = {"levels": encode_index(column.cat.categories, at, arrays), "ordered": bool(column.cat.ordered)}
        else:
            entry = {"values": encode_index(pd.Index(column), at, arrays)}
        columns.append({"name": str(name), **entry})
    return {"index": encode_index(frame.index, f"{key}.index", arrays), "columns": columns}


def _unpack_frame(meta: dict[str, Any] | None, key: str, arrays: Arrays) -> pd.DataFrame | None:
    if meta is None:
        return None
    columns: dict[str, Any] = {}
    for i, entry in enumerate(meta["columns"]):
        if "values" in entry:
            columns[str(entry["name"])] = decode_index(entry["values"], arrays).to_numpy()
        else:
            levels, codes = decode_index(entry["levels"], arrays), arrays[f"{key}.{i}.codes"]
            columns[str(entry["name"])] = pd.Categorical.from_codes(codes, levels, ordered=bool(entry["ordered"]))
    return pd.DataFrame(columns, index=decode_index(meta["index"], arrays))


def _plain(label: Any) -> Any:
    if isinstance(label, np.generic):
        label = label.item()
    return label if label is None or isinstance(label, str | bool | int | float) else str(label)
