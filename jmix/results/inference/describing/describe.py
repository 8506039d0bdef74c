"""Groups before a model: sizes, means, variance between and within, how the grouping factors lie in each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError
from jmix.formula.frame import Frame
from jmix.results.inference.describing.describe_nesting import nesting_sentences, nesting_table
from jmix.results.inference.describing.group_columns import Groups, numbers_of, several_groups
from jmix.results.inference.report import text_of
from jmix.results.sections import Section, SummaryContent
from jmix.results.summary import Report

FloatArray = npt.NDArray[np.float64]

ROUNDING = 1e-28
"""Share of a sum of squares below which nothing but rounding is left."""


@dataclass(frozen=True, eq=False, repr=False)
class Description(Report):
    """What the groups of a response look like; ``print`` it, or take the frames.

    Attributes:
        y: the response. overall: one row, ``n mean sd min max missing`` of all rows.
        groups: for each grouping factor a frame with the same columns and one row a group.
        sizes: one row a grouping factor, of the rows with a response: ``groups``, ``min``, ``mean``, ``median``,
            ``max`` rows of a group, ``single`` groups of one row.
        variance: one row a grouping factor; see ``describe``.
        nesting: one row a pair of grouping factors: ``inner outer relation cells``.
        notes: sentences on rows left out and on nesting.
    """

    y: str
    overall: pd.DataFrame
    groups: Mapping[str, pd.DataFrame]
    sizes: pd.DataFrame
    variance: pd.DataFrame
    nesting: pd.DataFrame
    notes: tuple[str, ...]

    @cached_property
    def content(self) -> SummaryContent:
        """The tables as text."""
        sections = [
            Section(f"All rows of {self.y}", text_of(self.overall, {})),
            Section("Rows by group", text_of(self.sizes, {})),
            Section("Between and within groups", text_of(self.variance.drop(columns=["df1", "df2"]), {})),
        ]
        if len(self.nesting):
            sections.append(Section("Nesting", text_of(self.nesting, {})))
        return SummaryContent(f"{self.y} by {', '.join(self.groups)}", (), tuple(sections), self.notes)


def describe(data: Any, y: str, group: str | Sequence[str]) -> Description:
    """Summaries of a response by group, its variance between and within groups, and how the groups are nested.

    ``variance`` holds the one-way analysis of variance of each grouping factor: ``sd_means``, the standard deviation
    of the observed group means; ``sd_between`` and ``sd_within``, roots of the moment estimates
    ``(MSB - MSW) / n0`` (zero where it is negative) and ``MSW``, with ``n0 = (N - sum(n_j^2) / N) / (J - 1)``;
    ``icc1 = (MSB - MSW) / (MSB + (n0 - 1) MSW)``, the share of variance between groups, negative where they differ less
    than chance would have it; ``icc2 = (MSB - MSW) / MSB``, the reliability of the group means (Snijders & Bosker
    2012, Multilevel Analysis, section 3.3; Bliese 2000); ``design_effect = 1 + (sum(n_j^2) / N - 1) icc1``, by which
    the variance of a mean grows over that of as many independent rows (Kish 1965); and the F test that all groups have
    one mean.

    Args:
        data: a pandas or polars frame, a pyarrow table, or a dict of arrays.
        y: a column of numbers or logicals.
        group: one grouping factor or several: columns, ``"a:b"`` for combinations, ``"a/b"`` for ``a`` and ``a:b``.

    Raises:
        DataError: there is no such column, y holds categories, or no row has a response.
    """
    frame = Frame(data)
    values, factors = numbers_of(frame, y), several_groups(frame, group)
    known = ~np.isnan(values)
    if not known.any():
        raise DataError(f"no row has a value of {y!r}")
    complete = np.logical_and.reduce([factor.codes >= 0 for factor in factors])
    used = [factor.rows(complete) for factor in factors]
    names = [factor.name for factor in factors]
    index = pd.Index(names, name="group")
    return Description(
        y=y,
        overall=_summaries(values, np.zeros(frame.n, dtype=np.int32), pd.RangeIndex(1)),
        groups={f.name: _summaries(values, f.codes, pd.Index(f.levels, name=f.name)) for f in factors},
        sizes=pd.DataFrame([_sizes(f.rows(known)) for f in factors], index=index),
        variance=pd.DataFrame([_variance(values[known], f.codes[known], len(f.levels)) for f in factors], index=index),
        nesting=nesting_table(used),
        notes=(*_left_out(values, factors), *nesting_sentences(used)),
    )


def _summaries(values: FloatArray, codes: npt.NDArray[np.int32], index: pd.Index) -> pd.DataFrame:
    rows = codes >= 0
    by = pd.Series(values[rows]).groupby(codes[rows])
    table = by.agg(["count", "mean", "std", "min", "max"]).reindex(range(len(index)))
    table.columns = pd.Index(["n", "mean", "sd", "min", "max"])
    table["missing"] = by.size().reindex(range(len(index)), fill_value=0) - table["n"]
    table.index = index
    return table


def _sizes(factor: Groups) -> dict[str, float]:
    n = np.bincount(factor.codes[factor.codes >= 0], minlength=len(factor.levels))
    if n.size == 0:
        return dict.fromkeys(("groups", "min", "mean", "median", "max", "single"), 0)
    return {
        "groups": int(n.size),
        "min": int(n.min()),
        "mean": float(n.mean()),
        "median": float(np.median(n)),
        "max": int(n.max()),
        "single": int(np.sum(n == 1)),
    }


def _variance(values: FloatArray, codes: npt.NDArray[np.int32], n_levels: int) -> dict[str, float]:
    """The analysis of variance of one grouping factor; NaN where there are too few groups or rows."""
    from scipy.special import fdtrc

    known = codes >= 0
    y, at = values[known], codes[known]
    n = np.bincount(at, minlength=n_levels).astype(np.float64)
    at, n = np.cumsum(n > 0)[at] - 1, n[n > 0]
    means = np.bincount(at, y, minlength=n.size) / n
    total, df1, df2 = n.sum(), n.size - 1.0, n.sum() - n.size
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.divide(np.sum(n * (means - y.mean()) ** 2), df1)
        rest = np.sum((y - means[at]) ** 2)
        within = np.divide(rest if rest > ROUNDING * np.sum(y**2) else 0.0, df2)
        n0 = np.divide(total - np.sum(n**2) / total, df1)
        icc1 = (between - within) / (between + (n0 - 1) * within)
        f = between / within
        return {
            "sd_means": float(means.std(ddof=1)) if n.size > 1 else float("nan"),
            "sd_between": float(np.sqrt(np.maximum((between - within) / n0, 0.0))),
            "sd_within": float(np.sqrt(within)),
            "icc1": float(icc1),
            "icc2": float((between - within) / between),
            "design_effect": float(1.0 + (np.sum(n**2) / total - 1.0) * icc1),
            "F": float(f),
            "df1": df1,
            "df2": df2,
            "p_value": float(fdtrc(df1, df2, f)) if df1 > 0 and df2 > 0 else float("nan"),
        }


def _left_out(values: FloatArray, factors: Sequence[Groups]) -> list[str]:
    missing = int(np.isnan(values).sum())
    notes = [f"{missing} rows have no response; they count as missing only."] if missing else []
    for factor in factors:
        lost = int(np.sum(factor.codes < 0))
        notes += [f"{lost} rows have no level of {factor.name}."] if lost else []
    return notes
