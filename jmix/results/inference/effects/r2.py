"""R-squared of mixed models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from jmix.results.inference.effects.variance_decomposition_law import Options
from jmix.results.inference.effects.variance_decomposition_parts import variance_parts
from jmix.results.inference.report import TableReport


@dataclass(frozen=True, eq=False, repr=False)
class R2(TableReport):
    """Shares of variance that the model explains.

    Attributes:
        marginal: by the fixed effects. conditional: by fixed and random effects together.
    """

    marginal: float = float("nan")
    conditional: float = float("nan")


def r2(fit: Any, options: Options) -> R2:
    """The work behind ``fit.r2``."""
    parts = variance_parts(fit, options)
    total = parts.fixed + parts.random + parts.unexplained
    marginal, conditional = parts.fixed / total, (parts.fixed + parts.random) / total
    index = pd.Index(["marginal", "conditional"], name="type")
    table = pd.DataFrame({"r2": [marginal, conditional]}, index=index)
    call = (("Formula", " ".join(fit.formula.split())),)
    return R2(table, "R-squared", call, parts.notes, marginal=marginal, conditional=conditional)
