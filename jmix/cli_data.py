"""``jmix data``: the data sets that ship with jmix."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import jmix
from jmix.cli_tables import write_table
from jmix.errors import DataError

_PIECE = 1 << 14


def run(options: Namespace) -> int:
    """List the data sets, or print or write one."""
    if options.name is None:
        if options.out is not None:
            raise DataError("--out needs the name of a data set: jmix data NAME --out FILE")
        print(listing())
        return 0
    data = jmix.load_data(options.name)
    if options.out is None:
        text = data.to_csv(index=False, na_rep="NA", lineterminator="\n")
        # In pieces: an unbuffered stdout (PYTHONUNBUFFERED) does not notice that only a part of a large text was taken.
        for start in range(0, len(text), _PIECE):
            print(text[start : start + _PIECE], end="")
        return 0
    write_table(data, Path(options.out))
    print(f"Wrote {options.out}: {len(data):,} rows of {', '.join(data.columns)}")
    return 0


def listing() -> str:
    """Two lines for each data set: what it is; its columns, source and licence."""
    table = jmix.list_data()
    width = max(len(name) for name in table["name"])
    lines = []
    for row in table.to_dict("records"):
        lines.append(f"{row['name']:<{width}} {row['rows']:>6,}  {row['title']}")
        lines.append(f"{'':{width + 9}}{row['columns']}; from {row['source']}, {row['license']}")
    return "\n".join(lines)
