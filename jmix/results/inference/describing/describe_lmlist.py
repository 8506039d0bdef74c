"""The coefficients of separate regressions over the groups: their mean, spread and weighted means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError
from jmix.results.inference.report import TableReport

if TYPE_CHECKING:
    from jmix.results.lmlist import LmList

FloatArray = npt.NDArray[np.float64]


def describe_coefficients(fits: LmList, by: Any = None) -> TableReport:
    """The work behind ``LmList.describe``."""
    beta, se = fits.coef().to_numpy(), fits.se().to_numpy()
    sizes = fits.regressions.n.astype(np.float64)
    parts = {"": np.ones(len(fits.levels), dtype=np.bool_)} if by is None else _parts(fits, by)
    rows: list[dict[str, float]] = []
    labels: list[tuple[str, str]] = []
    for label, members in parts.items():
        for j, name in enumerate(fits.names):
            rows.append(_row(beta[members, j], se[members, j], sizes[members]))
            labels.append((label, name))
    index = (
        pd.Index([name for _, name in labels], name="term")
        if by is None
        else pd.MultiIndex.from_tuples(labels, names=[getattr(by, "name", None) or "by", "term"])
    )
    call = (("Formula", " ".join(fits.formula.split())),)
    return TableReport(pd.DataFrame(rows, index=index), f"Coefficients of {len(fits.levels)} regressions", call)


def _row(beta: FloatArray, se: FloatArray, sizes: FloatArray) -> dict[str, float]:
    known = np.isfinite(beta)
    b, errors, n = beta[known], se[known], sizes[known]
    precise = np.isfinite(errors) & (errors > 0)
    weights = errors[precise] ** -2.0
    quantiles = np.quantile(b, [0.0, 0.5, 1.0]) if b.size else np.full(3, np.nan)
    return {
        "n": int(b.size),
        "mean": float(b.mean()) if b.size else float("nan"),
        "sd": float(b.std(ddof=1)) if b.size > 1 else float("nan"),
        "min": float(quantiles[0]),
        "median": float(quantiles[1]),
        "max": float(quantiles[2]),
        "mean_by_size": float(np.average(b, weights=n)) if b.size else float("nan"),
        "mean_by_precision": float(np.average(b[precise], weights=weights)) if weights.size else float("nan"),
        "std_error": float(weights.sum() ** -0.5) if weights.size else float("nan"),
    }


def _parts(fits: LmList, by: Any) -> dict[str, npt.NDArray[np.bool_]]:
    """The groups of each category, in the order of the categories.

    Raises:
        DataError: a group has no category, or it is not given by group.
    """
    if not isinstance(by, Mapping | pd.Series):
        raise DataError("by: give a Series or dict with a category for each group, indexed by the groups' labels")
    found = pd.Series(by)
    found = found[~found.index.duplicated()] if isinstance(by, pd.Series) else found
    categories = found.set_axis(found.index.astype(str)).reindex(fits.levels)
    if categories.isna().any():
        lost = [level for level, gone in zip(fits.levels, categories.isna(), strict=True) if gone]
        raise DataError(f"by has no category for {len(lost)} groups of {fits.group}: {', '.join(lost[:8])}")
    order = (
        list(categories.cat.categories)
        if isinstance(categories.dtype, pd.CategoricalDtype)
        else sorted(set(categories))
    )
    return {str(value): np.asarray(categories == value) for value in order if (categories == value).any()}
