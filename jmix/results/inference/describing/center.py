"""Group means and deviations from them: a predictor's between-group and within-group part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jmix.errors import DataError
from jmix.formula.frame import Frame
from jmix.results.inference.describing.group_columns import groups_of, numbers_of


def center(
    data: Any, x: str | Sequence[str], group: str, *, names: tuple[str, str] | Sequence[tuple[str, str]] | None = None
) -> pd.DataFrame:
    """The group mean of a predictor and the deviation of each row from it.

    With both in a model, the coefficient of the deviation is the slope within groups, that of the mean the slope
    between them, and their difference the contextual effect (Raudenbush & Bryk 2002, Hierarchical Linear Models,
    chapter 5; Enders & Tofighi 2007, Psychol. Methods 12, 121-138). The mean is that of the rows of the data, and
    therefore measured with error where a group is a sample.

    Args:
        data: a pandas or polars frame, a pyarrow table, or a dict of arrays.
        x: a column of numbers or logicals, or several. group: a column, or ``"a:b"`` for combinations.
        names: of the two columns, ``x_mean`` and ``x_within`` by default; a pair for each x.

    Returns:
        (n, 2) frame on the index of the data, two columns for each x: ``data.join(jmix.center(data, "ses", "school"))``
        or ``data.assign(**jmix.center(...))``. Missing where the group is; the deviation also where x is.

    Raises:
        DataError: there is no such column, x holds categories, or the names do not fit.
    """
    frame = Frame(data)
    asked = [x] if isinstance(x, str) else list(x)
    factor = groups_of(frame, group)
    known = factor.codes >= 0
    columns: dict[str, pd.Series] = {}
    for name, (mean_name, within_name) in zip(asked, _names(asked, names), strict=True):
        values = numbers_of(frame, name)
        used = known & ~np.isnan(values)
        counts = np.bincount(factor.codes[used], minlength=len(factor.levels))
        sums = np.bincount(factor.codes[used], values[used], minlength=len(factor.levels))
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.append(sums / counts, np.nan)[factor.codes]
        columns[mean_name] = pd.Series(means, index=frame.index)
        columns[within_name] = pd.Series(values - means, index=frame.index)
    return pd.DataFrame(columns, index=frame.index)


def _names(asked: Sequence[str], names: Any) -> list[tuple[str, str]]:
    if names is None:
        return [(f"{name}_mean", f"{name}_within") for name in asked]
    pairs = [tuple(names)] if names and all(isinstance(name, str) for name in names) else [tuple(n) for n in names]
    if len(pairs) != len(asked) or any(len(pair) != 2 for pair in pairs):
        raise DataError(
            f"names={names!r}: give two names for each of {', '.join(asked)}: of the mean and the deviation"
        )
    return [(str(mean), str(within)) for mean, within in pairs]
