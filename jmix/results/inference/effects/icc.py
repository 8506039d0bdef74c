"""Intraclass correlations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.effects.variance_decomposition_law import Options
from jmix.results.inference.effects.variance_decomposition_parts import VarianceParts, variance_parts
from jmix.results.inference.report import TableReport


@dataclass(frozen=True, eq=False, repr=False)
class Icc(TableReport):
    """Intraclass correlations.

    Attributes:
        adjusted: share of the random effects in the variance that the fixed effects leave. conditional: their share in
            all variance (performance calls it unadjusted). by_group: adjusted share of each grouping factor.
    """

    adjusted: float = float("nan")
    conditional: float = float("nan")
    by_group: pd.Series | None = None


def icc(fit: Any, by_group: bool, options: Options) -> Icc:
    """The work behind ``fit.icc``."""
    if not fit.terms:
        raise ModelError("an intraclass correlation needs random effects, and this model has none")
    parts = variance_parts(fit, options)
    below = parts.random + parts.unexplained
    adjusted, conditional = parts.random / below, parts.random / (below + parts.fixed)
    shares = pd.Series({g: v / below for g, v in parts.groups.items()}, name="icc", dtype=np.float64)
    call = (("Formula", " ".join(fit.formula.split())),)
    if by_group:
        table = _by_group(fit, parts, below)
    else:
        table = pd.DataFrame({"icc": [adjusted, conditional]}, index=pd.Index(["adjusted", "conditional"], name="type"))
    return Icc(
        table, "Intraclass correlation", call, parts.notes, adjusted=adjusted, conditional=conditional, by_group=shares
    )


def _by_group(fit: Any, parts: VarianceParts, below: float) -> pd.DataFrame:
    """Each grouping factor's share, and the correlation of two rows that share its level."""
    codes = {t.group: t.codes for t in fit.terms}
    rows = []
    for group, variance in parts.groups.items():
        shared = [other for other in parts.groups if other == group or nested_in(codes[group], codes[other])]
        total = sum(parts.groups[other] for other in shared)
        rows.append((variance, variance / below, total / below))
    index = pd.Index(list(parts.groups), name="group")
    return pd.DataFrame(rows, columns=["variance", "icc", "correlation"], index=index)


def nested_in(inner: Any, outer: Any) -> bool:
    """Whether every level of one factor lies within one level of another, coarser one."""
    pairs = np.unique(np.stack([inner, outer]), axis=1)
    return bool(pairs.shape[1] == np.unique(pairs[0]).size and np.unique(pairs[1]).size < pairs.shape[1])
