"""Data frame to arrays: the numeric design of a mixed model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class RandomTerm:
    """One random-effects term ``(expr | group)`` as arrays.

    Attributes:
        group: name of the grouping factor as in R, e.g. ``"Subject"`` or ``"a:b"``.
        levels: the J level labels in R's order (sorted, or the order of a categorical).
        codes: (n,) int32, the level of each row.
        names: the q column names, e.g. ``["(Intercept)", "Days"]``.
        columns: q arrays of shape (n,); an intercept may be a zero-stride view of one 1.0.
    """

    group: str
    levels: list[str]
    codes: IntArray
    names: list[str]
    columns: tuple[FloatArray, ...]


@dataclass(frozen=True)
class Design:
    """A formula evaluated on data, rows with missing values dropped.

    Attributes:
        formula: the formula as the user wrote it.
        y: (n,) response, float64; y_name its label.
        X: (n, p) fixed-effects model matrix, Fortran order, full column rank; x_names its labels.
        dropped: names of the columns removed because they are linear combinations of others.
        random: the random terms in formula order, with ``||`` and ``a/b`` already expanded.
        weights: (n,) prior weights, or None. offset: (n,) sum of all offsets, or None.
        n_missing: rows dropped for missing values. index: pandas Index of the rows kept.
        encoding: everything needed to build the same matrices for new data (:class:`jmix.formula.Encoding`).
        columns: the columns of the data that the fixed effects, slopes, offsets and one-sided formulas use, on the
            rows kept: (n,) numbers, or :class:`jmix.formula.values.Categories`; None if they are not known.
    """

    formula: str
    y: FloatArray
    y_name: str
    X: FloatArray
    x_names: list[str]
    dropped: tuple[str, ...]
    random: tuple[RandomTerm, ...]
    weights: FloatArray | None
    offset: FloatArray | None
    n_missing: int
    index: Any
    encoding: Any
    columns: Mapping[str, Any] | None = None

    @property
    def term_order(self) -> list[int]:
        """Positions in ``random`` of the terms in lme4's order.

        As written if no term has more levels than the one before it; else by decreasing levels with ties reversed,
        which is what lme4's ``rev(order(nl))`` gives.
        """
        levels = [len(t.levels) for t in self.random]
        written = list(range(len(levels)))
        if all(a >= b for a, b in pairwise(levels)):
            return written
        return sorted(written, key=lambda i: levels[i])[::-1]

    @property
    def terms(self) -> tuple[RandomTerm, ...]:
        """The random terms in lme4's order."""
        return tuple(self.random[i] for i in self.term_order)


def build_design(
    formula: str,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    require_random: bool = False,
) -> Design:
    """Evaluate an lme4-style formula on data.

    Rows with a missing value in the response, a variable, a grouping factor, the weights or the offset are dropped.

    Args:
        formula: e.g. ``"Reaction ~ Days + (Days | Subject)"``. It is interpreted, never executed.
        data: a pandas, polars or pyarrow table, or a dict of equally long columns.
        weights: prior weights, positive: n numbers, or the name of a column.
        offset: a known part of the linear predictor: n numbers, or the name of a column.
        contrasts: codings of fixed-effects factors, e.g. ``{"f": "sum"}``; a matrix with one row per level also serves.
        require_random: refuse a formula without random terms.

    Raises:
        FormulaError: the formula cannot be read, holds something not allowed, or names a column that does not exist.
        DataError: a column cannot be used, or no rows are left.
    """
    from jmix.formula.build import build_parts

    parts = build_parts(formula, data, weights, offset, contrasts, require_random=require_random)
    terms = tuple(RandomTerm(**term) for term in parts.pop("random"))
    return Design(random=terms, **parts)
