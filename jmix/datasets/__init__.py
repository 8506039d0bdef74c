"""The data sets that ship with jmix, as pandas data frames.

Each set is a small gzip-compressed csv file in ``data/``. A sidecar JSON file names its source, licence and citation
and the type of each column; for a factor it keeps the levels in R's order and whether they are ordered.
"""

from __future__ import annotations

import difflib
import functools
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jmix.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["list_data", "load_data"]

# Simulated sets will bring a sidecar of their own, so that _export.R can rewrite this one.
_SIDECARS = ("datasets.json",)
_FOLDER = files(__name__)


def load_data(name: str) -> pd.DataFrame:
    """Load a data set that ships with jmix.

    Args:
        name: a name from :func:`list_data`; upper and lower case do not matter.

    Returns:
        A new data frame with a row per observation. R's factors are categorical columns with R's level order.

    Raises:
        DataError: if no data set has this name; the message suggests the closest one.
    """
    import pandas as pd

    key = _resolve(name)
    columns = _catalogue()[key]["columns"]
    with (_FOLDER / "data" / f"{key}.csv.gz").open("rb") as stream:
        return pd.read_csv(
            stream,
            compression="gzip",
            dtype={column["name"]: _dtype(column) for column in columns},
            keep_default_na=False,
            na_values={column["name"]: [""] for column in columns if column["type"] == "Int64"},
        )


def list_data() -> pd.DataFrame:
    """List the data sets that ship with jmix.

    Returns:
        A frame with a row per data set and the columns ``name``, ``rows``, ``columns`` (their names, separated by
        commas), ``title``, ``source`` (package and version), ``license`` (SPDX expression, of the data) and
        ``citation``.
    """
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "name": name,
                "rows": entry["rows"],
                "columns": ", ".join(column["name"] for column in entry["columns"]),
                **{field: entry[field] for field in ("title", "source", "license", "citation")},
            }
            for name, entry in _catalogue().items()
        ]
    )


@functools.cache
def _catalogue() -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {}
    for sidecar in _SIDECARS:
        entries |= json.loads((_FOLDER / sidecar).read_text(encoding="utf-8"))
    return entries


def _resolve(name: str) -> str:
    by_folded_name = {known.casefold(): known for known in _catalogue()}
    if not isinstance(name, str):
        raise DataError(f"load_data() takes the name of a data set, not {type(name).__name__}; see list_data()")
    folded = name.strip().casefold()
    if folded in by_folded_name:
        return by_folded_name[folded]
    close = difflib.get_close_matches(folded, by_folded_name, n=1)
    hint = f"Did you mean {by_folded_name[close[0]]!r}? " if close else ""
    raise DataError(f"jmix ships no data set named {name!r}. {hint}Available: {', '.join(by_folded_name.values())}")


def _dtype(column: dict[str, Any]) -> Any:
    import pandas as pd

    if column["type"] != "category":
        return column["type"]
    return pd.CategoricalDtype(column["levels"], ordered=column["ordered"])
