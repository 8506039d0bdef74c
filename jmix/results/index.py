"""A pandas index as arrays and plain JSON types."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Arrays = dict[str, npt.NDArray[Any]]


def encode_index(index: Any, key: str, arrays: Arrays) -> dict[str, Any]:
    """Put the labels of an index into ``arrays`` under names that begin with ``key``; returns how to read them.

    Labels that are neither numbers, dates nor text come back as text.
    """
    if isinstance(index, pd.MultiIndex):
        parts = [encode_index(index.get_level_values(i), f"{key}.{i}", arrays) for i in range(index.nlevels)]
        return {"kind": "multi", "parts": parts}
    name = index.name if index.name is None or isinstance(index.name, str | int | float) else str(index.name)
    if isinstance(index, pd.RangeIndex):
        return {"kind": "range", "name": name, "range": [index.start, index.stop, index.step]}
    zone = str(index.tz) if isinstance(index, pd.DatetimeIndex) and index.tz is not None else None
    values = index.tz_convert("UTC").tz_localize(None).to_numpy() if zone else index.to_numpy()
    if isinstance(index.dtype, np.dtype | pd.DatetimeTZDtype) and values.dtype.kind in "iufbmM":
        arrays[key] = values
        return {"kind": "array", "name": name, "array": key, "zone": zone}
    labels = [_plain(v) for v in values]
    arrays[key] = np.frombuffer(json.dumps(labels).encode("utf-8"), dtype=np.uint8)
    return {"kind": "labels", "name": name, "array": key}


def decode_index(meta: dict[str, Any], arrays: Arrays) -> pd.Index:
    """The inverse of ``encode_index``.

    Raises:
        ValueError, KeyError, TypeError: the description does not fit the arrays.
    """
    if meta["kind"] == "multi":
        parts = [decode_index(part, arrays) for part in meta["parts"]]
        return pd.MultiIndex.from_arrays(parts, names=[p.name for p in parts])
    if meta["kind"] == "range":
        start, stop, step = meta["range"]
        return pd.RangeIndex(start, stop, step, name=meta["name"])
    values = arrays[meta["array"]]
    if meta["kind"] == "labels":
        return pd.Index(json.loads(values.tobytes().decode("utf-8")), name=meta["name"])
    index = pd.Index(values, name=meta["name"])
    return pd.DatetimeIndex(index).tz_localize("UTC").tz_convert(meta["zone"]) if meta["zone"] else index


def _plain(label: Any) -> Any:
    if isinstance(label, np.generic):
        label = label.item()
    return label if label is None or isinstance(label, str | bool | int | float) else str(label)
